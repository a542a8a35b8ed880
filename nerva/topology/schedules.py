"""When the topology is updated, how many weights an update moves, and how the density falls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import NamedTuple

import numpy as np

from nerva._kernels.memory import Array
from nerva.validation import check_choice, check_fraction, check_integer

UNITS = ("step", "epoch")
DECAYS = ("constant", "cosine", "linear")


class Update(NamedTuple):
    """An update that is due after `step` batches: `progress` runs from 0 to 1, the last one; `fraction` moves."""

    step: int
    progress: float
    fraction: float


@dataclass(frozen=True)
class When:
    """Every so many steps or epochs, from `start` to `end`, which are parts of the whole training, a fraction moves.

    The fraction is constant, or falls: f (1 + cos(pi t)) / 2 by "cosine", f (1 - t) by "linear", where t runs from 0
    at `start` to 1 at `end`. There is no update before the first step, nor at `end` or later.

    U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020, section 3 (cosine, end 0.75).

    >>> When(every=100, end=0.75, fraction=0.3, decay="constant").due(step=200, steps=1000, steps_per_epoch=50).fraction
    0.3
    """

    every: int = 100
    unit: str = "step"
    start: float = 0.0
    end: float = 0.75
    fraction: float = 0.3
    decay: str = "cosine"

    def __post_init__(self) -> None:
        check_integer(self.every, "every", least=1)
        check_choice(self.unit, "unit", UNITS)
        check_choice(self.decay, "decay", DECAYS)
        for name in ("start", "end", "fraction"):
            check_fraction(getattr(self, name), name)
        if self.start >= self.end:
            raise ValueError(f"start is {self.start}; it must be below end = {self.end}")

    def period(self, steps_per_epoch: int) -> int:
        """Return the steps from one update to the next."""
        return self.every * (steps_per_epoch if self.unit == "epoch" else 1)

    def updates(self, steps: int, steps_per_epoch: int) -> range:
        """Return the steps at which an update is due, in a training of so many."""
        period = self.period(steps_per_epoch)
        first, end = max(1, -(-round(self.start * steps, 6) // 1)), round(self.end * steps, 6)
        return range(int(-(-first // period) * period), int(-(-end // 1)), period)

    def due(self, step: int, steps: int, steps_per_epoch: int) -> Update | None:
        """Return the update that is due once `step` batches of `steps` are done, None where there is none."""
        updates = self.updates(steps, steps_per_epoch)
        if step not in updates:
            return None
        t = (step - self.start * steps) / ((self.end - self.start) * steps)
        falling = {"constant": 1.0, "cosine": (1 + cos(pi * t)) / 2, "linear": 1 - t}[self.decay]
        progress = (step - updates[0]) / (updates[-1] - updates[0]) if len(updates) > 1 else 1.0
        return Update(step, progress, self.fraction * falling)


Path = Callable[[float, float], float]


@dataclass(frozen=True)
class Cubic:
    """final + (start - final) (1 - progress)^3, from the density at the start to the final one.

    M. Zhu and S. Gupta, To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017,
    equation 1.

    >>> Cubic(0.1)(0.5, 1.0)
    0.1
    """

    final: float

    def __post_init__(self) -> None:
        check_fraction(self.final, "final")

    def __call__(self, start: float, progress: float) -> float:
        return self.final + (start - self.final) * (1.0 - progress) ** 3


def in_proportion(total: int, parts: Sequence[float], most: Sequence[int]) -> list[int]:
    """Share out `total` in proportion to `parts`, rounded so that the sum is exact, none over its `most`.

    What a part cannot take goes to the others; the sum falls short only where all are full. Parts of 0 get their share
    last, evenly.
    """
    shares = np.zeros(len(most), np.int64)
    room = np.array(most, np.int64)
    weights: Array = np.array(parts, np.float64)
    while total > 0 and room.any():
        open_ = np.where(room > 0, weights, 0.0)
        if not open_.any():
            open_ = (room > 0).astype(np.float64)
        ends = np.floor(total * (open_.cumsum() / open_.sum()) + 0.5).astype(np.int64)
        more = np.minimum(np.diff(ends, prepend=0), room)
        shares, room, total = shares + more, room - more, total - int(more.sum())
    return [int(share) for share in shares]
