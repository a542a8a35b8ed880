"""Initial values of the weights.

An initializer is any callable `(rng, fan_in, fan_out, count, dtype) -> values (count,)`. With fan="dense" it gets the
fans of the dense layer, D and K, whatever the density of the `count` weights; with fan="live" the weights of a neuron
on average: count / K of an output neuron, count / D of an input.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any, Literal, get_args

import numpy as np

from nerva._kernels.memory import Array, empty_vector
from nerva._kernels.memory import zeros as zero_vector
from nerva.validation import check_choice, check_positive

Initializer = Callable[[np.random.Generator, float, float, int, np.dtype[Any]], Array]
Fan = Literal["dense", "live"]
FANS: tuple[str, ...] = get_args(Fan)


def _uniform(rng: np.random.Generator, bound: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-bound, bound)."""
    # Drawn in the wanted dtype and scaled in place: other operations, or another order, would round otherwise, and a
    # seed would no longer give the same weights.
    values = empty_vector(count, dtype)
    rng.random(dtype=dtype.type, out=values)
    values *= 2 * bound
    values -= bound
    return values


def _normal(rng: np.random.Generator, deviation: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, deviation^2)."""
    values = empty_vector(count, dtype)
    rng.standard_normal(dtype=dtype.type, out=values)
    values *= deviation
    return values


def xavier(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(6 / (fan_in + fan_out)).

    >>> nerva.initializers.xavier(np.random.default_rng(0), 3, 3, 4, np.dtype("float32")).dtype
    dtype('float32')

    X. Glorot & Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010,
    equation 16.
    """
    return _uniform(rng, sqrt(6.0 / check_positive(float(fan_in) + float(fan_out), "fan_in + fan_out")), count, dtype)


def he(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 2 / fan_in).

    K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10.
    """
    return _normal(rng, sqrt(2.0 / check_positive(fan_in, "fan_in")), count, dtype)


def xavier_normal(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 2 / (fan_in + fan_out)): the variance of `xavier`."""
    return _normal(rng, sqrt(2.0 / check_positive(float(fan_in) + float(fan_out), "fan_in + fan_out")), count, dtype)


def he_uniform(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(6 / fan_in): the variance of `he`."""
    return _uniform(rng, sqrt(6.0 / check_positive(fan_in, "fan_in")), count, dtype)


def lecun(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 1 / fan_in).

    Y. LeCun et al., Efficient BackProp, 1998, equation 16.
    """
    return _normal(rng, sqrt(1.0 / check_positive(fan_in, "fan_in")), count, dtype)


def lecun_uniform(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(3 / fan_in): the variance of `lecun`."""
    return _uniform(rng, sqrt(3.0 / check_positive(fan_in, "fan_in")), count, dtype)


def pytorch(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = 1 / sqrt(fan_in): PyTorch's default, and what the original Nerva calls Xavier."""
    return _uniform(rng, 1.0 / sqrt(check_positive(fan_in, "fan_in")), count, dtype)


def uniform(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-1, 1), whatever the fans."""
    return _uniform(rng, 1.0, count, dtype)


def zeros(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Return zeros."""
    return zero_vector(count, dtype)


INITIALIZERS: dict[str, Initializer] = {
    "xavier": xavier,
    "xavier-normal": xavier_normal,
    "he": he,
    "he-uniform": he_uniform,
    "lecun": lecun,
    "lecun-uniform": lecun_uniform,
    "pytorch": pytorch,
    "uniform": uniform,
    "zeros": zeros,
}


def fans(fan: Fan, in_features: int, out_features: int, count: int) -> tuple[float, float]:
    """Return (fan_in, fan_out) of a layer with `count` weights, counted "dense" or "live"; neither is below 1.

    Raises ValueError for another `fan`.

    >>> fans("dense", 100, 50, 500), fans("live", 100, 50, 500)
    ((100, 50), (10.0, 5.0))

    Live fans: U. Evci et al., Gradient flow in sparse neural networks and how lottery tickets win, AAAI 2022; there
    for each neuron, here on average over a layer.
    """
    if check_choice(fan, "fan", FANS) == "dense":
        return in_features, out_features
    return max(1.0, count / out_features), max(1.0, count / in_features)


def initial_values(
    init: str | Initializer, rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]
) -> Array:
    """Return `count` values drawn by an initializer or by the name of one.

    Raises ValueError for an unknown name, or where the initializer returns another shape than (count,) or values that
    are not finite; TypeError for what is neither a name nor a callable.

    >>> initial_values("zeros", np.random.default_rng(0), 3, 2, 6, np.dtype("float32"))
    array([0., 0., 0., 0., 0., 0.], dtype=float32)
    """
    if isinstance(init, str):
        if init not in INITIALIZERS:
            raise ValueError(f"init is {init!r}; it must be one of {', '.join(INITIALIZERS)}, or a callable")
        init = INITIALIZERS[init]
    elif not callable(init):
        raise TypeError(f"init is {init!r}; it must be one of {', '.join(INITIALIZERS)}, or a callable")
    values = np.asarray(init(rng, fan_in, fan_out, count, dtype), dtype)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"init returned shape {values.shape}; it must be finite numbers of shape ({count},)")
    return values
