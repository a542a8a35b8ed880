"""The products of a sparse layer as operators of PyTorch: for autograd, torch.compile and torch.export.

A batch is (N, features) here as everywhere in PyTorch, and lies in memory as the kernels want it, (features, N), with
strides (1, at least N): what an operator returns has these strides, elementwise functions of PyTorch keep them, and so
only the first layer of a network copies its batch.
"""

from typing import Any

import numpy as np
from torch import Tensor, library

from nerva._kernels import products
from nerva._kernels.activations import activation_backward
from nerva._kernels.batches import gather
from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.operations import IDENTITY
from nerva.torch.pattern import Factors, pattern_of


def lies_features_first(x: Tensor) -> bool:
    """Whether the kernels take a batch (N, D) as it lies in memory."""
    N = x.shape[0]
    return bool(N <= 1 or (x.stride(0) == 1 and x.stride(1) >= N))


def _empty(like: Tensor, batch: int, features: int) -> Tensor:
    """Return an uninitialised batch (N, features) with the strides of nerva._kernels.memory.empty_batch."""
    per_line = 64 // like.element_size()
    stride = 1 if batch == 1 else -(-max(batch, 1) // per_line) * per_line
    if stride * like.element_size() % 1024 == 0:
        stride += per_line
    return like.new_empty_strided((batch, features), (1, stride))


def _array(x: Tensor) -> Array:
    """Return a batch (N, features) as an array (features, N) for the kernels, a copy only where it must be one."""
    x = x.detach()
    N, features = x.shape
    if N == 1:
        return np.asarray(x.contiguous().view(features, 1).numpy())
    if lies_features_first(x):
        return np.asarray(x.t().numpy())
    out = empty_batch(features, N, x.numpy().dtype)
    _transpose(x, out)
    return out


def _transpose(x: Tensor, out: Array) -> None:
    """Copy a batch (N, features) to an array (features, N)."""
    rows = x if x.stride(1) == 1 and x.stride(0) >= x.shape[1] else x.contiguous()
    gather(rows.detach().numpy(), np.arange(len(x)), out)


def copied(x: Tensor) -> Tensor:
    """Return a copy of a batch (N, D) that lies in memory as the kernels want it."""
    out = _empty(x, *x.shape)
    if x.numel():
        _transpose(x, out.t().numpy() if len(x) > 1 else out.reshape(-1, 1).numpy())
    return out


features_first = library.custom_op("nerva::features_first", mutates_args=(), device_types="cpu")(copied)


@features_first.register_fake
def _(x: Tensor) -> Tensor:
    return _empty(x, *x.shape)


def _features_first_backward(ctx: Any, gradient: Tensor) -> Tensor:
    return gradient


features_first.register_autograd(_features_first_backward)


def multiplied(x: Tensor, values: Tensor, indptr: Tensor, indices: Tensor, bias: Tensor | None) -> Tensor:
    """Return x W' + b, (N, K), for x (N, D), W (K, D) in CSR and b (K,)."""
    y = _empty(x, len(x), len(indptr) - 1)
    b = None if bias is None else bias.detach().contiguous().numpy()
    pattern = pattern_of(indptr, indices, x.shape[1])
    if len(x):
        X, Y = _array(x), _array(y)
        with pattern.lock:
            W = pattern.matrix(values.detach().numpy())
            products.spmm(W, X, Y, b, *IDENTITY, pattern.choice(len(x), W).forward)
    return y


sparse_linear = library.custom_op("nerva::sparse_linear", mutates_args=(), device_types="cpu")(multiplied)


@sparse_linear.register_fake
def _(x: Tensor, values: Tensor, indptr: Tensor, indices: Tensor, bias: Tensor | None) -> Tensor:
    return _empty(x, x.shape[0], indptr.shape[0] - 1)


def gradients(
    gradient: Tensor,
    x: Tensor,
    values: Tensor,
    indptr: Tensor,
    indices: Tensor,
    needs_x: bool,
    needs_values: bool,
    needs_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, values and bias, for that of the output, (N, K); what is not needed is empty."""
    N, D = x.shape
    dx = _empty(x, N, D) if needs_x else x.new_empty(0)
    dv = values.new_empty(values.shape if needs_values else 0)
    db = x.new_zeros(gradient.shape[1]) if needs_bias else x.new_empty(0)
    pattern = pattern_of(indptr, indices, D)
    if N == 0:
        return dx, dv.zero_(), db
    X, DZ = _array(x), _array(gradient)
    if needs_bias:
        activation_backward(DZ, DZ, *IDENTITY, DZ, db.numpy())
    with pattern.lock:
        W = pattern.matrix(values.detach().numpy())
        choice = pattern.choice(N, W)
        if needs_values:
            products.sddmm(W, DZ, X, dv.numpy(), choice.weight_gradient)
        if needs_x:
            products.spmm_t(W, DZ, _array(dx), choice.input_gradient)
        if pattern.factors is not None:
            pattern.factors.append(factors(x, gradient))
    return dx, dv, db


def factors(x: Tensor, gradient: Tensor) -> Factors:
    """Return copies of the inputs and the gradient by the outputs: PyTorch may go on with the memory of either."""
    return Factors(_array(x).copy(), _array(gradient).copy())


sparse_linear_backward = library.custom_op("nerva::sparse_linear_backward", mutates_args=(), device_types="cpu")(
    gradients
)


@sparse_linear_backward.register_fake
def _(
    gradient: Tensor,
    x: Tensor,
    values: Tensor,
    indptr: Tensor,
    indices: Tensor,
    needs_x: bool,
    needs_values: bool,
    needs_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dx = _empty(x, *x.shape) if needs_x else x.new_empty(0)
    dv = values.new_empty(values.shape if needs_values else 0)
    return dx, dv, x.new_empty(gradient.shape[1] if needs_bias else 0)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    needs = [ctx.needs_input_grad[i] for i in (0, 1, 4)]
    found = sparse_linear_backward(gradient, *ctx.saved_tensors, *needs)
    dx, dv, db = (each if needed else None for each, needed in zip(found, needs, strict=True))
    return dx, dv, None, None, db


def _no_second_backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    raise RuntimeError(
        "a second derivative through nerva.torch.SparseLinear was asked for (create_graph=True); it has none"
    )


sparse_linear.register_autograd(_backward, setup_context=_keep)
sparse_linear_backward.register_autograd(_no_second_backward)
