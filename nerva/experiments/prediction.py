"""How long runs will take: what a run costs, measured on some, and how many are at work at a time."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import log
from typing import Any

# Settings that do not change how long an epoch takes.
FREE = {"seed", "epochs", "learning_rate", "momentum", "weight_decay", "schedule", "milestones", "gamma", "period"} | {
    "decay",
    "warm_up",
    "load_weights",
    "init",
    "fan",
    "label_smoothing",
    "class_weights",
    "threads",
}


@dataclass(frozen=True)
class Costs:
    """What a run takes, in seconds.

    Parameters
    ----------
    start : until the process has imported nerva
    setup : until the first step: the data are loaded, and the network is built
    epoch : an epoch with its evaluation and a checkpoint
    """

    start: float
    setup: float
    epoch: float

    def seconds(self, epochs: int, done: int = 0) -> float:
        """Return the seconds of a run of so many epochs, some of which are done.

        >>> Costs(1.0, 2.0, 10.0).seconds(epochs=5, done=2)
        33.0
        """
        return self.start + self.setup + self.epoch * max(0, epochs - done)

    def mixed(self, other: Costs, weight: float) -> Costs:
        """Return the weighted mean of two: `weight` is that of the other.

        >>> Costs(1.0, 2.0, 10.0).mixed(Costs(1.0, 4.0, 30.0), 0.5)
        Costs(start=1.0, setup=3.0, epoch=20.0)
        """
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Costs(*(own + weight * (others - own) for own, others in pairs))


def mean(costs: Sequence[Costs]) -> Costs:
    """Return the mean of costs, one or more."""
    return Costs(*(sum(getattr(each, part.name) for each in costs) / len(costs) for part in fields(Costs)))


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return when the last of runs that take so long ends, each begun as soon as one of `jobs` places is free.

    >>> makespan([3.0, 1.0, 1.0, 2.0], jobs=2)
    4.0
    """
    places = [0.0] * max(1, min(jobs, len(seconds)))
    for each in seconds:
        heapq.heapreplace(places, places[0] + each)
    return max(places)


def kind(settings: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return what tells how long an epoch takes: runs of one kind take as long."""
    return tuple((name, repr(value)) for name, value in sorted(settings.items()) if name not in FREE)


def spread(settings: Sequence[Mapping[str, Any]], most: int) -> list[int]:
    """Return the indices of one run of each kind; of at most so many kinds, from all over their range of densities.

    >>> spread([{"density": 0.1, "seed": 1}, {"density": 0.1, "seed": 2}, {"density": 0.2, "seed": 1}], most=9)
    [0, 2]
    """
    first: dict[tuple[Hashable, ...], int] = {}
    for i, each in enumerate(settings):
        first.setdefault(kind(each), i)
    indices = sorted(first.values(), key=lambda i: (_rest(settings[i]), _density(settings[i])))
    if len(indices) <= most:
        return sorted(indices)
    return sorted({indices[round(i * (len(indices) - 1) / (most - 1))] for i in range(most)})


def estimate(settings: Mapping[str, Any], known: Sequence[tuple[Mapping[str, Any], Costs]]) -> Costs:
    """Return the costs of a run: as measured for its kind, or between those of the nearest densities.

    `known` are settings with their costs, one or more. Where there are no densities on both sides, the nearest kind is
    taken.
    """
    for other, costs in known:
        if kind(other) == kind(settings):
            return costs
    density = _density(settings)
    alike = sorted(((_density(other), costs) for other, costs in known if _rest(other) == _rest(settings)), key=_first)
    below = [pair for pair in alike if pair[0] <= density]
    above = [pair for pair in alike if pair[0] > density]
    if below and above:
        (low, one), (high, another) = below[-1], above[0]
        return one.mixed(another, (density - low) / (high - low))
    return min(known, key=lambda pair: _distance(pair[0], settings))[1]


def _first(pair: tuple[float, Costs]) -> float:
    return pair[0]


def _density(settings: Mapping[str, Any]) -> float:
    density = settings.get("density") or max(settings.get("densities") or [1.0])
    return float(density) or 1.0


def _rest(settings: Mapping[str, Any]) -> tuple[Hashable, ...]:
    return kind({name: value for name, value in settings.items() if name != "density"})


def _distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[int, float]:
    """Return how many settings differ, but for density, and how far apart the densities are."""
    names = {*one, *other} - FREE - {"density"}
    differing = sum(one.get(name) != other.get(name) for name in names)
    return differing, abs(log(_density(one) / _density(other)))
