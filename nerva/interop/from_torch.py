"""Networks from PyTorch, weight for weight: masked layers become sparse ones at the positions of the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.interop.torch import IDENTITY, MODULES, Function, function_of_module, require_torch, sparse_weight
from nerva.layers import Activation, Affine, BatchNorm, Dropout, Layer, Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.topology.supports import from_mask


class _Linear(NamedTuple):
    """One linear layer as PyTorch has it: its name for errors, tensors or None, and the activation behind it."""

    name: str
    weight: Any
    mask: Any
    bias: Any
    function: Function = IDENTITY


class _Norm(NamedTuple):
    """One batch normalization as PyTorch has it."""

    name: str
    module: Any
    function: Function = IDENTITY


class _Other(NamedTuple):
    """A layer of nerva's that holds no tensors."""

    layer: Layer
    function: Function = IDENTITY


_Found = _Linear | _Norm | _Other


def from_torch(source: Any, *, masks: Sequence[Any] | None = None, activation: str = "relu") -> Sequential:
    """Return the network of a PyTorch module or of its state_dict, with copies of its weights.

    A linear layer becomes a SparseLinear at the positions of its mask, zeros there included: the mask given, or that of
    torch.nn.utils.prune, or the pattern of a weight that is a sparse tensor; without any, at its non-zeros. Where these
    are all positions, it becomes a Linear. No sparse tensor is made dense.

    Parameters
    ----------
    source : torch.nn.Linear, or torch.nn.Sequential, nested or not, of those and of nerva.torch.SparseLinear,
        BatchNorm1d, Dropout, ReLU, LeakyReLU, Threshold, Tanh, Sigmoid, SiLU, GELU, Softmax, LogSoftmax,
        nerva.torch.SReLU, Identity and, at the start, Flatten; or a state_dict with the weights of linear layers, in
        their order
    masks : for each linear layer a matrix (K, D) of 0 and 1, a tensor or an array, or None
    activation : of all layers but the last, for a state_dict, which does not tell

    Raises TypeError or ValueError, which name the module or the key, for what nerva does not have and for values that
    are not finite or neither float32 nor float64; ImportError without PyTorch.
    """
    torch = require_torch("from_torch")
    if isinstance(source, torch.nn.Module):
        found = _of_module(torch, source)
    elif isinstance(source, Mapping):
        found = [*_of_state(source, activation)]
    else:
        raise TypeError(f"source is {type(source).__name__}; it must be a torch.nn.Module or a state_dict")
    linear = [layer for layer in found if isinstance(layer, _Linear)]
    if not linear:
        raise ValueError("source holds no linear layer; a network needs at least one")
    if masks is not None:
        if isinstance(masks, (str, bytes)) or not isinstance(masks, Sequence):
            raise TypeError(f"masks is {type(masks).__name__}; it must be a list of one mask, or None, a linear layer")
        if len(masks) != len(linear):
            raise ValueError(f"masks has {len(masks)} entries; there are {len(linear)} linear layers")
        masked = iter([_with_mask(layer, mask, i) for i, (layer, mask) in enumerate(zip(linear, masks, strict=True))])
        found = [next(masked) if isinstance(layer, _Linear) else layer for layer in found]
    model = Sequential([_layer(torch, layer) for layer in found])
    for layer, made in zip(found, model.layers, strict=True):
        _set_numbers(made, layer.function.numbers)
    return model


# ---- what PyTorch holds


def _of_module(torch: Any, source: Any) -> list[_Found]:
    """Return the layers of a module; raise TypeError or ValueError for what is in no nerva network."""
    nn = torch.nn
    dtype = np.dtype(np.float64 if any(one.dtype == torch.float64 for one in source.parameters()) else np.float32)
    found: list[_Found] = []
    seen: set[int] = set()
    for name, module in _leaves(nn, source, "source"):
        kind = type(module)
        _check_hooks(torch, module, name)
        if [*module.parameters()] and id(module) in seen:
            raise ValueError(f"{name} stands in the network twice; nerva's layers do not share weights")
        seen.add(id(module))
        if isinstance(module, nn.Linear) and kind.forward is nn.Linear.forward:
            # `weight` of a pruned module is the product of its last forward pass; `weight_orig` is what is trained.
            pruned = dict(module.named_buffers(recurse=False))
            weight, bias = getattr(module, "weight_orig", module.weight), getattr(module, "bias_orig", module.bias)
            bias = bias * pruned["bias_mask"] if "bias_mask" in pruned else bias
            found.append(_Linear(name, weight, pruned.get("weight_mask"), bias))
        elif kind.__module__ == "nerva.torch.linear":
            found.append(_Linear(name, sparse_weight(torch, module), None, module.bias))
        elif kind is nn.BatchNorm1d:
            found.append(_Norm(name, module))
        elif kind is nn.Dropout:
            if module.p >= 1:
                raise ValueError(f"{name} has p {module.p}; it must be below 1")
            found.append(_Other(Dropout(module.p)))
        elif not (kind is nn.Flatten and not found and (module.start_dim, module.end_dim) == (1, -1)):
            _append(found, _function(torch, name, module, dtype))
    return found


