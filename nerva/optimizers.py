"""Optimizers: a step on every parameter, in place. Sparse values, dense weights and biases look alike to them.

Each keeps its state beside the numbers it steps on, so a sparse layer has it for the weights that exist and no others.
"""

from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import Any

import numpy as np

from nerva._kernels.updates import Update
from nerva.parameters import Parameter, Step, Taken
from nerva.validation import check_below_one, check_not_negative, check_positive


class SGD:
    """Gradient descent, w -= rate (g + weight_decay w).

    Parameters
    ----------
    weight_decay : added to the gradient, times the weight
    clip_value : brings every number of the gradient within +-clip_value first; None does not
    clip_norm : scales the whole gradient, of all parameters together, down to this Euclidean norm where it is longer;
        None does not. It comes before clip_value, and needs every gradient before the first step, so that layers do not
        step while theirs is in registers

    R. Pascanu et al., On the difficulty of training recurrent neural networks, ICML 2013, for the latter.
    """

    def __init__(
        self, *, weight_decay: float = 0.0, clip_value: float | None = None, clip_norm: float | None = None
    ) -> None:
        self.weight_decay = check_not_negative(weight_decay, "weight_decay")
        self.clip_value = None if clip_value is None else check_positive(clip_value, "clip_value")
        self.clip_norm = None if clip_norm is None else check_positive(clip_norm, "clip_norm")

    @property
    def fused(self) -> bool:
        """Whether a layer may take the step of `at` on its way back."""
        return self.clip_norm is None and type(self).step is SGD.step

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        return Step(self._update("sgd", rate), self)

    def step(self, parameters: Iterable[Parameter], rate: float) -> None:
        """Take one step at this learning rate on every parameter, from its gradient."""
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


class Momentum(SGD):
    """Gradient descent with momentum: d = g + weight_decay w;  v = momentum v + d;  w -= rate v.

    As torch.optim.SGD, whose velocity does not hold the rate; other settings as of SGD. B. T. Polyak, Some methods of
    speeding up the convergence of iteration methods, 1964.
    """

    _rule = "momentum"

    def __init__(self, momentum: float = 0.9, **settings: Any) -> None:
        super().__init__(**settings)
        self.momentum = check_below_one(momentum, "momentum")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        return Step(self._update(self._rule, rate, self.momentum), self)


class Nesterov(Momentum):
    """Nesterov's momentum: d = g + weight_decay w;  v = momentum v + d;  w -= rate (d + momentum v).

    As torch.optim.SGD(nesterov=True). I. Sutskever et al., On the importance of initialization and momentum in deep
    learning, ICML 2013.
    """

    _rule = "nesterov"


class RMSprop(SGD):
    """s = alpha s + (1 - alpha) d^2;  w -= rate d / (sqrt(s) + epsilon), d = g + weight_decay w.

    With a momentum, v = momentum v + d / (sqrt(s) + epsilon) is what w goes by. As torch.optim.RMSprop; other settings
    as of SGD. T. Tieleman and G. Hinton, Lecture 6.5 of Neural networks for machine learning, 2012.
    """

    def __init__(self, alpha: float = 0.99, *, epsilon: float = 1e-8, momentum: float = 0.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.alpha = check_below_one(alpha, "alpha")
        self.epsilon = check_positive(epsilon, "epsilon")
        self.momentum = check_below_one(momentum, "momentum")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        return Step(self._update("rmsprop", rate, self.momentum, second=self.alpha, epsilon=self.epsilon), self)


class Adam(SGD):
    """v = beta1 v + (1 - beta1) d;  s = beta2 s + (1 - beta2) d^2, d = g + weight_decay w;  in its t-th step
    w -= rate v / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon).

    As torch.optim.Adam; other settings as of SGD. D. P. Kingma and J. Ba, Adam: a method for stochastic optimization,
    ICLR 2015, algorithm 1.
    """

    _rule = "adam"

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999, *, epsilon: float = 1e-8, **settings: Any) -> None:
        super().__init__(**settings)
        self.beta1, self.beta2 = check_below_one(beta1, "beta1"), check_below_one(beta2, "beta2")
        self.epsilon = check_positive(epsilon, "epsilon")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        settings = {"second": self.beta2, "epsilon": self.epsilon}
        return Step(lambda t: self._update(self._rule, rate, self.beta1, t=t, **settings), self)


