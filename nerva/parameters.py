"""What an optimizer sees of a layer: flat vectors of weights and gradients, and room for its own state."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, zeros
from nerva._kernels.rewiring import moved
from nerva._kernels.updates import Update


class Parameter:
    """Trained numbers of one layer, of shape (n,), changed in place.

    `state` holds what an optimizer keeps for each number (its momentum, say), vectors of shape (n,) too, so that
    whoever moves weights moves their state with them. `owner` is the optimizer the state belongs to, and `steps` counts
    those it took, where its rule depends on that.
    """

    __slots__ = ("_gradient", "name", "owner", "state", "steps", "values")

    def __init__(self, name: str, values: Array) -> None:
        self.name = name
        self.values = values
        self.state: dict[str, Array] = {}
        self.owner: object = None
        self.steps = 0
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

    def rearrange(self, source: npt.NDArray[np.int64], values: Array) -> None:
        """Take `values`, number i of which was number source[i] before, or is new where source[i] is -1.

        Every vector of state with an entry for each number moves along, and is 0 for the new ones; the gradient is 0.
        """
        for name, vector in self.state.items():
            if vector.shape == self.values.shape:
                self.state[name] = moved(vector, source)
        self.values = values
        if self._gradient is not None:
            self._gradient = zeros(len(source), values.dtype)

    def claim(self, owner: object, *names: str) -> dict[str, Array]:
        """Return the state of `owner`, zero vectors by these names where it is not the one that stepped last."""
        if self.owner is owner:
            for name in names:
                if name not in self.state:
                    break
            else:
                return self.state
        self.state = {name: zeros(self.values.size, self.values.dtype) for name in names}
        self.owner = owner
        return self.state


class Taken(NamedTuple):
    """What a kernel needs for the step of one parameter: the rule, and what it keeps for each number, where it does."""

    update: Update
    velocity: Array | None
    second: Array | None


class Step:
    """One step of an optimizer whose rule the kernels know, to be taken on any parameter.

    `rule` is the update, or makes it for the t-th step of a parameter, from 1 on.
    """

    __slots__ = ("_made", "_names", "_owner", "_rule")

    def __init__(self, rule: Update | Callable[[int], Update], owner: object) -> None:
        self._rule = rule
        self._owner = owner
        self._made: dict[int, Update] = {}
        self._names = _kept(rule) if isinstance(rule, Update) else None

    def take(self, parameter: Parameter) -> Taken:
        """Return what the step of this parameter needs, and count it."""
        if isinstance(self._rule, Update):
            update, t = self._rule, 0
        else:
            t = parameter.steps + 1 if parameter.owner is self._owner else 1
            update = self._made.get(t) or self._made.setdefault(t, self._rule(t))
        names = _kept(update) if self._names is None else self._names
        if not names:
            return Taken(update, None, None)
        state = parameter.claim(self._owner, *names)
        parameter.steps = t
        return Taken(update, state.get("momentum"), state.get("square"))

    def __call__(self, parameter: Parameter) -> None:
        """Take the step from the parameter's gradient."""
        update, velocity, second = self.take(parameter)
        update(parameter.gradient, velocity, parameter.values, second)


def _kept(update: Update) -> tuple[str, ...]:
    """The names of what an update keeps for each number."""
    return ("momentum",) * update.has_velocity + ("square",) * update.has_second
