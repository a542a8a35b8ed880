"""How strongly a network is connected to each of its inputs."""

from typing import Any

import numpy as np

from nerva._kernels.memory import Array
from nerva.layers import Affine
from nerva.models.sequential import Sequential
from nerva.validation import check_integer


def neuron_strength(model: Any, layer: int = 0) -> Array:
    """Return the strength of each input neuron d of a linear layer, sum_k |W[k, d]|, float64 (inputs,).

    Parameters
    ----------
    model : a nerva.Sequential, or an estimator of nerva.sklearn that is fitted
    layer : the number of the linear layer, from 0; others are not counted

    Raises TypeError for another model, ValueError where it has no such layer.

    Z. Atashgahi et al., Quick and robust feature selection: the strength of energy-efficient sparse training for
    autoencoders, Machine Learning 111, 2022, section 3.

    >>> W = nerva.CSR.from_dense(np.array([[1.0, 0.0, -2.0], [0.5, 0.0, 0.0]]))
    >>> nerva.sklearn.neuron_strength(nerva.Sequential([nerva.SparseLinear(3, 2, weight=W)]))
    array([1.5, 0. , 2. ])
    """
    network = getattr(model, "model_", model)
    if not isinstance(network, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva network, or an estimator that is fitted")
    layers = [each for each in network.layers if isinstance(each, Affine)]
    number = check_integer(layer, "layer", least=0)
    if number >= len(layers):
        raise ValueError(f"layer is {number}; the network has linear layers 0 to {len(layers) - 1}")
    entries = layers[number].entries()
    strengths: Array = np.bincount(entries.column, np.abs(entries.value), minlength=layers[number].in_features)
    return strengths
