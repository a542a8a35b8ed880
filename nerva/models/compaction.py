"""Dead neurons: found by the weights alone, and removed from a network without changing its outputs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np

from nerva._kernels.memory import Array
from nerva.layers import LAYERS, Affine, Layer
from nerva.layers.layer import Features


class DeadNeurons(NamedTuple):
    """The neurons of one hidden layer that have no input and those that have no output: int64, ascending."""

    without_input: Features
    without_output: Features


class Network(Protocol):
    """What is needed of a network: nerva.Sequential has it."""

    @property
    def layers(self) -> Sequence[Any]: ...


def dead_neurons(model: Network) -> list[DeadNeurons]:
    """Return, for each hidden layer, its neurons without a weight from below and those without one to the layer above.

    A weight of 0 does not count. A neuron without input has a constant output. Raises TypeError for a layer that is not
    one of nerva's, and for a network without linear layers.

    >>> first, second = nerva.CSR.from_dense(np.eye(3)), nerva.CSR.from_dense(np.array([[1.0, 0.0, 1.0]]))
    >>> layers = [nerva.SparseLinear(3, 3, weight=first), nerva.SparseLinear(3, 1, weight=second)]
    >>> nerva.dead_neurons(nerva.Sequential(layers))
    [DeadNeurons(without_input=array([], dtype=int64), without_output=array([1]))]
    """
    linear = [group[0] for group in _groups(model.layers) if isinstance(group[0], Affine)]
    return [
        DeadNeurons(_unused(below.out_features, _nonzeros(below)[0]), _unused(above.in_features, _nonzeros(above)[1]))
        for below, above in pairwise(linear)
    ]


def compact(layers: Sequence[Any]) -> list[Layer]:
    """Return new layers without the hidden neurons that have no input or no output, with the same outputs.

    What a neuron n without input adds to the next linear layer, W[:, n] y[n], moves into that layer's bias; y[n] is
    what activation and batch normalization make of its bias in evaluation. Where that layer has no bias, only neurons
    with y[n] = 0 are removed. Every layer keeps at least one neuron. Outputs are equal but for the rounding of biases.
    The new layers share no memory with the old ones, and optimizer state starts anew; weights of 0 stay, but for those
    of the neurons that are removed.

    Raises TypeError for a layer that is not one of nerva's, ValueError where a softmax couples hidden neurons.
    """
    groups = _groups(layers)
    head = [] if isinstance(groups[0][0], Affine) else groups.pop(0)
    for group in groups[:-1]:
        for layer in group:
            if layer.activation in ("softmax", "log_softmax"):
                raise ValueError(f"{layer!r} couples the neurons of a hidden layer: without some, the others change")
    linear = [group[0].astype(group[0].dtype) for group in groups]
    # Forward first: the neurons of the next layer that had only constant inputs are constant themselves then.
    for below, group, above in zip(linear, groups, linear[1:], strict=False):
        _fold_constants(below, group[1:], above)
    # Backward then: a neuron whose only outputs go to neurons that are removed is removed too.
    kept = [np.arange(layer.out_features) for layer in linear]
    for i in reversed(range(len(linear) - 1)):
        row, column = _nonzeros(linear[i + 1])
        used = np.unique(column[np.isin(row, kept[i + 1])])
        kept[i] = used if len(used) else np.zeros(1, np.int64)
    small = [layer.take_features(np.arange(layer.in_features)) for layer in head]
    inputs: Features | None = None
    for group, layer, own in zip(groups, linear, kept, strict=True):
        small += [layer.take_features(own, inputs), *(other.take_features(own) for other in group[1:])]
        inputs = own
    return small


def _groups(layers: Sequence[Any]) -> list[list[Any]]:
    """Return the layers in groups that each begin with a linear one, but for a first group of those before it."""
    groups: list[list[Any]] = []
    for i, layer in enumerate(layers):
        if type(layer) not in LAYERS.values():
            raise TypeError(f"layers[{i}] is {type(layer).__name__}; only the neurons of nerva's layers are known")
        if isinstance(layer, Affine) or not groups:
            groups.append([layer])
        else:
            groups[-1].append(layer)
    if not any(isinstance(group[0], Affine) for group in groups):
        raise TypeError("the network has no linear layer, and so no neurons")
    return groups


def _nonzeros(layer: Affine) -> tuple[Features, Features]:
    """Return the rows and the columns of the weights that are not 0."""
    row, column, value = layer.entries()
    return row[value != 0], column[value != 0]


def _unused(count: int, used: Features) -> Features:
    """Return the features of `count` that are not used."""
    return np.setdiff1d(np.arange(count), used)


def _fold_constants(below: Affine, others: Sequence[Any], above: Affine) -> None:
    """Move what the constant neurons of a layer add to the next one into its bias, and remove those weights.

    below, above : copies of the two linear layers, of which `above` is changed; `others` stand between them
    """
    constant = _unused(below.out_features, _nonzeros(below)[0])
    outputs = _constant_outputs(below, others)[constant]
    if above.bias is None:
        constant, outputs = constant[outputs == 0], outputs[outputs == 0]
    row, column, value = above.entries()
    folded = np.flatnonzero(np.isin(column, constant))
    if above.bias is not None:
        inputs = np.zeros(above.in_features)
        inputs[constant] = outputs
        added = np.bincount(row[folded], value[folded] * inputs[column[folded]], above.out_features)
        above.bias += added.astype(above.dtype)
    above.remove_weights(folded)


def _constant_outputs(layer: Affine, others: Sequence[Any]) -> Array:
    """Return the outputs, shape (K,), of a linear layer and those behind it where no input reaches the linear one."""
    every = np.arange(layer.out_features)
    # Copies, since a forward pass writes into buffers of the layer, which the caller may still hold.
    Y = layer.take_features(every, np.zeros(1, np.int64)).forward(np.zeros((1, 1), layer.dtype), training=False)
    for other in others:
        Y = other.take_features(every).forward(Y, training=False)
    return Y[:, 0].copy()
