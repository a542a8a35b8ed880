"""Neurons that no longer do anything: found by the weights alone, and taken out of the network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva.layers import Linear, SparseLinear
from nerva.parameters import Array

Layer = Linear | SparseLinear
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

    Weights that are 0 do not count. The output of a neuron without input is constant.
    """
    layers = _linear(model.layers)
    return [DeadNeurons(_without(below, 1), _without(above, 0)) for below, above in pairwise(layers)]


def compact(layers: Sequence[Any]) -> list[Layer]:
    """Return new layers without the hidden neurons that have no input or no output, with the same outputs.

    What a neuron without input adds to the next layer, W[:, n] f(b[n]), goes into that layer's bias; where it has none,
    a neuron that adds something stays. A layer keeps one neuron at least. Outputs are the same but for rounding, where
    a bias changed. The new layers share no memory with the old ones, and start without momentum; weights that are 0
    are kept, but for those of neurons that go.
    """
    weights = [_Weights(layer) for layer in _linear(layers)]
    for (below, layer), above in zip(zip(weights, layers, strict=True), weights[1:], strict=False):
        constant = np.setdiff1d(np.arange(below.rows), below.sources()[0])
        outputs = _at_zero(layer, below.bias)[constant]
        if above.bias is None:
            constant, outputs = constant[outputs == 0], outputs[outputs == 0]
        else:
            above.add_constant(constant, outputs)
        above.drop_columns(constant)
    for below, above in reversed(list(pairwise(weights))):
        used = np.unique(above.sources()[1])
        kept = used if len(used) else np.zeros(1, np.int64)
        below.take_rows(kept)
        above.take_columns(kept)
    return [w.layer(like) for w, like in zip(weights, layers, strict=True)]


def _linear(layers: Sequence[Any]) -> Sequence[Layer]:
    for i, layer in enumerate(layers):
        if not isinstance(layer, (Linear, SparseLinear)):
            raise TypeError(f"layers[{i}] is {type(layer).__name__}; only the neurons of linear layers are known")
    return layers


def _without(layer: Layer, end: int) -> Neurons:
    """The outputs (end 1) or inputs (end 0) of a layer that no weight but 0 belongs to."""
    rows, columns = _Weights(layer).sources()
    used, count = (rows, layer.out_features) if end else (columns, layer.in_features)
    return np.setdiff1d(np.arange(count), used)


def _at_zero(layer: Layer, bias: Array | None) -> Array:
    """f(b), shape (K,), by a layer of the same kind whose one input is 0."""
    K, empty = layer.out_features, np.zeros(0, layer.dtype)
    plain = CSR((K, 1), np.zeros(K + 1, np.int32), np.zeros(0, np.int32), empty)
    same = SparseLinear(1, K, weight=plain, activation=layer.activation, backend="native")
    same.bias = np.zeros(K, layer.dtype) if bias is None else bias
    return same.forward(np.zeros((1, 1), layer.dtype), training=False)[:, 0].copy()


class _Weights:
    """The weights of a layer by row, column and value, and its bias, to be cut down."""

    def __init__(self, layer: Layer) -> None:
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

    def layer(self, like: Layer) -> Layer:
        """A layer of these weights, in all else like another."""
        new: Layer
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
            )
        else:
            new = Linear(
                self.columns,
                self.rows,
                activation=like.activation,
                init="zeros",
                bias=self.bias is not None,
                dtype=like.dtype,
            )
            new.weight[self.row, self.column] = self.value
        if self.bias is not None:
            new.bias = self.bias
        return new
