"""Networks to PyTorch, weight for weight."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from nerva._kernels.csr import CSR
from nerva.interop.inference import check_exported, srelu_numbers
from nerva.interop.torch import Function, module_of, require_torch
from nerva.layers import Affine, BatchNorm, Dropout, Layer
from nerva.models.sequential import Sequential

Weights = Literal["masked", "dense", "csr"]
WEIGHTS: tuple[str, ...] = get_args(Weights)


def to_torch(model: Sequential, *, weights: Weights = "masked") -> Any:
    """Return a torch.nn.Sequential of Linear, BatchNorm1d, Dropout and activation modules, with copies of all numbers.

    Parameters
    ----------
    model : of nerva's own layers, without DropConnect
    weights : those of a sparse layer become "masked" ones of torch.nn.utils.prune, "dense" ones with plain zeros, or
        sparse "csr" tensors, for inference only; "masked" and "dense" take memory for K x D weights

    As any module it is made for training; `.eval()` lets it predict. An SReLU becomes a nerva.torch.SReLU, an AllReLU a
    LeakyReLU of its slope, a TReLU a Threshold.

    `from_torch` makes the same network of it again, but for those, and for an activation behind a layer that has none,
    which becomes that layer's; from "dense", without the weights that are 0. Raises TypeError or ValueError for another
    model or choice, ImportError without PyTorch.
    """
    torch = require_torch("to_torch")
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; it must be one of {', '.join(WEIGHTS)}")
    check_exported(model)
    for i, layer in enumerate(model.layers):
        if isinstance(layer, Affine) and layer.drop_connect:
            raise ValueError(f"model.layers[{i}] has drop_connect {layer.drop_connect}; PyTorch has no such layer")
    modules = []
    for layer in model.layers:
        match layer:
            case Affine():
                modules.append(_linear(torch, layer, weights))
            case BatchNorm():
                modules.append(_norm(torch, layer))
            case Dropout():
                modules.append(torch.nn.Dropout(layer.rate))
        if layer.activation is not None:
            function = Function(layer.activation, srelu_numbers(layer))
            modules.append(module_of(torch, function, model.dtype))
    return torch.nn.Sequential(*(module for module in modules if module is not None))


def _linear(torch: Any, layer: Affine, weights: Weights) -> Any:
    """Return a torch.nn.Linear with weights of this kind."""
    W = layer.weight
    if not isinstance(W, CSR):
        return _module(torch, layer)
    if weights == "csr":
        return _csr_module(torch, layer)
    module = _module(torch, layer)
    if weights == "masked":
        _mask(torch, module, W)
    return module


def _norm(torch: Any, layer: BatchNorm) -> Any:
    """Return a torch.nn.BatchNorm1d."""
    settings = {"eps": layer.epsilon, "momentum": layer.momentum, "dtype": _dtype(torch, layer)}
    module = torch.nn.BatchNorm1d(layer.in_features, **settings)
    arrays = layer.gamma, layer.beta, layer.running_mean, layer.running_variance
    tensors = module.weight, module.bias, module.running_mean, module.running_var
    with torch.no_grad():
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.copy_(torch.from_numpy(array))
    return module


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


def _dtype(torch: Any, layer: Layer) -> Any:
    return torch.float32 if layer.dtype == np.float32 else torch.float64
