"""Learning-rate schedules.

A schedule is any callable `epoch -> rate`. `fit` calls it before every batch; `epoch` is a fraction, 2.5 in the middle
of the third epoch. Optional methods: `observe(loss)`, called after every epoch; `state()` and `restore(state)`, which
save and restore what the schedule remembers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, exp, floor, inf, pi
from typing import Any

from nerva.validation import (
    check_ascending,
    check_below_one,
    check_integer,
    check_not_negative,
    check_positive,
    check_proper_fraction,
)

Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    >>> Constant(0.01)(3.7)
    0.01
    """

    rate: float

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")

    def __call__(self, epoch: float) -> float:
        return self.rate


@dataclass(frozen=True)
class MultiStep:
    """rate gamma^m where m of the `milestones` (epochs, ascending) have been reached, as torch's MultiStepLR.

    >>> MultiStep(1.0, milestones=(50, 75), gamma=0.5)(80.0)
    0.25
    """

    rate: float
    milestones: Sequence[float]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        check_not_negative(self.gamma, "gamma")
        check_ascending(self.milestones, "milestones")

    def __call__(self, epoch: float) -> float:
        return self.rate * self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class TimeBased:
    """rate / (1 + decay epoch). The original Nerva multiplies by this factor anew in every epoch, and falls faster.

    >>> TimeBased(0.1, decay=0.5)(2.0)
    0.05
    """

    rate: float
    decay: float

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        check_not_negative(self.decay, "decay")

    def __call__(self, epoch: float) -> float:
        return self.rate / (1.0 + self.decay * epoch)


@dataclass(frozen=True)
class StepDecay:
    """rate drop^floor(epoch / every), `every` in epochs, as torch's StepLR.

    >>> StepDecay(0.1, drop=0.5, every=10)(25.0)
    0.025
    """

    rate: float
    drop: float = 0.5
    every: float = 10.0

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        check_not_negative(self.drop, "drop")
        check_positive(self.every, "every")

    def __call__(self, epoch: float) -> float:
        return float(self.rate * self.drop ** floor(epoch / self.every))


@dataclass(frozen=True)
class Exponential:
    """rate exp(-decay epoch), as torch's ExponentialLR with gamma = exp(-decay), but moving with every batch.

    >>> round(Exponential(0.1, decay=0.5)(2.0), 6)
    0.036788
    """

    rate: float
    decay: float

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        check_not_negative(self.decay, "decay")

    def __call__(self, epoch: float) -> float:
        return self.rate * exp(-self.decay * epoch)


@dataclass(frozen=True)
class Cosine:
    """Cosine annealing: least + (rate - least) (1 + cos(pi t / period)) / 2, t epochs into a period.

    Without `growth` there is one period, and the rate is `least` afterwards. With it there are warm restarts: a new
    period begins after each, `growth` times as long as the one before.

    I. Loshchilov and F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017, equation 5.

    >>> Cosine(0.2, period=10)(5.0)
    0.1
    """

    rate: float
    period: float
    least: float = 0.0
    growth: float | None = None

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        check_not_negative(self.least, "least")
        check_positive(self.period, "period")
        if self.growth is not None and check_not_negative(self.growth, "growth") < 1.0:
            raise ValueError(f"growth is {self.growth}; it must be at least 1, or None for no restarts")

    def __call__(self, epoch: float) -> float:
        t, period = epoch, self.period
        if self.growth is None:
            t = min(t, period)
        elif self.growth == 1.0:
            t %= period
        else:
            while t >= period:
                t, period = t - period, period * self.growth
        return self.least + (self.rate - self.least) * (1.0 + cos(pi * t / period)) / 2.0


@dataclass(frozen=True)
class WarmUp:
    """Another schedule, times a factor that rises linearly from `start` to 1 over the first `epochs`.

    P. Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, section 2.2.

    >>> WarmUp(Constant(0.1), epochs=4)(1.0)
    0.025
    """

    schedule: "float | Schedule"
    epochs: float
    start: float = 0.0

    def __post_init__(self) -> None:
        as_schedule(self.schedule)
        check_positive(self.epochs, "epochs")
        check_not_negative(self.start, "start")

    def __call__(self, epoch: float) -> float:
        rate = as_schedule(self.schedule)(epoch)
        return rate * (self.start + (1.0 - self.start) * min(1.0, epoch / self.epochs))

    def observe(self, loss: float) -> None:
        """Pass the loss of an epoch on to the schedule."""
        tell(self.schedule, loss)

    def state(self) -> dict[str, Any] | None:
        """Return what the schedule remembers."""
        return schedule_state(self.schedule)

    def restore(self, state: dict[str, Any]) -> None:
        """Give the schedule back what it remembered."""
        restore_schedule(self.schedule, state)


