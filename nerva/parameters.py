"""What an optimizer sees of a layer: flat vectors of weights and gradients, and room for its own state."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import empty_vector

Array = npt.NDArray[Any]


@dataclass(slots=True, eq=False)
class Parameter:
    """Trained numbers of one layer: `values` and `gradient` of shape (n,), changed in place.

    `state` holds what an optimizer keeps for each number (its momentum, say), vectors of shape (n,) too, so that
    whoever moves weights moves their state with them. `owner` is the optimizer the state belongs to.
    """

    name: str
    values: Array
    gradient: Array
    state: dict[str, Array] = field(default_factory=dict)
    owner: object = None

    @property
    def nbytes(self) -> int:
        """The bytes of values, gradient and state."""
        return self.values.nbytes + self.gradient.nbytes + sum(vector.nbytes for vector in self.state.values())

    def claim(self, owner: object, *names: str) -> dict[str, Array]:
        """Return the state of `owner`, zero vectors by these names where it is not the one that stepped last."""
        if self.owner is not owner or any(name not in self.state for name in names):
            self.state = {name: zeros(self.values.size, self.values.dtype) for name in names}
            self.owner = owner
        return self.state


def zeros(n: int, dtype: npt.DTypeLike) -> Array:
    """Return an aligned vector of n zeros."""
    vector = empty_vector(n, dtype)
    vector[:] = 0
    return vector


def real_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the dtype if it is float32 or float64; raise TypeError or ValueError that names it otherwise."""
    try:
        result = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype is {dtype!r}; it must be float32 or float64") from None
    if dtype is None or result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype is {dtype!r}; it must be float32 or float64")
    return result
