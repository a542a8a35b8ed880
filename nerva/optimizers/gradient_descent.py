"""Stochastic gradient descent, with momentum and Nesterov's momentum."""

from typing import Unpack

from nerva.optimizers.optimizer import Optimizer, Settings
from nerva.parameters import Step
from nerva.validation import check_below_one


class SGD(Optimizer):
    """Stochastic gradient descent: w -= rate (g + weight_decay w).

    Parameters: `weight_decay`, `clip_value` and `clip_norm`, as of Optimizer.

    >>> w = nerva.Parameter("weight", np.array([1.0, 2.0]))
    >>> w.gradient[:] = [1.0, -1.0]
    >>> nerva.SGD().step([w], 0.5)
    >>> w.values
    array([0.5, 2.5])
    """

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        return Step(self._update("sgd", rate), self)


class Momentum(Optimizer):
    """Gradient descent with momentum: d = g + weight_decay w;  v = momentum v + d;  w -= rate v.

    Parameters
    ----------
    momentum : the part of the velocity v that stays from step to step, from 0 to below 1
    settings : `weight_decay`, `clip_value` and `clip_norm`, as of Optimizer

    As torch.optim.SGD(momentum=...), in whose velocity the learning rate is no factor either. B. T. Polyak, Some
    methods of speeding up the convergence of iteration methods, 1964.

    >>> w, optimizer = nerva.Parameter("weight", np.zeros(1)), nerva.Momentum(0.5)
    >>> w.gradient[:] = 1.0
    >>> for _ in range(2):
    ...     optimizer.step([w], 1.0)
    >>> w.values, w.state["momentum"]
    (array([-2.5]), array([1.5]))
    """

    _rule = "momentum"

    def __init__(self, momentum: float = 0.9, **settings: Unpack[Settings]) -> None:
        super().__init__(**settings)
        self.momentum = check_below_one(momentum, "momentum")

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        return Step(self._update(self._rule, rate, self.momentum), self)


class Nesterov(Momentum):
    """Nesterov's momentum: d = g + weight_decay w;  v = momentum v + d;  w -= rate (d + momentum v).

    Parameters: as of Momentum.

    As torch.optim.SGD(momentum=..., nesterov=True). I. Sutskever et al., On the importance of initialization and
    momentum in deep learning, ICML 2013.

    >>> w, optimizer = nerva.Parameter("weight", np.zeros(1)), nerva.Nesterov(0.5)
    >>> w.gradient[:] = 1.0
    >>> optimizer.step([w], 1.0)
    >>> w.values
    array([-1.5])
    """

    _rule = "nesterov"
