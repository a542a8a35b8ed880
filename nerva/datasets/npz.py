"""Data sets of the user's own, from .npz files."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Split

KEYS = ("Xtrain", "Ttrain", "Xtest", "Ttest")
MOST_CLASSES = 1_000_000  # a larger label is a mistake, and would build a layer that fills the memory


def npz(path: str | os.PathLike[str]) -> Dataset:
    """Read a data set from the arrays Xtrain, Ttrain, Xtest and Ttest of an .npz file.

    ``Xtrain`` and ``Xtest`` hold samples, one per row: (N, D), or (N, ...) which is flattened to (N, D). float32,
    float64 and uint8 stay what they are, in C order; other numbers become float32. ``Ttrain`` and ``Ttest`` hold
    the labels (N,), whole numbers from 0; there are max(Ttrain) + 1 classes, named by their numbers.

    Parameters
    ----------
    path : str or path
        A file as ``numpy.savez`` or ``numpy.savez_compressed`` write it. Pickled objects in it are refused.

    Returns
    -------
    Dataset
        Named by the file. ``X`` are plain arrays: nothing is standardised.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no readable .npz file, or an array is missing, empty, of the wrong type or shape, or out of
        range. The message names the file, the array, and what was found.
    """
    path = Path(path)
    arrays = _arrays(path)
    Xtrain, Ttrain = _samples(path, "Xtrain", arrays), _labels(path, "Ttrain", arrays)
    Xtest, Ttest = _samples(path, "Xtest", arrays), _labels(path, "Ttest", arrays)
    for split, X, y in (("train", Xtrain, Ttrain), ("test", Xtest, Ttest)):
        if len(X) != len(y):
            raise ValueError(f"{path}: X{split} has {len(X)} samples, but T{split} has {len(y)} labels")
    if Xtrain.shape[1] != Xtest.shape[1]:
        raise ValueError(f"{path}: Xtrain has {Xtrain.shape[1]} features a sample, but Xtest has {Xtest.shape[1]}")
    classes = int(Ttrain.max()) + 1
    if Ttest.max() >= classes:
        raise ValueError(f"{path}: Ttest holds the label {Ttest.max()}, but the labels of Ttrain end at {classes - 1}")
    return Dataset(path.stem, Split(Xtrain, Ttrain), Split(Xtest, Ttest), tuple(str(k) for k in range(classes)))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file, or a truncated one (no end of a zip archive found)")
    name = ""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file.files]
            if missing:
                present = ", ".join(file.files) or "nothing"
                raise ValueError(f"lacks {', '.join(missing)}; it holds {present}")
            arrays = {}
            for name in KEYS:
                arrays[name] = np.asanyarray(file[name])
    except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        problem = f"{name} cannot be read ({error})" if name else str(error)
        raise ValueError(f"{path}: {problem}") from error
    return arrays


def _samples(path: Path, key: str, arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
    X = arrays[key]
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{path}: {key} must hold real numbers, found {X.dtype}")
    if X.ndim < 2:
        raise ValueError(f"{path}: {key} must have the shape (samples, features), found {X.shape}")
    if X.size == 0:
        raise ValueError(f"{path}: {key} is empty, its shape is {X.shape}")
    kept = X.dtype.newbyteorder("=") in (np.float32, np.float64, np.uint8)
    with np.errstate(over="ignore"):  # what overflows float32 is found below
        X = np.ascontiguousarray(X.reshape(len(X), -1), dtype=X.dtype.newbyteorder("=") if kept else np.float32)
    if X.dtype.kind == "f":
        bad = ~np.isfinite(X).all(axis=1)
        if bad.any():
            raise ValueError(f"{path}: {key} holds NaN or infinity, first in sample {bad.argmax()}")
    return X


def _labels(path: Path, key: str, arrays: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    y = arrays[key]
    if y.dtype.kind not in "fiu":
        raise ValueError(f"{path}: {key} must hold whole numbers, found {y.dtype}")
    if y.ndim != 1:
        raise ValueError(f"{path}: {key} must have the shape (samples,), one label each, found {y.shape}")
    if y.size == 0:
        raise ValueError(f"{path}: {key} is empty")
    # In this order: NaN fails the first, infinity the last.
    for bad, demand in (
        (y != np.trunc(y), "be whole numbers"),
        (y < 0, "not be negative"),
        (y >= MOST_CLASSES, f"be below {MOST_CLASSES:,}"),
    ):
        if bad.any():
            first = bad.argmax()
            raise ValueError(f"{path}: the labels of {key} must {demand}, found {y[first]} in sample {first}")
    return y.astype(np.int64)
