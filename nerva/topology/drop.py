"""Which weights to drop.

A drop is any callable `(layer, count) -> dropped`: `count` numbers of weights of `layer.weight`, int64, ascending.
"""

from collections.abc import Callable

import numpy as np

from nerva._kernels.memory import Array
from nerva._kernels.selection import largest
from nerva.topology.layer_state import LayerState, Positions

Drop = Callable[[LayerState, int], Positions]


def lowest(scores: Array, count: int) -> Positions:
    """Return where the `count` lowest scores are, ascending; of equal ones, the first. ValueError where one is NaN."""
    if np.isnan(scores).any():
        raise ValueError("scores holds NaN")
    scores = scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float64)
    return largest(-scores, count)


def smallest(layer: LayerState, count: int) -> Positions:
    """The weights of least |w|.

    S. Han et al., Learning both weights and connections for efficient neural networks, NeurIPS 2015.
    """
    return lowest(np.abs(layer.values), count)


def smallest_of_each_sign(layer: LayerState, count: int) -> Positions:
    """The smallest positive and the largest negative weights, as many of each as its share of all; zeros are positive.

    D. C. Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2018, algorithm 2.
    """
    values = layer.values
    positive, negative = np.flatnonzero(values >= 0), np.flatnonzero(values < 0)
    if len(positive) + len(negative) < len(values):
        raise ValueError("values holds NaN")
    many = (2 * count * len(positive) + len(values)) // (2 * len(values)) if len(values) else 0
    many = min(max(many, count - len(negative)), len(positive))
    chosen = positive[lowest(values[positive], many)], negative[lowest(-values[negative], count - many)]
    return np.sort(np.concatenate(chosen))


def least_sensitive(layer: LayerState, count: int) -> Positions:
    """The weights of least |w g|, a first-order estimate of what the loss changes without them.

    P. Molchanov et al., Pruning convolutional neural networks for resource efficient inference, ICLR 2017. For methods
    whose moment is "instead": g is the gradient of the batch of the update.
    """
    return lowest(np.abs(layer.values * layer.gradient), count)
