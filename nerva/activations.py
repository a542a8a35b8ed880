"""Activations: what a layer's outputs go through. By name ("relu", "gelu"), or as an object where there is a choice."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nerva._kernels.activations import ACTIVATIONS, FROM_INPUTS
from nerva.validation import check_choice, check_flag, check_integer, check_number, check_positive


def _set(of: object, name: str) -> None:
    object.__setattr__(of, name, check_number(getattr(of, name), name))


@dataclass(frozen=True)
class LeakyReLU:
    """z where it is positive, else slope z; at 0 the derivative is the slope."""

    slope: float = 0.01

    def __post_init__(self) -> None:
        _set(self, "slope")


@dataclass(frozen=True)
class AllReLU:
    """The alternated left ReLU of sparse networks: z where it is positive, else alpha z, or -alpha z by turns.

    layer : the number of the hidden layer, from 1: below zero the slope is alpha in odd layers and -alpha in even ones.
        None, for a layer on its own, has the slope alpha; nerva.MLP fills it in.

    S. Curci, D. C. Mocanu & M. Pechenizkiy, Truly sparse neural networks at scale, 2021, eq. 2.
    """

    alpha: float = 0.6
    layer: int | None = None

    def __post_init__(self) -> None:
        _set(self, "alpha")
        if self.layer is not None:
            check_integer(self.layer, "layer", least=1)

    @property
    def slope(self) -> float:
        """The slope below zero."""
        return -self.alpha if self.layer is not None and self.layer % 2 == 0 else self.alpha


@dataclass(frozen=True)
class TReLU:
    """The truncated ReLU: z where it is at least epsilon, which is positive, else 0. The derivative is 1 or 0."""

    epsilon: float = 1e-30

    def __post_init__(self) -> None:
        _set(self, "epsilon")
        check_positive(self.epsilon, "epsilon")


@dataclass(frozen=True)
class GELU:
    """z Phi(z), with Phi the normal distribution function, exact to rounding; or with `tanh` its approximation

    z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2. D. Hendrycks & K. Gimpel, Gaussian error linear units, 2016.
    """

    tanh: bool = False

    def __post_init__(self) -> None:
        check_flag(self.tanh, "tanh")


@dataclass(frozen=True)
class SReLU:
    """The S-shaped ReLU, four numbers of which are trained:

    t_l + a_l (z - t_l) for z <= t_l;  z between;  t_r + a_r (z - t_r) for z >= t_r

    t_l, a_l, t_r, a_r : where they start; as they stand, as the ReLU
    per : "layer" for one set of four, "neuron" for one for each feature

    Where training moves t_l past t_r, the rule of the first line goes first. X. Jin et al., Deep learning with S-shaped
    rectified linear activation units, AAAI 2016, eq. 1 and 3.
    """

    t_l: float = 0.0
    a_l: float = 0.0
    t_r: float = 1.0
    a_r: float = 1.0
    per: str = "layer"

    def __post_init__(self) -> None:
        for name in ("t_l", "a_l", "t_r", "a_r"):
            _set(self, name)
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
    """Return a name or an object that is an activation; raise ValueError that names the argument otherwise."""
    if not isinstance(activation, _OBJECTS) and not (isinstance(activation, str) and activation in NAMES):
        objects = ", ".join(f"nerva.{kind.__name__}()" for kind in _OBJECTS)
        raise ValueError(f"{name} is {activation!r}; it must be one of {', '.join(NAMES)}, {objects}")
    return activation


def as_object(activation: Activation) -> Activation:
    """Return the object that a name stands for; the name itself where there is nothing to choose."""
    return _DEFAULTS.get(activation, activation) if isinstance(activation, str) else activation


def code_of(activation: Activation) -> tuple[int, float] | None:
    """Return the kernels' code (of ACTIVATIONS or FROM_INPUTS) and number; None for SReLU and the softmaxes."""
    match as_object(activation):
        case LeakyReLU(slope) | AllReLU(slope=slope):
            # Where the slope is negative, the sign of y does not tell that of z.
            return (ACTIVATIONS["leaky_relu"] if slope >= 0 else FROM_INPUTS["all_relu"]), slope
        case TReLU(epsilon):
            return FROM_INPUTS["trelu"], epsilon
        case GELU(tanh):
            return FROM_INPUTS["gelu_tanh" if tanh else "gelu"], 0.0
        case str(name) if name in ACTIVATIONS or name in FROM_INPUTS:
            return (ACTIVATIONS | FROM_INPUTS)[name], 0.0
    return None


def of_hidden_layers(activation: Activation | Iterable[Activation], count: int) -> list[Activation]:
    """Return one activation for each hidden layer: the same for all, or as many as are given.

    An AllReLU without a layer gets its layer's number. Raises TypeError or ValueError for anything else.
    """
    if isinstance(activation, (str, *_OBJECTS)) or not isinstance(activation, Iterable):
        each = [check_activation(activation)] * count
    else:
        each = [check_activation(f, f"activation[{i}]") for i, f in enumerate(activation)]
        if len(each) != count:
            raise ValueError(f"activation has {len(each)} entries; there are {count} hidden layers")
    numbered = [(i, as_object(f), f) for i, f in enumerate(each, 1)]
    return [replace(f, layer=i) if isinstance(f, AllReLU) and f.layer is None else given for i, f, given in numbered]
