"""Optimizers that adapt the step to each weight: RMSprop, Adam, AdamW and Lion."""

from typing import ClassVar, Never, Unpack

from nerva.optimizers.optimizer import Optimizer, Settings
from nerva.parameters import Step
from nerva.validation import check_below_one, check_positive


class RMSprop(Optimizer):
    """d = g + weight_decay w;  s = alpha s + (1 - alpha) d^2;  w -= rate d / (sqrt(s) + epsilon).

    Parameters
    ----------
    alpha : the smoothing constant of the mean square s, from 0 to below 1
    epsilon : positive, added to the denominator
    momentum : from 0 to below 1; above 0, v = momentum v + d / (sqrt(s) + epsilon) and w -= rate v
    settings : `weight_decay`, `clip_value` and `clip_norm`, as of Optimizer

    As torch.optim.RMSprop. T. Tieleman and G. Hinton, Lecture 6.5 of Neural networks for machine learning, 2012.

    >>> w, optimizer = nerva.Parameter("weight", np.zeros(1)), nerva.RMSprop(alpha=0.75)
    >>> w.gradient[:] = 5.0
    >>> optimizer.step([w], 0.1)
    >>> w.values.round(6)
    array([-0.2])
    """

    default_rate: ClassVar[float] = 0.001

    def __init__(
        self, *, alpha: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(**settings)
        self.alpha = check_below_one(alpha, "alpha")
        self.epsilon = check_positive(epsilon, "epsilon")
        self.momentum = check_below_one(momentum, "momentum")

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        return Step(self._update("rmsprop", rate, self.momentum, second=self.alpha, epsilon=self.epsilon), self)


class Adam(Optimizer):
    """Adaptive moments, d = g + weight_decay w:  v = beta1 v + (1 - beta1) d;  s = beta2 s + (1 - beta2) d^2;
    in the t-th step w -= rate v / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon).

    A weight that has grown in training counts its own steps: its first has t = 1 and the length of the rate. Once one
    has grown, the steps that were taken before each weight of its layer are kept as `state["born"]`, int32.

    Parameters
    ----------
    beta1, beta2 : decay rates of the first and the second moment, from 0 to below 1
    epsilon : positive, added to the denominator
    settings : `weight_decay`, `clip_value` and `clip_norm`, as of Optimizer

    As torch.optim.Adam. D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.

    >>> w, optimizer = nerva.Parameter("weight", np.zeros(1)), nerva.Adam()
    >>> w.gradient[:] = 5.0
    >>> optimizer.step([w], 0.1)
    >>> w.values.round(6)
    array([-0.1])
    """

    default_rate: ClassVar[float] = 0.001
    _rule = "adam"

    def __init__(
        self, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(**settings)
        self.beta1, self.beta2 = check_below_one(beta1, "beta1"), check_below_one(beta2, "beta2")
        self.epsilon = check_positive(epsilon, "epsilon")

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        settings = {"second": self.beta2, "epsilon": self.epsilon}
        # t is the parameter's own count of steps: one that a layer skips does not shift another's bias correction.
        return Step(lambda t: self._update(self._rule, rate, self.beta1, t=t, **settings), self)


class AdamW(Adam):
    """Adam with decoupled weight decay: w -= rate weight_decay w beside Adam's step, for which d = g.

    Parameters: as of Adam; `weight_decay` is 0.01 unless given.

    As torch.optim.AdamW. I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2.

    >>> w, optimizer = nerva.Parameter("weight", np.ones(1)), nerva.AdamW(weight_decay=0.5)
    >>> optimizer.step([w], 0.1)  # the gradient is 0
    >>> w.values
    array([0.95])
    """

    _rule = "adamw"

    def __init__(
        self,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        **unknown: Never,
    ) -> None:
        settings: Settings = {"weight_decay": weight_decay, "clip_value": clip_value, "clip_norm": clip_norm}
        super().__init__(beta1=beta1, beta2=beta2, epsilon=epsilon, **settings, **unknown)


class Lion(Optimizer):
    """Evolved sign momentum: w -= rate (sign(beta1 v + (1 - beta1) g) + weight_decay w);  v = beta2 v + (1 - beta2) g.

    Parameters
    ----------
    beta1, beta2 : of the interpolation whose sign is taken and of the momentum v, from 0 to below 1
    settings : `weight_decay`, `clip_value` and `clip_norm`, as of Optimizer

    X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, program 1.

    >>> w, optimizer = nerva.Parameter("weight", np.zeros(2)), nerva.Lion()
    >>> w.gradient[:] = [5.0, -0.1]
    >>> optimizer.step([w], 0.1)
    >>> w.values
    array([-0.1,  0.1])
    """

    default_rate: ClassVar[float] = 0.0001  # the paper takes a third to a tenth of AdamW's

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.99, **settings: Unpack[Settings]) -> None:
        super().__init__(**settings)
        self.beta1, self.beta2 = check_below_one(beta1, "beta1"), check_below_one(beta2, "beta2")

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        return Step(self._update("lion", rate, self.beta1, second=self.beta2), self)
