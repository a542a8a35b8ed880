"""How the density moves: callables `(start, progress) -> density`, of all sparse layers together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nerva.density import check_density
from nerva.parameters import Array

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
        check_density(self.final, "final")

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
