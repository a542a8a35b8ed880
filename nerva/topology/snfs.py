"""Sparse momentum: weights move to the layers, rows and columns whose momentum is large."""

from typing import Unpack

import numpy as np

from nerva.topology.drop import smallest
from nerva.topology.grow import by_momentum
from nerva.topology.layer_state import LayerStates
from nerva.topology.schedules import TimingAndDecay, Update, When, in_proportion
from nerva.topology.topology import Topology


class SNFS(Topology):
    """Sparse momentum: grow in the layers whose weights have the largest mean |momentum|, and where momentum is large.

    All layers together grow as many weights as they drop, in proportion to the mean |momentum| of each: the number of
    all weights is constant, that of a layer is not. Needs an optimizer with momentum.

    Parameters
    ----------
    fraction : the part of a layer's weights that the first update drops, within 0 to 1
    regrow : whether a position just dropped may be grown again at once
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    After T. Dettmers and L. Zettlemoyer, Sparse networks from scratch: faster training without losing performance,
    2019. It differs: they keep a dense momentum, and grow at its largest entries. Here only weights have one, and an
    empty position is drawn with probability proportional to the |momentum| in its row times that in its column: O(nnz).

    >>> nerva.SNFS()
    SNFS(When(every=1, unit='epoch', start=0.0, end=1.0, fraction=0.3, decay='cosine'))
    """

    optimizer_state = ("momentum",)
    defaults = When(every=1, unit="epoch", end=1.0)

    def __init__(self, fraction: float = 0.3, *, regrow: bool = False, **when: Unpack[TimingAndDecay]) -> None:
        super().__init__(self.defaults.override(when, fraction=fraction), smallest, by_momentum, regrow=regrow)

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return what each layer drops, and its share of the sum to grow, by the mean |momentum| of its weights."""
        dropped = [pair[0] for pair in super().counts(layers, now)]
        means = [
            float(np.abs(layer.optimizer_state("momentum")).mean()) if layer.weight.nnz else 0.0 for layer in layers
        ]
        caps = [layer.empties if layer.weight.nnz else 0 for layer in layers]
        while True:
            grown = in_proportion(sum(dropped), means, caps)
            # A layer that grows nothing keeps one weight at least, and then as many fewer are grown elsewhere.
            room = [int(layer.weight.nnz) - (not more) for layer, more in zip(layers, grown, strict=True)]
            if all(less <= max(most, 0) for less, most in zip(dropped, room, strict=True)):
                return list(zip(dropped, grown, strict=True))
            dropped = [min(less, max(most, 0)) for less, most in zip(dropped, room, strict=True)]
