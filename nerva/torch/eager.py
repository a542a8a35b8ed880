"""The pass of a sparse layer where only autograd looks on: without the dispatcher, which costs as much as a product.

Compilers, exporters, modes, transforms and subclasses of tensors see registered operators. Where there is
none of them, the functions behind these are called as they are, by an autograd function.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from nerva.torch import operators

PLAIN = (Tensor, torch.nn.Parameter)


def _always() -> bool:
    return True


# Of PyTorch's inside; in a version that lacks one of them every pass takes the operators.
_modes = getattr(torch._C, "_len_torch_dispatch_stack", _always)
_transforms = getattr(torch._C, "_are_functorch_transforms_active", _always)
_traces = getattr(torch._C, "_get_tracing_state", _always)


def is_plain(*tensors: Tensor) -> bool:
    """Return whether only autograd looks on: no compiler, mode, transform, tracer, subclass or other device."""
    return not (
        torch.compiler.is_compiling()
        or any(type(tensor) not in PLAIN or not tensor.is_cpu for tensor in tensors)
        or torch.overrides.has_torch_function(tensors)  # also where there is a mode
        or _modes()
        or _transforms()
        or _traces() is not None
        or getattr(forward_ad, "_current_level", 0) >= 0
    )


class Product(torch.autograd.Function):
    """x W' + b, (N, K), for x (N, D) in any layout, W (K, D) in CSR and b (K,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, indptr: Tensor, indices: Tensor, bias: Tensor | None) -> Tensor:
        """Return the product, features first in memory."""
        rows = x if operators.lies_features_first(x) else operators.copied(x)
        ctx.save_for_backward(rows, values, indptr, indices)
        return operators.multiplied(rows, values, indptr, indices, bias)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that are needed, by the operator, which refuses to be derived, where they may be."""
        saved, needs = ctx.saved_tensors, [ctx.needs_input_grad[i] for i in (0, 1, 4)]
        plain = not torch.is_grad_enabled() and is_plain(*outputs, *saved)
        product = operators.gradients if plain else operators.sparse_linear_backward
        found = product(*outputs, *saved, *needs)
        dx, dv, db = (each if needed else None for each, needed in zip(found, needs, strict=True))
        return dx, dv, None, None, db


def multiply(x: Tensor, values: Tensor, indptr: Tensor, indices: Tensor, bias: Tensor | None) -> Tensor:
    """Return x W' + b by whichever way sees all who look on."""
    given = x, values, indptr, indices
    if is_plain(*given) if bias is None else is_plain(*given, bias):
        result: Tensor = Product.apply(*given, bias)
        return result
    rows = x if operators.lies_features_first(x) else operators.features_first(x)
    result = operators.sparse_linear(rows, values, indptr, indices, bias)
    return result
