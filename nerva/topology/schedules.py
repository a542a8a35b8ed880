"""When the topology is updated, how many weights an update moves, and how the density falls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import cos, pi
from typing import Any, Literal, NamedTuple, TypedDict, get_args

import numpy as np

from nerva._kernels.memory import Array
from nerva.validation import check_choice, check_fraction, check_integer

Unit = Literal["step", "epoch"]
Decay = Literal["constant", "cosine", "linear"]


class Update(NamedTuple):
    """An update that is due after `step` batches.

    step : batches done before it
    progress : 0 at the first update of the training run, 1 at the last
    fraction : the part of a layer's weights that moves
    """

    step: int
    progress: float
    fraction: float


class Timing(TypedDict, total=False):
    """The settings of `When` that every method takes by keyword."""

    every: int
    unit: Unit
    start: float
    end: float


class TimingAndDecay(Timing, total=False):
    """The settings of `When` that a method whose fraction may decay takes by keyword."""

    decay: Decay


@dataclass(frozen=True)
class When:
    """The schedule of updates: how often, from when to when, and the fraction f_t of the weights that moves.

    f_t is f by "constant", f (1 + cos(pi t)) / 2 by "cosine" and f (1 - t) by "linear", where t runs from 0 at `start`
    to 1 at `end`. No update takes place before the first step, nor at `end` or later.

    Parameters
    ----------
    every : steps or epochs from one update to the next; updates are due at its multiples
    unit : "step" (mini-batches) or "epoch"
    start, end : parts of all steps of the training run, 0 <= start < end <= 1
    fraction : f, within 0 to 1
    decay : "constant", "cosine" or "linear"

    Raises TypeError or ValueError that names the setting that is wrong.

    U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020, section 3 (cosine, end 0.75).

    >>> when = nerva.When(every=100, end=0.75, fraction=0.3, decay="linear")
    >>> list(when.updates(steps=1000, steps_per_epoch=50))
    [100, 200, 300, 400, 500, 600, 700]
    >>> when.due(step=250, steps=1000, steps_per_epoch=50) is None
    True
    >>> round(when.due(step=500, steps=1000, steps_per_epoch=50).fraction, 6)
    0.1
    """

    every: int = 100
    unit: Unit = "step"
    start: float = 0.0
    end: float = 0.75
    fraction: float = 0.3
    decay: Decay = "cosine"

    def __post_init__(self) -> None:
        check_integer(self.every, "every", least=1)
        check_choice(self.unit, "unit", get_args(Unit))
        check_choice(self.decay, "decay", get_args(Decay))
        for name in ("start", "end", "fraction"):
            check_fraction(getattr(self, name), name)
        if self.start >= self.end:
            raise ValueError(f"start is {self.start}; it must be below end = {self.end}")

    def override(self, settings: Mapping[str, Any], **fixed: Any) -> "When":
        """Return a copy with the settings that a method was given by keyword, and those that it fixes itself.

        Raises TypeError that names the first of `settings` that is unknown or fixed.

        >>> nerva.When(every=1).override({"unit": "epoch"}, fraction=0.5)
        When(every=1, unit='epoch', start=0.0, end=0.75, fraction=0.5, decay='cosine')
        """
        free = [field.name for field in fields(self) if field.name not in fixed]
        for name in settings:
            if name not in free:
                raise TypeError(f"got an unexpected keyword argument {name!r}; updates are set by {', '.join(free)}")
        return replace(self, **settings, **fixed)

    def period(self, steps_per_epoch: int) -> int:
        """Return the number of steps from one update to the next."""
        return self.every * (steps_per_epoch if self.unit == "epoch" else 1)

    def updates(self, steps: int, steps_per_epoch: int) -> range:
        """Return the steps at which an update is due, in a training run of `steps`."""
        period = self.period(steps_per_epoch)
        # Rounded, so that 0.55 x 100 = 55.00000000000001 is step 55.
        first, end = max(1, -(-round(self.start * steps, 6) // 1)), round(self.end * steps, 6)
        return range(int(-(-first // period) * period), int(-(-end // 1)), period)

    def fitted(self, steps: int, steps_per_epoch: int) -> "When | None":
        """Return this schedule where it is ever due in a training run; else one whose `every` is that of a short run.

        That has a few updates from `start` to `end`, in steps where there are not enough epochs. None where `start` to
        `end` has no step at all.

        >>> nerva.When(every=100).fitted(steps=20, steps_per_epoch=10).every
        4
        """
        if self.updates(steps, steps_per_epoch):
            return self
        for unit in dict.fromkeys((self.unit, "step")):
            least = replace(self, every=1, unit=unit)
            if count := len(least.updates(steps, steps_per_epoch)):
                # Some multiple of what is at most the count lies within them. Not all steps: an update may replace one.
                return replace(least, every=min(count, max(2, count // 3)))
        return None

    def due(self, step: int, steps: int, steps_per_epoch: int) -> Update | None:
        """Return the update that is due once `step` batches of `steps` are done, None without one."""
        updates = self.updates(steps, steps_per_epoch)
        if step not in updates:
            return None
        t = (step - self.start * steps) / ((self.end - self.start) * steps)
        falling = {"constant": 1.0, "cosine": (1 + cos(pi * t)) / 2, "linear": 1 - t}[self.decay]
        progress = (step - updates[0]) / (updates[-1] - updates[0]) if len(updates) > 1 else 1.0
        return Update(step, progress, self.fraction * falling)


DensitySchedule = Callable[[float, float], float]


@dataclass(frozen=True)
class Cubic:
    """A density schedule: final + (start - final) (1 - progress)^3.

    It is called with the density at the start and the progress from 0 to 1. Raises ValueError where the final density
    is not within 0 to 1.

    M. Zhu and S. Gupta, To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017,
    equation 1.

    >>> density = nerva.topology.Cubic(0.1)
    >>> [round(density(0.9, progress), 3) for progress in (0.0, 0.5, 1.0)]
    [0.9, 0.2, 0.1]
    """

    final: float

    def __post_init__(self) -> None:
        check_fraction(self.final, "final")

    def __call__(self, start: float, progress: float) -> float:
        return self.final + (start - self.final) * (1.0 - progress) ** 3


def in_proportion(total: int, parts: Sequence[float], most: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `parts`, rounded such that the sum is exact, none above its `most`.

    What exceeds one part's `most` goes to the others; the sum is less than the total only where all are at their most.
    Where only parts of 0 have room left, they get equal shares.

    >>> from nerva.topology.schedules import in_proportion
    >>> in_proportion(10, [1.0, 3.0, 0.0], [9, 5, 9])
    [5, 5, 0]
    """
    shares = np.zeros(len(most), np.int64)
    room = np.array(most, np.int64)
    weights: Array = np.array(parts, np.float64)
    while total > 0 and room.any():
        open_ = np.where(room > 0, weights, 0.0)
        if not open_.any():
            open_ = (room > 0).astype(np.float64)
        # Differences of rounded cumulative sums: rounding each share by itself would lose the exact sum.
        ends = np.floor(total * (open_.cumsum() / open_.sum()) + 0.5).astype(np.int64)
        more = np.minimum(np.diff(ends, prepend=0), room)
        shares, room, total = shares + more, room - more, total - int(more.sum())
    return [int(share) for share in shares]
