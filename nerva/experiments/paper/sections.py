"""What a report consists of: sections with text, tables, figures, and claims with verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["holds", "holds in part", "does not hold", "open"]


@dataclass(frozen=True)
class Table:
    """A table: a caption, which names the data used, the names of the columns, and rows of text."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A figure of matplotlib, with the name of its file, a caption, and what it shows in words."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Claim:
    """What the paper says, what was found, with its interval, and whether the two agree."""

    says: str
    found: str
    verdict: Verdict


@dataclass(frozen=True)
class Section:
    """A part of the report, in the order: text, pictures, tables; claims are collected at the front of the report.

    `command` repeats the part; `answer` is its one sentence for the README.
    """

    title: str
    command: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    claims: Sequence[Claim] = ()
    answer: str = ""
    missing: Sequence[str] = field(default_factory=tuple)  # units that are not done
