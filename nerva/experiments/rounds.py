"""Paired measurements: in each round everyone has a turn, one after the other, and is compared round by round.

No round is dropped, and all are in the records. Of those in which no other process took the cores, the most that had
them equally far apart count; where there are none, those that were disturbed do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple, TypedDict

from nerva.experiments.cores import distance
from nerva.experiments.workers import Times

DISTURBED = 0.2  # cores taken by other processes above which a turn is disturbed


class Turn(TypedDict):
    """The median seconds of the calls of a turn, the cores that others took, and how far apart the cores were.

    `cores` is a Distance, or "mixed" where it changed during the turn.
    """

    seconds: float
    others: float
    cores: str


Round = dict[str, Turn]  # by the name of whose turn it is


class Spread(NamedTuple):
    """The median, the least and the most of the rounds."""

    median: float
    least: float
    most: float


class Counted(NamedTuple):
    """The rounds that count, what is told of them, such as "4 of 5, near", and whether no other process took cores."""

    rounds: list[Round]
    told: str
    quiet: bool


def in_turns(runs: Mapping[str, Callable[[], Times]], rounds: int) -> list[Round]:
    """Run everyone once a round, in every other round in reverse, so that nobody profits from a place in the order."""
    found: list[Round] = []
    for number in range(rounds):
        names = list(runs)[:: 1 if number % 2 == 0 else -1]
        taken = {name: _turn(runs[name]) for name in names}
        found.append({name: taken[name] for name in runs})
    return found


def counted(rounds: Sequence[Round], names: Iterable[str], threads: int) -> Counted:
    """Return the rounds that count for turns of these names, which ran with so many threads.

    With one thread it does not matter how far apart the cores are.
    """
    own = [{name: taken[name] for name in names} for taken in rounds]
    quiet = [taken for taken in own if all(turn["others"] <= DISTURBED for turn in taken.values())]
    pool = quiet or own
    apart = [_apart(taken) for taken in pool]
    if threads == 1:
        kept, told = pool, ""
    else:
        most = Counter(apart).most_common(1)[0][0]
        kept, told = [taken for taken, where in zip(pool, apart, strict=True) if where == most], f", {most}"
    return Counted(kept, f"{len(kept)} of {len(rounds)}{told}" + ("" if quiet else ", disturbed"), bool(quiet))


def seconds(rounds: Iterable[Round], name: str) -> Spread:
    """Return the seconds of the turns of one."""
    return spread([taken[name]["seconds"] for taken in rounds])


def ratio(rounds: Iterable[Round], name: str, other: str) -> Spread:
    """Return how many times as long as the other one took, round by round."""
    return spread([taken[name]["seconds"] / taken[other]["seconds"] for taken in rounds])


def spread(values: Sequence[float]) -> Spread:
    """Return the median, the least and the most of some values.

    >>> spread([3.0, 1.0, 2.0, 10.0])
    Spread(median=2.5, least=1.0, most=10.0)
    """
    return Spread(median(values), min(values), max(values))


def _apart(taken: Round) -> str:
    found = {turn["cores"] for turn in taken.values()}
    return found.pop() if len(found) == 1 else "mixed"


def _turn(run: Callable[[], Times]) -> Turn:
    before = distance()
    times = run()
    after = distance()
    return {
        "seconds": median(times.seconds),
        "others": times.contention,
        "cores": before if before == after else "mixed",
    }
