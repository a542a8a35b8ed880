"""What a compiled network is made of: operations, in order, on the activations of a slice of the batch.

A layer says by them what it computes (`Layer.compiled`), and `Program` makes of them what the kernels run. Arrays are
used in place, not copied. What may change from step to step is a function, which is called for each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array

Code = tuple[int, float]  # of activations.ACTIVATIONS or FROM_INPUTS, and its parameter
IDENTITY: Code = (0, 0.0)


class Mask(NamedTuple):
    """What is dropped in a step: the key of a random mask, and the probability that an element is."""

    key: int
    rate: float


@dataclass(frozen=True, slots=True)
class Product:
    """Y = f(W X + b).

    Parameters
    ----------
    weight : W, a CSR or an array (K, D)
    bias : b, (K,), or None
    activation : f, a code of ACTIVATIONS
    drop : of DropConnect: returns the mask of a step, and W's twin or an array of the same size for the masked weights
    """

    weight: CSR | Array
    bias: Array | None
    activation: Code = IDENTITY
    drop: Callable[[], tuple[Mask, CSR | Array]] | None = None
    kind: ClassVar[str] = "product"


@dataclass(frozen=True, slots=True)
class Elementwise:
    """Y = f(X), where f has no parameters that are trained."""

    activation: Code
    kind: ClassVar[str] = "elementwise"


@dataclass(frozen=True, slots=True)
class TrainedReLU:
    """Y = f(X), an SReLU; `parameters` as of activations.srelu."""

    parameters: Array
    kind: ClassVar[str] = "trained"


@dataclass(frozen=True, slots=True)
class Softmax:
    """Y = softmax(X) over the features of each sample."""

    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True, slots=True)
class LogSoftmax:
    """Y = log softmax(X) over the features of each sample."""

    kind: ClassVar[str] = "log_softmax"


@dataclass(frozen=True, slots=True)
class Dropping:
    """Dropout: Y = M X / (1 - rate) in training, Y = X in evaluation; `draw` returns the mask M of a step."""

    draw: Callable[[], Mask]
    kind: ClassVar[str] = "dropout"


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of batch normalization: the mean and the variance of each feature; Y is X. A Normalization must follow."""

    kind: ClassVar[str] = "statistics"


@dataclass(frozen=True, slots=True)
class Normalization:
    """Y = f(gamma (X - mean) / sqrt(variance + epsilon) + beta), with the running statistics in evaluation.

    Parameters
    ----------
    gamma, beta, running_mean, running_variance : (features,)
    settings : returns the epsilon and the momentum of a step
    activation : f, a code of ACTIVATIONS
    """

    gamma: Array
    beta: Array
    running_mean: Array
    running_variance: Array
    settings: Callable[[], tuple[float, float]]
    activation: Code = IDENTITY
    kind: ClassVar[str] = "normalization"


Operation = Product | Elementwise | TrainedReLU | Softmax | LogSoftmax | Dropping | Statistics | Normalization
