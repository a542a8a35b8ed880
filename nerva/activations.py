"""Activation functions: by name ("relu", "gelu"), or as an object where there are settings."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, Literal

from nerva._kernels.activations import ACTIVATIONS, FROM_INPUTS
from nerva.validation import check_choice, check_flag, check_integer, check_number, check_positive

SReLUSharing = Literal["layer", "neuron"]


def _check_field(activation: object, name: str) -> None:
    """Replace a field of a frozen dataclass by the float it stands for."""
    object.__setattr__(activation, name, check_number(getattr(activation, name), name))


@dataclass(frozen=True)
class LeakyReLU:
    """f(z) = z for z > 0, slope z otherwise; the derivative at 0 is the slope.

    >>> nerva.LeakyReLU(0.2)
    LeakyReLU(slope=0.2)

    A. L. Maas, A. Y. Hannun & A. Y. Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013.
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        _check_field(self, "slope")


@dataclass(frozen=True)
class AllReLU:
    """The alternated left ReLU of sparse networks: f(z) = z for z > 0, slope z otherwise.

    The slope is alpha in odd hidden layers and -alpha in even ones.

    Parameters
    ----------
    alpha : absolute value of the slope
    layer : number of the hidden layer, from 1; None, for a layer on its own, gives the slope alpha, and nerva.MLP
        numbers its layers

    >>> [nerva.AllReLU(0.6, layer=i).slope for i in (1, 2, 3)]
    [0.6, -0.6, 0.6]

    S. Curci, D. C. Mocanu & M. Pechenizkiy, Truly sparse neural networks at scale, 2021, equation 2.
    """

    alpha: float = 0.6
    layer: int | None = None

    def __post_init__(self) -> None:
        _check_field(self, "alpha")
        if self.layer is not None:
            check_integer(self.layer, "layer", least=1)

    @property
    def slope(self) -> float:
        """The slope below zero."""
        return -self.alpha if self.layer is not None and self.layer % 2 == 0 else self.alpha


@dataclass(frozen=True)
class TReLU:
    """The truncated ReLU: f(z) = z for z >= epsilon, 0 otherwise; the derivative is 1 or 0.

    Parameters
    ----------
    epsilon : threshold, above 0
    """

    epsilon: float = 1e-30

    def __post_init__(self) -> None:
        _check_field(self, "epsilon")
        check_positive(self.epsilon, "epsilon")


@dataclass(frozen=True)
class GELU:
    """The Gaussian error linear unit: f(z) = z Phi(z), Phi the distribution function of the standard normal.

    Parameters
    ----------
    tanh : whether to use the approximation z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2 instead

    D. Hendrycks & K. Gimpel, Gaussian error linear units, 2016.
    """

    tanh: bool = False

    def __post_init__(self) -> None:
        check_flag(self.tanh, "tanh")


@dataclass(frozen=True)
class SReLU:
    """The S-shaped ReLU, which is linear in three pieces and has four trainable parameters.

    f(z) = t_l + a_l (z - t_l) for z <= t_l,  z for t_l < z < t_r,  t_r + a_r (z - t_r) for z >= t_r

    Where training moves t_l past t_r, the first case takes precedence.

    Parameters
    ----------
    t_l, a_l, t_r, a_r : initial values; by default f is the ReLU at first, up to t_r = 1 and beyond
    per : "layer" for one set of parameters, "neuron" for one for each feature

    >>> nerva.MLP([4, 3, 2], activation=nerva.SReLU(per="neuron")).layers[0].parameters()[2].values.size
    12

    X. Jin et al., Deep learning with S-shaped rectified linear activation units, AAAI 2016, equations 1 and 3.
    """

    t_l: float = 0.0
    a_l: float = 0.0
    t_r: float = 1.0
    a_r: float = 1.0
    per: SReLUSharing = "layer"

    def __post_init__(self) -> None:
        for name in ("t_l", "a_l", "t_r", "a_r"):
            _check_field(self, name)
        check_choice(self.per, "per", ("layer", "neuron"))
        if self.t_l > self.t_r:
            raise ValueError(f"t_l is {self.t_l}; it must not be above t_r, {self.t_r}")


