"""The base class of optimizers, and the clipping of gradients that they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any, ClassVar, Never, TypedDict

import numpy as np

from nerva._kernels.memory import aligned_copy
from nerva._kernels.updates import Update
from nerva.parameters import Parameter, Step, check_moment
from nerva.validation import check_integer, check_not_negative, check_positive


class Settings(TypedDict, total=False):
    """The keywords that every optimizer takes, described in `Optimizer`."""

    weight_decay: float
    clip_value: float | None
    clip_norm: float | None


def refuse(unknown: Mapping[str, object]) -> None:
    """Raise TypeError for settings that no optimizer has; where one is a learning rate, say where that is given."""
    for name in unknown:
        if name in ("lr", "learning_rate", "rate"):
            raise TypeError(f"an optimizer has no {name}; the learning rate is given to fit, as schedule=0.01")
        raise TypeError(f"got an unexpected keyword argument {name!r}")


class Optimizer(ABC):
    """The base class of all optimizers; a subclass defines `at`, its update rule at a learning rate.

    Parameters
    ----------
    weight_decay : coefficient of the L2 penalty: weight_decay w is added to the gradient g
    clip_value : clips each entry of the gradient to [-clip_value, clip_value]; None does not
    clip_norm : scales the gradient, of all parameters together, down to this Euclidean norm where its norm is larger;
        None does not. It is applied before clip_value

    `default_rate` of a class is the learning rate of a training that is given none.

    Raises TypeError or ValueError, which names the setting, for one out of range.

    R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013, for
    clip_norm.
    """

    default_rate: ClassVar[float] = 0.01

    def __init__(
        self,
        *,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        **unknown: Never,
    ) -> None:
        refuse(unknown)
        self.weight_decay = check_not_negative(weight_decay, "weight_decay")
        self.clip_value = None if clip_value is None else check_positive(clip_value, "clip_value")
        self.clip_norm = None if clip_norm is None else check_positive(clip_norm, "clip_norm")

    @property
    def compiled(self) -> bool:
        """Whether a compiled step can take the update of `at`: not where `step` is one's own, and would be bypassed."""
        return type(self).step is Optimizer.step and "step" not in vars(self)

    @property
    def members(self) -> tuple["Optimizer", ...]:
        """The optimizers that own the state of parameters: itself, or those of its groups."""
        return (self,)

    @abstractmethod
    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""

    def step(self, parameters: Iterable[Parameter], rate: float) -> None:
        """Take one step at a learning rate on every parameter, from its gradient."""
        parameters = as_parameters(parameters)
        if self.clip_norm is not None:
            clip_norm(parameters, self.clip_norm)
        step = self.at(rate)
        for parameter in parameters:
            step(parameter)

    def state_dict(self, parameters: Iterable[Parameter]) -> dict[str, Any]:
        """Return copies of what this optimizer keeps of parameters, by "i.name" of the i-th: "0.momentum", "0.steps".

        As PyTorch's, but for parameters that are given, such as `model.parameters()`: state is beside their values.
        What it did not take the last step on has none.

        >>> model, optimizer = nerva.MLP([4, 3], density=0.5), nerva.Adam()
        >>> loss = model.train_step(np.ones((2, 4)), [0, 1], optimizer, 0.1)
        >>> list(optimizer.state_dict(model.parameters()))
        ['0.steps', '0.momentum', '0.square', '1.steps', '1.momentum', '1.square']
        """
        state: dict[str, Any] = {}
        for i, parameter in enumerate(as_parameters(parameters)):
            if any(parameter.owner is member for member in self.members):
                state[f"{i}.steps"] = parameter.steps
                state |= {f"{i}.{name}": vector.copy() for name, vector in parameter.state.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any], parameters: Iterable[Parameter]) -> None:
        """Take what `state_dict` returned, for parameters of the same sizes: load those of the network first.

        Raises TypeError or ValueError, which names what does not fit, before anything is changed.
        """
        parameters = as_parameters(parameters)
        if not isinstance(state, Mapping):
            raise TypeError(f"state is {type(state).__name__}; it must be a dictionary, as state_dict returns")
        found = [_state_of(i, parameter, state) for i, parameter in enumerate(parameters)]
        known = {f"{i}.{name}" for i, own in enumerate(found) for name in own}
        if unknown := [str(name) for name in state if name not in known]:
            raise ValueError(f"state holds {', '.join(unknown)}; there are {len(parameters)} parameters")
        for parameter, own in zip(parameters, found, strict=True):
            parameter.owner, parameter.steps = (self.owner_of(parameter), own["steps"]) if own else (None, 0)
            parameter.state = {name: aligned_copy(vector) for name, vector in own.items() if name != "steps"}

    def owner_of(self, parameter: Parameter) -> "Optimizer":
        """Return the optimizer that steps a parameter: itself, or that of its group."""
        return self

    def _update(self, rule: str, rate: float, momentum: float = 0.0, **settings: Any) -> Update:
        return Update(rule, rate, momentum, self.weight_decay, clip=self.clip_value or 0.0, **settings)

    def __repr__(self) -> str:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and value is not None}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in own.items())})"


def _state_of(i: int, parameter: Parameter, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the i-th parameter by name; raise TypeError or ValueError where it does not fit."""
    own = {name.split(".", 1)[1]: value for name, value in state.items() if str(name).startswith(f"{i}.")}
    if own:
        if "steps" not in own:
            raise ValueError(f"state lacks {i}.steps")
        check_integer(own["steps"], f"{i}.steps", least=0, most=2**53)
    for name, vector in own.items():
        if name != "steps":
            check_moment(vector, parameter.values, own["steps"], f"{i}.{name}")
    return own


def as_parameters(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Return parameters as a list; raise TypeError where one is something else."""
    if not isinstance(parameters, Iterable):
        raise TypeError(f"parameters is {type(parameters).__name__}; it must be a list of nerva.Parameter")
    found = list(parameters)
    for i, parameter in enumerate(found):
        if not isinstance(parameter, Parameter):
            raise TypeError(f"parameters[{i}] is {type(parameter).__name__}; it must be a nerva.Parameter")
    return found


def clip_norm(parameters: Iterable[Parameter], largest: float) -> float:
    """Scale the gradients of all parameters together down to norm `largest` where it is larger; return the norm before.

    As torch.nn.utils.clip_grad_norm_: where the norm is NaN, so are all gradients afterwards.

    >>> w = nerva.Parameter("weight", np.zeros(2))
    >>> w.gradient[:] = [3.0, 4.0]
    >>> clip_norm([w], 1.0)
    5.0
    >>> w.gradient.round(3)
    array([0.6, 0.8])
    """
    parameters = as_parameters(parameters)
    # einsum, in float64: a BLAS dot would add in an order that depends on the number of threads.
    squares = (np.einsum("i,i->", g, g, dtype=np.float64) for g in (parameter.gradient for parameter in parameters))
    norm = sqrt(sum(map(float, squares)))
    if not norm <= largest:
        with np.errstate(invalid="ignore"):
            for parameter in parameters:
                gradient = parameter.gradient
                np.multiply(gradient, largest / (norm + 1e-6), out=gradient)
    return norm
