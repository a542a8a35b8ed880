"""Where to grow weights.

A grow is any callable `(layer, count) -> grown`: `count` flat positions row D + column without a weight, int64,
ascending.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva._kernels.rewiring import empty_positions, flat_positions
from nerva.topology.layer_state import LayerState, Positions
from nerva.topology.top_gradients import top_gradients

Grow = Callable[[LayerState, int], Positions]

ROUNDS = 32


def distinct(rng: np.random.Generator, population: int, count: int) -> Positions:
    """Draw `count` of 0 to population - 1 without replacement, ascending, each set as likely; O(count log count)."""
    if not 0 <= count <= population:
        raise ValueError(f"count is {count}; there are {population} to draw from")
    if 2 * count > population:
        left = np.ones(population, np.bool_)
        left[distinct(rng, population, population - count)] = False
        return np.flatnonzero(left)
    found = np.empty(0, np.int64)
    while len(found) < count:
        # No draw is preferred to another, so no set is either.
        found = np.union1d(found, rng.integers(population, size=count - len(found)))
    return found


def uniformly(layer: LayerState, count: int) -> Positions:
    """Empty positions drawn uniformly: O(count log count + nnz), however large the layer is."""
    return empty_positions(layer.weight, distinct(layer.rng, layer.empties, count))


def by_gradient(layer: LayerState, count: int) -> Positions:
    """The empty positions where the gradient |DZ X'| of the dense layer is largest; of equal ones, the lowest.

    U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020. The dense gradient never exists: see
    nerva.topology.tiles. For methods whose moment is "instead".
    """
    X, DZ = layer.dense_gradient_factors
    return top_gradients(layer.weight, DZ, X, count)


def by_momentum(layer: LayerState, count: int) -> Positions:
    """Empty positions drawn with a chance in proportion to R[row] C[column], the sums of |momentum| in row and column.

    O(nnz + count): a position without a weight has no momentum of its own here, so what its row and its column have
    stands for it. Where R C leaves too few positions to draw, the rest is drawn uniformly.
    """
    if count > layer.empties:
        raise ValueError(f"count is {count}; there are {layer.empties} empty positions")
    momentum = np.abs(layer.state("momentum").astype(np.float64))
    K, D = layer.weight.shape
    rows = np.bincount(layer.rows, momentum, K).cumsum()
    columns = np.bincount(layer.weight.indices, momentum, D).cumsum()
    taken = flat_positions(layer.weight)
    grown = np.empty(0, np.int64)
    for _ in range(ROUNDS if rows[-1] > 0 else 0):
        left = count - len(grown)
        if left == 0:
            break
        drawn = np.unique(_draw(layer.rng, rows, left) * D + _draw(layer.rng, columns, left))
        grown = np.union1d(grown, drawn[~_among(drawn, taken)])
    while len(grown) < count:
        drawn = uniformly(layer, min(count, layer.empties))
        others = drawn[~_among(drawn, grown)]
        grown = np.union1d(grown, layer.rng.permutation(others)[: count - len(grown)])
    return grown


def _draw(rng: np.random.Generator, sums: Array, count: int) -> Positions:
    """Draw numbers with chances in proportion to the steps of `sums`."""
    places: Positions = np.searchsorted(sums, rng.random(count) * sums[-1], side="right")
    return np.minimum(places, len(sums) - 1)


def _among(positions: Positions, others: Positions) -> npt.NDArray[np.bool_]:
    """Which of the positions are among others that ascend."""
    if len(others) == 0:
        return np.zeros(len(positions), np.bool_)
    places = np.minimum(np.searchsorted(others, positions), len(others) - 1)
    found: npt.NDArray[np.bool_] = others[places] == positions
    return found
