"""Evaluate and predict. Samples are rows here; inside the network they are columns.

These functions take any `Trainable`; nerva.Sequential has them as methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.layers.ranks import Ranks
from nerva.losses import Loss
from nerva.training.batches import Batches
from nerva.training.chunked_batches import as_batches
from nerva.training.compiled import compiled_for
from nerva.training.labels import decode
from nerva.training.loaded_batches import LoadedBatches
from nerva.training.ranks import Doing, exchange, ranks_of
from nerva.training.samples import ChunkedSamples, Samples, as_samples, labelled_samples
from nerva.training.trainable import Trainable
from nerva.validation import check_integer

EVALUATION_BATCH = 128


class Evaluation(NamedTuple):
    """The mean loss, and the accuracy: None where the loss has no notion of a correct prediction, as in regression."""

    loss: float
    accuracy: float | None


class Evaluator:
    """A data set, checked once, to evaluate a network on again and again.

    Parameters
    ----------
    model, X, y, loss, batch_size, sample_weight : as of `evaluate`
    prefix : goes before "X" and "y" in the messages of errors
    check : False looks for values of X that are not finite when they are read, not now
    """

    def __init__(
        self,
        model: Trainable,
        X: object,
        y: npt.ArrayLike | None,
        loss: Loss,
        batch_size: int,
        prefix: str = "",
        sample_weight: npt.ArrayLike | None = None,
        *,
        check: bool = True,
    ) -> None:
        if y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight is given, but y is None: batches have weights as their third part")
            self._keep(model, loss, LoadedBatches(model, loss, X, name=f"{prefix}X"))
            return
        samples, targets = labelled_samples(model, X, y, loss, sample_weight, prefix, check=check)
        self._keep(model, loss, as_batches(samples, targets, batch_size, dtype=model.dtype))

    @classmethod
    def of_rows(
        cls,
        model: Trainable,
        samples: Samples | ChunkedSamples,
        targets: Array,
        loss: Loss,
        batch_size: int,
        rows: npt.NDArray[np.int64],
    ) -> Self:
        """Return the evaluator on some rows of samples and targets that are checked already."""
        evaluator = cls.__new__(cls)
        evaluator._keep(model, loss, as_batches(samples, targets, batch_size, dtype=model.dtype, rows=rows))
        return evaluator

    def _keep(self, model: Trainable, loss: Loss, batches: Batches) -> None:
        self._model, self._loss, self._batches = model, loss, batches

    def __call__(self) -> Evaluation:
        total, weight, count, correct = 0.0, 0.0, 0.0, 0.0
        has_accuracy, ranks = True, ranks_of(self._model)
        for Z, y in outputs(self._model, self._batches, ranks):
            assert y is not None
            value, _, right, share = self._loss(Z, y)
            total, weight, count = total + value * share, weight + share, count + Z.shape[1]
            has_accuracy = has_accuracy and right is not None
            correct += right or 0.0
        if ranks is not None:
            total, weight, count, correct, lacking = exchange(
                ranks, Doing.EVALUATION, total, weight, count, correct, not has_accuracy
            )
            has_accuracy = not lacking
        return Evaluation(total / weight if weight else 0.0, correct / count if has_accuracy else None)


def evaluate(
    model: Trainable,
    X: object,
    y: npt.ArrayLike | None = None,
    *,
    batch_size: int = EVALUATION_BATCH,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Evaluation:
    """Return (loss, accuracy) on samples X with targets y.

    Parameters
    ----------
    X : samples (n, features), as of `fit`; or without y batches, as of `fit`
    y : targets, as the loss takes them: labels (n,) or rows (n, outputs)
    batch_size : samples in a batch; it changes speed and memory, and the result within rounding
    loss : None is the model's own, that of the last `fit`
    sample_weight : (n,) weights of the samples in the mean loss; the accuracy is not weighted

    Raises TypeError or ValueError, which names the argument that is wrong.

    >>> model = nerva.MLP([4, 3], init="zeros")
    >>> loss, accuracy = model.evaluate(np.ones((6, 4)), [0, 1, 2, 0, 1, 2])
    >>> round(loss, 4), round(accuracy, 4)
    (1.0986, 0.3333)
    """
    size = check_integer(batch_size, "batch_size", least=1)
    return Evaluator(model, X, y, check_loss(loss, model), size, sample_weight=sample_weight, check=False)()


def predict_proba(model: Trainable, X: object, *, batch_size: int = EVALUATION_BATCH) -> Array:
    """Return the probabilities (n, outputs) of the classes, or of the labels, for samples X.

    They are what the model's loss takes its outputs for: their softmax by default, the sigmoid of each after
    nerva.LogisticCrossEntropy, the outputs themselves after nerva.CrossEntropy.

    Parameters
    ----------
    X : samples (n, features), as of `fit`
    batch_size : samples in a batch

    Raises TypeError where the loss has no probabilities, as after regression.

    >>> nerva.MLP([4, 2], init="zeros").predict_proba(np.ones((1, 4)))
    array([[0.5, 0.5]], dtype=float32)
    """
    samples = as_samples(X, model.in_features, model.dtype, check=False)
    probabilities = np.empty((len(samples), model.out_features), model.dtype)
    first = 0
    for outputs_of_batch in _predicted(model, samples, batch_size):
        Z = model.loss.probabilities(outputs_of_batch)
        probabilities[first : first + Z.shape[1]] = Z.T
        first += Z.shape[1]
    return probabilities


def predict(model: Trainable, X: object, *, batch_size: int = EVALUATION_BATCH) -> Array:
    """Return the predictions for samples X, as the model's loss takes its outputs.

    By default they are the most probable classes, int64 (n,), or their names after `fit` on names of classes. After
    nerva.LogisticCrossEntropy they are 0 or 1 for each label, int64 (n, outputs). After regression they are the
    outputs themselves, (n, outputs), or (n,) of a single output.

    Parameters
    ----------
    X : samples (n, features), as of `fit`
    batch_size : samples in a batch

    >>> model = nerva.MLP([4, 3], init="zeros")
    >>> model.predict(np.ones((2, 4)))
    array([0, 0])
    """
    samples = as_samples(X, model.in_features, model.dtype, check=False)
    predictions = [model.loss.predict(Z) for Z in _predicted(model, samples, batch_size)]
    found = predictions[0] if len(predictions) == 1 else np.concatenate(predictions)
    return decode(found, getattr(model, "classes", None))


def outputs(model: Trainable, batches: Batches, ranks: Ranks | None = None) -> Iterator[tuple[Array, Array | None]]:
    """Yield the outputs (outputs, batch) for each batch, in memory that the next one overwrites, and its targets.

    With `ranks`, for every batch whose turn is this rank's.
    """
    rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
    try:
        for draw in islice(batches.draws(), rank, None, size):
            compiled = compiled_for(model, batches, draw)
            if compiled is not None:
                yield compiled.outputs(batches, draw), None if batches.targets is None else batches.targets[draw.rows]
            else:
                X, y = batches.gather(draw)
                yield model.forward(X, training=False), y
    finally:
        batches.close()


def _predicted(model: Trainable, samples: Samples | ChunkedSamples, batch_size: int) -> Iterator[Array]:
    """Return the outputs for the samples, batch by batch; a single sample is taken as it lies, if it can be."""
    batch_size = check_integer(batch_size, "batch_size", least=1)
    if isinstance(samples, Samples) and len(samples) == 1 and samples.lies_as(model.dtype):
        samples.check_finite()
        return iter((model.forward(samples.array.T, training=False),))
    batches = as_batches(samples, None, batch_size, dtype=model.dtype, buffer=model.inputs)
    return (Z for Z, _ in outputs(model, batches))


def check_loss(loss: Loss | None, model: Trainable) -> Loss:
    """Return the loss, the model's own where it is None; raise TypeError for anything else."""
    if loss is None:
        return model.loss
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is {loss!r}; it must be a nerva.Loss, such as nerva.SoftmaxCrossEntropy()")
    return loss
