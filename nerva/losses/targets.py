"""Targets: labels or rows of values, checked, with weights where samples have some."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

REGRESSION = "numbers to predict need a loss of them, loss=nerva.MeanSquaredError()"


class Weighted:
    """Targets with a weight for each sample; an index selects both."""

    def __init__(self, targets: Array, weights: Array) -> None:
        self.targets, self.weights = targets, weights

    def __getitem__(self, rows: Any) -> "Weighted":
        return Weighted(self.targets[rows], self.weights[rows])

    def __len__(self) -> int:
        return len(self.targets)


def weighted(targets: Array, sample_weight: npt.ArrayLike | None, samples: int) -> Any:
    """Return the targets, with their weights (samples,) where there are any.

    Raises ValueError for weights of another shape, that are negative or not finite, or whose sum is not positive.

    >>> weighted(np.array([0, 1]), [1, 3], samples=2)[[1]].weights
    array([3.])
    """
    if sample_weight is None:
        return targets
    if np.ma.isMaskedArray(sample_weight):
        raise TypeError("sample_weight is a masked array; give 0 to the samples that are not to count")
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "fiub" or weights.shape != (samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape} and dtype {weights.dtype}; it must be {samples} numbers"
        )
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight holds a number that is negative or not finite")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not 0 < total < np.inf:
        raise ValueError(f"sample_weight has the sum {total}; it must be above 0, and finite")
    return Weighted(targets, weights)


def labels_of(y: Array) -> Array:
    """Return the labels (n,): of rows, the index of the largest entry."""
    return y if y.ndim == 1 else y.argmax(axis=1)


def rows_of(y: Array, K: int) -> Array:
    """Return the targets as (K, batch): labels as one-hot columns."""
    if y.ndim > 1:
        return y.T
    T = np.zeros((K, len(y)))
    T[y, np.arange(len(y))] = 1
    return T


def check_classes(y: npt.ArrayLike, samples: int, classes: int, name: str) -> Array:
    """Return labels (samples,) as int64, or rows of probabilities as float64; raise TypeError or ValueError otherwise.

    Labels may also be one to a row, (samples, 1), of more classes than one.

    >>> check_classes([0, 2], samples=2, classes=2, name="y")
    Traceback (most recent call last):
    ValueError: y holds labels from 0 to 2; the network has classes 0 to 1
    """
    y = np.asarray(y)
    if y.ndim == 2 and y.dtype.kind in "fiub" and (y.shape[1] != 1 or classes == 1):
        rows = check_numbers(y, samples, classes, name)
        if rows.size and (rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-4):
            hint = f"; {REGRESSION}" if classes == 1 else ""
            raise ValueError(f"{name} has rows that are no probabilities: negative, or another sum than 1{hint}")
        return rows
    return check_labels(y, samples, classes, name)


def check_labels(y: npt.ArrayLike, samples: int, classes: int, name: str) -> Array:
    """Return labels from 0 to classes - 1 as int64 (samples,); raise TypeError or ValueError otherwise.

    They are integers, booleans or floats that are whole, (samples,) or (samples, 1).
    """
    labels = np.asarray(y)
    if labels.dtype.kind not in "iubf":
        raise TypeError(f"{name} has dtype {labels.dtype}; labels must be integers")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "f" and not (whole := labels == np.trunc(labels)).all():
        found = labels[~whole][0]
        hint = f"; {REGRESSION}" if np.isfinite(found) else ""
        raise TypeError(f"{name} has dtype {labels.dtype}, and holds {found}; labels must be integers{hint}")
    if labels.shape != (samples,):
        raise ValueError(f"{name} has shape {labels.shape}; there must be one label for each of {samples} samples")
    if samples and (labels.min() < 0 or labels.max() >= classes):
        hint = f"; {REGRESSION}" if classes == 1 else ""
        found = f"{name} holds labels from {labels.min()} to {labels.max()}"
        raise ValueError(f"{found}; the network has classes 0 to {classes - 1}{hint}")
    return np.ascontiguousarray(labels, np.int64)


def check_numbers(y: npt.ArrayLike, samples: int, outputs: int, name: str) -> Array:
    """Return finite real numbers (samples, outputs) as float64; raise TypeError or ValueError otherwise."""
    numbers = np.asarray(y)
    if numbers.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {numbers.dtype}; targets must be real numbers")
    if numbers.shape != (samples, outputs):
        raise ValueError(f"{name} has shape {numbers.shape}; it must be ({samples}, {outputs})")
    numbers = np.ascontiguousarray(numbers, np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return numbers
