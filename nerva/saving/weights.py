"""Weights in .npz files, in two layouts: nerva's own, for every layer, and the original Nerva's, for linear ones.

In nerva's own, `header` is JSON: the version, the loss, and for each layer its class and its config; "i.name" is the
array `name` of layer i. Sparse weights are stored as CSR.
"""

from __future__ import annotations

import json
import os
from typing import Any, Literal, get_args

import numpy as np

from nerva.activations import Activation as Function
from nerva.layers import LAYERS, Layer
from nerva.models.sequential import Sequential
from nerva.models.state import check_finite, model_arrays
from nerva.saving.contents import check_depth, check_layer_shape
from nerva.saving.header import model_header, read_model
from nerva.saving.original import Order, check_order, dense_arrays, from_dense, linear_layers
from nerva.system.archive import NpzArchive
from nerva.system.files import as_path, replacing
from nerva.validation import check_choice

Layout = Literal["nerva", "dense"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
LONGEST_HEADER = 1 << 26  # bytes: the weights of a million classes fit


def save_weights(model: Sequential, path: str | os.PathLike[str], *, layout: Layout = "nerva") -> None:
    """Write the weights of a model to an .npz file, whole or not at all.

    Parameters
    ----------
    model : of nerva's own layers
    path : the file; nothing is appended to its name, and a file that exists is replaced
    layout : "nerva" stores CSR, settings, running statistics, dtypes and the loss, so that `load_weights(path)` makes
        the model again; "dense" is that of the original Nerva, W1 (K, D), b1 (K,), W2, ..., for linear layers only,
        with zeros where there is no weight: memory for one dense layer at a time

    Raises TypeError, ValueError or OSError, which name what is wrong: a layer that holds NaN or infinity, which
    `load_weights` refuses, is one.

    >>> nerva.save_weights(nerva.MLP([20, 10, 2], density=0.5, distribution="uniform"), "weights.npz")
    >>> nerva.load_weights("weights.npz")
    Sequential([
        SparseLinear(20, 10, density=0.5, activation='relu', dtype='float32'),
        SparseLinear(10, 2, density=0.5, activation='identity', dtype='float32'),
    ])
    """
    check_model(model, layout)
    check_finite(model, "nothing is saved")
    with replacing(path) as stream:
        np.savez(stream, **(dense_arrays(model) if layout == "dense" else _arrays(model, model_header(model))))


def load_weights(
    path: str | os.PathLike[str],
    model: Sequential | None = None,
    *,
    order: Order = "refuse",
    activation: Function = "relu",
) -> Sequential:
    """Return the model in a file of weights; or load them into a `model` of the same shape, and return that.

    Parameters
    ----------
    path : a file of `save_weights` or of the original Nerva
    model : its layers take the weights, a sparse one the pattern too, and it takes the loss if the file has one;
        optimizer state starts anew, and its precision stays
    order : what to do with a file of the original whose W is stored in Fortran order. Its own --save-weights writes the
        values row after row into a matrix stored column after column, which scrambles them: "scrambled" undoes that,
        "as it says" takes the file as it is, "refuse" raises ValueError
    activation : of all layers but the last, for a model from a file of the original, which does not tell

    Raises ValueError, which names the file and what is wrong with it, or OSError, before anything is changed. Shapes
    are compared, and arrays that no layer has are refused, before anything is read: a small file cannot fill the
    memory.
    """
    check_order(order)
    if model is not None:
        check_model(model)
    path = as_path(path)
    try:
        with NpzArchive(path) as arrays:
            has_header = "header" in arrays
            if has_header:
                found = read_model(_header(arrays), arrays, arrays.heads, model)
            else:
                found = from_dense(arrays, order, activation, model)
        return found if model is None else take_weights(model, found, has_header)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from error


def take_weights(model: Sequential, found: Sequential, has_header: bool = True) -> Sequential:
    """Load the weights of another model into a `model` of the same shape, and return that.

    Parameters
    ----------
    found : of `load`, or from a file of weights
    has_header : whether activations, loss and names of classes of `found` are known

    Raises ValueError, which says why, where the model cannot take them; it is as it was then.
    """
    _check_same(model, found, has_header)
    # Everything has been checked: from here on nothing fails, so no model is left half loaded.
    for layer, new in zip(model.layers, found.layers, strict=True):
        layer.assign(new)
    if has_header:
        model.loss, model.classes = found.loss, found.classes
    return model


def check_model(model: object, layout: Layout = "nerva") -> None:
    """Raise TypeError or ValueError, which says why, where `save_weights` cannot write a model in a layout."""
    check_choice(layout, "layout", LAYOUTS)
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    if layout == "dense":
        linear_layers(model)
    for i, layer in enumerate(model.layers):
        if type(layer) not in LAYERS.values():
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}; it must be one of nerva's own layers")


def _arrays(model: Sequential, header: dict[str, Any]) -> dict[str, Any]:
    """Return the header, as an array too, and the arrays of all layers."""
    return {"header": np.frombuffer(json.dumps(header).encode(), np.uint8), **model_arrays(model)}


def _header(arrays: NpzArchive) -> Any:
    """Return the header among the arrays of a file in nerva's own layout, None for a broken one."""
    if arrays.heads["header"].nbytes > LONGEST_HEADER:
        return None
    try:
        return json.loads(arrays["header"].tobytes())
    except (ValueError, RecursionError):
        return None


def _check_same(model: Sequential, found: Sequential, has_header: bool) -> None:
    """Raise ValueError where a model cannot take the arrays of another; activations are compared if a header tells."""
    check_depth(len(found.layers), model)
    for i, (layer, new) in enumerate(zip(model.layers, found.layers, strict=True)):
        if type(layer) is not type(new):
            raise ValueError(f"layer {i + 1} is a {type(new).__name__}; in the model it is a {type(layer).__name__}")
        check_layer_shape(i, (new.out_features, new.in_features), model)
        if new.dtype != layer.dtype:
            raise ValueError(f"layer {i + 1} is {new.dtype}; in the model it is {layer.dtype}")
        if has_header and layer.activation != new.activation:
            raise ValueError(f"layer {i + 1} has {new.activation!r}; in the model it has {layer.activation!r}")
        mine, its = _sizes(layer), _sizes(new)
        if mine.get("bias") != its.get("bias"):
            has = "no" if "bias" not in its else "a"
            raise ValueError(f"layer {i + 1} has {has} bias; in the model that is not so")
        if mine != its:
            raise ValueError(f"layer {i + 1} has {its} numbers; in the model it has {mine}")


def _sizes(layer: Layer) -> dict[str, int]:
    """Return the sizes of the parameters, but for the weights, of which a sparse layer may take any number."""
    return {p.name: p.values.size for p in layer.parameters() if p.name != "weight"}
