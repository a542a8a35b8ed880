"""Networks from PyTorch, and to it: weights exactly, masks as patterns."""

from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva.layers import LEAKY_SLOPE, Linear, SparseLinear
from nerva.network import Sequential
from nerva.parameters import Array
from nerva.supports import from_mask


def from_torch(source: Any, *, activation: str = "relu", keep_zeros: bool = False) -> Sequential:
    """Return the network of a PyTorch module, or of a state_dict of one.

    Parameters
    ----------
    source : torch.nn.Linear, or torch.nn.Sequential of Linear, ReLU, LeakyReLU(0.01), Tanh, Sigmoid, Flatten, Identity
        and Dropout (which is left out), nested or not; or a state_dict with "...weight" (K, D) and "...bias" (K,).
        Modules pruned by torch.nn.utils.prune bring their mask: its positions are the weights, zero or not. Without a
        mask the non-zeros are; a layer without a zero is dense
    activation : of all layers but the last, for a state_dict, which does not tell
    keep_zeros : make every layer that has no mask dense, whatever zeros it holds

    Weights are copied, exactly; those of bfloat16 and half precision become float32. Raises ImportError without
    PyTorch, TypeError for another module, ValueError where shapes or numbers do not fit.
    """
    torch = _torch()
    if isinstance(source, torch.nn.Module):
        parts = _from_modules(torch, source)
    elif isinstance(source, dict):
        parts = _from_state(source, activation)
    else:
        raise TypeError(f"source is {type(source).__name__}; it must be a torch.nn.Module or a state_dict")
    if not parts:
        raise ValueError("source holds no linear layer")
    layers: list[Linear | SparseLinear] = []
    for name, weight, mask, bias, f in parts:
        W = _numbers(weight, f"{name}weight", 2)
        K, D = W.shape
        b = None if bias is None else _numbers(bias, f"{name}bias", 1).astype(W.dtype)
        layer: Linear | SparseLinear
        if mask is None and (keep_zeros or W.all()):
            layer = Linear(D, K, activation=f, init="zeros", bias=b is not None, dtype=W.dtype)
            layer.weight = W
        else:
            indptr, indices = from_mask(W if mask is None else _numbers(mask, f"{name}weight_mask", 2))
            rows = np.repeat(np.arange(K), np.diff(indptr))
            csr = CSR((K, D), indptr, indices, W[rows, indices])
            layer = SparseLinear(D, K, weight=csr, activation=f, bias=b is not None)
        if b is not None:
            layer.bias = b
        layers.append(layer)
    return Sequential(layers)


def to_torch(model: Sequential, *, prune: bool = True) -> Any:
    """Return a torch.nn.Sequential with the same weights, dense, and the same outputs.

    With `prune`, sparse layers are masked by torch.nn.utils.prune.custom_from_mask, so that training in PyTorch keeps
    the pattern; without, they are dense matrices with zeros.

    Raises ImportError without PyTorch, TypeError for a layer that has no counterpart.
    """
    torch = _torch()
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    nn = torch.nn
    activations = {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
    }
    modules: list[Any] = []
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, (Linear, SparseLinear)) or layer.activation not in {"identity", *activations}:
            raise TypeError(f"model.layers[{i}] is {layer!r}, which has no counterpart in PyTorch here")
        linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        linear = linear.to(getattr(torch, layer.dtype.name))
        W = layer.weight.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.array(W)))
            if layer.bias is not None:
                linear.bias.copy_(torch.from_numpy(np.array(layer.bias)))
        if prune and isinstance(layer, SparseLinear):
            mask = CSR(layer.weight.shape, layer.weight.indptr, layer.weight.indices, np.ones_like(layer.weight.values))
            torch.nn.utils.prune.custom_from_mask(linear, "weight", torch.from_numpy(mask.to_dense()))
        modules.append(linear)
        if layer.activation != "identity":
            modules.append(activations[layer.activation]())
    return nn.Sequential(*modules)


Part = tuple[str, Any, Any, Any, str]  # name, weight, mask, bias, activation


def _torch() -> Any:
    try:
        import torch
        import torch.nn.utils.prune
    except ImportError as error:
        raise ImportError("this needs PyTorch: pip install 'nerva-sparse[torch]'") from error
    return torch


def _from_modules(torch: Any, module: Any) -> list[Part]:
    nn, parts = torch.nn, list[Part]()
    names = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
    linear = True  # nothing stands between the last linear layer and what comes
    for name, leaf in module.named_modules():
        if isinstance(leaf, nn.Sequential) or type(leaf) in (nn.Identity, nn.Flatten, nn.Dropout):
            continue
        if type(leaf) is nn.Linear:
            pruned = hasattr(leaf, "weight_mask")
            weight, mask = (leaf.weight_orig, leaf.weight_mask) if pruned else (leaf.weight, None)
            parts.append((f"{name}." if name else "", weight, mask, leaf.bias, "identity"))
            linear = True
            continue
        leaky = type(leaf) is nn.LeakyReLU and leaf.negative_slope == LEAKY_SLOPE
        if (type(leaf) not in names and not leaky) or not parts or not linear:
            raise TypeError(
                f"{name or 'source'} is {leaf!r}; what is known here are linear layers and their activations"
            )
        parts[-1] = (*parts[-1][:4], "leaky_relu" if leaky else names[type(leaf)])
        linear = False
    return parts


def _from_state(state: dict[str, Any], activation: str) -> list[Part]:
    parts = []
    for key, value in state.items():
        if key.endswith("weight_orig"):
            stem = key.removesuffix("weight_orig")
            parts.append((stem, value, state.get(f"{stem}weight_mask"), state.get(f"{stem}bias"), activation))
        elif key.endswith("weight"):
            stem = key.removesuffix("weight")
            parts.append((stem, value, None, state.get(f"{stem}bias"), activation))
        elif not key.endswith(("bias", "weight_mask")):
            raise ValueError(f"source holds {key!r}; a state_dict of linear layers holds weights and biases")
    if parts:
        parts[-1] = (*parts[-1][:4], "identity")
    return parts


def _numbers(tensor: Any, name: str, dimensions: int) -> Array:
    tensor = tensor.detach().cpu()
    if not tensor.dtype.is_floating_point:
        tensor = tensor.float()
    array: Array = (tensor if tensor.element_size() >= 4 else tensor.float()).numpy()
    if array.ndim != dimensions:
        raise ValueError(f"{name} has shape {array.shape}; it must have {dimensions} dimension{'s' * (dimensions > 1)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return array
