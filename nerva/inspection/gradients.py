"""Check gradients by central differences: for those who write a layer or a loss."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.losses import Loss
from nerva.models.sequential import Sequential
from nerva.parameters import Parameter
from nerva.tables import table
from nerva.training.batches import Batches
from nerva.training.evaluation import check_loss
from nerva.training.samples import labelled_samples
from nerva.validation import as_generator, check_integer, check_proper_fraction


@dataclass(frozen=True, slots=True)
class ParameterCheck:
    """The largest error of the gradient of a parameter, and where it is.

    Parameters
    ----------
    layer, name : number and kind of the layer, and name of the parameter
    checked : entries compared
    kinks : entries where the loss has different slopes on both sides, as ReLU has at zero; there the gradient is
        correct anywhere between the two
    error : relative, 0 at a kink
    index, gradient, difference : the entry of the largest error, its gradient and its central difference
    """

    layer: str
    name: str
    checked: int
    kinks: int
    error: float
    index: int
    gradient: float
    difference: float


@dataclass(frozen=True, slots=True)
class GradientReport:
    """The result of `check_gradients`, a ParameterCheck for each parameter; `print(report)` shows it as a table."""

    checks: Sequence[ParameterCheck]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether every error is within the tolerance."""
        return all(check.error <= self.tolerance for check in self.checks)

    def raise_on_failure(self) -> None:
        """Raise AssertionError, with the table, where a gradient is wrong."""
        if not self.ok:
            raise AssertionError(f"gradients are wrong\n{self}")

    def __str__(self) -> str:
        rows = [("layer", "parameter", "checked", "kinks", "error", "at", "gradient", "difference", "")]
        for c in self.checks:
            verdict = "ok" if c.error <= self.tolerance else "WRONG"
            numbers = f"{c.error:.1e}", str(c.index), f"{c.gradient:.6g}", f"{c.difference:.6g}"
            rows.append((c.layer, c.name, str(c.checked), str(c.kinks), *numbers, verdict))
        return table(rows, left=(0, 1))


