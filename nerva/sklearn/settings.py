"""The parameters of estimators, checked, as what nerva's networks and their training take."""

import copy
from collections.abc import Callable, Iterable
from math import inf
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.optimizers import OPTIMIZERS, Groups, Optimizer
from nerva.parameters import Parameter
from nerva.schedules import Schedule, as_schedule
from nerva.topology import SET, RigL, Topology
from nerva.validation import (
    check_choice,
    check_flag,
    check_integer,
    check_not_negative,
    check_positive,
    check_proper_fraction,
    real_dtype,
)

LARGEST_BATCH = 200  # of batch_size="auto", as in scikit-learn
TOPOLOGIES: dict[str, Callable[[], Topology]] = {"set": SET, "rigl": RigL}
ACTIVATIONS = {"logistic": "sigmoid"}  # scikit-learn's names where nerva has others


class Training(NamedTuple):
    """How an estimator is trained, by its parameters: checked before anything is changed."""

    epochs: int
    optimizer: Optimizer
    schedule: Schedule
    patience: int | None  # epochs in a row that may be no better; None for any number of them
    tol: float
    validation_fraction: float | None  # of samples held out for early stopping; None without it
    warm_start: bool


def training_of(estimator: Any) -> Training:
    """Return how an estimator is trained; raise TypeError or ValueError, which names the parameter that is wrong."""
    samples_in_batch(estimator.batch_size, 1)
    topology_of(estimator.topology)
    rate = check_positive(estimator.learning_rate_init, "learning_rate_init")
    stops = check_flag(estimator.early_stopping, "early_stopping")
    fraction = check_proper_fraction(estimator.validation_fraction, "validation_fraction")
    return Training(
        check_integer(estimator.max_iter, "max_iter", least=1),
        optimizer_of(estimator.solver, estimator.alpha),
        as_schedule(rate if estimator.schedule is None else copy.deepcopy(estimator.schedule)),
        patience_of(estimator.n_iter_no_change),
        check_not_negative(estimator.tol, "tol"),
        fraction if stops else None,
        check_flag(estimator.warm_start, "warm_start"),
    )


def name_after_class(kind: Any) -> None:
    """Give a class a copy of the `__init__` that it inherits, which is called by its name in Python's errors."""
    own = kind.__init__
    if "__init__" not in vars(kind):
        kind.__init__ = FunctionType(own.__code__, own.__globals__, own.__name__, own.__defaults__, own.__closure__)
        kind.__init__.__kwdefaults__, kind.__init__.__annotations__ = own.__kwdefaults__, own.__annotations__
        kind.__init__.__qualname__ = f"{kind.__qualname__}.__init__"


def hidden_sizes(given: Any) -> list[int]:
    """Return the hidden layers' numbers of neurons, of one number or a sequence; raise TypeError or ValueError.

    >>> hidden_sizes(100), hidden_sizes((50, 20)), hidden_sizes(())
    ([100], [50, 20], [])
    """
    name = "hidden_layer_sizes"
    if not isinstance(given, Iterable):
        return [check_integer(given, name, least=1)]
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{name} is {given!r}; it must be a number of neurons, or one for each hidden layer")
    return [check_integer(size, f"{name}[{i}]", least=1) for i, size in enumerate(given)]


def activations(given: Any) -> Any:
    """Return an activation, or a list of some, by nerva's names: "logistic" is "sigmoid"."""
    if isinstance(given, (list, tuple)):
        return [activations(each) for each in given]
    return ACTIVATIONS.get(given, given) if isinstance(given, str) else given


def network_dtype(given: Any, samples: np.dtype[Any], precision: str | None) -> np.dtype[Any]:
    """Return the dtype of a network: that of its first samples by "auto", float32 for bytes and for bfloat16."""
    if isinstance(given, str) and given == "auto":
        single = samples in (np.float32, np.uint8) or precision == "bfloat16"
        return np.dtype(np.float32 if single else np.float64)
    return real_dtype(given)


def samples_in_batch(given: Any, samples: int) -> int:
    """Return the number of samples in a mini-batch: all of them, up to 200, by "auto"."""
    if isinstance(given, str) and given == "auto":
        return min(LARGEST_BATCH, samples)
    if isinstance(given, str):
        raise ValueError(f"batch_size is {given!r}; it must be an integer, at least 1, or 'auto'")
    return min(check_integer(given, "batch_size", least=1), samples)


def topology_of(given: Any) -> Topology | None:
    """Return a method of dynamic sparse training, of an object or a name; None for none."""
    if given is None or isinstance(given, Topology):
        return given
    if not isinstance(given, str):
        raise TypeError(f"topology is {given!r}; it must be a nerva.Topology, such as nerva.SET(), or its name")
    return TOPOLOGIES[check_choice(given, "topology", TOPOLOGIES)]()


class Penalized(Groups):
    """An optimizer with an L2 penalty of weights alone, 0 at first.

    Parameters
    ----------
    kind : the optimizer's class
    """

    def __init__(self, kind: type[Optimizer]) -> None:
        super().__init__([(_is_other_than_weight, kind(weight_decay=0.0))], rest=kind(weight_decay=0.0))

    def penalize(self, penalty: float) -> None:
        """Set the penalty: the gradient of a weight w has the term penalty w."""
        self.rest.weight_decay = penalty


def optimizer_of(solver: Any, alpha: Any) -> Optimizer:
    """Return a new optimizer, of a name or like an object; raise TypeError or ValueError for anything else."""
    check_not_negative(alpha, "alpha")
    if isinstance(solver, Optimizer):
        return copy.deepcopy(solver)
    if not isinstance(solver, str):
        raise TypeError(f"solver is {solver!r}; it must be a nerva.Optimizer, such as nerva.Adam(), or its name")
    return Penalized(OPTIMIZERS[check_choice(solver, "solver", OPTIMIZERS)])


def _is_other_than_weight(parameter: Parameter) -> bool:
    return parameter.name != "weight"


def patience_of(given: Any) -> int | None:
    """Return n_iter_no_change; None where it is infinite, and no epoch is one too many."""
    return None if isinstance(given, float) and given == inf else check_integer(given, "n_iter_no_change", least=1)


def sample_weights(given: npt.ArrayLike | None, samples: int) -> Array | None:
    """Return the weights of samples, float64 (samples,), None for none; raise TypeError or ValueError for others.

    >>> sample_weights([0, 0], 2)
    Traceback (most recent call last):
    ValueError: sample_weight is zero for every sample; some must have a weight above it
    """
    if given is None:
        return None
    if np.ma.isMaskedArray(given):
        raise TypeError("sample_weight is a masked array; give 0 to the samples that are not to count")
    weights = np.asarray(given)
    weights = np.full(samples, weights) if weights.ndim == 0 else weights
    if weights.dtype.kind not in "fiub":
        raise TypeError(f"sample_weight has dtype {weights.dtype}; it must be {samples} numbers")
    if weights.shape != (samples,):
        raise ValueError(f"sample_weight has shape {weights.shape}; it must be ({samples},)")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight holds a number that is negative or not finite")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample; some must have a weight above it")
    return weights
