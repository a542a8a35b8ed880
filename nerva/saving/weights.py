"""Weights in .npz files, in two layouts: nerva's own, for every layer, and the original Nerva's, for linear ones.

In nerva's own, `header` is JSON: the version, the loss, and for each layer its class and its config; "i.name" is the
array `name` of layer i. Sparse weights are stored as CSR.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from nerva import losses
from nerva._kernels.isa import lacking_for_bfloat16
from nerva._kernels.memory import Array
from nerva.activations import Activation as Function
from nerva.layers import LAYERS, Layer
from nerva.layers.arrays import ArraysMismatch
from nerva.models.sequential import Sequential
from nerva.saving.contents import check_contents, check_depth, check_layer_shape
from nerva.saving.original import Order, check_order, dense_arrays, from_dense, linear_layers
from nerva.system.archive import NpzArchive
from nerva.system.files import as_path, replacing
from nerva.validation import check_choice

Layout = Literal["nerva", "dense"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
VERSION = 1
LONGEST_HEADER = 1 << 26  # bytes: the weights of a million classes fit
LOSSES = {kind.__name__: kind for kind in losses.LOSSES.values()}


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
    _check_finite(model)
    with replacing(path) as stream:
        np.savez(stream, **(dense_arrays(model) if layout == "dense" else _arrays(model)))


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
            found = _read(arrays, model) if has_header else from_dense(arrays, order, activation, model)
        if model is None:
            return found
        _check_same(model, found, has_header)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from error
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


# ---- writing


def _check_finite(model: Sequential) -> None:
    """Raise ValueError, which names the layer and the array, where a number is NaN or infinite."""
    for i, layer in enumerate(model.layers):
        for name, array in layer.arrays().items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                kind = type(layer).__name__
                raise ValueError(f"model.layers[{i}] is {kind}, whose {name} holds NaN or infinity: nothing is saved")


def _arrays(model: Sequential) -> dict[str, Any]:
    """Return the header and the arrays of all layers."""
    layers = [{"kind": type(layer).__name__, **layer.config()} for layer in model.layers]
    header: dict[str, Any] = {"nerva": VERSION, "layers": layers}
    if type(model.loss) not in LOSSES.values():
        warnings.warn(f"the loss {model.loss!r} is not nerva's own, and is not kept", RuntimeWarning, stacklevel=3)
    else:
        header["loss"] = {"kind": type(model.loss).__name__, **_loss_config(model.loss)}
    if model.classes is not None:
        header["classes"] = list(model.classes)
    if model.precision == "bfloat16":
        header["precision"] = model.precision
    arrays = {f"{i}.{name}": array for i, layer in enumerate(model.layers) for name, array in layer.arrays().items()}
    return {"header": np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays}


def _loss_config(loss: losses.Loss) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(loss).items()
        if not name.startswith("_")
    }


# ---- reading


def _read(arrays: NpzArchive, into: Sequential | None) -> Sequential:
    """Return the model of a file in nerva's own layout, whose shapes are those of a model that is to take it."""
    try:
        if arrays.heads["header"].nbytes > LONGEST_HEADER:
            raise ValueError("too long")
        header = json.loads(arrays["header"].tobytes())
        version, configs, loss = header["nerva"], list(header["layers"]), header.get("loss")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its header is broken: this is no file of nerva.save_weights") from None
    if version != VERSION:
        raise ValueError(f"it is of version {version}; this nerva reads version {VERSION}")
    check_contents(configs, arrays.heads, into)
    model = Sequential([_layer(i, config, arrays) for i, config in enumerate(configs)])
    # Layers that take any features have those of their neighbours by now, which the header must agree with.
    for i, (layer, config) in enumerate(zip(model.layers, configs, strict=True)):
        if any(config[name] != value for name, value in layer.config().items() if name in ("in", "out")):
            raise ValueError(f"the arrays of layer {i + 1} are not those of its header")
    if loss is not None:
        model.loss = _loss(loss, model.out_features)
    model.classes = _classes(header.get("classes"), model.out_features)
    _set_precision(model, header.get("precision"))
    return model


def _set_precision(model: Sequential, precision: Any) -> None:
    """Give a model the precision of a file, or warn where this processor does not have it."""
    lacking = lacking_for_bfloat16() if precision == "bfloat16" else None
    if lacking is None:
        model.precision = precision
    else:
        warnings.warn(f"precision 'bfloat16' is not kept: it needs {lacking}", RuntimeWarning, stacklevel=4)


def _layer(i: int, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> Layer:
    """Return layer i of a file."""
    try:
        kind = config["kind"]
        if not isinstance(kind, str) or kind not in LAYERS:
            raise ValueError(f"layer {i + 1} is a {kind}, which this nerva does not know")
        return LAYERS[kind].from_config(config, arrays, f"{i}.")
    except ArraysMismatch:
        raise ValueError(f"the arrays of layer {i + 1} are not those of its header") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"layer {i + 1} is described wrongly in its header ({error})") from error


def _loss(config: Any, outputs: int) -> losses.Loss:
    """Return the loss of a file, for a network with so many outputs."""
    try:
        loss: losses.Loss = LOSSES[config.pop("kind")](**config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its loss is described wrongly in its header ({error})") from error
    for name in ("class_weights", "positive_weights"):
        weights = getattr(loss, name, None)
        if weights is not None and weights.size not in (outputs, 1 if name == "positive_weights" else -1):
            raise ValueError(f"{name} of its loss are {weights.size}; there are {outputs} outputs")
    return loss


def _classes(names: Any, outputs: int) -> tuple[str, ...] | None:
    """Return the names of the classes of a file, for a network with so many outputs."""
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise ValueError("the classes in its header are no names, or not all different")
    if len(names) != outputs and (outputs, len(names)) != (1, 2):
        raise ValueError(f"its header names {len(names)} classes; there are {outputs} outputs")
    return tuple(names)


# ---- loading into a model


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
