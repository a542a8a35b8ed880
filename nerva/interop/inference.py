"""A network as inference computes it, for exports: products, scales and functions in a row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.activations import GELU, Activation, AllReLU, LeakyReLU, SReLU, TReLU, as_object
from nerva.layers import LAYERS, Affine, BatchNorm, Dropout, Layer
from nerva.losses import CrossEntropy, LogisticCrossEntropy, Loss, NegativeLogLikelihood
from nerva.models.sequential import Sequential
from nerva.models.state import check_finite

# Functions by the names that a Function has: those of nerva.activations, but that an AllReLU is a leaky ReLU of its
# slope.
FUNCTIONS = (
    "relu", "leaky_relu", "trelu", "srelu", "tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "softmax", "log_softmax",
)  # fmt: skip


class Product(NamedTuple):
    """Z = W X + b of a layer by its number: W a CSR or an array (K, D), b an array (K,) or None."""

    layer: int
    weight: CSR | Array
    bias: Array | None


class Scale(NamedTuple):
    """Y = scale X + shift, feature by feature: batch normalization by the running statistics."""

    layer: int
    scale: Array
    shift: Array


class Function(NamedTuple):
    """Y = f(X): a name of FUNCTIONS, its slope or threshold, and the numbers of an SReLU, (4, 1) or (4, features)."""

    layer: int
    name: str
    parameter: float = 0.0
    numbers: Array | None = None


Step = Product | Scale | Function


def inference_steps(model: Sequential, *, proba: bool = False) -> list[Step]:
    """Return what inference computes, in order, on copies or the memory in use.

    Dropout and identities are left out, and a batch normalization behind a product is folded into its weights and
    bias. With `proba`, the last step gives what `predict_proba` does.

    Raises TypeError, which names the layer, for one that is not nerva's own and for a network with passes of its own,
    or, with `proba`, for a loss without probabilities; ValueError where a number is NaN or infinite.
    """
    check_exported(model)
    steps: list[Step] = []
    for i, layer in enumerate(model.layers):
        for step in _steps_of(i, layer):
            last = steps[-1] if steps else None
            if isinstance(step, Scale) and isinstance(last, Product) and (folded := _folded(last, step)) is not None:
                steps[-1] = folded
            else:
                steps.append(step)
    return with_probabilities(steps, model.loss) if proba else steps


def check_exported(model: Any) -> None:
    """Raise TypeError or ValueError, which says why, where a model cannot be exported."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    if type(model).forward is not Sequential.forward or "forward" in vars(model):
        raise TypeError(f"model is {type(model).__name__}, whose forward is not that of nerva.Sequential")
    for i, layer in enumerate(model.layers):
        if type(layer) not in LAYERS.values() or "forward" in vars(layer):
            own = " with a forward of its own" if type(layer) in LAYERS.values() else ""
            raise TypeError(f"model.layers[{i}] is {type(layer).__name__}{own}; it must be one of nerva's own layers")
    check_finite(model, "nothing is exported")


def scale_and_shift(layer: BatchNorm) -> tuple[Array, Array]:
    """Return scale and shift of a batch normalization in evaluation, float64 (features,)."""
    scale = layer.gamma / np.sqrt(layer.running_variance.astype(np.float64) + layer.epsilon)
    return scale, layer.beta - layer.running_mean * scale


def srelu_numbers(layer: Layer) -> Array | None:
    """Return t_l, a_l, t_r and a_r of a layer's SReLU, (4, 1) or (4, features); None where it has none."""
    found = [parameter.values for parameter in layer.parameters() if parameter.name == "srelu"]
    return found[0].reshape(4, -1) if found else None


def with_probabilities(steps: list[Step], loss: Loss) -> list[Step]:
    """Return steps behind which outputs are the probabilities that a loss takes them for; see `inference_steps`."""
    match loss:
        case CrossEntropy() | NegativeLogLikelihood(of="probabilities"):
            return steps
        case NegativeLogLikelihood():  # of log-probabilities: their softmax is their exponential
            rest = steps[:-1] if isinstance(steps[-1], Function) and steps[-1].name == "log_softmax" else steps
            return [*rest, Function(-1, "softmax")]
        case LogisticCrossEntropy():
            return [*steps, Function(-1, "sigmoid")]
    if type(loss).probabilities is not Loss.probabilities:
        raise TypeError(f"proba is True, but a network trained by {type(loss).__name__} has no probabilities to export")
    return [*steps, Function(-1, "softmax")]


# ---- layers


def _steps_of(i: int, layer: Layer) -> list[Step]:
    """Return the steps of one layer."""
    steps: list[Step] = []
    if isinstance(layer, Affine):
        steps.append(Product(i, layer.weight, layer.bias))
    elif isinstance(layer, BatchNorm):
        steps.append(Scale(i, *(part.astype(layer.dtype) for part in scale_and_shift(layer))))
    elif isinstance(layer, Dropout):
        return steps
    assert layer.activation is not None
    function = function_of(layer.activation)
    if function is not None:
        steps.append(Function(i, *function, srelu_numbers(layer)))
    return steps


def function_of(activation: Activation) -> tuple[str, float] | None:
    """Return an activation by its name in FUNCTIONS and its parameter, 0 where it has none; None for the identity."""
    match as_object(activation):
        case LeakyReLU(slope) | AllReLU(slope=slope):
            return "leaky_relu", slope
        case TReLU(epsilon):
            return "trelu", epsilon
        case GELU(tanh):
            return "gelu_tanh" if tanh else "gelu", 0.0
        case SReLU():
            return "srelu", 0.0
        case str(name) if name in FUNCTIONS:
            return name, 0.0
    return None


def _folded(product: Product, scale: Scale) -> Product | None:
    """Return a product whose outputs are those of the scale behind it; None where its weights would overflow."""
    W, factors, dtype = product.weight, scale.scale.astype(np.float64), scale.shift.dtype
    b = 0.0 if product.bias is None else product.bias
    with np.errstate(over="ignore"):
        bias = (b * factors + scale.shift).astype(dtype)
        if isinstance(W, CSR):
            values = (W.values * np.repeat(factors, np.diff(W.indptr))).astype(dtype)
            weight: CSR | Array = CSR(W.shape, W.indptr, W.indices, values) if np.isfinite(values).all() else W
        else:
            weight = values = (W * factors[:, None]).astype(dtype)
    if not np.isfinite(values).all() or not np.isfinite(bias).all():
        return None
    return Product(product.layer, weight, bias)
