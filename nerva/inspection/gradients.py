"""Gradients against central differences, for whoever writes a layer or a loss, or doubts one."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.losses import Loss
from nerva.models.sequential import Sequential
from nerva.training.batches import Batches
from nerva.training.samples import Samples
from nerva.validation import as_generator


@dataclass(frozen=True, slots=True)
class ParameterCheck:
    """How one parameter of one layer did: the largest error of what was checked, and where it was.

    `kinks` counts places where the loss has different slopes on both sides, as ReLU makes at zero: there the gradient
    need only be between them.
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
    """What `check_gradients` found. `print(report)` shows it as a table."""

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
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = []
        for row in rows:
            cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            lines.append("  ".join(cells))
        return "\n".join(lines)


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
    """Compare the gradient of every parameter with central differences of the loss, in float64.

    The model is copied to float64 first and stays as it is: weights, optimizer state, running statistics and random
    numbers. In the copy, biases that are 0 are moved by about 1e-3, away from kinks. Layers behave as in training, with
    the same random numbers each time. What fails with one step is tried with one 30 times as long.

    Parameters
    ----------
    model : of any layers; what its `parameters()` lists is checked
    X, y : some samples (n, features) and their targets; few will do
    loss : None is the model's own
    samples : numbers checked of each parameter, drawn by `rng`; None for all of them
    step : h of (f(w + h) - f(w - h)) / 2h
    tolerance : the largest error |gradient - difference| / max(|gradient|, |difference|, 0.01 largest gradient of the
        parameter) that is right
    rng : generator or seed of the choice

    Raises TypeError or ValueError where an argument is wrong.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    if samples is not None and (isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1):
        raise ValueError(f"samples is {samples!r}; it must be a positive integer, or None for all")
    for name, number in (("step", step), ("tolerance", tolerance)):
        if isinstance(number, bool) or not isinstance(number, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} is {number!r}; it must be a number above 0 and below 1")
        if not 0 < number < 1:
            raise ValueError(f"{name} is {number}; it must be above 0 and below 1")
    if loss is not None and not isinstance(loss, Loss):
        raise TypeError(f"loss is {loss!r}; it must be a nerva.Loss, nerva.SoftmaxCrossEntropy() say")
    exact = model.astype(np.float64)
    _leave_kinks(exact)
    loss = copy.deepcopy(model.loss if loss is None else loss)
    rows = Samples(X, exact.in_features, exact.dtype)
    targets = loss.check_targets(y, len(rows), exact.out_features)
    ((batch, _),) = Batches(rows, None, len(rows), exact.dtype)
    chooser = as_generator(rng)

    def value(parameter: int = 0, index: int = 0, change: float = 0.0) -> float:
        trial = copy.deepcopy(exact)
        if change:
            trial.parameters()[parameter].values[index] += change
        return float(loss(trial.forward(batch), targets).value)

    known = copy.deepcopy(exact)
    known.backward(loss(known.forward(batch), targets).gradient)
    here = value()
    checks = []
    for i, (layer, parameter) in enumerate(_named(known)):
        gradient = parameter.gradient
        indices = np.arange(gradient.size)
        if samples is not None and samples < gradient.size:
            indices = np.sort(chooser.choice(gradient.size, samples, replace=False))
        found = []
        for h in (step, 30 * step):  # rounding grows as h falls, curvature as it rises: a right gradient passes at one
            sides = np.array([[value(i, int(j), h), value(i, int(j), -h)] for j in indices]).reshape(-1, 2)
            found.append(_compare(layer, parameter.name, indices, gradient, sides, here, h, tolerance))
            if found[-1].error <= tolerance:
                break
        checks.append(min(found, key=lambda check: check.error))
    return GradientReport(checks, tolerance)


def _leave_kinks(model: Sequential) -> None:
    """Move biases that are 0 by about 1e-3: where outputs are 0 too, several kinks lie on one number."""
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        if parameter.name == "bias":
            zero = parameter.values == 0
            parameter.values[zero] = 1e-3 * rng.standard_normal(int(zero.sum()))


def _named(model: Sequential) -> list[tuple[str, Any]]:
    return [
        (f"{i} {type(layer).__name__}", parameter)
        for i, layer in enumerate(model.layers)
        for parameter in layer.parameters()
    ]


def _compare(
    layer: str, name: str, indices: Array, gradient: Array, sides: Array, here: float, step: float, tolerance: float
) -> ParameterCheck:
    if not len(indices):
        return ParameterCheck(layer, name, 0, 0, 0.0, 0, 0.0, 0.0)
    differences = (sides[:, 0] - sides[:, 1]) / (2 * step)
    right, left = (sides[:, 0] - here) / step, (here - sides[:, 1]) / step
    own = gradient[indices]
    least = max(0.01 * float(np.abs(gradient).max()), 1e-9)
    scale = np.maximum(np.maximum(np.abs(own), np.abs(differences)), least)
    errors = np.abs(own - differences) / scale
    rounding = 8 * np.finfo(np.float64).eps * max(abs(here), 1.0) / step  # of a difference
    errors[errors * scale <= rounding] = np.minimum(errors[errors * scale <= rounding], tolerance)
    slack = tolerance * scale
    between = (own >= np.minimum(left, right) - slack) & (own <= np.maximum(left, right) + slack)
    # Slopes that differ by more than curvature over so short a step explains.
    kinks = (errors > tolerance) & between & (np.abs(right - left) > 1e-3 * scale)
    errors[kinks] = 0.0
    errors[~np.isfinite(errors)] = np.inf
    worst = int(errors.argmax())
    return ParameterCheck(
        layer,
        name,
        len(indices),
        int(kinks.sum()),
        float(errors[worst]),
        int(indices[worst]),
        float(own[worst]),
        float(differences[worst]),
    )
