"""PyTorch, imported when it is asked for (the extra 'torch'), and which activations of both are the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nerva._kernels.memory import Array
from nerva.activations import Activation, LeakyReLU, SReLU, TReLU
from nerva.interop.inference import function_of
from nerva.layers import LEAKY_SLOPE


class Function(NamedTuple):
    """An activation of nerva, and the numbers of an SReLU, (4, 1) or (4, features), or None."""

    activation: Activation
    numbers: Array | None = None


IDENTITY = Function("identity")
# Those without settings, by the names of their modules.
PLAIN = {"Identity": "identity", "ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "SiLU": "silu"}
MODULES = (*PLAIN, "LeakyReLU", "GELU", "Softmax", "LogSoftmax", "Threshold", "nerva.torch.SReLU")


def require_torch(who: str) -> Any:
    """Return the module torch; raise ImportError, which names the extra, for the function that needs it."""
    try:
        import torch.nn.utils.prune
    except ImportError:
        raise ImportError(f"{who} needs PyTorch: pip install 'nerva-sparse[torch]'") from None
    return torch


def module_of(torch: Any, function: Function, dtype: np.dtype[Any]) -> Any:
    """Return an activation as a module with copies of the numbers of an SReLU; None for the identity."""
    nn, found = torch.nn, function_of(function.activation)
    if found is None:
        return None
    match found:
        case "leaky_relu", slope:
            return nn.LeakyReLU(slope)
        case "trelu", epsilon:
            # A Threshold lets through what is above, a TReLU its epsilon too.
            return nn.Threshold(float(np.nextafter(dtype.type(epsilon), dtype.type(0))), 0.0)
        case "gelu" | "gelu_tanh" as name, _:
            return nn.GELU(approximate="tanh" if name == "gelu_tanh" else "none")
        case "softmax", _:
            return nn.Softmax(dim=-1)
        case "log_softmax", _:
            return nn.LogSoftmax(dim=-1)
        case "srelu", _:
            return _srelu(torch, function.numbers)
    return getattr(nn, {name: module for module, name in PLAIN.items()}[found[0]])()


def sparse_weight(torch: Any, module: Any) -> Any:
    """Return the weight of a nerva.torch.SparseLinear as a sparse COO tensor, zeros that are weights included."""
    rows = torch.repeat_interleave(torch.arange(module.out_features), module.indptr.diff().long())
    at = torch.stack([rows, module.indices.long()])
    size = module.out_features, module.in_features
    return torch.sparse_coo_tensor(at, module.values.detach(), size, check_invariants=True)


def _srelu(torch: Any, numbers: Array | None) -> Any:
    from nerva.interop.srelu import SReLU as Module

    assert numbers is not None
    rows = torch.from_numpy(numbers.copy())
    module = Module(None if numbers.shape[1] == 1 else numbers.shape[1], dtype=rows.dtype)
    with torch.no_grad():
        for parameter, row in zip(module.parameters(), rows, strict=True):
            parameter.copy_(row)
    return module


def function_of_module(torch: Any, name: str, module: Any, dtype: np.dtype[Any]) -> Function | None:
    """Return the activation of a module in a network of a dtype; None where it is none.

    Raises ValueError, which names the module, where nerva has it with other settings only.
    """
    nn, kind = torch.nn, type(module)
    if kind.__module__ == "nerva.interop.srelu":
        rows = torch.stack([parameter.detach().cpu() for parameter in module.parameters()])
        return Function(SReLU(per="layer" if rows.shape[1] == 1 else "neuron"), rows.numpy())
    if kind is nn.LeakyReLU:
        slope = module.negative_slope
        return Function("leaky_relu" if slope == LEAKY_SLOPE else LeakyReLU(slope))
    if kind is nn.GELU:
        return Function("gelu_tanh" if module.approximate == "tanh" else "gelu")
    if kind in (nn.Softmax, nn.LogSoftmax):
        if module.dim not in (1, -1):
            raise ValueError(f"{name} has dim {module.dim}; it must be 1 or -1, the features")
        return Function("softmax" if kind is nn.Softmax else "log_softmax")
    if kind is nn.Threshold:
        if module.value != 0 or module.threshold < 0:
            raise ValueError(f"{name} is {module}; nerva's TReLU has a threshold of at least 0 and the value 0")
        threshold = dtype.type(module.threshold)
        return Function(TReLU(float(np.nextafter(threshold, dtype.type(np.inf)))) if threshold else "relu")
    plain = {getattr(nn, module): name for module, name in PLAIN.items()}
    return Function(plain[kind]) if kind in plain else None
