"""The base class of optimizers, and the clipping of gradients that they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any, TypedDict

import numpy as np

from nerva._kernels.updates import Update
from nerva.parameters import Parameter, Step
from nerva.validation import check_not_negative, check_positive


class Settings(TypedDict, total=False):
    """The keywords that every optimizer takes, described in `Optimizer`."""

    weight_decay: float
    clip_value: float | None
    clip_norm: float | None


class Optimizer(ABC):
    """The base class of all optimizers; a subclass defines `at`, its update rule at a learning rate.

    Parameters
    ----------
    weight_decay : coefficient of the L2 penalty: weight_decay w is added to the gradient g
    clip_value : clips each entry of the gradient to [-clip_value, clip_value]; None does not
    clip_norm : scales the gradient, of all parameters together, down to this Euclidean norm where its norm is larger;
        None does not. It is applied before clip_value

    Raises TypeError or ValueError, which names the setting, for one out of range.

    R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013, for
    clip_norm.
    """

    def __init__(
        self, *, weight_decay: float = 0.0, clip_value: float | None = None, clip_norm: float | None = None
    ) -> None:
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
        parameters = list(parameters)
        if self.clip_norm is not None:
            clip_norm(parameters, self.clip_norm)
        step = self.at(rate)
        for parameter in parameters:
            step(parameter)

    def _update(self, rule: str, rate: float, momentum: float = 0.0, **settings: Any) -> Update:
        return Update(rule, rate, momentum, self.weight_decay, clip=self.clip_value or 0.0, **settings)

    def __repr__(self) -> str:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and value is not None}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in own.items())})"


def clip_norm(parameters: Sequence[Parameter], largest: float) -> float:
    """Scale the gradients of all parameters together down to norm `largest` where it is larger; return the norm before.

    As torch.nn.utils.clip_grad_norm_: where the norm is NaN, so are all gradients afterwards.

    >>> w = nerva.Parameter("weight", np.zeros(2))
    >>> w.gradient[:] = [3.0, 4.0]
    >>> clip_norm([w], 1.0)
    5.0
    >>> w.gradient.round(3)
    array([0.6, 0.8])
    """
    # einsum, in float64: a BLAS dot would add in an order that depends on the number of threads.
    squares = (np.einsum("i,i->", g, g, dtype=np.float64) for g in (parameter.gradient for parameter in parameters))
    norm = sqrt(sum(map(float, squares)))
    if not norm <= largest:
        with np.errstate(invalid="ignore"):
            for parameter in parameters:
                gradient = parameter.gradient
                np.multiply(gradient, largest / (norm + 1e-6), out=gradient)
    return norm
