"""Data sets in .npz files."""

from __future__ import annotations

import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerva.datasets.dataset import Dataset, Split, Standardized
from nerva.datasets.tasks import TASKS, Task, as_rows, task_of
from nerva.system.files import read_npz, replacing
from nerva.validation import check_choice

KEYS = ("Xtrain", "Ttrain", "Xtest", "Ttest")
PIECE = 1 << 22  # bytes converted and written at a time
MOST_CLASSES = 1_000_000  # a larger label is a mistake, and the last layer would exhaust the memory


def npz(path: str | os.PathLike[str], *, task: Task | None = "classification") -> Dataset:
    """Read a data set from the arrays Xtrain, Ttrain, Xtest and Ttest of an .npz file.

    Xtrain and Xtest hold the samples, one a row: (N, D), or (N, ...), which is flattened to (N, D). float32, float64
    and uint8 keep their dtype, in C order; other numbers become float32. Ttrain and Ttest hold the labels (N,), whole
    numbers from 0; there are max(Ttrain) + 1 classes, named by their numbers. Of another task they hold numbers, or 0
    and 1, (N,) or (N, targets).

    Parameters
    ----------
    path : a file that numpy.savez, numpy.savez_compressed or `save_npz` wrote; pickled objects in it are refused
    task : "classification", "regression" or "multi-label"; None is what Ttrain looks like: whole numbers from 0 on are
        labels of classes, several columns of 0 and 1 several labels, and other numbers those of regression

    Returns a Dataset named by the file. X are plain arrays: nothing is standardized. Raises FileNotFoundError if there
    is no such file; ValueError, which names the file and the array, if it is not a readable .npz file, or an array is
    missing, empty, of the wrong dtype or shape, or out of range.
    """
    path = Path(path)
    if task is not None:
        check_choice(task, "task", TASKS)
    arrays = read_npz(path, KEYS)
    task = _task(path, arrays["Ttrain"]) if task is None else task
    read = _labels if task == "classification" else partial(_rows, task)
    Xtrain, Ttrain = _samples(path, "Xtrain", arrays), read(path, "Ttrain", arrays)
    Xtest, Ttest = _samples(path, "Xtest", arrays), read(path, "Ttest", arrays)
    hint = ""
    if len(Xtrain) == len(Xtest) and len(Ttrain) == len(Ttest):  # features and classes, if it is what the hint says
        hint = (
            "; it looks like a file of the original Nerva's --save-dataset, which stores X with a sample a column and "
            "only some of the labels: the others are lost, so write the file anew, with nerva.datasets.save_npz"
        )
    for split, X, y in (("train", Xtrain, Ttrain), ("test", Xtest, Ttest)):
        if len(X) != len(y):
            raise ValueError(f"{path}: X{split} has {len(X)} samples, but T{split} has {len(y)} labels{hint}")
    if Xtrain.shape[1] != Xtest.shape[1]:
        raise ValueError(
            f"{path}: Xtrain has {Xtrain.shape[1]} features a sample, but Xtest has {Xtest.shape[1]}{hint}"
        )
    if task != "classification":
        if Ttrain.shape[1] != Ttest.shape[1]:
            raise ValueError(f"{path}: Ttrain has {Ttrain.shape[1]} targets a sample, but Ttest has {Ttest.shape[1]}")
        names = tuple(str(k) for k in range(Ttrain.shape[1]))
        return Dataset(path.stem, Split(Xtrain, Ttrain), Split(Xtest, Ttest), names, task=task)
    classes = int(Ttrain.max()) + 1
    if Ttest.max() >= classes:
        raise ValueError(f"{path}: Ttest holds the label {Ttest.max()}, but the labels of Ttrain end at {classes - 1}")
    return Dataset(path.stem, Split(Xtrain, Ttrain), Split(Xtest, Ttest), tuple(str(k) for k in range(classes)))