Activation = str | LeakyReLU | AllReLU | TReLU | GELU | SReLU

_OBJECTS = (LeakyReLU, AllReLU, TReLU, GELU, SReLU)
_DEFAULTS: dict[str, Activation] = {
    "leaky_relu": LeakyReLU(),
    "all_relu": AllReLU(),
    "trelu": TReLU(),
    "gelu": GELU(),
    "gelu_tanh": GELU(tanh=True),
    "srelu": SReLU(),
}
NAMES = (
    "identity", "relu", "leaky_relu", "all_relu", "srelu", "trelu", "tanh", "sigmoid", "softmax", "log_softmax", "gelu",
    "gelu_tanh", "silu",
)  # fmt: skip


def check_activation(activation: Activation, name: str = "activation") -> Activation:
    """Return an activation; raise ValueError, which names the argument, for anything else."""
    if not isinstance(activation, _OBJECTS) and not (isinstance(activation, str) and activation in NAMES):
        objects = ", ".join(f"nerva.{kind.__name__}()" for kind in _OBJECTS)
        raise ValueError(f"{name} is {activation!r}; it must be one of {', '.join(NAMES)}, {objects}")
    return activation


def as_object(activation: Activation) -> Activation:
    """Return the object a name stands for; the name itself where the function has no settings.

    >>> nerva.activations.as_object("gelu_tanh"), nerva.activations.as_object("relu")
    (GELU(tanh=True), 'relu')
    """
    return _DEFAULTS.get(activation, activation) if isinstance(activation, str) else activation


def code_of(activation: Activation) -> tuple[int, float] | None:
    """Return the kernels' code (of ACTIVATIONS or FROM_INPUTS) and parameter; None for SReLU and the softmaxes."""
    match as_object(activation):
        case LeakyReLU(slope) | AllReLU(slope=slope):
            # leaky_relu is differentiated from its output, whose sign tells that of z only if the slope is >= 0;
            # all_relu is differentiated from z.
            return (ACTIVATIONS["leaky_relu"] if slope >= 0 else FROM_INPUTS["all_relu"]), slope
        case TReLU(epsilon):
            return FROM_INPUTS["trelu"], epsilon
        case GELU(tanh):
            return FROM_INPUTS["gelu_tanh" if tanh else "gelu"], 0.0
        case str(name) if name in ACTIVATIONS or name in FROM_INPUTS:
            return (ACTIVATIONS | FROM_INPUTS)[name], 0.0
    return None


def of_hidden_layers(activation: Activation | Iterable[Activation], count: int) -> list[Activation]:
    """Return one activation for each of `count` hidden layers: the same for all, or as many as are given.

    An AllReLU without a layer number gets its layer's. Raises ValueError for anything else.

    >>> nerva.activations.of_hidden_layers(nerva.AllReLU(0.6), 2)
    [AllReLU(alpha=0.6, layer=1), AllReLU(alpha=0.6, layer=2)]
    """
    if isinstance(activation, (str, *_OBJECTS)) or not isinstance(activation, Iterable):
        each = [check_activation(activation)] * count
    else:
        each = [check_activation(f, f"activation[{i}]") for i, f in enumerate(activation)]
        if len(each) != count:
            raise ValueError(f"activation has {len(each)} entries; there are {count} hidden layers")
    numbered = [(i, as_object(f), f) for i, f in enumerate(each, 1)]
    return [replace(f, layer=i) if isinstance(f, AllReLU) and f.layer is None else given for i, f, given in numbered]


def to_config(activation: Activation | None) -> Any:
    """Return what JSON can hold of an activation: its name, or the object's class and fields.

    >>> nerva.activations.to_config(nerva.LeakyReLU(0.2))
    {'LeakyReLU': {'slope': 0.2}}
    """
    return {type(activation).__name__: asdict(activation)} if is_dataclass(activation) else activation


def from_config(config: Any) -> Activation:
    """Return the activation of such a value; raise KeyError, TypeError or ValueError where there is no such one."""
    if isinstance(config, dict):
        ((name, fields),) = config.items()
        made: Activation = {kind.__name__: kind for kind in _OBJECTS}[name](**fields)
        return made
    return str(config)
