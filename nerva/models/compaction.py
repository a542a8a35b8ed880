"""Neurons that no longer do anything: found by the weights alone, and taken out of the network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.layers import Activation, BatchNorm, Dropout, Layer, Linear, SparseLinear

LinearLayer = Linear | SparseLinear
Neurons = npt.NDArray[np.int64]


class DeadNeurons(NamedTuple):
    """The neurons of one hidden layer, by number, that have no input and that have no output: int64, ascending."""

    without_input: Neurons
    without_output: Neurons


class Network(Protocol):
    """What is needed of a network: nerva.Sequential has it."""

    @property
    def layers(self) -> Sequence[Any]: ...


def dead_neurons(model: Network) -> list[DeadNeurons]:
    """Return, for each hidden layer, its neurons without a weight from below and those without one to the next layer.

    Weights that are 0 do not count. The output of a neuron without input is constant. Raises TypeError for a layer that
    is none of nerva's, and for a network without linear layers.
    """
    groups = _groups(model.layers)
    layers = [group[0] for group in groups if isinstance(group[0], (Linear, SparseLinear))]
    return [DeadNeurons(_without(below, 1), _without(above, 0)) for below, above in pairwise(layers)]


def compact(layers: Sequence[Any]) -> list[Layer]:
    """Return new layers without the hidden neurons that have no input or no output, with the same outputs.

    What a neuron without input adds to the next linear layer, W[:, n] y[n], goes into that layer's bias; y is what
    comes of its bias through activation and batch normalization, in evaluation. Where there is no bias, a neuron that
    adds something stays. A layer keeps one neuron at least. Outputs are the same but for rounding, where a bias
    changed. The new layers share no memory with the old ones, and start without momentum; weights that are 0 are kept,
    but for those of neurons that go.

    Raises TypeError for a layer that is none of nerva's, and ValueError where a softmax couples hidden neurons.
    """
    groups = _groups(layers)
    head = [] if isinstance(groups[0][0], (Linear, SparseLinear)) else groups.pop(0)
    for group in groups[:-1]:
        for layer in group:
            if getattr(layer, "activation", None) in ("softmax", "log_softmax"):
                raise ValueError(f"{layer!r} couples the neurons of a hidden layer: without some, the others change")
    firsts = [group[0] for group in groups]
    weights = [_Weights(layer) for layer in firsts]
    for below, group, above in zip(weights, groups, weights[1:], strict=False):
        constant = np.setdiff1d(np.arange(below.rows), below.sources()[0])
        outputs = _at_zero(group, below.bias)[constant]
        if above.bias is None:
            constant, outputs = constant[outputs == 0], outputs[outputs == 0]
        else:
            above.add_constant(constant, outputs)
        above.drop_columns(constant)
    stay = [np.arange(below.rows) for below in weights]
    for i, (below, above) in reversed(list(enumerate(pairwise(weights)))):
        used = np.unique(above.sources()[1])
        stay[i] = used if len(used) else np.zeros(1, np.int64)
        below.take_rows(stay[i])
        above.take_columns(stay[i])
    cut = [_cut(layer, np.arange(layer.in_features or 0)) for layer in head]
    for group, w, kept in zip(groups, weights, stay, strict=True):
        cut += [w.layer(group[0], kept), *(_cut(layer, kept) for layer in group[1:])]
    return cut


def _groups(layers: Sequence[Any]) -> list[list[Any]]:
    """The layers in groups that each begin with a linear one, but for what stands before the first of these."""
    groups: list[list[Any]] = []
    for i, layer in enumerate(layers):
        if type(layer) not in (Linear, SparseLinear, BatchNorm, Activation, Dropout):
            raise TypeError(f"layers[{i}] is {type(layer).__name__}; only the neurons of nerva's layers are known")
        if isinstance(layer, (Linear, SparseLinear)) or not groups:
            groups.append([layer])
        else:
            groups[-1].append(layer)
    if not any(isinstance(group[0], (Linear, SparseLinear)) for group in groups):
        raise TypeError("the network has no linear layer, and so no neurons")
    return groups


def _without(layer: LinearLayer, end: int) -> Neurons:
    """The outputs (end 1) or inputs (end 0) of a layer that no weight but 0 belongs to."""
    rows, columns = _Weights(layer).sources()
    used, count = (rows, layer.out_features) if end else (columns, layer.in_features)
    return np.setdiff1d(np.arange(count), used)


def _at_zero(group: Sequence[Any], bias: Array | None) -> Array:
    """What comes out of a group, shape (K,), where its linear layer adds nothing to its bias."""
    layer = group[0]
    K = layer.out_features
    plain = CSR((K, 1), np.zeros(K + 1, np.int32), np.zeros(0, np.int32), np.zeros(0, layer.dtype))
    same = SparseLinear(1, K, weight=plain, activation=layer.activation, backend="native")
    same.bias = np.zeros(K, layer.dtype) if bias is None else bias
    _copy_numbers(layer, same, np.arange(K))
    Y = same.forward(np.zeros((1, 1), layer.dtype), training=False)
    for other in group[1:]:
        Y = _cut(other, np.arange(K)).forward(Y, training=False)
    return Y[:, 0].copy()


def _cut(layer: Layer, kept: Neurons) -> Layer:
    """A copy of a layer between linear ones, for these features alone."""
    if isinstance(layer, BatchNorm):
        settings: dict[str, Any] = {name: getattr(layer, name) for name in ("momentum", "epsilon", "activation")}
        new = BatchNorm(len(kept), dtype=layer.dtype, **settings)
        for name in ("gamma", "beta", "running_mean", "running_variance"):
            getattr(new, name)[:] = getattr(layer, name)[kept]
        _copy_numbers(layer, new, kept)
        return new
    if isinstance(layer, Activation):
        assert layer.activation is not None
        assert layer.dtype is not None
        same = Activation(layer.activation).build(len(kept), layer.dtype)
        _copy_numbers(layer, same, kept)
        return same
    assert isinstance(layer, Dropout)
    return layer.astype(np.float32)  # it has no features of its own yet, nor a type


def _copy_numbers(layer: Layer, new: Layer, kept: Neurons) -> None:
    """Copy the numbers of an SReLU: four for all neurons, or of each that is kept."""
    own = {parameter.name: parameter.values for parameter in layer.parameters()}
    for parameter in new.parameters():
        if parameter.name == "srelu":
            numbers = own["srelu"].reshape(4, -1)
            parameter.values.reshape(4, -1)[:] = numbers if numbers.shape[1] == 1 else numbers[:, kept]


class _Weights:
    """The weights of a layer by row, column and value, and its bias, to be cut down."""

    def __init__(self, layer: LinearLayer) -> None:
        self.rows, self.columns = layer.out_features, layer.in_features
        self.bias = None if layer.bias is None else layer.bias.copy()
        if isinstance(layer, SparseLinear):
            self.row = np.repeat(np.arange(self.rows), np.diff(layer.weight.indptr))
            self.column = layer.weight.indices.astype(np.int64)
            self.value = layer.weight.values.copy()
        else:
            self.row, self.column = np.divmod(np.arange(self.rows * self.columns), self.columns)
            self.value = layer.weight.reshape(-1).copy()

    def sources(self) -> tuple[Neurons, Neurons]:
        """Rows and columns of the weights that are not 0."""
        return self.row[self.value != 0], self.column[self.value != 0]

    def add_constant(self, columns: Neurons, outputs: Array) -> None:
        """Add W[:, columns] outputs to the bias."""
        assert self.bias is not None
        constant = np.zeros(self.columns)
        constant[columns] = outputs
        self.bias += np.bincount(self.row, self.value * constant[self.column], self.rows).astype(self.bias.dtype)

    def drop_columns(self, columns: Neurons) -> None:
        """Clear the weights of these columns."""
        stays = ~np.isin(self.column, columns)
        self.row, self.column, self.value = self.row[stays], self.column[stays], self.value[stays]

    def take_rows(self, rows: Neurons) -> None:
        """Keep these rows alone, in ascending order."""
        stays = np.isin(self.row, rows)
        self.row = np.searchsorted(rows, self.row[stays])
        self.column, self.value, self.rows = self.column[stays], self.value[stays], len(rows)
        if self.bias is not None:
            self.bias = self.bias[rows]

    def take_columns(self, columns: Neurons) -> None:
        """Keep these columns alone, in ascending order."""
        stays = np.isin(self.column, columns)
        self.column = np.searchsorted(columns, self.column[stays])
        self.row, self.value, self.columns = self.row[stays], self.value[stays], len(columns)

    def layer(self, like: LinearLayer, kept: Neurons) -> LinearLayer:
        """A layer of these weights, in all else like another, whose neurons `kept` are its own."""
        new: LinearLayer
        if isinstance(like, SparseLinear):
            indptr = np.concatenate([[0], np.bincount(self.row, minlength=self.rows).cumsum()])
            weight = CSR((self.rows, self.columns), indptr, self.column, self.value)
            new = SparseLinear(
                self.columns,
                self.rows,
                weight=weight,
                activation=like.activation,
                bias=self.bias is not None,
                backend=like.backend,
                drop_connect=like.drop_connect,
            )
        else:
            new = Linear(
                self.columns,
                self.rows,
                activation=like.activation,
                init="zeros",
                bias=self.bias is not None,
                dtype=like.dtype,
                drop_connect=like.drop_connect,
            )
            new.weight[self.row, self.column] = self.value
        if self.bias is not None:
            new.bias = self.bias
        _copy_numbers(like, new, kept)
        return new
