"""Top-KAST: a small set of weights for the forward pass, a larger one that learns."""

from typing import Unpack

import numpy as np

from nerva.initializers import Initializer
from nerva.topology.drop import lowest, smallest
from nerva.topology.grow import uniformly
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.schedules import TimingAndDecay, Update
from nerva.topology.topology import NO_POSITIONS, Topology
from nerva.validation import check_fraction, check_not_negative


class TopKAST(Topology):
    """Top-KAST: compute with the largest weights, the forward set, and train more of them, the backward set.

    The weights that exist are the backward set B; the network computes with the forward set A, the largest |w| of each
    layer, round(forward |B|) of them. The others are 0 in the network, in training as in evaluation; their values are
    kept aside, and their gradient moves them. At each update the smallest `fraction` of B is dropped, as many others
    are grown at random, and A is chosen anew. The penalty is

        l2 / 2 (sum_A w^2 + 1 / forward sum_(B - A) w^2).

    At the end only A remains: the network's density is then `forward` times the one it had.

    Parameters
    ----------
    forward : |A| / |B|, above 0, at most 1
    fraction : the part of B that an update moves
    l2 : of the penalty
    init : values of the new weights (see nerva.initializers)
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    S. M. Jayakumar et al., Top-KAST: Top-K always sparse training, NeurIPS 2020. It differs: they keep all weights,
    and those outside the backward set may come back with the values they had; here those do not exist, and random ones
    come in their place. Use an optimizer without weight decay.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.4, seed=0)
    >>> before = model.nnz
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, topology=nerva.TopKAST(0.5, every=3))
    >>> before, model.nnz
    (154, 78)
    """

    def __init__(
        self,
        forward: float = 0.5,
        fraction: float = 0.1,
        *,
        l2: float = 1e-4,
        init: str | Initializer = "xavier",
        **when: Unpack[TimingAndDecay],
    ) -> None:
        self.forward, self.l2 = check_fraction(forward, "forward"), check_not_negative(l2, "l2")
        if self.forward == 0.0:
            raise ValueError("forward is 0; the network needs weights")
        schedule = self.defaults.override(when, fraction=fraction)
        super().__init__(schedule, smallest, uniformly, init=init, moment="after")

    def start(self, layers: LayerStates) -> None:
        """Choose the first forward set."""
        for layer in layers:
            self._hide(layer)

    def each(self, layers: LayerStates, rate: float) -> None:
        """Take the optimizer's step of the weights kept aside, and apply the penalty to all."""
        for layer in layers:
            values, aside, hidden = layer.values, layer.per_weight["aside"], layer.per_weight["hidden"]
            shrink = values.dtype.type(1 - rate * self.l2)
            # A hidden weight was 0 before the step, and is what the step changed it by.
            aside += values
            aside[~hidden] = 0
            aside *= values.dtype.type(1 - rate * self.l2 / self.forward)
            values *= shrink
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
            layer.rewire(np.flatnonzero(layer.per_weight["hidden"]), NO_POSITIONS, 0.0)

    def _hide(self, layer: LayerState) -> None:
        """Set all but the largest weights to 0, and keep their values aside."""
        nnz = int(layer.weight.nnz)
        shown = max(min(nnz, 1), int(self.forward * nnz + 0.5))
        hidden = np.zeros(nnz, np.bool_)
        hidden[lowest(np.abs(layer.values), nnz - shown)] = True
        layer.per_weight["hidden"] = hidden
        layer.per_weight["aside"] = np.where(hidden, layer.values, 0).astype(layer.values.dtype)
        layer.values[hidden] = 0
