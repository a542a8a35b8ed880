"""The state of a network by name, in PyTorch's manner: `state_dict` and `load_state_dict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.training.layers_state import rewire_to

PATTERN = ("indptr", "indices", "values")


def state_dict(model: Any) -> dict[str, Array]:
    """Return copies of all parameters and running statistics by "layer.name", such as "0.values" or "1.running_mean".

    A sparse layer has its pattern with them: "0.indptr" and "0.indices".

    >>> {name: array.shape for name, array in nerva.MLP([4, 3], density=0.5).state_dict().items()}
    {'0.indptr': (4,), '0.indices': (6,), '0.values': (6,), '0.bias': (3,)}
    """
    return {name: array.copy() for name, array in model_arrays(model).items()}


def load_state_dict(model: Any, state: Mapping[str, Array]) -> None:
    """Take what `state_dict` returned, of this network or one of the same layers; optimizer state starts anew.

    A sparse layer takes the pattern too, of any number of weights. Raises TypeError or ValueError, which names what is
    missing, unknown, or of another shape or dtype than the network has, before anything is changed.

    >>> one, other = (nerva.MLP([4, 3], density=0.5, seed=seed) for seed in (0, 1))
    >>> other.load_state_dict(one.state_dict())
    >>> bool(np.all(one.layers[0].dense_weight() == other.layers[0].dense_weight()))
    True
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state is {type(state).__name__}; it must be a dict, as state_dict() returns")
    mine = model_arrays(model)
    missing, unknown = [name for name in mine if name not in state], [name for name in state if name not in mine]
    if missing or unknown:
        lacks = f"lacks {', '.join(missing)}" if missing else ""
        holds = f"holds {', '.join(map(str, unknown))}, which the network does not have" if unknown else ""
        raise ValueError(f"state {' and '.join(filter(None, (lacks, holds)))}")
    wanted: dict[int, CSR] = {}
    for i, layer in enumerate(model.layers):
        if isinstance(getattr(layer, "weight", None), CSR):
            wanted[i] = _pattern(state, f"{i}.", layer.weight)
    for name, array in mine.items():
        if int(name.split(".")[0]) not in wanted or name.split(".")[1] not in PATTERN:
            _check_array(state, name, array)
    # Everything has been checked: from here on nothing fails, so no network is left half loaded.
    for i, weight in wanted.items():
        rewire_to(model.layers[i], weight)
    for name, array in model_arrays(model).items():
        if name.split(".")[1] not in PATTERN[:2]:
            array[...] = state[name]
    for parameter in model.parameters():
        parameter.owner = None


def model_arrays(model: Any) -> dict[str, Array]:
    """Return the arrays of all layers by "i.name": the memory in use, no copies."""
    return {f"{i}.{name}": array for i, layer in enumerate(model.layers) for name, array in layer.arrays().items()}


def check_finite(model: Any, consequence: str) -> None:
    """Raise ValueError, which names the layer and the array and ends so, where a number is NaN or infinite."""
    for i, layer in enumerate(model.layers):
        for name, array in layer.arrays().items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                kind = type(layer).__name__
                raise ValueError(f"model.layers[{i}] is {kind}, whose {name} holds NaN or infinity: {consequence}")


def _check_array(state: Mapping[str, Any], name: str, mine: Array) -> None:
    """Raise TypeError or ValueError where an array is not of the shape and dtype of the network's."""
    found = state[name]
    if not isinstance(found, np.ndarray):
        raise TypeError(f"{name} is {type(found).__name__}; it must be an array")
    if found.shape != mine.shape or found.dtype != mine.dtype:
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}; it must be {mine.dtype} of {mine.shape}")


def _pattern(state: Mapping[str, Any], prefix: str, mine: CSR) -> CSR:
    """Return the weights of a sparse layer; raise TypeError or ValueError where they are none of its kind."""
    indptr, indices, values = (state[f"{prefix}{name}"] for name in PATTERN)
    if not isinstance(values, np.ndarray) or values.dtype != mine.dtype:
        raise ValueError(
            f"{prefix}values is {getattr(values, 'dtype', type(values).__name__)}; it must be {mine.dtype}"
        )
    try:
        return CSR(mine.shape, indptr, indices, values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the pattern {prefix}indptr, {prefix}indices is not one of {mine.shape}: {error}") from error
