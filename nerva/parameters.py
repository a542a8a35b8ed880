"""Trainable parameters and their optimizer state: flat vectors of values, gradients and state."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, writable, zeros
from nerva._kernels.rewiring import moved
from nerva._kernels.updates import Update

MOMENTS = ("momentum", "square")  # the optimizer state that kernels step with
BORN = "born"  # and the state of which they read the age of each value from
LATEST = 2**31 - 1


class Parameter:
    """A trainable parameter of a layer, flat, of shape (n,), and the optimizer state of its entries.

    Attributes
    ----------
    name : "weight", "bias", "gamma", "beta" or "srelu"
    values : (n,), the memory the layer computes with, changed in place
    state : vectors by name, such as "momentum", of shape (n,) where there is one entry for each value: those move with
        the values in `rearrange`. "born", int32, are the steps that were taken before each value; where it is missing,
        all values were there before the first
    owner : the optimizer the state belongs to; None for no one's
    steps : steps the owner has taken, where its rule depends on that (Adam)

    >>> parameter = nerva.Linear(3, 2, rng=0).parameters()[0]
    >>> parameter.name, parameter.values.shape, parameter.nbytes
    ('weight', (6,), 24)
    """

    __slots__ = ("_gradient", "name", "owner", "state", "steps", "values")

    def __init__(self, name: str, values: Array) -> None:
        self.name = name
        self.values = values
        self.state: dict[str, Array] = {}
        self.owner: object = None
        self.steps = 0
        self._gradient: Array | None = None

    def __getstate__(self) -> object:
        # Protocols 0 and 1 ask for one of a class with __slots__; later ones take this by themselves.
        return object.__getstate__(self)

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        for name, value in state[1].items():
            setattr(self, name, value)
        self.values = writable(self.values)
        self.state = {name: writable(vector) for name, vector in self.state.items()}

    @property
    def gradient(self) -> Array:
        """The gradient of the last backward pass, shape (n,), zeros before; allocated when it is first asked for."""
        if self._gradient is None:
            self._gradient = zeros(self.values.size, self.values.dtype)
        return self._gradient

    @property
    def nbytes(self) -> int:
        """The bytes of values, state and, once it was needed, gradient."""
        gradient = 0 if self._gradient is None else self._gradient.nbytes
        return self.values.nbytes + gradient + sum(vector.nbytes for vector in self.state.values())

    def rearrange(self, source: npt.NDArray[np.int64], values: Array) -> None:
        """Replace the values, and let the optimizer state follow: entry i is the former entry source[i].

        Where source[i] is -1, entry i is new, its state is 0, and where steps are counted it is born with the last one.
        The gradient becomes 0.
        """
        # The shapes are compared before `values` is replaced: a vector of another length is state of the whole
        # parameter, not of its entries, and stays. All is computed before anything is changed.
        vectors = {name: vector for name, vector in self.state.items() if vector.shape == self.values.shape}
        born = vectors.pop(BORN, None)
        if born is None and self.steps > 0 and np.any(source < 0):
            born = zeros(self.values.size, np.int32)
        state = {name: moved(vector, source) for name, vector in vectors.items()}
        if born is not None:
            state[BORN] = moved(born, source, min(self.steps, LATEST))
        self.state.update(state)
        self.values = values
        if self._gradient is not None:
            self._gradient = zeros(len(source), values.dtype)

    def claim(self, owner: object, *names: str) -> dict[str, Array]:
        """Return the optimizer state of `owner`; zero vectors by these names if it did not take the last step."""
        if self.owner is owner:
            for name in names:
                if name not in self.state:
                    break
            else:
                return self.state
        self.state = {name: zeros(self.values.size, self.values.dtype) for name in names}
        self.owner = owner
        return self.state


def check_moment(vector: object, values: Array, steps: int, what: str) -> None:
    """Raise TypeError or ValueError, which calls it `what`, for a vector that is no optimizer state of such values.

    A moment that kernels step with has the shape and dtype of the values, and what was born in one of so many steps is
    int32; other state may be of any other kind.
    """
    if not isinstance(vector, np.ndarray):
        raise TypeError(f"{what} is {type(vector).__name__}; it must be an array")
    name = what.rsplit(".", 1)[-1]
    stepped_with = name in MOMENTS
    if (vector.ndim == 1 or stepped_with) and vector.shape != values.shape:
        raise ValueError(f"{what} has shape {vector.shape}; it must be {values.shape}, as that of the values")
    if stepped_with and vector.dtype != values.dtype:
        raise ValueError(f"{what} is {vector.dtype}; it must be {values.dtype}, as the values")
    if name == BORN:
        if vector.dtype != np.int32 or vector.shape != values.shape:
            raise ValueError(f"{what} is {vector.dtype} of {vector.shape}; it must be int32 of {values.shape}")
        if len(vector) and not 0 <= vector.min() <= vector.max() <= steps:
            raise ValueError(f"{what} is from {vector.min()} to {vector.max()}; it must be within 0 to {steps} steps")


class Taken(NamedTuple):
    """The arguments of a kernel that steps one parameter: the update rule, and what it keeps of each value, (n,)."""

    update: Update
    velocity: Array | None
    second: Array | None
    born: npt.NDArray[np.int32] | None


class Step:
    """One step of an optimizer whose rule the kernels compute, to be taken on any parameter.

    Parameters
    ----------
    rule : the update, or a function that returns it for the t-th step on a parameter, from 1
    owner : the optimizer, whose state in the parameters is used
    """

    __slots__ = ("_made", "_names", "_owner", "_rule")

    def __init__(self, rule: Update | Callable[[int], Update], owner: object) -> None:
        self._rule = rule
        self._owner = owner
        self._made: dict[int, Update] = {}
        self._names = _state_names(rule) if isinstance(rule, Update) else None

    def take(self, parameter: Parameter) -> Taken:
        """Return what a kernel needs for the step on this parameter, and count the step."""
        if isinstance(self._rule, Update):
            update, t = self._rule, 0
        else:
            # Counted for each parameter: one whose weight was replaced starts again at t = 1.
            t = parameter.steps + 1 if parameter.owner is self._owner else 1
            update = self._made.get(t) or self._made.setdefault(t, self._rule(t))
        names = _state_names(update) if self._names is None else self._names
        if not names:
            return Taken(update, None, None, None)
        state = parameter.claim(self._owner, *names)
        parameter.steps = t
        return Taken(update, state.get("momentum"), state.get("square"), state.get(BORN))

    def __call__(self, parameter: Parameter) -> None:
        """Take the step with the parameter's gradient."""
        update, velocity, second, born = self.take(parameter)
        update(parameter.gradient, velocity, parameter.values, second, born)


def _state_names(update: Update) -> tuple[str, ...]:
    """The names of the moments an update keeps for each entry."""
    velocity, second = MOMENTS
    return (velocity,) * update.has_velocity + (second,) * update.has_second