def save_npz(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a data set as the arrays Xtrain, Ttrain, Xtest and Ttest of an .npz file, which `npz` reads.

    The original Nerva reads it too: samples as rows, after standardization, (N, D) of float32, or float64 if they are,
    and labels int64 (N,), or of another task float64 (N, targets). It is not compressed, and written in pieces, without
    a copy of the samples. The file is written atomically, and replaces an existing one.

    Parameters
    ----------
    path : of the file; no suffix is added
    dataset : the Dataset; the names of its classes and its image shape are not saved

    Raises TypeError or ValueError if it is no Dataset, or one that `npz` would not read: of another dtype or shape,
    with NaN, or with test labels beyond the training labels. Raises OSError if the file cannot be written.

    >>> save_npz("mini.npz", nerva.datasets.mini(5))
    >>> npz("mini.npz").train.X.shape
    (5, 3)
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset is {type(dataset).__name__}; it must be a nerva.datasets.Dataset")
    _check_splits(dataset)
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for split, X, y in (("train", *dataset.train), ("test", *dataset.test)):
            _write(archive, f"X{split}", X, np.dtype(np.float64 if X.dtype == np.float64 else np.float32))
            _write(archive, f"T{split}", y, np.dtype(np.int64 if dataset.task == "classification" else np.float64))


def _check_splits(dataset: Dataset) -> None:
    for split, (X, y) in (("train", dataset.train), ("test", dataset.test)):
        if not isinstance(X, (np.ndarray, Standardized)) or X.dtype.kind not in "fiub" or X.ndim != 2 or 0 in X.shape:
            shape = f" of {X.dtype}, {X.shape}" if hasattr(X, "dtype") and hasattr(X, "shape") else ""
            raise ValueError(
                f"the X of dataset.{split} is a {type(X).__name__}{shape}; it must be an array of numbers (samples, "
                "features), or Standardized"
            )
        if isinstance(X, np.ndarray):
            rows = max(PIECE // max(X[:1].nbytes, 1), 1)
            for first in range(0, len(X), rows):
                if not np.isfinite(X[first : first + rows]).all():
                    raise ValueError(f"the X of dataset.{split} holds NaN or infinity")
        if dataset.task != "classification":
            _check_rows(y, (len(X), len(dataset.classes)), dataset.task, split)
            continue
        if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or y.shape != (len(X),):
            raise ValueError(f"the y of dataset.{split} must be {len(X)} integer labels, one for each sample")
        if y.min() < 0 or y.max() >= MOST_CLASSES:
            raise ValueError(f"the y of dataset.{split} runs from {y.min()} to {y.max()}; labels run from 0")
    if dataset.train.X.shape[1] != dataset.test.X.shape[1]:
        widths = dataset.train.X.shape[1], dataset.test.X.shape[1]
        raise ValueError(f"dataset.train has {widths[0]} features a sample, but dataset.test has {widths[1]}")
    if dataset.task == "classification" and dataset.test.y.max() > dataset.train.y.max():
        raise ValueError(
            f"dataset.test holds the label {dataset.test.y.max()}, but those of dataset.train end at "
            f"{dataset.train.y.max()}: as many classes would be read"
        )


def _check_rows(y: object, shape: tuple[int, int], task: Task, split: str) -> None:
    if not isinstance(y, np.ndarray) or y.shape != shape:
        raise ValueError(f"the y of dataset.{split} must be an array of shape {shape}: samples and targets")
    try:
        as_rows(y, task)
    except ValueError as error:
        raise ValueError(f"the y of dataset.{split}: {error}") from None


def _write(archive: zipfile.ZipFile, key: str, array: Standardized | NDArray[Any], dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
    rows = max(PIECE // (dtype.itemsize * int(np.prod(array.shape[1:]))), 1)
    with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for first in range(0, len(array), rows):
            stream.write(np.ascontiguousarray(np.asarray(array[first : first + rows]), dtype=dtype).data)


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


def _task(path: Path, y: NDArray[Any]) -> Task:
    if y.ndim == 1 and y.dtype.kind in "iu" and len(y) and y.min() >= 0:
        return "classification"  # an array says that its numbers are whole, a table cannot
    try:
        return task_of(y)
    except ValueError as error:
        raise ValueError(f"{path}: Ttrain: {error}") from None


def _rows(task: Task, path: Path, key: str, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    try:
        return as_rows(arrays[key], task)
    except ValueError as error:
        raise ValueError(f"{path}: {key}: {error}") from None


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
