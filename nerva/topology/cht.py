"""Cannistraci-Hebb training: weights grow where the network of a layer itself makes them likely, without gradients."""

from typing import Unpack

import numpy as np

from nerva._kernels.memory import Array
from nerva.initializers import Initializer
from nerva.topology.drop import lowest, smallest
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.link_prediction import LinkPrediction, Rule
from nerva.topology.schedules import TimingAndDecay, Update, When
from nerva.topology.supports import Positions
from nerva.topology.topology import Topology
from nerva.validation import check_fraction, check_not_negative

EVERY_EPOCH = When(every=1, unit="epoch", end=1.0, decay="constant")


class CHT(Topology):
    """Cannistraci-Hebb training: drop the smallest |w|, grow where link prediction scores highest; no gradient is used.

    The scores are those of the network that is left; a position just dropped may be among the highest, and grow again.

    Parameters
    ----------
    fraction : the part of a layer's weights that an update moves, within 0 to 1
    rule : the scores, "CH3-L3p", "CH3-L3n", "CH2-L3p" or "CH2-L3n" (see nerva.topology.LinkPrediction)
    init : values of the new weights (see nerva.initializers)
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    Y. Zhang, J. Zhao, W. Wu, A. Muscoloni and C. V. Cannistraci, Epitopological learning and Cannistraci-Hebb network
    shape intelligence brain-inspired theory for ultra-sparse advantage in deep learning, ICLR 2024. It differs: neurons
    that have lost all weights on one side keep those on the other, where the paper removes them and lets the network
    shrink, a layer does not stop to move once it grows what it drops, and one that grows again starts anew. The
    paper's supports and first weights are not part of the method.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, topology=nerva.CHT())
    >>> [(record.step, record.layer, record.nnz, record.grown) for record in history.topology]
    [(6, 0, 74, 22), (6, 1, 41, 12)]
    """

    defaults = EVERY_EPOCH

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        rule: Rule = "CH3-L3p",
        init: str | Initializer = "zeros",
        **when: Unpack[TimingAndDecay],
    ) -> None:
        schedule = self.defaults.override(when, fraction=fraction)
        super().__init__(schedule, smallest, LinkPrediction(rule), init=init, regrow=True)


class CHTs(Topology):
    """Cannistraci-Hebb training, soft rule: what is dropped and where others grow is drawn, by strength and by score.

    Of a layer's weights those that stay are drawn without replacement, with probabilities in proportion to

        (|w| / (a + (1 - a) R) + |w| / (a + (1 - a) C))^t,

    where R and C are the sums of |w| in the row and in the column of w, and a is `magnitude`. The exponent t goes
    linearly from the first of `sharpness` at the first update to the second at the last: early updates explore. Then
    positions are drawn in proportion to the scores of the network that is left.

    Parameters
    ----------
    fraction, init : as in CHT
    rule : the scores (see nerva.topology.LinkPrediction)
    magnitude : within 0 to 1: 1 for the size of a weight alone, 0 for its part in its row and its column
    sharpness : the exponents of the first and of the last update, not negative; 0 draws uniformly
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    Y. Zhang et al., Brain network science modelling of sparse neural networks enables Transformers and LLMs to perform
    as fully connected, NeurIPS 2025; an exponent t is their softness t / (1 + t), and the defaults are those of their
    published scripts. It differs as CHT does. Their density that decays (CHTss) is not part of it, and neither is
    their support, which is nerva.supports.receptive_field.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, support="receptive-field", seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=3, batch_size=10, topology=nerva.CHTs())
    >>> [(record.step, record.layer, record.nnz, record.grown) for record in history.topology]
    [(6, 0, 74, 22), (6, 1, 41, 12), (12, 0, 74, 22), (12, 1, 41, 12)]
    """

    defaults = EVERY_EPOCH

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        rule: Rule = "CH2-L3n",
        magnitude: float = 1.0,
        sharpness: tuple[float, float] = (1.0, 9.0),
        init: str | Initializer = "zeros",
        **when: Unpack[TimingAndDecay],
    ) -> None:
        self.magnitude = check_fraction(magnitude, "magnitude")
        if not isinstance(sharpness, (tuple, list)) or len(sharpness) != 2:
            raise ValueError(f"sharpness is {sharpness!r}; it must be a pair of exponents")
        first, last = (check_not_negative(value, f"sharpness[{i}]") for i, value in enumerate(sharpness))
        self.sharpness = first, last
        schedule = self.defaults.override(when, fraction=fraction)
        super().__init__(schedule, self._drawn, LinkPrediction(rule, soft=True), init=init, regrow=True)

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Move the weights of all layers, with the exponent of this update."""
        first, last = self.sharpness
        for layer in layers:
            layer.extra["exponent"] = first + (last - first) * now.progress
        return super().update(layers, now, rate)

    def _drawn(self, layer: LayerState, count: int) -> Positions:
        """Draw the weights that stay, and return the indices of the others."""
        strength = relative_strength(layer, self.magnitude)
        # As in growth, the largest of s^t / E are drawn; by logarithms, since powers of small numbers are 0.
        with np.errstate(divide="ignore"):
            sizes = np.log(strength)
        sizes[strength == 0] = -1e6  # not -inf, which an exponent of 0 would make NaN
        luck = np.log(np.maximum(layer.rng.standard_exponential(len(sizes)), 1e-300))
        return lowest(layer.extra["exponent"] * sizes - luck, count)


def relative_strength(layer: LayerState, magnitude: float) -> Array:
    """Return |w| / (a + (1 - a) R) + |w| / (a + (1 - a) C) of each weight, float64, where a is `magnitude`.

    R and C are the sums of |w| in its row and in its column; 0 / 0 is 0. Raises ValueError where a weight is NaN.
    """
    sizes = np.abs(layer.values.astype(np.float64))
    if np.isnan(sizes).any():
        raise ValueError("values holds NaN")
    K, D = layer.weight.shape
    strength = np.zeros(len(sizes))
    for places, length in ((layer.rows, K), (layer.weight.indices, D)):
        below = magnitude + (1.0 - magnitude) * np.bincount(places, sizes, length)[places]
        strength += np.divide(sizes, below, out=np.zeros(len(sizes)), where=sizes > 0)
    return strength
