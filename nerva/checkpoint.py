"""Weights in files: nerva's own layout, where sparse stays sparse, and the original's, dense W1, b1, W2, b2, ...

Both are .npz files. In nerva's own, `header` is JSON: the version, and for each layer its kind and settings; the arrays
of layer i stand under "i.name".
"""

from __future__ import annotations

import json
import os
from itertools import count
from typing import Any, TypeVar

import numpy as np

from nerva._kernels.csr import CSR
from nerva.files import read_npz, replacing
from nerva.layers import Linear, SparseLinear
from nerva.network import Sequential
from nerva.parameters import Array

L = TypeVar("L", Linear, SparseLinear)
VERSION = 1
LAYOUTS = ("nerva", "dense")
ORDERS = ("refuse", "as it says", "scrambled")


def save_weights(model: Sequential, path: str | os.PathLike[str], *, layout: str = "nerva") -> None:
    """Write the weights of a model to an .npz file, which stands there whole or not at all.

    Parameters
    ----------
    model : of Linear and SparseLinear layers
    path : the file; its name is taken as it is, and a file that was there before is replaced
    layout : "nerva" keeps CSR, activations and types, so that `load_weights(path)` makes the model again; "dense" is
        the original Nerva's, W1 (K, D), b1 (K,), ..., with zeros where there is no weight: memory for one dense layer
        at a time

    Raises TypeError, ValueError or OSError, which name what is wrong.
    """
    _check_model(model)
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; it must be one of {', '.join(LAYOUTS)}")
    with replacing(path) as stream:
        if layout == "dense":
            np.savez(stream, **_dense_arrays(model))
        else:
            np.savez(stream, **_own_arrays(model))


