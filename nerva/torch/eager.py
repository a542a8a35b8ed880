"""The pass of sparse layers where only autograd looks on: without the dispatcher, which costs as much as a product.

Compilers, exporters, modes, transforms and subclasses of tensors see registered operators. Where there is none of them,
one call of nerva._kernels.chain does the pass, of a layer or of several with activations between them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.chain import Chain
from nerva._kernels.operations import IDENTITY, Code
from nerva.torch import operators
from nerva.torch.pattern import Pattern, pattern_of

PLAIN = (Tensor, torch.nn.Parameter)


def _always() -> bool:
    return True


# Of PyTorch's inside; in a version that lacks one of them every pass takes the operators.
_modes = getattr(torch._C, "_len_torch_dispatch_stack", _always)
_transforms = getattr(torch._C, "_are_functorch_transforms_active", _always)
_traces = getattr(torch._C, "_get_tracing_state", _always)


def is_plain(*tensors: Tensor | None) -> bool:
    """Return whether only autograd looks on: no compiler, mode, transform, tracer, subclass or other device."""
    if torch.compiler.is_compiling():
        return False
    for tensor in tensors:
        if tensor is not None and (type(tensor) not in PLAIN or not tensor.is_cpu or tensor.is_neg()):
            return False
    return not (
        torch.overrides.has_torch_function(tensors)  # also where there is a mode
        or _modes()
        or _transforms()
        or _traces() is not None
        or getattr(forward_ad, "_current_level", 0) >= 0
    )


class Layers(NamedTuple):
    """Layers of a pass, and the tensors of each pattern; `activations` has the code of each."""

    chain: Chain
    patterns: tuple[Pattern, ...]
    parts: tuple[tuple[Tensor, Tensor], ...]
    activations: tuple[Code, ...]


class Pass(torch.autograd.Function):
    """f(x W' + b), (N, K), for x (N, D) in any layout, of one layer after another."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Layers, *parameters: Tensor | None) -> Tensor:
        """Return the outputs, features first in memory; the values of all layers come before all biases."""
        count = len(layers.patterns)
        values = parameters[:count]
        y: Tensor
        y, rows, tape = layers.chain.forward(x, values, parameters[count:])
        ctx.save_for_backward(rows, tape, y if layers.chain.reads_outputs else None, *values)
        ctx.layers, ctx.biases = layers, parameters[count:]
        return y

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that are needed, by the operators, which refuse to be derived, where they may be."""
        (gradient,), (rows, tape, y, *values) = outputs, ctx.saved_tensors
        layers, needs = ctx.layers, ctx.needs_input_grad
        if torch.is_grad_enabled() or not is_plain(gradient, rows, tape, *values):
            return _by_operators(ctx, gradient)
        count = len(values)
        dx, dv, db, _ = layers.chain.backward(
            gradient, rows, tape, y, values, needs[0], needs[2 : 2 + count], needs[2 + count :]
        )
        if layers.patterns[0].factors is not None and count == 1:
            X = rows if rows is not None else layers.chain.between_layers(tape, len(gradient), True, 0)
            layers.patterns[0].factors.append(operators.factors(X, gradient))
        return dx, None, *dv, *db


def _by_operators(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of a pass by operators; of several layers, whose tape these cannot read, by new passes."""
    rows, tape, _, *values = ctx.saved_tensors
    layers, needs, create = ctx.layers, ctx.needs_input_grad, torch.is_grad_enabled()
    if rows is None:
        rows = layers.chain.between_layers(tape, len(gradient), True, 0)
    if layers.activations == (IDENTITY,):
        wanted = needs[0], needs[2], needs[3]
        found = operators.sparse_linear_backward(gradient, rows, *values, *layers.parts[0], *wanted)
        dx, *rest = (each if needed else None for each, needed in zip(found, wanted, strict=True))
        return dx, None, *rest
    with torch.enable_grad():
        x = y = rows.detach().requires_grad_(needs[0])
        biases = [None if bias is None else bias.detach().requires_grad_() for bias in ctx.biases]
        for (indptr, indices), code, v, b in zip(layers.parts, layers.activations, values, biases, strict=True):
            y = _function(code)(operators.sparse_linear(y, v, indptr, indices, b))
        inputs = [t for t, needed in zip([x, *values, *biases], [needs[0], *needs[2:]], strict=True) if needed]
        each_found = iter(torch.autograd.grad(y, inputs, gradient, create_graph=create))
    dx, *rest = (next(each_found) if needed else None for needed in (needs[0], *needs[2:]))
    return dx, None, *rest


def _function(code: Code) -> Callable[[Tensor], Tensor]:
    """Return PyTorch's function of an activation."""
    activation, alpha = code
    functions: dict[int, Callable[[Tensor], Tensor]] = {
        ACTIVATIONS["identity"]: lambda z: z,
        ACTIVATIONS["relu"]: torch.relu,
        ACTIVATIONS["leaky_relu"]: lambda z: torch.nn.functional.leaky_relu(z, alpha),
        ACTIVATIONS["tanh"]: torch.tanh,
        ACTIVATIONS["sigmoid"]: torch.sigmoid,
    }
    return functions[activation]


class Product(torch.autograd.Function):
    """x W' + b of one layer by the backends that cost least, where these are not nerva's own products."""

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


def fits(x: Tensor, values: Tensor, bias: Tensor | None) -> bool:
    """Return whether the kernels take such tensors by their addresses."""
    return (
        x.dtype is values.dtype
        and values.is_contiguous()
        and (bias is None or (bias.dtype is x.dtype and bias.dim() == 1 and bias.is_contiguous()))
    )


def multiply(x: Tensor, values: Tensor, indptr: Tensor, indices: Tensor, bias: Tensor | None) -> Tensor:
    """Return x W' + b by whichever way sees all who look on."""
    result: Tensor
    if is_plain(x, values, indptr, indices, bias):
        pattern = pattern_of(indptr, indices, x.size(1))
        chain = pattern.chain(x.size(0), x.dtype) if fits(x, values, bias) else None
        if chain is None:
            result = Product.apply(x, values, indptr, indices, bias)
        elif torch.is_grad_enabled():
            layers = Layers(chain, (pattern,), ((indptr, indices),), (IDENTITY,))
            result = Pass.apply(x, layers, values, bias)
        else:
            result = chain.forward(x, (values,), (bias,))[0]
        return result
    rows = x if operators.lies_features_first(x) else operators.features_first(x)
    result = operators.sparse_linear(rows, values, indptr, indices, bias)
    return result
