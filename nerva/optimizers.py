"""Optimizers: a step on every parameter, in place. Sparse values, dense weights and biases look alike to them."""

from collections.abc import Iterable

from nerva._kernels.updates import Update
from nerva.parameters import Parameter, Step
from nerva.schedules import check_rate


class SGD:
    """Gradient descent, w -= rate (g + weight_decay w)."""

    def __init__(self, *, weight_decay: float = 0.0) -> None:
        self.weight_decay = check_rate(weight_decay, "weight_decay")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        return Step(Update("sgd", rate, 0.0, self.weight_decay), self)

    def step(self, parameters: Iterable[Parameter], rate: float) -> None:
        """Take one step at this learning rate on every parameter, from its gradient."""
        step = self.at(rate)
        for parameter in parameters:
            step(parameter)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({settings})"


class Momentum(SGD):
    """Gradient descent with momentum: d = g + weight_decay w;  v = momentum v + d;  w -= rate v.

    As torch.optim.SGD, whose velocity does not hold the rate. B. T. Polyak, Some methods of speeding up the
    convergence of iteration methods, 1964.
    """

    _rule = "momentum"

    def __init__(self, momentum: float = 0.9, *, weight_decay: float = 0.0) -> None:
        super().__init__(weight_decay=weight_decay)
        self.momentum = check_rate(momentum, "momentum")
        if self.momentum >= 1.0:
            raise ValueError(f"momentum is {momentum}; it must be below 1")

    def at(self, rate: float) -> Step:
        """Return the step at this learning rate, which a layer may take while its gradient is still in registers."""
        return Step(Update(self._rule, rate, self.momentum, self.weight_decay), self)


class Nesterov(Momentum):
    """Nesterov's momentum: d = g + weight_decay w;  v = momentum v + d;  w -= rate (d + momentum v).

    As torch.optim.SGD(nesterov=True). I. Sutskever et al., On the importance of initialization and momentum in deep
    learning, ICML 2013.
    """

    _rule = "nesterov"


OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov}