def load_weights(
    path: str | os.PathLike[str], model: Sequential | None = None, *, order: str = "refuse", activation: str = "relu"
) -> Sequential:
    """Return the model that a file of weights holds; or put them into a `model` of the same shape, and return that.

    Parameters
    ----------
    path : a file of `save_weights` or of the original Nerva
    model : its layers take the weights; a sparse layer takes the pattern of the file too. Optimizer state is lost.
    order : what to do with a file of the original whose W is stored in Fortran order. Its own --save-weights writes row
        after row and says column after column, so W comes out scrambled: "scrambled" undoes that, "as it says" takes
        the file at its word, "refuse" refuses
    activation : of all layers but the last, for a model made from an original file, which does not tell

    Nothing is changed before all of it has been checked: ValueError names the file, and what is wrong with it.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    if model is not None:
        _check_model(model)
    arrays = read_npz(path)
    try:
        found = _from_own(arrays) if "header" in arrays else _from_dense(arrays, order, activation, model)
        if model is None:
            return found
        _check_same(model, found)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    for layer, new in zip(_check_model(model), _check_model(found), strict=True):
        layer.weight = new.weight
        if new.bias is not None:
            layer.bias = new.bias
    return model


def _check_model(model: object) -> list[Linear | SparseLinear]:
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    layers: list[Linear | SparseLinear] = []
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, (Linear, SparseLinear)):
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}; it must be a Linear or a SparseLinear")
        if not isinstance(layer.activation, str) or layer.activation == "srelu":
            raise TypeError(f"model.layers[{i}] has {layer.activation!r}; it must have an activation without numbers")
        layers.append(layer)
    return layers


def _check_same(model: Sequential, found: Sequential) -> None:
    if len(model.layers) != len(found.layers):
        raise ValueError(f"it holds {len(found.layers)} layers; the model has {len(model.layers)}")
    for i, (layer, new) in enumerate(zip(_check_model(model), _check_model(found), strict=True)):
        if type(layer) is not type(new):
            raise ValueError(f"layer {i + 1} is a {type(new).__name__}; in the model it is a {type(layer).__name__}")
        shapes = [(one.out_features, one.in_features) for one in (new, layer)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"layer {i + 1} has shape {shapes[0]}; in the model it has {shapes[1]}")
        if new.dtype != layer.dtype:
            raise ValueError(f"layer {i + 1} is {new.dtype}; in the model it is {layer.dtype}")
        if (new.bias is None) != (layer.bias is None):
            has = "no" if new.bias is None else "a"
            raise ValueError(f"layer {i + 1} has {has} bias; in the model that is not so")


# ---- nerva's own layout


def _own_arrays(model: Sequential) -> dict[str, Any]:
    layers, arrays = [], {}
    for i, layer in enumerate(_check_model(model)):
        settings = {"in": layer.in_features, "out": layer.out_features, "activation": layer.activation}
        layers.append({"kind": type(layer).__name__, "dtype": layer.dtype.name, **settings})
        if isinstance(layer, SparseLinear):
            own: dict[str, Array] = {
                "indptr": layer.weight.indptr,
                "indices": layer.weight.indices,
                "values": layer.weight.values,
            }
        else:
            own = {"weight": layer.weight}
        if layer.bias is not None:
            own["bias"] = layer.bias
        arrays.update({f"{i}.{name}": array for name, array in own.items()})
    header = json.dumps({"nerva": VERSION, "layers": layers}).encode()
    return {"header": np.frombuffer(header, np.uint8), **arrays}


def _from_own(arrays: dict[str, Array]) -> Sequential:
    try:
        header = json.loads(arrays["header"].tobytes())
        version, descriptions = header["nerva"], header["layers"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("its header is broken: this is no file of nerva.save_weights") from None
    if version != VERSION:
        raise ValueError(f"it is of version {version}; this nerva reads version {VERSION}")
    layers: list[Linear | SparseLinear] = []
    for i, about in enumerate(descriptions):
        D, K, bias = int(about["in"]), int(about["out"]), arrays.get(f"{i}.bias")
        if about["kind"] == "SparseLinear":
            parts = [_array(arrays, f"{i}.{name}") for name in ("indptr", "indices", "values")]
            layers.append(_sparse(CSR((K, D), *parts), about["activation"], bias))
        elif about["kind"] == "Linear":
            layers.append(_linear(_array(arrays, f"{i}.weight"), about["activation"], bias))
        else:
            raise ValueError(f"layer {i + 1} is a {about['kind']}, which this nerva does not know")
        if layers[-1].dtype.name != about["dtype"] or (layers[-1].out_features, layers[-1].in_features) != (K, D):
            raise ValueError(f"the arrays of layer {i + 1} are not those of its header")
    return Sequential(layers)


def _array(arrays: dict[str, Array], name: str) -> Array:
    if name not in arrays:
        raise ValueError(f"it lacks the array {name}")
    return arrays[name]


# ---- the original's layout


def _dense_arrays(model: Sequential) -> dict[str, Any]:
    arrays = {}
    for i, layer in enumerate(_check_model(model), 1):
        arrays[f"W{i}"] = layer.weight.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        arrays[f"b{i}"] = np.zeros(layer.out_features, layer.dtype) if layer.bias is None else layer.bias
    return arrays


def _from_dense(arrays: dict[str, Array], order: str, activation: str, model: Sequential | None) -> Sequential:
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
        given = _check_model(model)[i - 1] if model is not None and i <= len(model.layers) else None
        if given is not None and given.bias is None and b is not None and not b.any():
            b = None
        sparse = isinstance(given, SparseLinear) if given is not None else not W.all()
        layers.append(_sparse(CSR.from_dense(W), f, b) if sparse else _linear(W, f, b))
    return Sequential(layers)


def _sparse(weight: CSR, activation: str, bias: Array | None) -> SparseLinear:
    (K, D), values = weight.shape, weight.values
    _check_finite(values, "a weight")
    layer = SparseLinear(D, K, weight=weight, activation=activation, bias=bias is not None)
    return _with_bias(layer, bias)


def _linear(weight: Array, activation: str, bias: Array | None) -> Linear:
    if weight.ndim != 2:
        raise ValueError(f"a weight has shape {weight.shape}; it must be (K, D)")
    _check_finite(weight, "a weight")
    layer = Linear(*weight.shape[::-1], activation=activation, init="zeros", bias=bias is not None, dtype=weight.dtype)
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
