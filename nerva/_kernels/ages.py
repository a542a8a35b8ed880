"""How far moments of an age fall short of their means: the corrections of Adam, by age."""

from functools import lru_cache
from math import ceil, log
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

ALWAYS = 1 << 16  # entries that a table has from the start, unless it ends before


@lru_cache(maxsize=16)
def _table(momentum: float, second: float, length: int, dtype: np.dtype[Any]) -> Array:
    ages = np.maximum(np.arange(length, dtype=np.float64), 1.0)
    return np.stack([1 / (1 - momentum**ages), 1 / np.sqrt(1 - second**ages)], axis=1).astype(dtype)


def corrections(momentum: float, second: float, t: int, dtype: npt.DTypeLike) -> Array:
    """Return the pairs 1 / (1 - momentum^age), 1 / sqrt(1 - second^age), by age, from 0 to t or to where all are 1.

    Parameters
    ----------
    momentum, second : decays of the two moments, from 0 to below 1
    t : the highest age, from 1; more ages may be in the table
    dtype : of the table, float32 or float64; it is computed in float64

    Returns (ages, 2), not to be written to. The pair of age 0, which no weight has in a step, is that of 1, and the
    last one is that of all ages behind, too.

    >>> corrections(0.5, 0.75, 3, np.float32)[:3]
    array([[2.       , 2.       ],
           [2.       , 2.       ],
           [1.3333334, 1.5118579]], dtype=float32)
    """
    real: np.dtype[Any] = np.dtype(dtype)
    ends = max(_ends(decay, float(np.finfo(real).eps)) for decay in (momentum, second))
    return _table(momentum, second, min(ends + 1, max(ALWAYS, 1 << t.bit_length())), real)


def _ends(decay: float, eps: float) -> int:
    """Return the age from which on decay^age is below a quarter of the distance from 1 to the next number."""
    return ceil(log(eps / 4) / log(decay)) if decay > 0 else 1
