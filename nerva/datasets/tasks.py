"""What is to be learned of each sample: its class, numbers, or several labels; and the targets of each."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Task = Literal["classification", "regression", "multi-label"]
TASKS: tuple[Task, ...] = get_args(Task)


def task_of(y: NDArray[Any]) -> Task:
    """Return the task that targets (n,) or (n, k) are of.

    One column of names or of whole numbers from 0 on is classification, several columns of 0 and 1 are multi-label, and
    other numbers are regression. Raises ValueError for whole numbers that may be labels as well as not: negative ones,
    and from 10 on those of which there are fewer than two samples a class.

    >>> task_of(np.array([0, 2, 1])), task_of(np.array([0.5, 1.0])), task_of(np.eye(3))
    ('classification', 'regression', 'multi-label')
    """
    if y.ndim == 2 and y.shape[1] > 1:
        return "multi-label" if y.dtype.kind in "iufb" and np.isin(y, (0, 1)).all() else "regression"
    if y.dtype.kind not in "iufb":
        return "classification"
    with np.errstate(invalid="ignore"):
        if y.size == 0 or not (np.isfinite(y) & (y == np.trunc(y))).all():
            return "regression"
    if y.min() < 0 or (y.max() >= 10 and y.size < 2 * (float(y.max()) + 1)):
        raise ValueError(
            f"whole numbers from {y.min():g} to {y.max():g} in {y.size} samples may be labels or not: give the task, "
            "classification or regression"
        )
    return "classification"


def as_rows(y: NDArray[Any], task: Task) -> NDArray[np.float64]:
    """Return targets of regression or of several labels as float64 (n, k), from (n, k) or (n,).

    Raises ValueError for what is no number, or not finite, or, of labels, neither 0 nor 1.

    >>> as_rows(np.array([1, 2]), "regression")
    array([[1.],
           [2.]])
    """
    if y.dtype.kind not in "fiub":
        raise ValueError(f"targets must be numbers, found {y.dtype}")
    if y.ndim not in (1, 2) or y.size == 0:
        raise ValueError(f"targets must have the shape (samples,) or (samples, targets), found {y.shape}")
    rows = np.ascontiguousarray(y.reshape(len(y), -1), np.float64)
    good = np.isfinite(rows) if task == "regression" else np.isin(rows, (0, 1))
    if not good.all():
        i, k = np.argwhere(~good)[0]
        wanted = "be finite" if task == "regression" else "be 0 or 1"
        raise ValueError(f"targets must {wanted}, found {rows[i, k]} in sample {i}")
    return rows
