"""Arrays of layers that come from outside, such as a weight file: found by name, and checked before they are used."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

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


def check_numbers(features: object, name: str, count: int) -> npt.NDArray[np.int64]:
    """Return numbers of features; raise TypeError or ValueError unless they ascend strictly, within 0 to count - 1."""
    found = np.asarray(features)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise TypeError(f"{name} is {found.dtype} of shape {found.shape}; it must be a vector of integers")
    found = found.astype(np.int64)
    if found.size and (found[0] < 0 or found[-1] >= count or (np.diff(found) <= 0).any()):
        raise ValueError(f"{name} must ascend strictly, within 0 to {count - 1}; it is {found[:8].tolist()}...")
    return found


def check_finite(array: Array, what: str) -> None:
    """Raise ValueError where a value is NaN or infinite."""
    if not np.isfinite(array).all():
        raise ValueError(f"{what} is NaN or infinite")
