"""Structured RigL: every neuron that lives has the same number of weights."""

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.initializers import Initializer
from nerva.topology.drop import lowest, smallest
from nerva.topology.grow import by_gradient
from nerva.topology.layer_state import LayerState, LayerStates, Positions
from nerva.topology.schedules import Update, When
from nerva.topology.top_gradients import top_gradients, top_gradients_of_rows
from nerva.topology.topology import Topology
from nerva.validation import check_fraction


class SRigL(Topology):
    """RigL with a constant fan-in: every row of a layer has the same number of weights, or none.

    Of a layer, the smallest |w| are chosen to be dropped, and as many empty positions of the largest gradient. A row
    whose weights that stay, and positions that were chosen, are fewer than `salient` of the fan-in is ablated: it loses
    all its weights, for good. The fan-in is then the layer's first number of weights over the rows that live, rounded
    down; each of these rows loses its smallest weights beyond it, or grows up to it where its own gradient is largest.

    M. Lasby et al., Dynamic sparse training with structured sparsity, ICLR 2024, section 3.1. An update takes the place
    of the step of its batch. Rows have their first common fan-in from the first update on; no position just dropped is
    grown. The gradient is computed twice.
    """

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        salient: float = 0.3,
        every: int = 100,
        unit: str = "step",
        start: float = 0.0,
        end: float = 0.75,
        decay: str = "cosine",
        init: str | Initializer = "zeros",
    ) -> None:
        self.salient = check_fraction(salient, "salient")
        super().__init__(
            When(every, unit, start, end, fraction, decay), smallest, by_gradient, init=init, moment="instead"
        )

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Move the weights of all layers, and return how many each dropped and grew."""
        return [
            self._move(layer, pair[0]) if layer.started else (0, 0)
            for layer, pair in zip(layers, self.counts(layers, now), strict=True)
        ]

    def _move(self, layer: LayerState, count: int) -> tuple[int, int]:
        W, (X, DZ) = layer.weight, layer.dense_gradient_factors
        (K, D), rows = W.shape, layer.rows
        stays = np.ones(W.nnz, np.bool_)
        stays[lowest(np.abs(layer.values), count)] = False
        alive = layer.extra.get("alive", np.ones(K, np.bool_))
        salient = np.bincount(rows[stays], minlength=K) + np.bincount(top_gradients(W, DZ, X, count) // D, minlength=K)
        survives = alive & (salient >= max(1.0, self.salient * (layer.started // np.count_nonzero(alive))))
        if survives.any():
            alive = survives
        layer.extra["alive"] = alive
        stays &= alive[rows]
        kept = np.bincount(rows[stays], minlength=K)
        lost = np.bincount(rows[~stays], minlength=K)
        # Room for new weights beside those just dropped, in rows that are not full.
        fan_in = min(max(1, layer.started // int(np.count_nonzero(alive))), D)
        needy = alive & (kept < fan_in)
        if needy.any():
            fan_in = min(fan_in, max(int((D - lost)[needy].min()), 1))
        stays &= _rank_in_row(rows, np.where(stays, np.abs(layer.values), -1.0)) < fan_in
        kept = np.bincount(rows[stays], minlength=K)
        wanted = np.where(alive, fan_in - kept, 0)
        grown = top_gradients_of_rows(W, DZ, X, wanted)
        dropped = np.flatnonzero(~stays)
        layer.rewire(dropped, grown, self.values(layer, grown))
        return len(dropped), len(grown)


def _rank_in_row(rows: npt.NDArray[np.int64], sizes: Array) -> Positions:
    """How many weights of the same row are larger, or as large and before it; rows ascend."""
    order = np.lexsort((np.arange(len(rows)), -sizes, rows))
    ranks = np.empty(len(rows), np.int64)
    ranks[order] = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return ranks
