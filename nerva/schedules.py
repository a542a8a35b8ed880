"""Learning rates over time.

A schedule is any callable `epoch -> rate`. `epoch` counts the passes over the training data so far and moves with every
batch: 2.5 in the middle of the third pass. One with a method `observe(loss)` is told the loss after every epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, exp, floor, inf, isfinite, pi

from nerva.validation import check_integer, check_not_negative, check_positive

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
    """rate x gamma^m, where m of the milestones (in epochs) have been reached.

    >>> MultiStep(0.1, milestones=(50, 75), gamma=0.1)(50.0)
    0.010000000000000002
    """

    rate: float
    milestones: Sequence[float]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_not_negative(self.rate, "rate")
        check_not_negative(self.gamma, "gamma")
        try:
            ascending = all(isfinite(m) and m >= 0 for m in self.milestones)
            ascending = ascending and list(self.milestones) == sorted(self.milestones)
        except TypeError:
            raise TypeError(f"milestones is {self.milestones!r}; it must be a sequence of numbers") from None
        if not ascending:
            raise ValueError(f"milestones is {list(self.milestones)}; they must ascend from 0")

    def __call__(self, epoch: float) -> float:
        return self.rate * self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class TimeBased:
    """rate / (1 + decay epoch).

    The original Nerva multiplies by this factor anew every epoch, so that its rate falls much faster.

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
    """rate x drop^floor(epoch / every).

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
    """rate x exp(-decay epoch).

    >>> Exponential(0.1, decay=0.0)(3.0)
    0.1
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
    """least + (rate - least) (1 + cos(pi t / period)) / 2 in the t-th epoch of a period.

    Without `growth` there is one period, and `least` afterwards. With it, a new period begins after each, `growth`
    times as long as the one before: warm restarts.

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
    """Another schedule, its rate multiplied by a factor that rises linearly from `start` to 1 in the first `epochs`.

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
        """Hand an epoch's loss on to the schedule, where that wants it."""
        tell(self.schedule, loss)


@dataclass(frozen=True)
class OneCycle:
    """Up from rate / start to rate in the first `rise` of all epochs, and down to rate / end in the rest, by cosines.

    L. N. Smith and N. Topin, Super-convergence: very fast training of neural networks using large learning rates, 2019.

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
        check_positive(self.epochs, "epochs")
        check_positive(self.start, "start")
        check_positive(self.end, "end")
        if not 0.0 < check_not_negative(self.rise, "rise") < 1.0:
            raise ValueError(f"rise is {self.rise}; it must be above 0 and below 1")

    def __call__(self, epoch: float) -> float:
        top = self.rise * self.epochs
        if epoch < top:
            return _between(self.rate / self.start, self.rate, epoch / top)
        return _between(self.rate, self.rate / self.end, min(1.0, (epoch - top) / (self.epochs - top)))


class ReduceOnPlateau:
    """rate, multiplied by `factor` whenever the loss has not fallen for more than `patience` epochs.

    It has fallen where it is below (1 - threshold) times the least so far. `fit` tells it the loss after every epoch:
    of the validation data, or of training where there are none. After a reduction the epochs of `cooldown` do not
    count. As torch.optim.lr_scheduler.ReduceLROnPlateau. One object is for one training; make a new one for the next.

    >>> ReduceOnPlateau(0.1)(5.0)
    0.1
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
        self.rate = check_not_negative(rate, "rate")
        self.factor, self.threshold = check_not_negative(factor, "factor"), check_not_negative(threshold, "threshold")
        self.patience, self.cooldown = (
            check_integer(patience, "patience", least=0),
            check_integer(cooldown, "cooldown", least=0),
        )
        self.least = check_not_negative(least, "least")
        if self.factor >= 1.0:
            raise ValueError(f"factor is {factor}; it must be below 1")
        self._best, self._bad, self._rest = inf, 0, 0

    def __call__(self, epoch: float) -> float:
        return self.rate

    def observe(self, loss: float) -> None:
        """Take note of an epoch's loss."""
        if loss < self._best * (1.0 - self.threshold):
            self._best, self._bad = loss, 0
        else:
            self._bad += 1
        if self._rest > 0:
            self._rest, self._bad = self._rest - 1, 0
        if self._bad > self.patience:
            self.rate, self._bad, self._rest = max(self.rate * self.factor, self.least), 0, self.cooldown


def tell(schedule: "float | Schedule", loss: float) -> None:
    """Hand an epoch's loss to a schedule that has a method `observe`."""
    observe = getattr(schedule, "observe", None)
    if observe is not None:
        observe(loss)


def _between(first: float, last: float, t: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * t)) / 2.0


def as_schedule(schedule: float | Schedule) -> Schedule:
    """Return the schedule itself, or the constant one of a number."""
    return schedule if callable(schedule) else Constant(check_not_negative(schedule, "schedule"))
