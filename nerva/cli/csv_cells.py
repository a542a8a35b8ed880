"""The cells of .csv files: which line is the header, which columns are left out, and what is wrong with a cell."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BOOLEANS = {"True": 1.0, "False": 0.0}  # as a data frame writes them
UNNAMED = ("", "Unnamed: 0")  # a data frame's index, as its file has it, and as it is read from one


class Cells(NamedTuple):
    """Features X (n, D) float64 with their names, targets y (n, k) of text with theirs, and the line of each row."""

    X: NDArray[np.float64]
    features: list[str]
    y: NDArray[Any]
    targets: list[str]
    lines: list[int]


class _Layout(NamedTuple):
    """The lines of the header, the names of all columns, and the places of features and targets."""

    header: int
    names: list[str]
    features: list[int]
    targets: list[int]


def as_number(cell: str) -> float:
    """Return the number in a cell; 1 or 0 for a boolean, as of a data frame."""
    found = BOOLEANS.get(cell.strip())
    return float(cell) if found is None else found


def is_number(cell: str) -> bool:
    try:
        as_number(cell)
    except ValueError:
        return False
    return True


def place(name: str, names: Sequence[str]) -> int:
    """Return the place of a column by its name or, if none has it, its number from 1; raise ValueError if it is none.

    >>> place("b", ["a", "b"]), place("1", ["a", "b"])
    (1, 0)
    """
    if (count := list(names).count(name)) > 1:
        where = " and ".join(str(j + 1) for j, other in enumerate(names) if other == name)
        raise ValueError(f"has {count} columns named {name}, columns {where}; rename them")
    if count:
        return list(names).index(name)
    if name.isdecimal() and 1 <= int(name) <= len(names):
        return int(name) - 1
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise ValueError(f"has no column {name}; there are {len(names)}: {shown}")


def places(target: Sequence[str] | None, drop: Sequence[str], names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the places of features and targets; None is the last column as the target.

    Raises ValueError where a target or a column to drop is none or named twice, or no feature is left.
    """
    dropped = [place(name, names) for name in drop]
    left = [j for j in range(len(names)) if j not in dropped]
    targets = left[-1:] if target is None else [place(name, names) for name in target]
    if len(set(targets)) < len(targets):
        raise ValueError(f"the targets {', '.join(target or ())} are not different columns")
    if both := [names[j] for j in targets if j in dropped]:
        raise ValueError(f"column {both[0]} is a target, and to be dropped")
    features = [j for j in left if j not in targets]
    if not features:
        beside = "beside the targets" if targets else "left"
        raise ValueError(f"has {len(names)} columns, none {beside}; the others are the features")
    return features, targets


def leave_out_index(path: str, cells: Sequence[Any]) -> bool:
    """Whether the cells of a first column without a name are an index: whole numbers, each once; say so if they are."""
    found = len(cells) > 0 and all(str(cell).isdecimal() for cell in cells) and len(set(cells)) == len(cells)
    if found:
        print(f"nerva: {path}: the first column, which has no name, is an index, and left out", file=sys.stderr)
    return found


def read_csv(path: str, target: Sequence[str] | None, drop: Sequence[str] = ()) -> Cells:
    """Return the cells of a .csv file.

    A first line is a header if it names a target or a column to drop, if one of its features is a word (neither number
    nor boolean), if it is 0, 1, 2, ... in order (three or more), or if a target is a word where the next line has a
    number.

    Parameters
    ----------
    path : of the file, UTF-8
    target : the columns of the targets, by names or numbers from 1; None is the last one, [] is none
    drop : the columns to leave out, named likewise

    Raises OSError, or ValueError, which names column and line, where the file does not hold such columns of numbers.
    """
    with open(path, encoding="utf-8-sig", newline="") as stream:
        rows = _rows(stream)
        begins, first = next(rows, (0, []))
        _, second = next(rows, (0, []))
        if not first:
            raise ValueError("holds no samples")
        if len(first) == 1 and (other := next((mark for mark in ";\t" if mark in first[0]), None)):
            raise ValueError(f"has one column; its cells must be separated by commas, not by {other!r}")
        given = None if target is None else [name.strip() for name in target]
        layout = _layout([cell.strip() for cell in first], second, given, [name.strip() for name in drop])
        layout = layout._replace(header=begins if layout.header else 0)
        stream.seek(0)
        y, lines, index = _walk(stream, layout)
        if not lines:
            raise ValueError("holds no samples")
        if index and layout.features[:1] == [0] and len(layout.features) > 1 and leave_out_index(path, index):
            layout = layout._replace(features=layout.features[1:])
        X = _numbers(stream, layout, {*first, *second}, target)
    features, targets = ([layout.names[j] for j in some] for some in (layout.features, layout.targets))
    return Cells(X, features, np.asarray(y, str).reshape(len(lines), len(targets)), targets, lines)


