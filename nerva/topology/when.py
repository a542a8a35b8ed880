"""When weights move, and how many at a time."""

from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import NamedTuple

import numpy as np

UNITS = ("step", "epoch")
DECAYS = ("constant", "cosine", "linear")


class Update(NamedTuple):
    """An update that is due after `step` batches: `progress` runs from 0 to 1, the last one; `fraction` moves."""

    step: int
    progress: float
    fraction: float


def check_fraction(value: float, name: str) -> float:
    """Return a number within 0 to 1 as a float; raise TypeError or ValueError that names it otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} is {value!r}; it must be a number within 0 to 1")
    if not isfinite(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value}; it must be within 0 to 1")
    return float(value)


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
        if isinstance(self.every, bool) or not isinstance(self.every, (int, np.integer)):
            raise TypeError(f"every is {self.every!r}; it must be an integer")
        if self.every < 1:
            raise ValueError(f"every is {self.every}; it must be at least 1")
        if self.unit not in UNITS:
            raise ValueError(f"unit is {self.unit!r}; it must be one of {', '.join(UNITS)}")
        if self.decay not in DECAYS:
            raise ValueError(f"decay is {self.decay!r}; it must be one of {', '.join(DECAYS)}")
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
