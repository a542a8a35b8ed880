"""Samples with their targets in tables: .csv and .parquet files, of which some columns are the targets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerva.cli.csv_cells import as_number, hint, is_number, read_csv, shown
from nerva.cli.samples import read_frame
from nerva.datasets import Dataset, Split
from nerva.datasets.tasks import Task, as_rows, task_of
from nerva.training.inputs import as_dense
from nerva.training.training_data import split

TABLES = (".csv", ".parquet")


class Table(NamedTuple):
    """Samples X (n, D), numbers, and targets y (n, k), float64 or names, with their names and rows."""

    X: NDArray[Any]
    features: list[str]
    y: NDArray[Any]
    names: list[str]
    lines: list[int] | None  # in a .csv file, from 1

    def row(self, i: int) -> str:
        """What a sample is called in a message."""
        return _row(i, self.lines)


def _row(i: int, lines: list[int] | None) -> str:
    return f"sample {i}" if lines is None else f"row {lines[i]}"


def is_table(path: str) -> bool:
    """Whether a file is a table by its name."""
    return Path(path).suffix.lower() in TABLES


def read_table(path: str, target: Sequence[str] | None, drop: Sequence[str] = ()) -> Table:
    """Return features and targets of a table.

    Parameters
    ----------
    path : a .csv file, or a .parquet file, which needs the extra 'parquet'
    target : the columns of the targets, by their names or, where there is none by this name, by their numbers from 1;
        None is the last one
    drop : the columns to leave out, named likewise

    How the header of a .csv file is told: see `read_csv`. Raises OSError or ValueError where the file cannot be read or
    holds no such columns, ImportError without what reads it.
    """
    if Path(path).suffix.lower() == ".parquet":
        return _read_parquet(path, target, drop)
    X, features, y, names, lines = read_csv(path, target, drop)
    return Table(X, features, _targets(y, names, lines), names, lines)


def _read_parquet(path: str, target: Sequence[str] | None, drop: Sequence[str]) -> Table:
    frame, *chosen = read_frame(path, target, drop)
    import pandas

    features, targets = ([str(frame.columns[j]) for j in some] for some in chosen)
    if not len(frame):
        raise ValueError("holds no samples")
    try:
        X = as_dense(frame[features], "column ", np.dtype(np.float64))
    except TypeError as error:
        raise ValueError(f"{error}{hint(target)}") from None
    y, missing = frame[targets], frame[targets].isna().to_numpy()
    if missing.any():
        i, k = np.argwhere(missing)[0]
        raise ValueError(f"has no {targets[k]} in sample {i}")
    numbers = all(pandas.api.types.is_numeric_dtype(kind) for kind in y.dtypes)
    text = y.to_numpy(np.float64) if numbers else _targets(y.to_numpy().astype(str), targets, None)
    return Table(X, features, text, targets, None)


def _targets(cells: NDArray[Any], names: Sequence[str], lines: list[int] | None) -> NDArray[Any]:
    """Return cells of text (n, k) as numbers, if all are; else as they are, the names of classes."""
    cells = np.char.strip(cells)
    if (empty := cells == "").any():
        i, k = np.argwhere(empty)[0]
        raise ValueError(f"has no {names[k]} in {_row(i, lines)}")
    try:
        return cells.astype(np.float64)
    except ValueError:
        words, places_of = np.unique(cells, return_inverse=True)
    numbers = {word for word in words.tolist() if is_number(word)}
    if len(numbers) == len(words):
        values: NDArray[np.float64] = np.array([as_number(word) for word in words.tolist()])[places_of]
        return values.reshape(cells.shape)
    if cells.shape[1] > 1 or any(as_number(word) % 1 for word in numbers):
        i, k = next((i, k) for i, k in np.ndindex(*cells.shape) if cells[i, k] not in numbers)
        wanted = "others are numbers" if cells.shape[1] == 1 else "where there are several, they must be numbers"
        raise ValueError(f"holds '{cells[i, k]}' as a target, {names[k]} of {_row(i, lines)}; {wanted}")
    return cells


def names_of(data: Dataset) -> tuple[str, ...] | None:
    """Return the names of the classes of a table; None where its labels are numbers from 0 on, or are no labels."""
    numbers = tuple(str(k) for k in range(len(data.classes)))
    return None if data.task != "classification" or data.classes == numbers else data.classes


def labels_for(classes: Sequence[Any] | None, data: Dataset) -> NDArray[Any]:
    """Return the test labels of a table, as a network whose classes these are takes them: by name, or as numbers.

    Numbers are names to a network that knows them as such, else labels from 0 on.
    """
    labels: NDArray[Any] = data.test.y
    if data.task != "classification":
        return labels
    names: NDArray[Any] = np.asarray(data.classes)[labels]
    if classes is None and all(name.isdecimal() for name in data.classes):
        labels = names.astype(np.int64)
        return labels
    known = {str(name) for name in classes or ()}
    return labels if names_of(data) is None and known.isdisjoint(data.classes) else names


def load_table(
    path: str, target: Sequence[str] | None, task: Task | None, test_fraction: float, drop: Sequence[str] = ()
) -> Dataset:
    """Return a data set of a table, some rows of which are held out to test on, the same ones every time.

    Parameters
    ----------
    path, target, drop : as of `read_table`
    task : None is what the targets look like (nerva.datasets.tasks.task_of)
    test_fraction : of the rows, above 0, that are the test samples, of each class the same; 1 for all

    Raises OSError, ValueError or ImportError, as `read_table`, and where the targets are not those of the task.
    """
    table = read_table(path, target, drop)
    X, y, names = table.X, table.y, tuple(table.names)
    if not (finite := np.isfinite(X)).all():
        i, j = np.argwhere(~finite)[0]
        held = f"column {shown(table.features[j], j)} holds {X[i, j]} in {table.row(i)}"
        raise ValueError(f"{held}; every feature must be finite")
    task = task_of(y if y.shape[1] > 1 else y[:, 0]) if task is None else task
    targets: NDArray[Any]
    try:
        if task == "classification":
            targets, names = _labels(table)
        elif y.dtype.kind == "U":
            i = next(i for i in range(len(y)) if not is_number(y[i, 0]))
            raise ValueError(f"the target {names[0]} must be a number, found '{y[i, 0]}' in {table.row(i)}")
        else:
            targets = as_rows(y, task)
    except ValueError as error:
        taken = f"; {names[0]} is the last column, --target names another" if target is None else ""
        said = re.sub(r"sample (\d+)$", lambda found: table.row(int(found[1])), str(error))
        raise ValueError(said + taken) from None
    everything = np.arange(len(X))
    train, test = (everything[:0], everything) if test_fraction == 1 else split(targets, test_fraction)
    first, second = (Split(np.ascontiguousarray(X[rows]), targets[rows]) for rows in (train, test))
    return Dataset(Path(path).stem, first, second, names, task=task)


def _labels(table: Table) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels from 0 on, int64, and the names of the classes: the names or whole numbers in y, sorted."""
    if table.y.shape[1] > 1:
        raise ValueError(f"has {table.y.shape[1]} targets; classification has one")
    y = table.y[:, 0]
    if y.dtype.kind != "U":
        wrong = ~((y == np.trunc(y)) & (np.abs(y) < 2**53))
        if wrong.any():
            i = wrong.argmax()
            found = f"found {y[i]:g} in {table.row(i)}"
            raise ValueError(f"the labels, {table.names[0]}, must be whole numbers or names, {found}")
        y = y.astype(np.int64)
    names, labels = np.unique(y, return_inverse=True)
    return labels.astype(np.int64), tuple(str(name) for name in names.tolist())
