"""Where to grow weights.

A growth criterion is any callable `(layer, count) -> grown`, where `layer` is a LayerState: `count` flat positions
row x D + column without a weight, int64, ascending.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva._kernels.rewiring import empty_positions, flat_positions
from nerva.topology.layer_state import LayerState
from nerva.topology.patterns import distinct
from nerva.topology.supports import Positions
from nerva.topology.top_gradients import top_gradients

Grow = Callable[[LayerState, int], Positions]

ROUNDS = 32  # of drawing again by momentum what was taken, before the rest is drawn uniformly


def uniformly(layer: LayerState, count: int) -> Positions:
    """Grow at empty positions drawn uniformly: O(count log count + nnz), however large K x D is.

    Raises ValueError where there are fewer than `count`.
    """
    return empty_positions(layer.weight, distinct(layer.rng, layer.empties, count))


def by_gradient(layer: LayerState, count: int) -> Positions:
    """Grow at the empty positions of largest |G|, where G = DZ X' is the dense gradient; of equal ones, the lowest.

    U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020. G is never held in memory: see
    nerva.topology.top_gradients, also for the errors. For methods whose moment is "instead".
    """
    X, DZ = layer.dense_gradient_factors
    return top_gradients(layer.weight, DZ, X, count)


def by_momentum(layer: LayerState, count: int) -> Positions:
    """Grow at empty positions drawn with probability proportional to R[row] C[column].

    R and C are the sums of |momentum| over the weights of a row and of a column. They stand for the momentum of an
    empty position, which is not computed: O(nnz + count). Where too few positions have R C > 0, the rest is drawn
    uniformly. Raises ValueError where there are fewer than `count` empty positions, or the optimizer keeps no momentum.
    """
    if count > layer.empties:
        raise ValueError(f"count is {count}; there are {layer.empties} empty positions")
    momentum = np.abs(layer.optimizer_state("momentum").astype(np.float64))
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
    return filled(layer, grown, count)


def filled(layer: LayerState, grown: Positions, count: int) -> Positions:
    """Return the empty positions `grown`, which ascend, and others drawn uniformly, `count` in all."""
    while len(grown) < count:
        drawn = uniformly(layer, min(count, layer.empties))
        others = drawn[~_among(drawn, grown)]
        # Permuted first: `others` ascend, and their first ones alone would favour low positions.
        grown = np.union1d(grown, layer.rng.permutation(others)[: count - len(grown)])
    return grown


def _draw(rng: np.random.Generator, sums: Array, count: int) -> Positions:
    """Draw `count` indices with probabilities proportional to the differences of the cumulative `sums`."""
    places: Positions = np.searchsorted(sums, rng.random(count) * sums[-1], side="right")
    return np.minimum(places, len(sums) - 1)


def _among(positions: Positions, others: Positions) -> npt.NDArray[np.bool_]:
    """Return which positions are among others, which ascend."""
    if len(others) == 0:
        return np.zeros(len(positions), np.bool_)
    places = np.minimum(np.searchsorted(others, positions), len(others) - 1)
    found: npt.NDArray[np.bool_] = others[places] == positions
    return found
