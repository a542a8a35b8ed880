"""Arrays of layers that come from outside, such as a weight file: found by name, and checked before they are used."""

from collections.abc import Mapping

import numpy as np

from nerva._kernels.memory import Array


class ArraysMismatch(ValueError):
    """The arrays of a layer do not have the shapes and dtypes that its config tells."""


def find(arrays: Mapping[str, Array], name: str) -> Array:
    """Return an array; raise ValueError, which names it, where it is missing."""
    if name not in arrays:
        raise ValueError(f"it lacks the array {name}")
    return arrays[name]


def fill(out: Array, arrays: Mapping[str, Array], name: str) -> None:
    """Copy an array into `out`; raise ValueError where it is missing, not finite, or of another shape or dtype."""
    array = find(arrays, name)
    if array.shape != out.shape or array.dtype != out.dtype or not np.isfinite(array).all():
        raise ValueError(f"{name} must be {out.size} finite numbers, {out.dtype}")
    out[:] = array


def check_finite(array: Array, what: str) -> None:
    """Raise ValueError where a value is NaN or infinite."""
    if not np.isfinite(array).all():
        raise ValueError(f"{what} is NaN or infinite")
