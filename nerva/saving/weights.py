"""Weights in files: nerva's own layout, where sparse stays sparse and every layer has a place, and the original's.

Both are .npz files. In nerva's own, `header` is JSON: the version, the loss, and for each layer its kind and settings;
the arrays of layer i stand under "i.name".
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from nerva import losses
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.activations import GELU, AllReLU, LeakyReLU, SReLU, TReLU
from nerva.activations import Activation as Function
from nerva.layers import Activation, BatchNorm, Dropout, Layer, Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.saving.original import ORDERS, dense_arrays, dense_layer, from_dense, linear_layers, sparse_layer
from nerva.system.files import read_npz, replacing

VERSION = 1
LAYOUTS = ("nerva", "dense")
FUNCTIONS = {kind.__name__: kind for kind in (LeakyReLU, AllReLU, TReLU, GELU, SReLU)}
LOSSES = {kind.__name__: kind for kind in losses.LOSSES.values()}


def save_weights(model: Sequential, path: str | os.PathLike[str], *, layout: str = "nerva") -> None:
    """Write the weights of a model to an .npz file, which stands there whole or not at all.

    Parameters
    ----------
    model : of nerva's own layers
    path : the file; its name is taken as it is, and a file that was there before is replaced
    layout : "nerva" keeps CSR, settings, running statistics, types and the loss, so that `load_weights(path)` makes the
        model again; "dense" is the original Nerva's, W1 (K, D), b1 (K,), ..., of linear layers alone, with zeros where
        there is no weight: memory for one dense layer at a time

    Raises TypeError, ValueError or OSError, which name what is wrong.
    """
    check_model(model, layout)
    with replacing(path) as stream:
        if layout == "dense":
            np.savez(stream, **dense_arrays(model))
        else:
            np.savez(stream, **_arrays(model))


def load_weights(
    path: str | os.PathLike[str],
    model: Sequential | None = None,
    *,
    order: str = "refuse",
    activation: Function = "relu",
) -> Sequential:
    """Return the model that a file of weights holds; or put them into a `model` of the same shape, and return that.

    Parameters
    ----------
    path : a file of `save_weights` or of the original Nerva
    model : its layers take the weights, and it takes the loss where the file tells it; a sparse layer takes the pattern
        of the file too. Optimizer state is lost.
    order : what to do with a file of the original whose W is stored in Fortran order. Its own --save-weights writes row
        after row and says column after column, so W comes out scrambled: "scrambled" undoes that, "as it says" takes
        the file at its word, "refuse" refuses
    activation : of all layers but the last, for a model made from an original file, which does not tell

    Nothing is changed before all of it has been checked: ValueError names the file, and what is wrong with it.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    if model is not None:
        check_model(model)
    arrays = read_npz(path)
    try:
        found = _read(arrays) if "header" in arrays else from_dense(arrays, order, activation, model)
        if model is None:
            return found
        _check_same(model, found, "header" in arrays)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    for layer, new in zip(model.layers, found.layers, strict=True):
        _take(layer, new)
    if "header" in arrays:
        model.loss = found.loss
    return model


