"""First values of the weights.

An initializer is any callable `(rng, fan_in, fan_out, count, dtype) -> values (count,)`. The fans are those of the
dense layer, D and K, whatever the density: `count` weights of them exist.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Initializer = Callable[[np.random.Generator, int, int, int, np.dtype[Any]], Array]


def _uniform(rng: np.random.Generator, bound: float, count: int, dtype: np.dtype[Any]) -> Array:
    values = rng.random(count, dtype=dtype.type)
    values *= 2 * bound
    values -= bound
    return values


def xavier(rng: np.random.Generator, fan_in: int, fan_out: int, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from U(-a, a), a = sqrt(6 / (fan_in + fan_out)).

    X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010,
    equation 16.
    """
    return _uniform(rng, sqrt(6.0 / (fan_in + fan_out)), count, dtype)


def he(rng: np.random.Generator, fan_in: int, fan_out: int, count: int, dtype: np.dtype[Any]) -> Array:
    """Draw from N(0, 2 / fan_in).

    K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10.
    """
    values = rng.standard_normal(count, dtype=dtype.type)
    values *= sqrt(2.0 / fan_in)
    return values


def zeros(rng: np.random.Generator, fan_in: int, fan_out: int, count: int, dtype: np.dtype[Any]) -> Array:
    """Return zeros."""
    return np.zeros(count, dtype)


INITIALIZERS: dict[str, Initializer] = {"xavier": xavier, "he": he, "zeros": zeros}


def initial_values(
    init: str | Initializer, rng: np.random.Generator, fan_in: int, fan_out: int, count: int, dtype: np.dtype[Any]
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