def _function(torch: Any, name: str, module: Any, dtype: np.dtype[Any]) -> Function:
    """Return the activation that a module is; raise TypeError for any other module."""
    function = function_of_module(torch, name, module, dtype)
    if function is None:
        raise TypeError(
            f"{name} is {type(module).__name__}; from_torch takes Sequential, Linear, nerva.torch.SparseLinear, "
            f"BatchNorm1d, Dropout, Flatten at the start, {', '.join(MODULES)}"
        )
    if function.numbers is not None and not np.isfinite(function.numbers).all():
        raise ValueError(f"{name} holds NaN or infinities")
    return function


def _append(found: list[_Found], function: Function) -> None:
    """Let an activation follow: as that of a layer that has none yet, or as a layer of its own."""
    if function.activation == "identity":
        return
    last = found[-1] if found else None
    if isinstance(last, (_Linear, _Norm)) and last.function == IDENTITY:
        found[-1] = last._replace(function=function)
    else:
        found.append(_Other(Activation(function.activation), function))


def _leaves(nn: Any, module: Any, name: str) -> list[tuple[str, Any]]:
    """Return the modules in the order they are applied, each with its name, those within a Sequential in its place."""
    forward = getattr(type(module).forward, "__module__", "")  # also where a subclass inherits it
    if not isinstance(module, nn.Sequential) or forward not in (nn.Sequential.__module__, "nerva.torch.sequential"):
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


def _of_state(state: Mapping[Any, Any], activation: str) -> list[_Linear]:
    """Return the linear layers of a state_dict, each with this activation but the last."""
    layers: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        prefix, _, name = str(key).rpartition(".")
        if name not in ("weight", "weight_orig", "weight_mask", "bias", "bias_orig", "bias_mask"):
            raise ValueError(
                f"source has the key {key!r}; a state_dict may hold weights and biases of linear layers alone, as it "
                "does not tell enough of others: pass the module"
            )
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
        found.append(_Linear(name, weight, parts.get("weight_mask"), bias, Function(activation)))
    return found[:-1] + [last._replace(function=IDENTITY) for last in found[-1:]]


def _with_mask(layer: _Linear, mask: Any, i: int) -> _Linear:
    if mask is not None and layer.mask is not None:
        raise ValueError(f"masks[{i}] must be None: {layer.name} is pruned and has its own mask")
    return layer if mask is None else layer._replace(mask=mask)


# ---- nerva's layers of it


def _layer(torch: Any, found: _Found) -> Layer:
    match found:
        case _Linear():
            return _linear(torch, found)
        case _Norm():
            return _norm(torch, found)
        case _Other(layer):
            return layer


def _linear(torch: Any, found: _Linear) -> Affine:
    name = found.name
    weight = _tensor(torch, found.weight, f"the weight of {name}")
    bias = None if found.bias is None else _values(torch, found.bias, f"the bias of {name}")
    W = _weight(torch, weight, found)
    K = W.shape[0]
    if bias is not None and (bias.shape != (K,) or bias.dtype != W.dtype):
        raise ValueError(f"the bias of {name} is {bias.dtype} {bias.shape}; it must be {W.dtype} {(K,)}")
    kind: type[Affine] = SparseLinear if isinstance(W, CSR) else Linear
    return kind.from_weight(W, bias, activation=found.function.activation)


def _norm(torch: Any, found: _Norm) -> BatchNorm:
    name, module, _ = found
    if module.running_mean is None or module.running_var is None:
        raise ValueError(f"{name} has no running statistics, which nerva's BatchNorm has")
    if module.momentum is None:
        raise ValueError(f"{name} has momentum None, for averages of all batches; nerva's BatchNorm takes a number")
    statistics = module.running_mean, module.running_var
    mean, variance = (_values(torch, one, f"a statistic of {name}") for one in statistics)
    settings = {"momentum": module.momentum, "epsilon": module.eps, "activation": found.function.activation}
    layer = BatchNorm(module.num_features, dtype=mean.dtype, **settings)
    layer.running_mean[:], layer.running_variance[:] = mean, variance
    if module.weight is not None:
        layer.gamma = _values(torch, module.weight, f"the weight of {name}")
    if module.bias is not None:
        layer.beta = _values(torch, module.bias, f"the bias of {name}")
    return layer


def _set_numbers(layer: Layer, numbers: Array | None) -> None:
    """Set the numbers of a layer's SReLU; raise ValueError where they are not of its features."""
    for parameter in layer.parameters() if numbers is not None else ():
        if numbers is not None and parameter.name == "srelu":
            if parameter.values.size != numbers.size:
                raise ValueError(f"an SReLU has {numbers.shape[1]} features; what it follows has {layer.out_features}")
            parameter.values[:] = numbers.reshape(-1)


def _weight(torch: Any, weight: Any, found: _Linear) -> CSR | Array:
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
