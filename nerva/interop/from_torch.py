"""Networks from PyTorch, weight for weight: masked layers become sparse ones at the positions of the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.interop.torch import activation_modules, require_torch
from nerva.layers import LEAKY_SLOPE, Affine, Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.topology.supports import from_mask


class _Found(NamedTuple):
    """One linear layer as PyTorch has it: its name for errors, tensors or None, and the activation behind it."""

    name: str
    weight: Any
    mask: Any
    bias: Any
    activation: str


def from_torch(source: Any, *, masks: Sequence[Any] | None = None, activation: str = "relu") -> Sequential:
    """Return the network of a PyTorch module or of its state_dict, with copies of its weights.

    A layer becomes a SparseLinear at the positions of its mask, zeros there included: the mask given, or that of
    torch.nn.utils.prune, or the pattern of a weight that is a sparse tensor; without any, at its non-zeros. Where these
    are all positions, it becomes a Linear. No sparse tensor is made dense.

    Parameters
    ----------
    source : torch.nn.Linear, or torch.nn.Sequential, nested or not, of those and of ReLU, LeakyReLU(0.01), Tanh,
        Sigmoid, Identity and, at the start, Flatten; or a state_dict with the weights in the order of the layers
    masks : for each linear layer a matrix (K, D) of 0 and 1, a tensor or an array, or None
    activation : of all layers but the last, for a state_dict, which does not tell

    Raises TypeError or ValueError, which name the module or the key, for what nerva does not have and for values that
    are not finite or neither float32 nor float64; ImportError without PyTorch.
    """
    torch = require_torch("from_torch")
    if isinstance(source, torch.nn.Module):
        found = _of_module(torch, source)
    elif isinstance(source, Mapping):
        found = _of_state(source, activation)
    else:
        raise TypeError(f"source is {type(source).__name__}; it must be a torch.nn.Module or a state_dict")
    if not found:
        raise ValueError("source holds no linear layer; a network needs at least one")
    if masks is not None:
        if isinstance(masks, (str, bytes)) or not isinstance(masks, Sequence):
            raise TypeError(f"masks is {type(masks).__name__}; it must be a list of one mask, or None, a linear layer")
        if len(masks) != len(found):
            raise ValueError(f"masks has {len(masks)} entries; there are {len(found)} linear layers")
        found = [_with_mask(layer, mask, i) for i, (layer, mask) in enumerate(zip(found, masks, strict=True))]
    return Sequential([_layer(torch, layer) for layer in found])


# ---- what PyTorch holds


def _of_module(torch: Any, source: Any) -> list[_Found]:
    """Return the linear layers of a module; raise TypeError or ValueError for what is in no nerva network."""
    nn, activations = torch.nn, activation_modules(torch)
    found: list[_Found] = []
    seen: set[int] = set()
    for name, module in _leaves(nn, source, "source"):
        kind = type(module)
        _check_hooks(torch, module, name)
        if isinstance(module, nn.Linear) and kind.forward is nn.Linear.forward:
            if id(module) in seen:
                raise ValueError(f"{name} stands in the network twice; nerva's layers do not share weights")
            seen.add(id(module))
            # `weight` of a pruned module is the product of its last forward pass; `weight_orig` is what is trained.
            pruned = dict(module.named_buffers(recurse=False))
            weight, bias = getattr(module, "weight_orig", module.weight), getattr(module, "bias_orig", module.bias)
            bias = bias * pruned["bias_mask"] if "bias_mask" in pruned else bias
            found.append(_Found(name, weight, pruned.get("weight_mask"), bias, "identity"))
        elif kind is nn.Flatten and not found and (module.start_dim, module.end_dim) == (1, -1):
            continue
        elif kind not in activations:
            raise TypeError(
                f"{name} is {kind.__name__}; from_torch takes Sequential, Linear, Flatten at the start, "
                f"{', '.join(one.__name__ for one in activations)}"
            )
        elif kind is not nn.Identity:
            if kind is nn.LeakyReLU and module.negative_slope != LEAKY_SLOPE:
                raise ValueError(f"{name} has slope {module.negative_slope}; nerva's leaky_relu has {LEAKY_SLOPE}")
            if not found or found[-1].activation != "identity":
                raise ValueError(f"{name}, a {kind.__name__}, does not follow a Linear; nerva's activations do")
            found[-1] = found[-1]._replace(activation=activations[kind])
    return found


def _leaves(nn: Any, module: Any, name: str) -> list[tuple[str, Any]]:
    """Return the modules in the order they are applied, each with its name, those within a Sequential in its place."""
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return [(name, module)]
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{name} has forward hooks; from_torch cannot tell what they do")
    return [leaf for i, inner in enumerate(module) for leaf in _leaves(nn, inner, f"{name}[{i}]")]


def _check_hooks(torch: Any, module: Any, name: str) -> None:
    """Raise ValueError for forward hooks other than those of torch.nn.utils.prune."""
    method = torch.nn.utils.prune.BasePruningMethod
    strange = [hook for hook in module._forward_pre_hooks.values() if not isinstance(hook, method)]
    if strange or module._forward_hooks:
        raise ValueError(f"{name} has forward hooks; from_torch cannot tell what they do")


def _of_state(state: Mapping[Any, Any], activation: str) -> list[_Found]:
    """Return the linear layers of a state_dict, each with this activation but the last."""
    layers: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        prefix, _, name = str(key).rpartition(".")
        if name not in ("weight", "weight_orig", "weight_mask", "bias", "bias_orig", "bias_mask"):
            raise ValueError(f"source has the key {key!r}; weights and biases of linear layers are all it may hold")
        layers.setdefault(prefix, {})[name] = tensor
    found = []
    for prefix, parts in layers.items():
        name = f"source[{prefix!r}]"
        for one in ("weight", "bias"):
            if (f"{one}_orig" in parts) != (f"{one}_mask" in parts) or {one, f"{one}_orig"} <= parts.keys():
                raise ValueError(f"{name} holds {', '.join(parts)}; {one}_orig and {one}_mask stand for {one} together")
        weight, bias = parts.get("weight", parts.get("weight_orig")), parts.get("bias", parts.get("bias_orig"))
        if weight is None:
            raise ValueError(f"{name} holds {', '.join(parts)}; its weight is missing")
        bias = bias * parts["bias_mask"] if "bias_mask" in parts else bias
        found.append(_Found(name, weight, parts.get("weight_mask"), bias, activation))
    return found[:-1] + [last._replace(activation="identity") for last in found[-1:]]


def _with_mask(layer: _Found, mask: Any, i: int) -> _Found:
    if mask is not None and layer.mask is not None:
        raise ValueError(f"masks[{i}] must be None: {layer.name} is pruned and has its own mask")
    return layer if mask is None else layer._replace(mask=mask)


# ---- nerva's layers of it


def _layer(torch: Any, found: _Found) -> Affine:
    name, activation = found.name, found.activation
    weight = _tensor(torch, found.weight, f"the weight of {name}")
    bias = None if found.bias is None else _values(torch, found.bias, f"the bias of {name}")
    W = _weight(torch, weight, found)
    K = W.shape[0]
    if bias is not None and (bias.shape != (K,) or bias.dtype != W.dtype):
        raise ValueError(f"the bias of {name} is {bias.dtype} {bias.shape}; it must be {W.dtype} {(K,)}")
    kind: type[Affine] = SparseLinear if isinstance(W, CSR) else Linear
    return kind.from_weight(W, bias, activation=activation)


def _weight(torch: Any, weight: Any, found: _Found) -> CSR | Array:
    """Return the weights as CSR, or as an array where none is masked or 0."""
    name = found.name
    if weight.ndim != 2:
        raise ValueError(f"the weight of {name} has shape {tuple(weight.shape)}; it must be (K, D)")
    if weight.layout is not torch.strided:
        if found.mask is not None:
            raise ValueError(f"the weight of {name} is sparse, so there must be no mask: it has its own pattern")
        if weight.layout not in (torch.sparse_csr, torch.sparse_coo):
            raise TypeError(f"the weight of {name} has layout {weight.layout}; it must be strided, sparse_csr or _coo")
        return _csr(torch, weight, name)
    W = _values(torch, weight, f"the weight of {name}")
    keep = W != 0 if found.mask is None else _mask(torch, found.mask, W.shape, name)
    return W if keep.all() else CSR(W.shape, *from_mask(keep), W[keep])


def _tensor(torch: Any, tensor: Any, name: str) -> Any:
    """Return the tensor on the CPU, detached; raise TypeError or ValueError unless it is float32 or float64."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} is {type(tensor).__name__}; it must be a torch.Tensor")
    if tensor.is_meta or isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise ValueError(f"{name} has no numbers yet")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} has dtype {tensor.dtype}; it must be float32 or float64")
    return tensor.detach().cpu()


def _values(torch: Any, tensor: Any, name: str) -> Array:
    array: Array = _tensor(torch, tensor, name).numpy()
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinities")
    return array


def _mask(torch: Any, mask: Any, shape: tuple[int, ...], name: str) -> Array:
    keep = mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    if keep.shape != shape:
        raise ValueError(f"the mask of {name} has shape {keep.shape}; its weight has {shape}")
    if keep.dtype.kind not in "biuf" or not ((keep == 0) | (keep == 1)).all():
        raise ValueError(f"the mask of {name} holds other numbers than 0 and 1")
    positions: Array = keep != 0
    return positions


def _csr(torch: Any, weight: Any, name: str) -> CSR:
    if weight.layout is torch.sparse_coo:
        weight = weight.coalesce()
        rows, indices = weight.indices().numpy()
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=weight.shape[0]))])
    else:
        indptr, indices = weight.crow_indices().numpy(), weight.col_indices().numpy()
    return CSR(tuple(weight.shape), indptr, indices, _values(torch, weight.values(), f"the weight of {name}"))
