"""Weights as the original Nerva keeps them in .npz files: dense, W1 (K, D), b1 (K,), W2, b2, ..."""

from itertools import count
from typing import Any, TypeVar

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.activations import Activation
from nerva.layers import Linear, SparseLinear
from nerva.models.sequential import Sequential

L = TypeVar("L", Linear, SparseLinear)
ORDERS = ("refuse", "as it says", "scrambled")


def linear_layers(model: Sequential) -> list[Linear | SparseLinear]:
    """Return the layers of a model that are all linear; raise TypeError for another, which the layout has no place for.

    An SReLU has numbers, for which there is no place either.
    """
    layers: list[Linear | SparseLinear] = []
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, (Linear, SparseLinear)):
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}; the dense layout has linear layers alone")
        if any(parameter.name == "srelu" for parameter in layer.parameters()):
            raise TypeError(f"model.layers[{i}] has an SReLU; the dense layout has no place for its numbers")
        layers.append(layer)
    return layers


def dense_arrays(model: Sequential) -> dict[str, Any]:
    """Return the arrays of a model, zeros where there is no weight."""
    arrays = {}
    for i, layer in enumerate(linear_layers(model), 1):
        arrays[f"W{i}"] = layer.weight.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        arrays[f"b{i}"] = np.zeros(layer.out_features, layer.dtype) if layer.bias is None else layer.bias
    return arrays


def from_dense(arrays: dict[str, Array], order: str, activation: Activation, model: Sequential | None) -> Sequential:
    """Return the network of such arrays: sparse where the model it is meant for is, else where there are zeros.

    Raises ValueError where they are no weights, or stored in an order that `order` refuses.
    """
    if "W1" not in arrays:
        raise ValueError(f"it holds {', '.join(arrays) or 'nothing'}; weights are W1, b1, W2, b2, ...")
    layers: list[Linear | SparseLinear] = []
    depth = next(i for i in count(1) if f"W{i + 1}" not in arrays)
    for i in range(1, depth + 1):
        W, b = arrays[f"W{i}"], arrays.get(f"b{i}")
        if W.ndim != 2 or W.dtype.type not in (np.float32, np.float64):
            raise ValueError(f"W{i} has shape {W.shape} and dtype {W.dtype}; it must be a matrix of float32 or float64")
        if W.flags.f_contiguous and not W.flags.c_contiguous:
            if order == "refuse":
                raise ValueError(
                    f"W{i} is stored in Fortran order, as the original Nerva's --save-weights writes it, scrambled; "
                    'pass order="scrambled" to undo that, or order="as it says" if the file is right'
                )
            W = W.ravel("F").reshape(W.shape) if order == "scrambled" else W
        W = np.ascontiguousarray(W)
        if b is not None:
            b = b.reshape(-1) if b.size == len(W) else b  # the original's biases are rows, (1, K), in some versions
        f = activation if i < depth else "identity"
        given = linear_layers(model)[i - 1] if model is not None and i <= len(model.layers) else None
        if given is not None and given.bias is None and b is not None and not b.any():
            b = None
        sparse = isinstance(given, SparseLinear) if given is not None else not W.all()
        layers.append(sparse_layer(CSR.from_dense(W), b, activation=f) if sparse else dense_layer(W, b, activation=f))
    return Sequential(layers)


def sparse_layer(weight: CSR, bias: Array | None, **settings: Any) -> SparseLinear:
    """Return a layer of these weights; raise ValueError where one is not finite, or the bias does not go with them."""
    (K, D), values = weight.shape, weight.values
    _check_finite(values, "a weight")
    return _with_bias(SparseLinear(D, K, weight=weight, bias=bias is not None, **settings), bias)


def dense_layer(weight: Array, bias: Array | None, **settings: Any) -> Linear:
    """Return a layer of these weights, (K, D); raise ValueError as `sparse_layer` does."""
    if weight.ndim != 2:
        raise ValueError(f"a weight has shape {weight.shape}; it must be (K, D)")
    _check_finite(weight, "a weight")
    layer = Linear(*weight.shape[::-1], init="zeros", bias=bias is not None, dtype=weight.dtype, **settings)
    layer.weight = weight
    return _with_bias(layer, bias)


def _with_bias(layer: L, bias: Array | None) -> L:
    if bias is not None:
        if bias.dtype != layer.dtype:
            raise ValueError(f"a bias is {bias.dtype}, its weights are {layer.dtype}")
        _check_finite(bias, "a bias")
        layer.bias = bias
    return layer


def _check_finite(array: Array, what: str) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{what} is NaN or infinite")