@dataclass(frozen=True)
class OneCycle:
    """From rate / start up to rate in the first `rise` of all epochs, and down to rate / end in the others, by cosines.

    As torch's OneCycleLR. L. N. Smith and N. Topin, Super-convergence: very fast training of neural networks using
    large learning rates, 2019.

    >>> round(OneCycle(1.0, epochs=10, start=25.0)(0.0), 9)
    0.04
    """

    rate: float
    epochs: float
    rise: float = 0.3
    start: float = 25.0
    end: float = 250_000.0

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        for name in ("epochs", "start", "end"):
            check_positive(getattr(self, name), name)
        check_proper_fraction(self.rise, "rise")

    def __call__(self, epoch: float) -> float:
        top = self.rise * self.epochs
        if epoch < top:
            return _half_cosine(self.rate / self.start, self.rate, epoch / top)
        return _half_cosine(self.rate, self.rate / self.end, min(1.0, (epoch - top) / (self.epochs - top)))


class ReduceOnPlateau:
    """`rate`, times `factor` whenever the loss has not improved for more than `patience` epochs, down to `least`.

    An improvement is a loss below (1 - threshold) times the lowest so far: of the validation data, or of training
    without any. The `cooldown` epochs after a reduction do not count. As torch's ReduceLROnPlateau; for one run only.

    >>> schedule = ReduceOnPlateau(0.5, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.observe(loss)
    >>> schedule(4.0)
    0.25
    """

    def __init__(
        self,
        rate: float,
        *,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        least: float = 0.0,
    ) -> None:
        self.rate, self.least = check_not_negative(rate, "rate"), check_not_negative(least, "least")
        self.factor, self.threshold = check_below_one(factor, "factor"), check_not_negative(threshold, "threshold")
        self.patience = check_integer(patience, "patience", least=0)
        self.cooldown = check_integer(cooldown, "cooldown", least=0)
        self._best, self._bad, self._rest = inf, 0, 0

    def __call__(self, epoch: float) -> float:
        return self.rate

    def observe(self, loss: float) -> None:
        """Take the loss of an epoch into account."""
        if loss < self._best * (1.0 - self.threshold):
            self._best, self._bad = loss, 0
        else:
            self._bad += 1
        if self._rest > 0:
            self._rest, self._bad = self._rest - 1, 0
        if self._bad > self.patience:
            self.rate, self._bad, self._rest = max(self.rate * self.factor, self.least), 0, self.cooldown

    def state(self) -> dict[str, Any]:
        """Return the present rate, the lowest loss, and the epochs counted since."""
        return {"rate": self.rate, "best": self._best, "bad": self._bad, "rest": self._rest}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the rate, loss and counts of `state()`."""
        self.rate, self._best, self._bad, self._rest = (state[name] for name in ("rate", "best", "bad", "rest"))


def tell(schedule: Any, loss: float) -> None:
    """Pass the loss of an epoch to a schedule that has a method `observe`."""
    if hasattr(schedule, "observe"):
        schedule.observe(loss)


def schedule_state(schedule: Any) -> dict[str, Any] | None:
    """Return what a schedule remembers, by its method `state`; None where it has no such method."""
    return schedule.state() if hasattr(schedule, "state") else None


def restore_schedule(schedule: Any, state: dict[str, Any] | None) -> None:
    """Give a schedule back what it remembered, by its method `restore`."""
    if state is not None:
        schedule.restore(state)


def _half_cosine(first: float, last: float, t: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * t)) / 2.0


def as_schedule(schedule: float | Schedule) -> Schedule:
    """Return the schedule itself, or the constant one of a number."""
    return schedule if callable(schedule) else Constant(check_not_negative(schedule, "schedule"))
