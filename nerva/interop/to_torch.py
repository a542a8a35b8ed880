"""Networks to PyTorch, weight for weight."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from nerva._kernels.csr import CSR
from nerva.interop.torch import activation_modules, require_torch
from nerva.layers import LEAKY_SLOPE, Affine
from nerva.models.sequential import Sequential

Weights = Literal["masked", "dense", "csr"]
WEIGHTS: tuple[str, ...] = get_args(Weights)


def to_torch(model: Sequential, *, weights: Weights = "masked") -> Any:
    """Return a torch.nn.Sequential of Linear and activation modules, with copies of the weights of a network.

    Parameters
    ----------
    model : of Linear and SparseLinear layers
    weights : those of a sparse layer become "masked" ones of torch.nn.utils.prune, "dense" ones with plain zeros, or
        sparse "csr" tensors, for inference only; "masked" and "dense" take memory for K x D weights

    `from_torch` makes the same network of it again; from "dense", without the weights that are 0. Raises TypeError or
    ValueError for another model or choice, ImportError without PyTorch.
    """
    torch = require_torch("to_torch")
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; it must be one of {', '.join(WEIGHTS)}")
    names = {name: kind for kind, name in activation_modules(torch).items()}
    known: list[tuple[Affine, str]] = []
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, Affine):
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}; to_torch takes Linear and SparseLinear")
        if not isinstance(layer.activation, str) or layer.activation not in names:
            raise ValueError(f"model.layers[{i}] has activation {layer.activation}; to_torch takes {', '.join(names)}")
        if layer.drop_connect:
            raise ValueError(f"model.layers[{i}] has drop_connect {layer.drop_connect}; PyTorch has no such layer")
        known.append((layer, layer.activation))
    modules = []
    for layer, activation in known:
        W = layer.weight
        modules.append(_csr_module(torch, layer) if isinstance(W, CSR) and weights == "csr" else _module(torch, layer))
        if isinstance(W, CSR) and weights == "masked":
            _mask(torch, modules[-1], W)
        if activation == "leaky_relu":
            modules.append(torch.nn.LeakyReLU(LEAKY_SLOPE))
        elif activation != "identity":
            modules.append(names[activation]())
    return torch.nn.Sequential(*modules)


def _module(torch: Any, layer: Affine) -> Any:
    """Return a torch.nn.Linear with dense weights."""
    # Without the default initialization, which would draw from PyTorch's global generator.
    module = torch.nn.utils.skip_init(
        torch.nn.Linear, layer.in_features, layer.out_features, bias=layer.bias is not None, dtype=_dtype(torch, layer)
    )
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(layer.dense_weight()))
        if layer.bias is not None:
            module.bias.copy_(torch.from_numpy(layer.bias))
    return module


def _mask(torch: Any, module: Any, W: CSR) -> None:
    """Prune a module to the positions of W, zeros there included."""
    mask = torch.zeros(W.shape, dtype=module.weight.dtype)
    rows = np.repeat(np.arange(W.rows), np.diff(W.indptr))
    mask[torch.from_numpy(rows), torch.from_numpy(W.indices.astype(np.int64))] = 1
    torch.nn.utils.prune.custom_from_mask(module, "weight", mask)


def _csr_module(torch: Any, layer: Affine) -> Any:
    """Return a torch.nn.Linear whose weight is a sparse CSR tensor; no dense one is made on the way."""
    W, bias = layer.weight, layer.bias
    pattern = [torch.from_numpy(part.copy()) for part in (W.indptr, W.indices, W.values)]
    settings = {"bias": False, "device": "meta", "dtype": _dtype(torch, layer)}
    module = torch.nn.Linear(layer.in_features, layer.out_features, **settings)
    tensor = torch.sparse_csr_tensor(*pattern, size=W.shape, check_invariants=True)
    module.weight = torch.nn.Parameter(tensor, requires_grad=False)
    if bias is not None:
        module.bias = torch.nn.Parameter(torch.from_numpy(bias.copy()))
    return module


def _dtype(torch: Any, layer: Affine) -> Any:
    return torch.float32 if layer.dtype == np.float32 else torch.float64
