"""Top-KAST: a small set of weights for the forward pass, a larger one that learns."""

import numpy as np

from nerva.initializers import Initializer
from nerva.topology.drop import lowest, smallest
from nerva.topology.grow import uniformly
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.schedules import Update, When
from nerva.topology.topology import NONE, Topology
from nerva.validation import check_fraction, check_not_negative


class TopKAST(Topology):
    """The weights that exist are the backward set; the network computes with the largest `forward` part of each layer.

    The others are kept aside: they are 0 in the network, in training as in evaluation, but their gradient is computed
    and moves them. At each update the forward set is chosen anew, by |w|, once the smallest `fraction` of the backward
    set was dropped and as many others were grown at random. At the end only the forward set remains: the network's
    density is then `forward` times the one it had. The penalty l2 / 2 sum w^2 draws the weights of the forward set to
    0, and l2 / (2 forward) sum w^2 the others.

    S. M. Jayakumar et al., Top-KAST: Top-K always sparse training, NeurIPS 2020. It differs: they keep all weights,
    and those outside the backward set may come back with the values they had; here those do not exist, and random ones
    come in their place. Use an optimizer without weight decay.
    """

    def __init__(
        self,
        forward: float = 0.5,
        fraction: float = 0.1,
        *,
        l2: float = 1e-4,
        every: int = 100,
        unit: str = "step",
        start: float = 0.0,
        end: float = 0.75,
        decay: str = "cosine",
        init: str | Initializer = "xavier",
    ) -> None:
        self.forward, self.l2 = check_fraction(forward, "forward"), check_not_negative(l2, "l2")
        if self.forward == 0.0:
            raise ValueError("forward is 0; the network needs weights")
        when = When(every, unit, start, end, fraction, decay)
        super().__init__(when, smallest, uniformly, init=init, moment="after")

    def start(self, layers: LayerStates) -> None:
        """Choose the first forward set."""
        for layer in layers:
            self._hide(layer)

    def each(self, layers: LayerStates, rate: float) -> None:
        """Take what the step did to weights that are aside, and pull all towards 0."""
        for layer in layers:
            values, aside, hidden = layer.values, layer.per_weight["aside"], layer.per_weight["hidden"]
            pull = values.dtype.type(1 - rate * self.l2)
            aside += values
            aside[~hidden] = 0
            aside *= values.dtype.type(1 - rate * self.l2 / self.forward)
            values *= pull
            values[hidden] = 0

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Drop and grow in the backward set, and choose the forward set."""
        for layer in layers:
            layer.values[:] += layer.per_weight["aside"]
        moved = super().update(layers, now, rate)
        for layer in layers:
            self._hide(layer)
        return moved

    def finish(self, layers: LayerStates) -> None:
        """Keep the forward set alone."""
        for layer in layers:
            layer.rewire(np.flatnonzero(layer.per_weight["hidden"]), NONE, 0.0)

    def _hide(self, layer: LayerState) -> None:
        nnz = int(layer.weight.nnz)
        shown = max(min(nnz, 1), int(self.forward * nnz + 0.5))
        hidden = np.zeros(nnz, np.bool_)
        hidden[lowest(np.abs(layer.values), nnz - shown)] = True
        layer.per_weight["hidden"] = hidden
        layer.per_weight["aside"] = np.where(hidden, layer.values, 0).astype(layer.values.dtype)
        layer.values[hidden] = 0