def check_model(model: object, layout: str = "nerva") -> None:
    """Raise TypeError or ValueError, which says why, where `save_weights` could not write a model in a layout."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; it must be one of {', '.join(LAYOUTS)}")
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    if layout == "dense":
        linear_layers(model)
    for i, layer in enumerate(model.layers):
        if type(layer) not in (Linear, SparseLinear, BatchNorm, Activation, Dropout):
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}; it must be one of nerva's own layers")


# ---- writing


def _arrays(model: Sequential) -> dict[str, Any]:
    layers, arrays = [], {}
    for i, layer in enumerate(model.layers):
        layers.append({"kind": type(layer).__name__, **_settings(layer)})
        arrays.update({f"{i}.{name}": array for name, array in _numbers(layer).items()})
    header: dict[str, Any] = {"nerva": VERSION, "layers": layers}
    if type(model.loss) not in LOSSES.values():
        warnings.warn(f"the loss {model.loss!r} is not nerva's own, and is not kept", RuntimeWarning, stacklevel=3)
    else:
        header["loss"] = {"kind": type(model.loss).__name__, **_own_settings(model.loss)}
    return {"header": np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays}


def _settings(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Dropout):
        return {"rate": layer.rate}
    about: dict[str, Any] = {"in": layer.in_features, "out": layer.out_features, "activation": _named(layer.activation)}
    if isinstance(layer, Activation):
        return about
    about["dtype"] = layer.dtype.name if layer.dtype is not None else None
    if isinstance(layer, BatchNorm):
        return about | {"momentum": layer.momentum, "epsilon": layer.epsilon}
    assert isinstance(layer, (Linear, SparseLinear))
    return about | {"bias": layer.bias is not None, "drop_connect": layer.drop_connect}


def _numbers(layer: Layer) -> dict[str, Array]:
    """The arrays of a layer by name; those of its parameters but the weight are the memory it uses."""
    if isinstance(layer, SparseLinear):
        W = layer.weight
        own = {"indptr": W.indptr, "indices": W.indices, "values": W.values}
    else:
        own = {"weight": layer.weight} if isinstance(layer, Linear) else {}
    if isinstance(layer, BatchNorm):
        own |= {"running_mean": layer.running_mean, "running_variance": layer.running_variance}
    return own | {p.name: p.values for p in layer.parameters() if p.name != "weight"}


def _named(function: Any) -> Any:
    return {type(function).__name__: asdict(function)} if is_dataclass(function) else function  # type: ignore[arg-type]


def _own_settings(loss: losses.Loss) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(loss).items()
        if not name.startswith("_")
    }


# ---- reading


def _read(arrays: dict[str, Array]) -> Sequential:
    try:
        header = json.loads(arrays["header"].tobytes())
        version, descriptions, loss = header["nerva"], list(header["layers"]), header.get("loss")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its header is broken: this is no file of nerva.save_weights") from None
    if version != VERSION:
        raise ValueError(f"it is of version {version}; this nerva reads version {VERSION}")
    layers: list[Layer] = []
    for i, about in enumerate(descriptions):
        own = {name.removeprefix(f"{i}."): array for name, array in arrays.items() if name.startswith(f"{i}.")}
        try:
            layers.append(_layer(i, about, own))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"layer {i + 1} is described wrongly in its header ({error})") from error
    model = Sequential(layers)
    for i, (layer, about) in enumerate(zip(layers, descriptions, strict=True)):  # now that all know their features
        if not isinstance(layer, Dropout) and (layer.in_features, layer.out_features) != (about["in"], about["out"]):
            raise ValueError(f"the arrays of layer {i + 1} are not those of its header")
        _fill(i, layer, arrays)
    if loss is not None:
        try:
            model.loss = LOSSES[loss.pop("kind")](**loss)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"its loss is described wrongly in its header ({error})") from error
        for name in ("class_weights", "positive_weights"):
            weights = getattr(model.loss, name, None)
            if weights is not None and weights.size not in (model.out_features, 1 if name[0] == "p" else -1):
                raise ValueError(f"{name} of its loss are {weights.size}; there are {model.out_features} outputs")
    return model


def _layer(i: int, about: Mapping[str, Any], own: dict[str, Array]) -> Layer:
    def array(name: str) -> Array:
        if name not in own:
            raise ValueError(f"it lacks the array {i}.{name}")
        return own[name]

    kind = about["kind"]
    if kind == "Dropout":
        return Dropout(about["rate"])
    if kind not in ("SparseLinear", "Linear", "BatchNorm", "Activation"):
        raise ValueError(f"layer {i + 1} is a {kind}, which this nerva does not know")
    D, K, function = int(about["in"]), int(about["out"]), _function(about["activation"])
    if kind == "Activation":
        return Activation(function)
    if kind == "BatchNorm":
        if array("gamma").shape != (D,):
            raise ValueError(f"the arrays of layer {i + 1} are not those of its header")
        settings = {name: about[name] for name in ("momentum", "epsilon", "dtype")}
        return BatchNorm(D, activation=function, **settings)
    settings = {"activation": function, "drop_connect": about["drop_connect"]}
    bias = array("bias") if about["bias"] else None
    layer: Linear | SparseLinear
    if kind == "SparseLinear":
        weight = CSR((K, D), array("indptr"), array("indices"), array("values"))
        layer = sparse_layer(weight, bias, **settings)
    else:
        layer = dense_layer(array("weight"), bias, **settings)
    if layer.dtype.name != about["dtype"] or (layer.out_features, layer.in_features) != (K, D):
        raise ValueError(f"the arrays of layer {i + 1} are not those of its header")
    return layer


def _fill(i: int, layer: Layer, arrays: dict[str, Array]) -> None:
    """Put the numbers of a batch normalization and of an SReLU where they belong."""
    for name, numbers in _numbers(layer).items():
        if name in ("indptr", "indices", "values", "weight", "bias"):
            continue
        found = arrays.get(f"{i}.{name}")
        if found is None:
            raise ValueError(f"it lacks the array {i}.{name}")
        if found.shape != numbers.shape or found.dtype != numbers.dtype or not np.isfinite(found).all():
            raise ValueError(f"{i}.{name} must be {numbers.size} finite numbers, {numbers.dtype}")
        if name == "running_variance" and (found < 0).any():
            raise ValueError(f"{i}.{name} holds a negative number")
        numbers[:] = found


def _function(about: Any) -> Function:
    if isinstance(about, dict):
        ((name, settings),) = about.items()
        made: Function = FUNCTIONS[name](**settings)
        return made
    return str(about)


# ---- into a model


def _check_same(model: Sequential, found: Sequential, tells_all: bool) -> None:
    if len(model.layers) != len(found.layers):
        raise ValueError(f"it holds {len(found.layers)} layers; the model has {len(model.layers)}")
    for i, (layer, new) in enumerate(zip(model.layers, found.layers, strict=True)):
        if type(layer) is not type(new):
            raise ValueError(f"layer {i + 1} is a {type(new).__name__}; in the model it is a {type(layer).__name__}")
        shapes = [(one.out_features, one.in_features) for one in (new, layer)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"layer {i + 1} has shape {shapes[0]}; in the model it has {shapes[1]}")
        if new.dtype != layer.dtype:
            raise ValueError(f"layer {i + 1} is {new.dtype}; in the model it is {layer.dtype}")
        if tells_all and layer.activation != new.activation:
            raise ValueError(f"layer {i + 1} has {new.activation!r}; in the model it has {layer.activation!r}")
        mine, its = _sizes(layer), _sizes(new)
        if mine.get("bias") != its.get("bias"):
            has = "no" if "bias" not in its else "a"
            raise ValueError(f"layer {i + 1} has {has} bias; in the model that is not so")
        if mine != its:
            raise ValueError(f"layer {i + 1} has {its} numbers; in the model it has {mine}")


def _sizes(layer: Layer) -> dict[str, int]:
    return {p.name: p.values.size for p in layer.parameters() if p.name != "weight"}


def _take(layer: Layer, new: Layer) -> None:
    if isinstance(layer, (Linear, SparseLinear)):
        layer.weight = new.weight  # type: ignore[attr-defined]
    mine, its = _numbers(layer), _numbers(new)
    for name in mine.keys() - {"indptr", "indices", "values", "weight"}:
        mine[name][:] = its[name]
    for parameter in layer.parameters():
        parameter.owner = None  # what an optimizer kept for it is of other numbers
