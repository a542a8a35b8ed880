"""Weights as the original Nerva stores them in .npz files: dense, W1 (K, D), b1 (K,), W2, b2, ..."""

from collections.abc import Mapping
from itertools import count
from math import prod
from typing import Any, Literal, get_args

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.activations import Activation
from nerva.layers import Affine, Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.saving.contents import check_depth, check_layer_shape
from nerva.system.archive import Head, NpzArchive
from nerva.validation import check_choice

Order = Literal["refuse", "as it says", "scrambled"]
ORDERS: tuple[str, ...] = get_args(Order)


def check_order(order: str) -> None:
    """Raise ValueError for what is no order of nerva.load_weights."""
    check_choice(order, "order", ORDERS)


def linear_layers(model: Sequential) -> list[Affine]:
    """Return the layers of a model that are all linear; raise TypeError for others, which the layout cannot hold.

    It cannot hold the parameters of an SReLU either.
    """
    layers: list[Affine] = []
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, Affine):
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}; the dense layout has linear layers alone")
        if any(parameter.name == "srelu" for parameter in layer.parameters()):
            raise TypeError(f"model.layers[{i}] has an SReLU; the dense layout has no place for its numbers")
        layers.append(layer)
    return layers


def dense_arrays(model: Sequential) -> dict[str, Any]:
    """Return the arrays of a model, zeros where there is no weight."""
    arrays = {}
    for i, layer in enumerate(linear_layers(model), 1):
        arrays[f"W{i}"] = layer.dense_weight()
        arrays[f"b{i}"] = np.zeros(layer.out_features, layer.dtype) if layer.bias is None else layer.bias
    return arrays


def from_dense(arrays: NpzArchive, order: Order, activation: Activation, model: Sequential | None) -> Sequential:
    """Return the network of such arrays.

    A layer is sparse where the one of `model` is, which the weights are meant for; without a model, where it has zeros.
    Raises ValueError where the arrays are no weights, or are stored in an order that `order` refuses.
    """
    if "W1" not in arrays:
        raise ValueError(f"it holds {', '.join(arrays) or 'nothing'}; weights are W1, b1, W2, b2, ...")
    meant = linear_layers(model) if model is not None else []
    depth = next(i for i in count(1) if f"W{i + 1}" not in arrays)
    _check_heads(arrays.heads, depth, model)
    layers: list[Affine] = []
    for i in range(1, depth + 1):
        W, b = _weight(arrays[f"W{i}"], f"W{i}", order), arrays.get(f"b{i}")
        if b is not None:
            b = b.reshape(-1) if b.size == len(W) else b  # in some versions of the original a row, (1, K)
        f = activation if i < depth else "identity"
        like = meant[i - 1] if i <= len(meant) else None
        if like is not None and like.bias is None and b is not None and not b.any():
            b = None
        sparse = isinstance(like, SparseLinear) if like is not None else not W.all()
        if sparse:
            layers.append(SparseLinear.from_weight(CSR.from_dense(W), b, activation=f))
        else:
            layers.append(Linear.from_weight(W, b, activation=f))
    return Sequential(layers)


def _check_heads(heads: Mapping[str, Head], depth: int, model: Sequential | None) -> None:
    """Raise ValueError for arrays that are no weights and biases of so many layers, or not those of a model."""
    if model is not None:
        check_depth(depth, model)
    unknown = [name for name in heads if name not in {f"{kind}{i + 1}" for i in range(depth) for kind in "Wb"}]
    if unknown:
        raise ValueError(f"it holds {', '.join(unknown)} beside W1 to W{depth} and b1 to b{depth}")
    for i in range(depth):
        W, b = heads[f"W{i + 1}"], heads.get(f"b{i + 1}")
        if len(W.shape) != 2 or W.dtype.type not in (np.float32, np.float64):
            raise ValueError(
                f"W{i + 1} has shape {W.shape} and dtype {W.dtype}; it must be a matrix of float32 or float64"
            )
        if b is not None and prod(b.shape) != W.shape[0]:
            raise ValueError(f"b{i + 1} has shape {b.shape}; it must be ({W.shape[0]},)")
        if i and W.shape[1] != heads[f"W{i}"].shape[0]:
            raise ValueError(f"W{i} has shape {heads[f'W{i}'].shape}, W{i + 1} {W.shape}, which do not fit together")
        if model is not None:
            check_layer_shape(i, (W.shape[0], W.shape[1]), model)


def _weight(W: Array, name: str, order: Order) -> Array:
    """Return a weight matrix as it was meant, row after row; raise ValueError where it is refused."""
    if W.flags.f_contiguous and not W.flags.c_contiguous:
        if order == "refuse":
            raise ValueError(
                f"{name} is stored in Fortran order, as the original Nerva's --save-weights writes it, scrambled; "
                'pass order="scrambled" to undo that, or order="as it says" if the file is right'
            )
        W = W.ravel("F").reshape(W.shape) if order == "scrambled" else W
    return np.ascontiguousarray(W)
