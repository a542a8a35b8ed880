"""First values of the weights.

An initializer is any callable `(rng, fan_in, fan_out, count, dtype) -> values (count,)`. The fans are those of the
dense layer, D and K, whatever the density: `count` weights of them exist. Or, with fan="live", the weights there are
for an output and for an input on average, count / K and count / D.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from nerva._kernels.memory import Array
from nerva.validation import check_choice

Initializer = Callable[[np.random.Generator, float, float, int, np.dtype[Any]], Array]
FANS = ("dense", "live")


def _uniform(rng: np.random.Generator, bound: float, count: int, dtype: np.dtype[Any]) -> Array:
    values = rng.random(count, dtype=dtype.type)
    values *= 2 * bound
    values -= bound
    return values


def _normal(rng: np.random.Generator, deviation: float, count: int, dtype: np.dtype[Any]) -> Array:
    values = rng.standard_normal(count, dtype=dtype.type)
    values *= deviation
    return values


def xavier(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(6 / (fan_in + fan_out)).

    X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010,
    equation 16.
    """
    return _uniform(rng, sqrt(6.0 / (fan_in + fan_out)), count, dtype)


def he(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 2 / fan_in).

    K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10.
    """
    return _normal(rng, sqrt(2.0 / fan_in), count, dtype)


def xavier_normal(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 2 / (fan_in + fan_out)). Glorot and Bengio, as `xavier`."""
    return _normal(rng, sqrt(2.0 / (fan_in + fan_out)), count, dtype)


def he_uniform(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(6 / fan_in). He et al., as `he`."""
    return _uniform(rng, sqrt(6.0 / fan_in), count, dtype)


def lecun(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 1 / fan_in).

    Y. LeCun et al., Efficient BackProp, 1998, equation 16.
    """
    return _normal(rng, sqrt(1.0 / fan_in), count, dtype)


def lecun_uniform(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(3 / fan_in). LeCun et al., as `lecun`."""
    return _uniform(rng, sqrt(3.0 / fan_in), count, dtype)


def pytorch(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = 1 / sqrt(fan_in): PyTorch's default, and what the original Nerva calls Xavier."""
    return _uniform(rng, 1.0 / sqrt(fan_in), count, dtype)


def uniform(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-1, 1), whatever the fans."""
    return _uniform(rng, 1.0, count, dtype)


def zeros(rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Return zeros."""
    return np.zeros(count, dtype)


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


def fans(fan: str, in_features: int, out_features: int, count: int) -> tuple[float, float]:
    """Return (fan_in, fan_out) of a layer with `count` weights, counted "dense" or "live"; none is below 1.

    Live fans: U. Evci et al., Gradient flow in sparse neural networks and how lottery tickets win, AAAI 2022, on
    average over a layer's neurons instead of one by one.
    """
    if check_choice(fan, "fan", FANS) == "dense":
        return in_features, out_features
    return max(1.0, count / out_features), max(1.0, count / in_features)


def initial_values(
    init: str | Initializer, rng: np.random.Generator, fan_in: float, fan_out: float, count: int, dtype: np.dtype[Any]
) -> Array:
    """Return `count` first values from an initializer or the name of one.

    Raises ValueError for an unknown name, or where the initializer returns another shape than (count,) or numbers
    that are not finite.
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
