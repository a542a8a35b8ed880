"""What a file of weights must hold by its header, compared with what its arrays are before any of them is read."""

from collections.abc import Mapping, Sequence
from typing import Any

from nerva._kernels.memory import Array
from nerva.models.sequential import Sequential
from nerva.system.archive import Head

# Of arrays by their names: a shape, or the most numbers of a vector.
Shapes = dict[str, tuple[int, ...] | int]


def check_contents(configs: Sequence[Any], heads: Mapping[str, Head | Array], model: Sequential | None) -> None:
    """Raise ValueError, which names the array, for one that no layer of the header has, or of another shape.

    With a model that is to take the arrays, its shapes are those that the header must have. Of a layer that is
    described wrongly nothing is said: making it tells more.
    """
    shapes = [_shapes(config) for config in configs]
    broken = None in shapes
    if model is not None and not broken:
        check_depth(len(configs), model)
    for i, (config, layer) in enumerate(zip(configs, () if model is None else model.layers, strict=False)):
        if model is not None and shapes[i] and config["kind"] == type(layer).__name__:
            check_layer_shape(i, (int(config["out"]), int(config["in"])), model)
    for name, head in heads.items():
        number, _, own = name.partition(".")
        i = int(number) if number.isdecimal() and len(number) < 10 else len(configs)
        wanted = (shapes[i] or {}).get(own) if i < len(configs) else None
        if name == "header" or (broken and wanted is None):
            continue
        if wanted is None:
            raise ValueError(f"{name} is no array of its layers")
        if head.shape != wanted if isinstance(wanted, tuple) else len(head.shape) != 1 or head.shape[0] > wanted:
            most = wanted if isinstance(wanted, tuple) else f"a vector of at most {wanted:,}"
            raise ValueError(
                f"the arrays of layer {i + 1} are not those of its header: {name} has shape {head.shape}; it must be "
                f"{most}"
            )


def check_depth(layers: int, model: Sequential) -> None:
    """Raise ValueError where the model has another number of layers than a file."""
    if len(model.layers) != layers:
        raise ValueError(f"it holds {layers} layers; the model has {len(model.layers)}")


def check_layer_shape(i: int, shape: tuple[int | None, int | None], model: Sequential) -> None:
    """Raise ValueError where layer i of the model has another shape, (K, D), than in a file."""
    mine = model.layers[i].out_features, model.layers[i].in_features
    if shape != mine:
        raise ValueError(f"layer {i + 1} has shape {shape}; in the model it has {mine}")


def _shapes(config: Any) -> Shapes | None:
    """Return the shapes of the arrays of a layer by its config; None where that is described wrongly."""
    try:
        kind, size = config["kind"], (config.get("in"), config.get("out"))
        if kind == "Dropout" or (kind == "Activation" and size == (None, None)):
            return {}
        D, K = map(int, size)
        shapes: Shapes = {"srelu": 4 * K}
        match kind:
            case "Linear":
                shapes |= {"weight": (K, D)}
            case "SparseLinear":
                shapes |= {"indptr": (K + 1,), "indices": K * D, "values": K * D}
            case "BatchNorm":
                shapes |= dict.fromkeys(("gamma", "beta", "running_mean", "running_variance"), (D,))
            case "Activation":
                pass
            case _:
                return None
        return shapes | ({"bias": (K,)} if config.get("bias") else {})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
