"""What a word of the command line may be: each function converts one, or raises ArgumentTypeError."""

import csv
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TypeVar

from nerva.cli.choices import DATA
from nerva.cli.tables import is_table
from nerva.saving.hub import MODEL

T = TypeVar("T")


def data(text: str) -> str:
    """Return the name of a data set, or of an .npz, .csv or .parquet file that exists."""
    if text in DATA.rows:
        return text
    if not is_table(text) and not text.lower().endswith(".npz"):
        raise ArgumentTypeError(f"{text!r} is neither one of {', '.join(DATA.rows)} nor a file.npz, .csv or .parquet")
    return existing_file(text)


def names(text: str) -> list[str]:
    """Return names separated by commas, as the fields of a line of CSV: quotes may hold a comma.

    >>> names('a,"b,c"')
    ['a', 'b,c']
    """
    found = next(csv.reader([text]), [])
    if not all(found):
        raise ArgumentTypeError(f"{text!r} has an empty name")
    return found


def existing_file(text: str) -> str:
    """Return the path of a file that exists."""
    if not Path(text).is_file():
        raise ArgumentTypeError(f"there is no file {text}")
    return text


def model_file(text: str) -> str:
    """Return the path of a file that exists; of a folder of `save_pretrained`, that of its model."""
    return existing_file(str(Path(text) / MODEL) if (Path(text) / MODEL).is_file() else text)


def ending_in(suffixes: Sequence[str], file: Callable[[str], str]) -> Callable[[str], str]:
    """Return a converter of the paths that `file` takes whose names end in one of these suffixes."""

    def convert(text: str) -> str:
        if Path(text).suffix.lower() not in suffixes:
            raise ArgumentTypeError(f"{text} does not end in {', '.join(suffixes[:-1])} or {suffixes[-1]}")
        return file(text)

    return convert


def new_file(text: str) -> str:
    """Return the path of a file in a folder that exists."""
    if Path(text).is_dir() or not Path(text).parent.is_dir():
        raise ArgumentTypeError(f"{text} is no file in a folder that exists")
    return text


def new_folder(text: str) -> str:
    """Return the path of a folder that exists, or can be made in one that does."""
    if Path(text).exists() and not Path(text).is_dir():
        raise ArgumentTypeError(f"{text} is a file, not a folder")
    if not Path(text).resolve().parent.is_dir():
        raise ArgumentTypeError(f"{text} is in no folder that exists")
    return text


def existing_path(text: str) -> str:
    """Return the path of a folder or file that exists."""
    if not Path(text).exists():
        raise ArgumentTypeError(f"there is no folder {text}")
    return text


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a converter of integers within `least` to `most`.

    >>> whole(1)("20")
    20
    >>> whole(1)("0")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: '0' is not a whole number of at least 1
    """
    wanted = f"a whole number {f'of at least {least}' if most is None else f'from {least} to {most}'}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not {wanted}") from None
        if value < least or (most is not None and value > most):
            raise ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return convert


def number(wanted: str, accept: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a converter of the numbers that `accept` accepts; `wanted` describes them in the error."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number {wanted}") from None
        if not accept(value):
            raise ArgumentTypeError(f"{text!r} is not a number {wanted}")
        return value

    return convert


def list_of(item: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return a converter of items separated by commas.

    >>> list_of(whole(0))("3,1,2")
    [3, 1, 2]
    """
    return lambda text: [item(part) for part in text.split(",")]


def list_or_none(item: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return a converter of items separated by commas, or of the word none, for no items."""
    return lambda text: [] if text == "none" else list_of(item)(text)


def ascending(text: str) -> list[int]:
    """Return positive integers separated by commas, in ascending order, or none."""
    milestones = list_or_none(whole(1))(text)
    if any(earlier >= later for earlier, later in pairwise(milestones)):
        raise ArgumentTypeError(f"{text!r} does not ascend")
    return milestones


widths = list_or_none(whole(1, 2**31 - 1))
density = number("above 0 and at most 1", lambda x: 0 < x <= 1)
fraction = number("from 0 to 1", lambda x: 0 <= x <= 1)
proper_fraction = number("above 0 and below 1", lambda x: 0 < x < 1)
below_one = number("from 0 to below 1", lambda x: 0 <= x < 1)
not_negative = number("of at least 0", lambda x: 0 <= x < inf)
positive = number("above 0", lambda x: 0 < x < inf)
