"""Which weights to drop.

A drop criterion is any callable `(layer, count) -> dropped`, where `layer` is a LayerState: the indices of `count`
weights in `layer.values`, int64, ascending.
"""

from collections.abc import Callable

import numpy as np

from nerva._kernels.memory import Array
from nerva._kernels.selection import largest
from nerva.topology.layer_state import LayerState
from nerva.topology.supports import Positions

Drop = Callable[[LayerState, int], Positions]


def lowest(scores: Array, count: int) -> Positions:
    """Return the indices of the `count` lowest scores, ascending; of equal ones, the first.

    Raises ValueError where a score is NaN, or there are fewer than `count`.

    >>> nerva.topology.drop.lowest(np.array([3.0, 1.0, 2.0, 1.0]), 2)
    array([1, 3])
    """
    if np.isnan(scores).any():
        raise ValueError("scores holds NaN")
    scores = scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float64)
    return largest(-scores, count)


def smallest(layer: LayerState, count: int) -> Positions:
    """Drop the weights of smallest |w|.

    S. Han et al., Learning both weights and connections for efficient neural networks, NeurIPS 2015.
    """
    return lowest(np.abs(layer.values), count)


def smallest_of_each_sign(layer: LayerState, count: int) -> Positions:
    """Drop the smallest positive and the largest negative weights, in proportion to their numbers.

    Zeros count as positive. Raises ValueError where a weight is NaN.

    D. C. Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2018, algorithm 2.
    """
    values = layer.values
    positive, negative = np.flatnonzero(values >= 0), np.flatnonzero(values < 0)
    if len(positive) + len(negative) < len(values):
        raise ValueError("values holds NaN")
    # round(count x the share of positive weights) in integers.
    many = (2 * count * len(positive) + len(values)) // (2 * len(values)) if len(values) else 0
    many = min(max(many, count - len(negative)), len(positive))
    chosen = positive[lowest(values[positive], many)], negative[lowest(-values[negative], count - many)]
    return np.sort(np.concatenate(chosen))


def least_sensitive(layer: LayerState, count: int) -> Positions:
    """Drop the weights of smallest |w g|, a first-order estimate of how much the loss changes without them.

    P. Molchanov et al., Pruning convolutional neural networks for resource efficient inference, ICLR 2017. For methods
    whose moment is "instead": g is the gradient of the mini-batch of the update.
    """
    return lowest(np.abs(layer.values * layer.gradient), count)
