"""What an optimizer sees of a layer: flat vectors of weights and gradients, and room for its own state."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import empty_vector
from nerva._kernels.updates import Update

Array = npt.NDArray[Any]


class Parameter:
    """Trained numbers of one layer, of shape (n,), changed in place.

    `state` holds what an optimizer keeps for each number (its momentum, say), vectors of shape (n,) too, so that
    whoever moves weights moves their state with them. `owner` is the optimizer the state belongs to.
    """

    __slots__ = ("_gradient", "name", "owner", "state", "values")

    def __init__(self, name: str, values: Array) -> None:
        self.name = name
        self.values = values
        self.state: dict[str, Array] = {}
        self.owner: object = None
        self._gradient: Array | None = None

    @property
    def gradient(self) -> Array:
        """The gradient that the last backward pass left, zeros before; memory is taken when it is first asked for."""
        if self._gradient is None:
            self._gradient = zeros(self.values.size, self.values.dtype)
        return self._gradient

    @property
    def nbytes(self) -> int:
        """The bytes of values, state and, where it was ever needed, gradient."""
        gradient = 0 if self._gradient is None else self._gradient.nbytes
        return self.values.nbytes + gradient + sum(vector.nbytes for vector in self.state.values())

    def claim(self, owner: object, *names: str) -> dict[str, Array]:
        """Return the state of `owner`, zero vectors by these names where it is not the one that stepped last."""
        if self.owner is not owner or any(name not in self.state for name in names):
            self.state = {name: zeros(self.values.size, self.values.dtype) for name in names}
            self.owner = owner
        return self.state


class Step:
    """One step of an optimizer whose rule the kernels know, to be taken on any parameter."""

    __slots__ = ("_owner", "update")

    def __init__(self, update: Update, owner: object) -> None:
        self.update = update
        self._owner = owner

    def velocity(self, parameter: Parameter) -> Array | None:
        """Return the velocity the step needs beside the parameter, if it needs one."""
        return parameter.claim(self._owner, "momentum")["momentum"] if self.update.has_velocity else None

    def __call__(self, parameter: Parameter) -> None:
        """Take the step from the parameter's gradient."""
        self.update(parameter.gradient, self.velocity(parameter), parameter.values)


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


def as_generator(rng: np.random.Generator | int | None, name: str = "rng") -> np.random.Generator:
    """Return a generator from a generator, a seed, or None (a fresh one); TypeError or ValueError otherwise."""
    if rng is not None and not isinstance(rng, (np.random.Generator, int, np.integer)):
        raise TypeError(f"{name} is {type(rng).__name__}; it must be a numpy.random.Generator, a seed or None")
    if isinstance(rng, (int, np.integer)) and rng < 0:
        raise ValueError(f"{name} is {rng}; a seed must not be negative")
    return np.random.default_rng(rng)