class AdamW(Adam):
    """Adam with w -= rate weight_decay w beside its step, instead of a decay in the gradient.

    As torch.optim.AdamW. I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2.
    """

    _rule = "adamw"

    def __init__(
        self, beta1: float = 0.9, beta2: float = 0.999, *, weight_decay: float = 0.01, **settings: Any
    ) -> None:
        super().__init__(beta1, beta2, weight_decay=weight_decay, **settings)


class Lion(SGD):
    """w -= rate (sign(beta1 v + (1 - beta1) g) + weight_decay w);  v = beta2 v + (1 - beta2) g.

    Other settings as of SGD. X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, program 1.
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.99, **settings: Any) -> None:
        super().__init__(**settings)
        self.beta1, self.beta2 = check_below_one(beta1, "beta1"), check_below_one(beta2, "beta2")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        return Step(self._update("lion", rate, self.beta1, second=self.beta2), self)


Selector = str | Parameter | Callable[[Parameter], bool]


class Groups(SGD):
    """Parameters in groups, each with an optimizer of its own.

    Parameters
    ----------
    groups : (selector, optimizer) or (selector, optimizer, scale); the first whose selector fits takes the parameter.
        A selector is the name of parameters ("weight", "bias"), a parameter, or a callable that tells of one; the scale
        is what the learning rate is multiplied with there
    rest : the optimizer of all others
    clip_norm : as of SGD, over the parameters of all groups

    >>> optimizer = Groups([("bias", SGD())], rest=AdamW())
    >>> optimizer = Groups([(model.layers[0].parameters()[0], Nesterov(), 0.1)], rest=Nesterov())  # doctest: +SKIP
    """

    def __init__(
        self, groups: Sequence[tuple[Any, ...]], *, rest: SGD | None = None, clip_norm: float | None = None
    ) -> None:
        super().__init__(clip_norm=clip_norm)
        self.rest = Nesterov() if rest is None else rest
        if not isinstance(groups, (tuple, list)):
            raise TypeError(f"groups is {groups!r}; it must be a sequence of (selector, optimizer)")
        self.groups: list[tuple[Selector, SGD, float]] = []
        for i, group in enumerate(groups):
            if not isinstance(group, (tuple, list)) or not 2 <= len(group) <= 3:
                raise TypeError(f"groups[{i}] is {group!r}; it must be (selector, optimizer) or with a scale")
            selector, optimizer, scale = (*group, 1.0)[:3]
            if not isinstance(selector, (str, Parameter)) and not callable(selector):
                raise TypeError(f"groups[{i}] selects by {selector!r}; it must be a name, a parameter or a callable")
            self.groups.append((selector, optimizer, check_not_negative(scale, f"the scale of groups[{i}]")))
        named = [(f"groups[{i}]", optimizer) for i, (_, optimizer, _) in enumerate(self.groups)]
        for name, optimizer in [*named, ("rest", self.rest)]:
            if not isinstance(optimizer, SGD) or not optimizer.fused:
                raise TypeError(f"{name} has {optimizer!r}; it must be an optimizer without a clip_norm of its own")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        steps = [(selector, optimizer.at(rate * scale)) for selector, optimizer, scale in self.groups]
        return _GroupStep(steps, self.rest.at(rate))


class _GroupStep(Step):
    """The steps of several groups as one."""

    __slots__ = ("_rest", "_steps")

    def __init__(self, steps: list[tuple[Selector, Step]], rest: Step) -> None:
        self._steps, self._rest = steps, rest

    def take(self, parameter: Parameter) -> Taken:
        return next((step for selector, step in self._steps if _fits(selector, parameter)), self._rest).take(parameter)


def _fits(selector: Selector, parameter: Parameter) -> bool:
    if isinstance(selector, str):
        return parameter.name == selector
    return parameter is selector if isinstance(selector, Parameter) else bool(selector(parameter))


def clip_norm(parameters: Sequence[Parameter], largest: float) -> float:
    """Scale the gradients of all parameters together to this norm where it is longer, and return what it was.

    As torch.nn.utils.clip_grad_norm_: where the norm is NaN, so are all gradients afterwards. Summed in float64, in an
    order that no number of threads changes.
    """
    squares = (np.einsum("i,i->", g, g, dtype=np.float64) for g in (parameter.gradient for parameter in parameters))
    norm = sqrt(sum(map(float, squares)))
    if not norm <= largest:
        with np.errstate(invalid="ignore"):
            for parameter in parameters:
                gradient = parameter.gradient
                np.multiply(gradient, largest / (norm + 1e-6), out=gradient)
    return norm


OPTIMIZERS: dict[str, type[SGD]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
}
