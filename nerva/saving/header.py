"""The header of a model in a file: version, layers, loss and names of classes, from which and its arrays it is read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nerva import losses
from nerva._kernels.isa import lacking_for_bfloat16
from nerva._kernels.memory import Array
from nerva.layers import LAYERS, Layer
from nerva.layers.arrays import ArraysMismatch
from nerva.models.sequential import Sequential
from nerva.saving.contents import check_contents
from nerva.system.archive import Head

VERSION = 1
LOSSES = {kind.__name__: kind for kind in losses.LOSSES.values()}


# ---- writing


def model_header(model: Sequential) -> dict[str, Any]:
    """Return version, layers, loss and classes, as JSON can hold them; warn of a loss that is not nerva's own."""
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
    return header


def _loss_config(loss: losses.Loss) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(loss).items()
        if not name.startswith("_")
    }


# ---- reading


def read_model(
    header: Any, arrays: Mapping[str, Array], heads: Mapping[str, Head | Array], into: Sequential | None = None
) -> Sequential:
    """Return the model of a header and its arrays; raise ValueError where these do not go together.

    `heads` tell the shapes of the arrays, which are compared before any is read; with a model that is to take them,
    with its shapes, too.
    """
    try:
        version, configs, loss = header["nerva"], list(header["layers"]), header.get("loss")
    except (KeyError, TypeError, AttributeError):
        raise ValueError("its header is broken: this is no file of nerva.save_weights") from None
    if version != VERSION:
        raise ValueError(f"it is of version {version}; this nerva reads version {VERSION}")
    check_contents(configs, heads, into)
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
