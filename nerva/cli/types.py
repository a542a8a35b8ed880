"""What a word of the command line may be: each of these takes it, and raises ArgumentTypeError where it is no such."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def existing_file(text: str) -> str:
    if not Path(text).is_file():
        raise ArgumentTypeError(f"there is no file {text}")
    return text


def new_file(text: str) -> str:
    if Path(text).is_dir() or not Path(text).parent.is_dir():
        raise ArgumentTypeError(f"{text} is no file in a folder that exists")
    return text


def existing_path(text: str) -> str:
    if not Path(text).exists():
        raise ArgumentTypeError(f"there is no folder {text}")
    return text


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    demand = f"a whole number {f'of at least {least}' if most is None else f'from {least} to {most}'}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not {demand}") from None
        if value < least or (most is not None and value > most):
            raise ArgumentTypeError(f"{text!r} is not {demand}")
        return value

    return convert


def number(demand: str, accept: Callable[[float], bool]) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number {demand}") from None
        if not accept(value):
            raise ArgumentTypeError(f"{text!r} is not a number {demand}")
        return value

    return convert


def list_of(item: Callable[[str], T]) -> Callable[[str], list[T]]:
    return lambda text: [item(part) for part in text.split(",")]


def list_or_none(item: Callable[[str], T]) -> Callable[[str], list[T]]:
    return lambda text: [] if text == "none" else list_of(item)(text)


def ascending(text: str) -> list[int]:
    milestones = list_or_none(whole(1))(text)
    if any(earlier >= later for earlier, later in pairwise(milestones)):
        raise ArgumentTypeError(f"{text!r} does not ascend")
    return milestones


widths = list_or_none(whole(1, 2**31 - 1))
density = number("above 0 and at most 1", lambda x: 0 < x <= 1)
below_one = number("from 0 to below 1", lambda x: 0 <= x < 1)
not_negative = number("of at least 0", lambda x: 0 <= x < inf)
positive = number("above 0", lambda x: 0 < x < inf)
