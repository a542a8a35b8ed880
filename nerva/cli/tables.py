"""Samples with their targets in tables: .csv and .parquet files, of which some columns are the targets."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerva.cli.samples import BOOLEANS, as_number, is_number, need_parquet
from nerva.datasets import Dataset, Split
from nerva.datasets.tasks import Task, as_rows, task_of
from nerva.training.inputs import as_dense
from nerva.training.training_data import split

TABLES = (".csv", ".parquet")


class Table(NamedTuple):
    """Samples X (n, D), numbers, and targets y (n, k), float64 or names, with the names of the k columns."""

    X: NDArray[Any]
    y: NDArray[Any]
    names: tuple[str, ...]


def is_table(path: str) -> bool:
    """Whether a file is a table by its name."""
    return Path(path).suffix.lower() in TABLES


def read_table(path: str, target: Sequence[str] | None) -> Table:
    """Return features and targets of a table.

    Parameters
    ----------
    path : a .csv file, or a .parquet file, which needs the extra 'parquet'
    target : the columns of the targets, by their names or, where there is none by this name, by their numbers from 1;
        None is the last one

    A first line of a .csv file is a header if its features are not all numbers or booleans, if it names a target, or if
    it has a word where the next line has a number. Raises OSError or ValueError where the file cannot be read, or holds
    no such columns, ImportError without what reads it.
    """
    return _read_parquet(path, target) if Path(path).suffix.lower() == ".parquet" else _read_csv(path, target)


def _columns(target: Sequence[str] | None, names: Sequence[str]) -> list[int]:
    """Return the places of the targets among the columns; raise ValueError where one is none, or there is no other."""
    found = [len(names) - 1] if target is None else [_column(name, names) for name in target]
    if len(set(found)) < len(found):
        raise ValueError(f"the targets {', '.join(target or ())} are not different columns")
    if len(found) == len(names):
        raise ValueError(f"has {len(names)} columns, none beside the targets; the others are the features")
    return found


def _column(name: str, names: Sequence[str]) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdecimal() and 1 <= int(name) <= len(names):
        return int(name) - 1
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise ValueError(f"has no column {name}; there are {len(names)}: {shown}")


def _read_csv(path: str, target: Sequence[str] | None) -> Table:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        first, second = (next(csv.reader(stream), []) for _ in range(2))
        if not first:
            raise ValueError("holds no samples")
        columns = _columns(target, first)
        features = [j for j in range(len(first)) if j not in columns]
        header = (
            any(name in first for name in target or ())
            or not all(is_number(first[j]) for j in features)
            or any(not is_number(first[j]) and is_number(cell) for j in columns for cell in second[j : j + 1])
        )
        options: dict[str, Any] = {"delimiter": ",", "skiprows": int(header), "comments": None, "quotechar": '"'}
        # Only where there are booleans: numbers alone are read in half the time.
        cells = as_number if {*first, *second} & BOOLEANS.keys() else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")  # the error below says so
            stream.seek(0)
            X = np.loadtxt(stream, usecols=features, ndmin=2, converters=cells, **options)
            stream.seek(0)
            y = np.loadtxt(stream, usecols=columns, ndmin=2, dtype=str, **options)
    if X.size == 0:
        raise ValueError("holds no samples")
    names = [first[j] if header else str(j + 1) for j in columns]
    return Table(X, _targets(y, names), tuple(names))


def _read_parquet(path: str, target: Sequence[str] | None) -> Table:
    need_parquet()
    import pandas

    frame = pandas.read_parquet(path, engine="pyarrow")
    frame.columns = frame.columns.map(str)
    columns = _columns(target, list(frame.columns))
    names = [str(frame.columns[j]) for j in columns]
    if not len(frame):
        raise ValueError("holds no samples")
    try:
        X = as_dense(frame.drop(columns=names), "the feature", np.dtype(np.float64))
    except TypeError as error:
        raise ValueError(str(error)) from None
    y, missing = frame[names], frame[names].isna().to_numpy()
    if missing.any():
        i, k = np.argwhere(missing)[0]
        raise ValueError(f"has no {names[k]} in sample {i}")
    numbers = all(pandas.api.types.is_numeric_dtype(kind) for kind in y.dtypes)
    return Table(X, y.to_numpy(np.float64) if numbers else _targets(y.to_numpy().astype(str), names), tuple(names))


def _targets(cells: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """Return cells of text (n, k) as numbers, if all are; else as they are, the names of classes."""
    cells = np.char.strip(cells)
    if (empty := cells == "").any():
        i, k = np.argwhere(empty)[0]
        raise ValueError(f"has no {names[k]} in sample {i}")
    try:
        return cells.astype(np.float64)
    except ValueError:
        words = set(np.unique(cells).tolist())
    if words <= BOOLEANS.keys():
        return np.asarray(cells == "True", np.float64)
    numbers = {word for word in words if is_number(word)}
    if cells.shape[1] > 1 or any(as_number(word) % 1 for word in numbers):
        word = min(words - numbers)
        wanted = "others are numbers" if cells.shape[1] == 1 else "where there are several, they must be numbers"
        raise ValueError(f"holds {word!r} as a target; {wanted}")
    return cells


def names_of(data: Dataset) -> tuple[str, ...] | None:
    """Return the names of the classes of a table; None where its labels are numbers, or are no labels."""
    numbers = tuple(str(k) for k in range(len(data.classes)))
    return None if data.task != "classification" or data.classes == numbers else data.classes


def load_table(path: str, target: Sequence[str] | None, task: Task | None, test_fraction: float) -> Dataset:
    """Return a data set of a table, some rows of which are held out to test on, the same ones every time.

    Parameters
    ----------
    path, target : as of `read_table`
    task : None is what the targets look like (nerva.datasets.tasks.task_of)
    test_fraction : of the rows, above 0, that are the test samples, of each class the same; 1 for all

    Raises OSError, ValueError or ImportError, as `read_table`, and where the targets are not those of the task.
    """
    X, y, names = read_table(path, target)
    if not (finite := np.isfinite(X)).all():
        i, j = np.argwhere(~finite)[0]
        raise ValueError(f"holds {X[i, j]} in sample {i}, as feature {j}; every feature must be finite")
    task = task_of(y if y.shape[1] > 1 else y[:, 0]) if task is None else task
    targets: NDArray[Any]
    if task == "classification":
        if y.shape[1] > 1:
            raise ValueError(f"has {y.shape[1]} targets; classification has one")
        targets, names = _labels(y[:, 0])
    else:
        targets = as_rows(y, task)
    everything = np.arange(len(X))
    train, test = (everything[:0], everything) if test_fraction == 1 else split(targets, test_fraction)
    first, second = (Split(np.ascontiguousarray(X[rows]), targets[rows]) for rows in (train, test))
    return Dataset(Path(path).stem, first, second, names, task=task)


def _labels(y: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels from 0 on, int64, and the names of the classes: those in y, sorted, or the numbers."""
    if y.dtype.kind == "U":
        names, labels = np.unique(y, return_inverse=True)
        return labels.astype(np.int64), tuple(names.tolist())
    wrong = ~((y == np.trunc(y)) & (y >= 0) & (y < 1e6))
    if wrong.any():
        i = wrong.argmax()
        raise ValueError(f"labels must be whole numbers from 0 on, found {y[i]:g} in sample {i}")
    labels = y.astype(np.int64)
    return labels, tuple(str(k) for k in range(int(labels.max()) + 1))