def check_gradients(
    model: Sequential,
    X: object,
    y: npt.ArrayLike,
    loss: Loss | None = None,
    *,
    samples: int | None = 25,
    step: float = 1e-6,
    tolerance: float = 1e-5,
    rng: np.random.Generator | int | None = 0,
) -> GradientReport:
    """Compare the gradient of every parameter with central differences, (f(w + step) - f(w - step)) / (2 step), of the
    loss f in float64.

    Parameters
    ----------
    model : any nerva.Sequential; it is copied and remains as it is
    X, y : a few samples (n, features) and their targets
    loss : None is the model's own
    samples : entries to check of each parameter, drawn by `rng`; None for all
    step : above 0 and below 1; what fails is tried again with a step 30 times as large
    tolerance : the largest error that is correct, |gradient - difference| divided by the largest of |gradient|,
        |difference| and 1 % of the parameter's largest |gradient|
    rng : generator or seed of the choice of entries

    Layers behave as in training, with the same random numbers at each evaluation. In the copy, biases of 0 are moved by
    about 1e-3, away from the kinks of activations.

    Raises TypeError or ValueError, which names the argument that is wrong.

    >>> model = nerva.MLP([4, 8, 3], density=0.5, activation="tanh")
    >>> nerva.check_gradients(model, np.ones((5, 4)), [0, 1, 2, 0, 1]).ok
    True
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    most = None if samples is None else check_integer(samples, "samples", least=1)
    step, tolerance = check_proper_fraction(step, "step"), check_proper_fraction(tolerance, "tolerance")
    rng = as_generator(rng)
    trial = _Trial(model, X, y, check_loss(loss, model))
    checks = []
    for i, (layer, parameter) in enumerate(_named(trial.with_gradients())):
        indices = np.arange(parameter.gradient.size)
        if most is not None and most < indices.size:
            indices = np.sort(rng.choice(indices.size, most, replace=False))
        found = []
        # Rounding errors grow as the step shrinks, truncation errors as it grows: a correct gradient passes at one.
        for h in (step, 30 * step):
            found.append(_compare(trial, i, layer, parameter, indices, h, tolerance))
            if found[-1].error <= tolerance:
                break
        checks.append(min(found, key=lambda check: check.error))
    return GradientReport(checks, tolerance)


class _Trial:
    """A model in float64 and a batch, to evaluate the loss with one entry of one parameter changed."""

    def __init__(self, model: Sequential, X: object, y: npt.ArrayLike, loss: Loss) -> None:
        self._model, self._loss = model.astype(np.float64), copy.deepcopy(loss)
        _leave_kinks(self._model)
        samples, self._targets = labelled_samples(self._model, X, y, self._loss)
        ((self._batch, _),) = Batches(samples, None, len(samples), self._model.dtype)
        self.value = self.at()

    def with_gradients(self) -> Sequential:
        """Return a copy of the model after a backward pass."""
        model = copy.deepcopy(self._model)
        model.backward(self._loss(model.forward(self._batch), self._targets).gradient)
        return model

    def at(self, parameter: int = 0, index: int = 0, change: float = 0.0) -> float:
        """Return the loss where an entry of a parameter is changed."""
        # A copy each time: a forward pass in training moves running statistics and the keys of dropout masks.
        model = copy.deepcopy(self._model)
        if change:
            model.parameters()[parameter].values[index] += change
        return float(self._loss(model.forward(self._batch), self._targets).value)


def _leave_kinks(model: Sequential) -> None:
    """Move biases of 0 by about 1e-3: where the outputs are 0 too, several kinks coincide."""
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        if parameter.name == "bias":
            zero = parameter.values == 0
            parameter.values[zero] = 1e-3 * rng.standard_normal(int(zero.sum()))


def _named(model: Sequential) -> Iterator[tuple[str, Parameter]]:
    """Yield the parameters of a model, each with the number and kind of its layer."""
    for i, layer in enumerate(model.layers):
        for parameter in layer.parameters():
            yield f"{i} {type(layer).__name__}", parameter


def _compare(
    trial: _Trial, number: int, layer: str, parameter: Parameter, indices: Array, step: float, tolerance: float
) -> ParameterCheck:
    """Compare entries of the gradient of the parameter of this number with differences of one step."""
    if not len(indices):
        return ParameterCheck(layer, parameter.name, 0, 0, 0.0, 0, 0.0, 0.0)
    above = np.array([trial.at(number, int(j), step) for j in indices])
    below = np.array([trial.at(number, int(j), -step) for j in indices])
    differences, right, left = (above - below) / (2 * step), (above - trial.value) / step, (trial.value - below) / step
    own = parameter.gradient[indices]
    least = max(0.01 * float(np.abs(parameter.gradient).max()), 1e-9)
    scale = np.maximum(np.maximum(np.abs(own), np.abs(differences)), least)
    errors = np.abs(own - differences) / scale
    # What is within the rounding error of a difference is no error of the gradient.
    rounding = 8 * np.finfo(np.float64).eps * max(abs(trial.value), 1.0) / step
    errors[errors * scale <= rounding] = np.minimum(errors[errors * scale <= rounding], tolerance)
    slack = tolerance * scale
    between = (own >= np.minimum(left, right) - slack) & (own <= np.maximum(left, right) + slack)
    # A kink: the slopes on both sides differ by more than curvature explains over so short a step.
    kinks = (errors > tolerance) & between & (np.abs(right - left) > 1e-3 * scale)
    errors[kinks] = 0.0
    errors[~np.isfinite(errors)] = np.inf
    worst = int(errors.argmax())
    return ParameterCheck(
        layer,
        parameter.name,
        len(indices),
        int(kinks.sum()),
        float(errors[worst]),
        int(indices[worst]),
        float(own[worst]),
        float(differences[worst]),
    )
