"""Learning rates over time.

A schedule is any callable `epoch -> rate`. `epoch` counts the passes over the training data so far and moves with every
batch: 2.5 in the middle of the third pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

Schedule = Callable[[float], float]


def check_rate(rate: float, name: str = "rate") -> float:
    """Return the learning rate as a float; raise ValueError where it is negative or not finite."""
    try:
        if isinstance(rate, (str, bytes)):
            raise TypeError
        value = float(rate)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {rate!r}; it must be a number") from None
    if not isfinite(value) or value < 0:
        raise ValueError(f"{name} is {rate}; it must be finite and not negative")
    return value


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    >>> Constant(0.01)(3.7)
    0.01
    """

    rate: float

    def __post_init__(self) -> None:
        check_rate(self.rate)

    def __call__(self, epoch: float) -> float:
        return self.rate


@dataclass(frozen=True)
class MultiStep:
    """rate x gamma^m, where m of the milestones (in epochs) have been reached.

    >>> MultiStep(0.1, milestones=(50, 75), gamma=0.1)(50.0)
    0.010000000000000002
    """

    rate: float
    milestones: Sequence[float]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_rate(self.rate)
        check_rate(self.gamma, "gamma")
        try:
            ascending = all(isfinite(m) and m >= 0 for m in self.milestones)
            ascending = ascending and list(self.milestones) == sorted(self.milestones)
        except TypeError:
            raise TypeError(f"milestones is {self.milestones!r}; it must be a sequence of numbers") from None
        if not ascending:
            raise ValueError(f"milestones is {list(self.milestones)}; they must ascend from 0")

    def __call__(self, epoch: float) -> float:
        return self.rate * self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


def as_schedule(schedule: float | Schedule) -> Schedule:
    """Return the schedule itself, or the constant one of a number."""
    return schedule if callable(schedule) else Constant(check_rate(schedule, "schedule"))
