"""Structured RigL: all neurons have the same number of weights, but those that are ablated."""

from typing import Unpack

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.initializers import Initializer
from nerva.topology.drop import lowest, smallest
from nerva.topology.grow import by_gradient
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.schedules import TimingAndDecay, Update
from nerva.topology.supports import Positions
from nerva.topology.top_gradients import top_gradients, top_gradients_of_rows
from nerva.topology.topology import Topology
from nerva.validation import check_fraction


class SRigL(Topology):
    """RigL with a constant fan-in: every row of a layer has the same number of weights, or none.

    In each layer of n weights, n_0 at the start, an update

    1. chooses the round(f n) smallest |w| to drop, and as many empty positions of largest |dL/dw| to grow,
    2. ablates every row whose remaining weights and chosen positions are fewer than `salient` times the fan-in: the row
       loses all its weights, for good,
    3. sets the fan-in to n_0 over the number of active rows, rounded down,
    4. drops the smallest weights of an active row beyond the fan-in, or grows it to the fan-in where the row's own
       |dL/dw| is largest.

    The first update brings the rows to their common fan-in; no position just dropped is grown, and a row without enough
    other empty ones keeps the largest of the weights to be dropped. An update takes the
    place of the optimizer's step on its batch, and computes the gradient twice.

    Parameters
    ----------
    fraction : f at the first update, within 0 to 1
    salient : within 0 to 1
    init : values of the new weights (see nerva.initializers)
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    M. Lasby et al., Dynamic sparse training with structured sparsity, ICLR 2024, section 3.1.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, topology=nerva.SRigL(every=4))
    >>> set(np.diff(model.layers[1].weight.indptr).tolist())
    {10}
    """

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        salient: float = 0.3,
        init: str | Initializer = "zeros",
        **when: Unpack[TimingAndDecay],
    ) -> None:
        self.salient = check_fraction(salient, "salient")
        schedule = self.defaults.override(when, fraction=fraction)
        super().__init__(schedule, smallest, by_gradient, init=init, moment="instead")

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Move the weights of all layers, and return how many each dropped and grew."""
        return [
            self._rewire(layer, pair[0]) if layer.initial_nnz else (0, 0)
            for layer, pair in zip(layers, self.counts(layers, now), strict=True)
        ]

    def _rewire(self, layer: LayerState, count: int) -> tuple[int, int]:
        W, (X, DZ) = layer.weight, layer.dense_gradient_factors
        (K, D), rows = W.shape, layer.rows
        stays = np.ones(W.nnz, np.bool_)
        stays[lowest(np.abs(layer.values), count)] = False
        chosen = np.bincount(top_gradients(W, DZ, X, count) // D, minlength=K)
        active = self._active(layer, np.bincount(rows[stays], minlength=K) + chosen)
        stays &= active[rows]
        remaining = np.bincount(rows[stays], minlength=K)
        dropped = np.bincount(rows[~stays], minlength=K)
        fan_in = min(max(1, layer.initial_nnz // int(np.count_nonzero(active))), D)
        # A row that grows has room only beside its weights and those just dropped: where that is too little, the
        # largest of those stay.
        sizes = np.abs(layer.values)
        short = np.where(active & (remaining < fan_in), np.maximum(fan_in + dropped - D, 0), 0)
        stays |= _rank_in_row(rows, np.where(stays, np.inf, sizes)) < np.where(short > 0, remaining + short, 0)[rows]
        stays &= _rank_in_row(rows, np.where(stays, sizes, -1.0)) < fan_in
        remaining = np.bincount(rows[stays], minlength=K)
        grown = top_gradients_of_rows(W, DZ, X, np.where(active, fan_in - remaining, 0))
        out = np.flatnonzero(~stays)
        layer.rewire(out, grown, self.values(layer, grown))
        return len(out), len(grown)

    def _active(self, layer: LayerState, salient: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which rows are not ablated, by their numbers of salient weights; never none of them."""
        active: npt.NDArray[np.bool_] = layer.extra.get("active", np.ones(len(salient), np.bool_))
        survives = active & (salient >= max(1.0, self.salient * (layer.initial_nnz // np.count_nonzero(active))))
        if survives.any():
            active = survives
        layer.extra["active"] = active
        return active


def _rank_in_row(rows: npt.NDArray[np.int64], sizes: Array) -> Positions:
    """Return how many weights of the same row are larger, or as large and before it; rows ascend."""
    order = np.lexsort((np.arange(len(rows)), -sizes, rows))
    ranks = np.empty(len(rows), np.int64)
    ranks[order] = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return ranks
