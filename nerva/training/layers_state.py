"""The state of a network in training, as plain data and arrays.

What layers and parameters hold is read and written here, and nowhere else in the training loop.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import aligned_copy
from nerva._kernels.rewiring import flat_positions
from nerva.parameters import Parameter, check_moment
from nerva.training.trainable import Trainable
from nerva.validation import check_integer

STATISTICS = ("running_mean", "running_variance")  # of batch normalization

LayerData = Mapping[str, Any]


def layers_state(model: Trainable, optimizers: Sequence[object]) -> list[dict[str, Any]]:
    """Return copies of the parameters of each layer, of their optimizer state and pattern, and of its statistics.

    The owner of optimizer state is given by its place among the `optimizers`, None for any other.
    """
    return copy.deepcopy([_layer_state(layer, optimizers) for layer in _layers(model)])


def weights_state(model: Trainable) -> list[dict[str, Any]]:
    """Return copies of the parameters of each layer, of its pattern and its statistics, without optimizer state.

    `restore_layers(model, state, ())` writes them back, and optimizers start anew.
    """
    states = [_layer_state(layer, ()) for layer in _layers(model)]
    for state in states:
        state["masks"] = None
        for saved in state["parameters"].values():
            saved |= {"state": {}, "steps": 0}
    return copy.deepcopy(states)


def check_layers(model: Trainable, states: Sequence[LayerData], optimizers: Sequence[object]) -> None:
    """Raise ValueError, which names the layer, where `restore_layers` could not restore the network from a state."""
    layers = _layers(model)
    if len(layers) != len(states):
        raise ValueError(f"the state is of {len(states)} layers; the network has {len(layers)}")
    for i, (layer, state) in enumerate(zip(layers, states, strict=True)):
        own = _layer_state(layer, ())
        mine, its = _shapes(own), _shapes(state)
        if mine != its:
            raise ValueError(f"the state of layers[{i}] is {its}; the network has {mine}")
        owners = [saved["owner"] for saved in state["parameters"].values() if saved["owner"] is not None]
        if not all(type(owner) is int and 0 <= owner < len(optimizers) for owner in owners):
            raise ValueError(f"the state of layers[{i}] is of another optimizer than {optimizers[0]!r}")
        if "pattern" in state:
            _pattern(layer, state)
        _check_vectors(f"layers[{i}]", own, state)


def adopt(model: Trainable, optimizers: Sequence[object]) -> None:
    """Let optimizers have the state that others of the same class and settings left in the parameters."""
    for parameter in (parameter for layer in _layers(model) for parameter in layer.parameters()):
        if not any(parameter.owner is optimizer for optimizer in optimizers):
            alike = (
                one for one in optimizers if type(one) is type(parameter.owner) and vars(one) == _settings(parameter)
            )
            parameter.owner = next(alike, parameter.owner)


def restore_layers(model: Trainable, states: Sequence[LayerData], optimizers: Sequence[object]) -> None:
    """Write the state of each layer back, in place: layers, parameters and weights remain the same objects."""
    for layer, state in zip(_layers(model), states, strict=True):
        if "pattern" in state:
            rewire_to(layer, _pattern(layer, state))
        for parameter in layer.parameters():
            saved = state["parameters"][parameter.name]
            parameter.values[:] = saved["values"]
            parameter.state = {name: aligned_copy(vector) for name, vector in saved["state"].items()}
            parameter.owner = None if saved["owner"] is None else optimizers[saved["owner"]]
            parameter.steps = saved["steps"]
        for name, array in state["statistics"].items():
            getattr(layer, name)[:] = array
        if state["masks"] is not None:
            layer._keys.seed, layer._keys.count = state["masks"]["seed"], state["masks"]["count"]


def _layers(model: Trainable) -> Sequence[Any]:
    """Return the layers of a network, or the network itself where it has none."""
    return getattr(model, "layers", None) or (model,)


def _layer_state(layer: Any, optimizers: Sequence[object]) -> dict[str, Any]:
    """Return the state of a layer, its own arrays; the next masks of dropout are a function of `masks`."""
    weight, keys = getattr(layer, "weight", None), getattr(layer, "_keys", None)
    state: dict[str, Any] = {
        "parameters": {p.name: _parameter_state(p, optimizers) for p in layer.parameters()},
        "statistics": {name: getattr(layer, name) for name in STATISTICS if hasattr(layer, name)},
        "masks": None if keys is None else {"seed": keys.seed, "count": keys.count},
    }
    if len(state["parameters"]) != len(layer.parameters()):
        raise ValueError(f"{layer!r} has two parameters by the same name, so that its state cannot be told")
    if isinstance(weight, CSR):
        state["pattern"] = {"indptr": weight.indptr, "indices": weight.indices}
    return state


def _check_vectors(name: str, own: LayerData, state: LayerData) -> None:
    """Raise ValueError where vectors of a state are not of the shapes and dtypes that kernels take."""
    for parameter, saved in state["parameters"].items():
        values = saved["values"]
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            raise ValueError(f"the state of {name} has no vectors of its {parameter}")
        check_integer(saved["steps"], f"the steps of {name}", least=0, most=2**53)
        for moment, vector in saved["state"].items():
            check_moment(vector, values, saved["steps"], f"{name}.{parameter}.{moment}")
    for statistic, array in state["statistics"].items():
        mine = own["statistics"][statistic]
        if np.shape(array) != mine.shape or array.dtype != mine.dtype:
            raise ValueError(f"{statistic} of {name} is not {mine.dtype} of {mine.shape}")
    if state["masks"] is not None:
        for number in ("seed", "count"):
            check_integer(state["masks"][number], f"{number} of the masks of {name}", least=0)


def _settings(parameter: Parameter) -> dict[str, Any]:
    return dict(vars(parameter.owner)) if hasattr(parameter.owner, "__dict__") else {}


def _parameter_state(parameter: Parameter, optimizers: Sequence[object]) -> dict[str, Any]:
    """Return the values of a parameter and its optimizer state, its own arrays."""
    return {
        "values": parameter.values,
        "state": parameter.state,
        "owner": next((i for i, optimizer in enumerate(optimizers) if optimizer is parameter.owner), None),
        "steps": parameter.steps,
    }


def _shapes(state: LayerData) -> str:
    """Describe what training does not change: parameters with their sizes and dtypes, statistics, masks."""
    sizes = [
        f"{name} of {saved['values'].dtype}[{len(saved['values'])}]" for name, saved in state["parameters"].items()
    ]
    if "pattern" in state:  # the number of weights may change
        sizes[0] = f"{sizes[0].split('[')[0]} in {len(state['pattern']['indptr']) - 1} sparse rows"
    sizes += [f"{name} of {len(array)}" for name, array in state["statistics"].items()]
    return ", ".join(sizes + ["masks"] * (state["masks"] is not None)) or "without parameters"


def _pattern(layer: Any, state: LayerData) -> CSR:
    """Return the weights of a state; ValueError where they do not fit the layer."""
    pattern, weight = state["pattern"], next(iter(state["parameters"].values()))  # a sparse layer's first parameter
    return CSR(layer.weight.shape, pattern["indptr"], pattern["indices"], weight["values"])


def rewire_to(layer: Any, wanted: CSR) -> None:
    """Give a layer the pattern of other weights; the values are left to be set."""
    # By `rewire`, not by another CSR in its place: a parameter that a group of optimizers selects must stay the same
    # object, and plans and companions of the old pattern must go.
    old, new = flat_positions(layer.weight), flat_positions(wanted)
    dropped = np.flatnonzero(np.isin(old, new, assume_unique=True, invert=True))
    grown = new[np.isin(new, old, assume_unique=True, invert=True)]
    if len(dropped) or len(grown):
        layer.rewire(dropped, grown)
