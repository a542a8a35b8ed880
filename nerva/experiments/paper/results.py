"""What sections are made of: the records that are there, and numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nerva.experiments.paper import figures
from nerva.experiments.paper.sections import Verdict
from nerva.experiments.paper.units import Record, Unit, record
from nerva.experiments.rounds import Spread


class Results(NamedTuple):
    """The results of the units that are done, by name, and the names of the others."""

    results: dict[str, Record]
    missing: tuple[str, ...]


def results(folder: Path, units: Iterable[Unit]) -> Results:
    """Return what is in the folder of these units."""
    found: dict[str, Record] = {}
    missing = []
    for unit in units:
        made = record(folder, unit)
        if made is None:
            missing.append(unit.name)
        else:
            found[unit.name] = made["result"]
    return Results(found, tuple(missing))


def number(value: float) -> str:
    """Return a positive number with three digits.

    >>> number(0.012345), number(1234.5), number(12.0)
    ('0.0123', '1,234', '12.0')
    """
    if value >= 100:
        return f"{value:,.0f}"
    digits = 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4 if value >= 0.01 else 5
    return f"{value:.{digits}f}"


def times(found: Spread) -> str:
    """Return a ratio with the range of the rounds.

    >>> times(Spread(4.0, 3.5, 4.25))
    '4.00 (3.50 to 4.25)'
    """
    return f"{number(found.median)} ({number(found.least)} to {number(found.most)})"


def at_least(found: Spread, limit: float) -> Verdict:
    """Return whether a ratio is at least as large: in all rounds, by its median or in none of both; or above 1 only."""
    if found.least >= limit:
        return "holds"
    return "holds in part" if found.most >= limit or found.least > 1 else "does not hold"


def threads_told(threads: int) -> str:
    """Return a number of threads as text.

    >>> threads_told(1), threads_told(2)
    ('1 thread', '2 threads')
    """
    return f"{threads} thread{'s' * (threads != 1)}"


def rounds_told(rounds: int) -> str:
    """Return what a section says of its rounds."""
    return (
        f"All have turns, one after the other, in {rounds} rounds, and are compared round by round: median (least to "
        "most). All rounds are in the records; those do not count in which another process took the cores, or in which "
        "these were not as far apart as in most; where others ran in all rounds, a claim is open. Cores are near if "
        "they share an L3 cache, and far if not."
    )


def spread_line(axes: Any, x: Iterable[float], spreads: Sequence[Spread], series: str | int, label: str = "") -> None:
    """Draw medians, with a band of the range of the rounds."""
    medians, least, most = (list(values) for values in zip(*spreads, strict=True))
    figures.line(axes, list(x), medians, series, label=label or None, low=least, high=most)