def _layout(first: list[str], second: list[str], target: Sequence[str] | None, drop: Sequence[str]) -> _Layout:
    numbers = [str(j + 1) for j in range(len(first))]
    given = [*(target or ()), *drop]
    header = any(name in first and name not in numbers for name in given) or _counts(first, second)
    if not header:
        # Of a name that is a number too only the place is sure here; what is no column is found below.
        known = [name for name in drop if name in numbers]
        features, targets = places(target and [name for name in target if name in numbers], known, numbers)
        header = any(first[j].strip() and not is_number(first[j]) for j in features) or any(
            not is_number(first[j]) and is_number(cell) for j in targets for cell in second[j : j + 1]
        )
    names = first if header else numbers
    return _Layout(header, names, *places(target, drop, names))


def _counts(first: list[str], second: list[str]) -> bool:
    """Whether a line is 0, 1, 2, ... in order, as a data frame numbers its columns; behind its index, before a word."""
    cells = first[1:] if first[0] == "" else first
    if len(cells) > 3 and not is_number(cells[-1]) and second[-1:] != cells[-1:]:
        cells = cells[:-1]  # the name of the target, of which a sample may be named only by accident
    return len(cells) > (1 if first[0] == "" else 2) and cells == [str(j) for j in range(len(cells))]


def _rows(stream: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the line that each row ends on, and its cells; raise ValueError, which names the line, over its quotes."""
    reader, line = csv.reader(stream, strict=True), 0
    try:
        for row in reader:
            line = reader.line_num
            yield line, row
    except csv.Error as error:
        raise ValueError(f"row {line + 1}: {error}; a quoted cell ends on a quote before the next comma") from None


def _samples(stream: Any, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of each row that is not empty, behind the header."""
    for i, (line, row) in enumerate(_rows(stream)):
        if row and not (layout.header and i == 0):
            yield line, row


def _walk(stream: Any, layout: _Layout) -> tuple[list[str], list[int], list[str]]:
    """Return the targets, row after row, the lines these end on, and the cells of a first column without a name."""
    width = len(layout.names)
    unnamed = layout.header and layout.names[0] in UNNAMED
    y: list[str] = []
    lines: list[int] = []
    index: list[str] = []
    for line, row in _samples(stream, layout):
        if len(row) != width:
            wanted = "the header" if layout.header else "the first line"
            raise ValueError(f"row {line} has {len(row)} cells; {wanted} has {width}")
        y.extend([row[j] for j in layout.targets])
        lines.append(line)
        if unnamed:
            index.append(row[0])
    return y, lines, index


def _numbers(stream: Any, layout: _Layout, seen: set[str], target: Sequence[str] | None) -> NDArray[np.float64]:
    """Return the features of all rows."""
    options: dict[str, Any] = {"delimiter": ",", "skiprows": layout.header, "comments": None, "quotechar": '"'}

    def load(cells: Any) -> NDArray[np.float64]:
        stream.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.loadtxt(stream, usecols=layout.features, ndmin=2, converters=cells, **options)

    # Only where there are booleans: numbers alone are read in half the time.
    try:
        return load(as_number if seen & BOOLEANS.keys() else None)
    except ValueError:
        _find(stream, layout, target)
        return load(as_number)  # booleans, first in a later line


def _find(stream: Any, layout: _Layout, target: Sequence[str] | None) -> None:
    """Raise ValueError over the first cell of the features that is no number."""
    stream.seek(0)
    for line, row in _samples(stream, layout):
        for j in layout.features:
            if not is_number(row[j]):
                name = shown(layout.names[j], j)
                held = f"holds {row[j]!r}" if row[j].strip() else "is empty"
                raise ValueError(f"column {name} {held} in row {line}; every feature must be a number{hint(target)}")


def shown(name: str, j: int) -> str:
    """Return a column's name for a message; its number, where it has none."""
    return name if name.strip() else f"{j + 1}, which has no name,"


def hint(target: Sequence[str] | None) -> str:
    """Return what may be done about a feature that is no number."""
    last = "; the target is the last column unless --target names another" if target is None else ""
    return f" (--drop leaves columns out){last}"
