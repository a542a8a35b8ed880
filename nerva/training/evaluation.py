"""Evaluate and predict: rows are samples here; from the loader inwards, columns are.

These functions take anything with the methods of `Trainable`; nerva.Sequential offers them as its own methods.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva.losses import Loss
from nerva.losses.targets import weighted
from nerva.parameters import Parameter, Step
from nerva.training.batches import Batches
from nerva.training.samples import Samples
from nerva.validation import check_integer

EVALUATION_BATCH = 128


class Trainable(Protocol):
    """What the loop needs of a network."""

    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def rng(self) -> np.random.Generator: ...
    @property
    def inputs(self) -> Buffer: ...

    loss: Loss

    def forward(self, X: Array, *, training: bool = True) -> Array: ...
    def backward(self, DY: Array, *, step: Step | None = None) -> None: ...
    def parameters(self) -> Sequence[Parameter]: ...


class Evaluation(NamedTuple):
    """The mean loss and the fraction of right predictions, None where there is no right or wrong."""

    loss: float
    accuracy: float | None


class Evaluator:
    """Checked data to evaluate a network on, as often as wanted."""

    def __init__(
        self,
        model: Trainable,
        X: object,
        y: npt.ArrayLike,
        loss: Loss,
        batch_size: int,
        prefix: str = "",
        sample_weight: npt.ArrayLike | None = None,
    ) -> None:
        samples = Samples(X, model.in_features, model.dtype, prefix + "X")
        self._model, self._loss, self._count = model, loss, len(samples)
        targets = weighted(
            loss.check_targets(y, len(samples), model.out_features, prefix + "y"), sample_weight, len(samples)
        )
        self._batches = Batches(samples, targets, batch_size, model.dtype)

    def __call__(self) -> Evaluation:
        total, weight = 0.0, 0.0
        correct: float | None = 0.0
        for X, y in self._batches:
            assert y is not None
            value, _, right, share = self._loss(self._model.forward(X, training=False), y)
            total, weight = total + value * share, weight + share
            correct = None if correct is None or right is None else correct + right
        return Evaluation(total / weight if weight else 0.0, None if correct is None else correct / self._count)


def evaluate(
    model: Trainable,
    X: object,
    y: npt.ArrayLike,
    *,
    batch_size: int = EVALUATION_BATCH,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Evaluation:
    """Return the mean loss and the accuracy on samples X (n, features) with targets y.

    `loss` is the model's own where it is None; `sample_weight`, (n,) numbers, counts in the loss alone.
    """
    size = check_integer(batch_size, "batch_size", least=1)
    return Evaluator(model, X, y, check_loss(loss, model), size, sample_weight=sample_weight)()


def predict_proba(model: Trainable, X: object, *, batch_size: int = EVALUATION_BATCH) -> Array:
    """Return the probabilities (n, outputs) for samples X (n, features), as the model's loss takes its outputs.

    Raises TypeError where that knows none, as after regression.
    """
    samples = Samples(X, model.in_features, model.dtype)
    batches = _inputs(model, samples, batch_size)
    probabilities = np.empty((len(samples), model.out_features), model.dtype)
    first = 0
    for batch in batches:
        Z = model.loss.probabilities(model.forward(batch, training=False))
        probabilities[first : first + Z.shape[1]] = Z.T
        first += Z.shape[1]
    return probabilities


def predict(model: Trainable, X: object, *, batch_size: int = EVALUATION_BATCH) -> Array:
    """Return what the outputs for X (n, features) mean to the model's loss: by default the most probable class of each
    sample, int64 (n,); 0 or 1 for each label; or, after regression, the outputs themselves.
    """
    batches = _inputs(model, Samples(X, model.in_features, model.dtype), batch_size)
    classes = [model.loss.predict(model.forward(batch, training=False)) for batch in batches]
    return classes[0] if len(classes) == 1 else np.concatenate(classes)


def _inputs(model: Trainable, samples: Samples, batch_size: int) -> Iterator[Array]:
    """Return the samples in batches (features, batch); a single one as it lies, if it can be taken so."""
    batch_size = check_integer(batch_size, "batch_size", least=1)
    alone = samples.sparse is None and len(samples) == 1
    if alone and samples.array.dtype == model.dtype and samples.scale is None:
        return iter((samples.array.T,))
    return (X for X, _ in Batches(samples, None, batch_size, model.dtype, buffer=model.inputs))


def check_loss(loss: Loss | None, model: Trainable) -> Loss:
    """Return the loss, the model's own where it is None; raise TypeError where it is none."""
    if loss is None:
        return model.loss
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is {loss!r}; it must be a nerva.Loss, nerva.SoftmaxCrossEntropy() say")
    return loss
