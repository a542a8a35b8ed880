"""How far moments of an age fall short of their means: the corrections of Adam, by age."""

from functools import lru_cache
from math import ceil, log

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

ALWAYS = 1 << 16  # entries that a table has from the start, unless it ends before


@lru_cache(maxsize=32)
def _table(decay: float, power: float, length: int, dtype: np.dtype[np.floating]) -> Array:
    ages = np.maximum(np.arange(length, dtype=np.float64), 1.0)
    return ((1.0 - decay**ages) ** -power).astype(dtype)


def corrections(decay: float, power: float, t: int, dtype: npt.DTypeLike) -> Array:
    """Return (1 - decay^age)^-power for the ages 0 to t, or to the first from which on all are 1 to rounding.

    decay : of a moment, from 0 to below 1
    power : 1 for a first moment, 1/2 for the root of a second one
    t : the highest age, from 1; more ages may be in the table

    The entry of age 0, which no weight has in a step, is that of 1. Computed in float64; not to be written to.

    >>> corrections(0.5, 1.0, 3, np.float32)[:4]
    array([2.       , 2.       , 1.3333334, 1.1428572], dtype=float32)
    """
    dtype = np.dtype(dtype)
    # From this age on decay^age is below a quarter of the distance from 1 to the next number.
    last = ceil(log(np.finfo(dtype).eps / 4) / log(decay)) if decay > 0 else 1
    return _table(decay, power, min(last + 1, max(ALWAYS, 1 << t.bit_length())), dtype)
