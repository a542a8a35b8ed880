"""The data of a training run: samples to train on, samples held out of them, and the weights of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nerva.datasets.augment import Augment, check_augment
from nerva.losses import Loss
from nerva.losses.targets import Weighted, weighted
from nerva.training.batches import Batches
from nerva.training.chunked_batches import as_batches
from nerva.training.evaluation import EVALUATION_BATCH, Evaluator
from nerva.training.labels import Classes, encode, find_classes, listed, refuse_names
from nerva.training.loaded_batches import LoadedBatches, check_source, iter_once, steps_of
from nerva.training.samples import labelled_samples
from nerva.training.trainable import Trainable
from nerva.validation import as_generator, check_flag, check_not_negative, check_proper_fraction

Rows = npt.NDArray[np.int64]
ClassWeight = Mapping[Any, float] | Literal["balanced"]
SEED = 0  # of what is held out, so that every call holds out the same samples


class TrainingData:
    """Samples X with targets y, checked once; some of them may be held out, to evaluate the network on.

    Parameters
    ----------
    model, X, y, loss, sample_weight, class_weight, validation_split : as of `fit`

    `loss` is that; `rows` are the numbers of the samples to train on, `held_out` those of the others; `classes` are the
    names of the classes, where the labels are names. No sample is copied. Raises TypeError or ValueError, which names
    the argument that is wrong.
    """

    def __init__(
        self,
        model: Trainable,
        X: object,
        y: npt.ArrayLike,
        loss: Loss,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        validation_split: float | None = None,
    ) -> None:
        self._model, self.loss = model, loss
        if not loss.has_accuracy:
            refuse_names(y, f"the loss {type(loss).__name__}")
        self.classes: Classes = find_classes(y, model.out_features, getattr(model, "classes", None))
        numbers: Any = encode(y, self.classes)
        self._samples, targets = labelled_samples(model, X, numbers, loss, sample_weight)
        self._plain = targets.targets if isinstance(targets, Weighted) else targets
        labels = self._plain if self.classes is None else numbers  # one output for two classes has rows, not labels
        n = len(self._samples)
        self.rows: Rows = np.arange(n)
        self.held_out: Rows = np.empty(0, np.int64)
        if validation_split is not None:
            self.rows, self.held_out = split(labels, validation_split)
        self._targets = targets
        if class_weight is not None:
            names = range(model.out_features) if self.classes is None else self.classes
            weights = class_weights(labels, class_weight, names, self.rows)
            if isinstance(targets, Weighted):
                weights = weights * targets.weights
            self._targets = weighted(self._plain, weights, n)

    def batches(
        self, batch_size: int, rng: np.random.Generator | int | None, augment: Augment | None, shuffle: bool
    ) -> Batches:
        """Return the mini-batches to train on; the arguments are those of `fit`."""
        shuffle, augment = check_flag(shuffle, "shuffle"), check_augment(augment, self._model.in_features)
        order, dtype = self._model.rng if rng is None else as_generator(rng), self._model.dtype
        how = {"rng": order, "augment": augment, "shuffle": shuffle, "rows": self.rows, "dtype": dtype}
        return as_batches(self._samples, self._targets, batch_size, **how)

    def evaluator(self, validation: Any, batch_size: int) -> Evaluator | None:
        """Return what evaluates the network on a pair (X, y), or on the samples held out; None where there are none.

        Raises TypeError or ValueError where the pair is none, or there are both.
        """
        if validation is None:
            if not len(self.held_out):
                return None
            return Evaluator.of_rows(self._model, self._samples, self._plain, self.loss, batch_size, self.held_out)
        if len(self.held_out):
            raise ValueError("validation_split is given, and so is validation: it holds out samples in place of these")
        return evaluator_of(self._model, validation, self.loss, batch_size, self.classes)


class LoadedData:
    """Batches that something else makes, with the interface of TrainingData.

    Parameters
    ----------
    model, loss : as of `fit`
    source : X of `fit`
    steps_per_epoch : as of `fit`
    """

    def __init__(self, model: Trainable, source: Any, loss: Loss, steps_per_epoch: int | None) -> None:
        self._model, self.loss, self._source = model, loss, source
        check_source(source, "X")
        self._steps = steps_of(source, steps_per_epoch)
        self.classes: Classes = getattr(model, "classes", None)

    def batches(
        self, batch_size: int, rng: np.random.Generator | int | None, augment: Augment | None, shuffle: bool
    ) -> Batches:
        """Return the mini-batches to train on, as they come: `batch_size` and `shuffle` are the source's matter."""
        check_flag(shuffle, "shuffle")
        augment = check_augment(augment, self._model.in_features)
        drawn = self._model.rng if rng is None else as_generator(rng)
        how: Any = {"rng": drawn, "augment": augment, "training": True}
        return LoadedBatches(self._model, self.loss, self._source, self._steps, **how)

    def evaluator(self, validation: Any, batch_size: int) -> Evaluator | None:
        """Return what evaluates the network, as TrainingData."""
        if validation is None:
            return None
        return evaluator_of(self._model, validation, self.loss, EVALUATION_BATCH, self.classes)


def data_of(
    model: Trainable,
    X: object,
    y: npt.ArrayLike | None,
    loss: Loss,
    steps_per_epoch: int | None,
    sample_weight: npt.ArrayLike | None,
    class_weight: ClassWeight | None,
    validation_split: float | None,
) -> TrainingData | LoadedData:
    """Return the data of these arguments of `fit`: samples and targets, or without y batches.

    Raises TypeError or ValueError for those that do not go together.
    """
    settings = {"sample_weight": sample_weight, "class_weight": class_weight, "validation_split": validation_split}
    if y is not None:
        if steps_per_epoch is not None:
            raise ValueError(f"steps_per_epoch is {steps_per_epoch}, but y is given: it is for X that gives batches")
        return TrainingData(model, X, y, loss, sample_weight, class_weight, validation_split)
    for name, given in settings.items():
        if given is not None:
            raise ValueError(f"{name} is given, but y is None: of batches, whatever gives them decides that")
    return LoadedData(model, X, loss, steps_per_epoch)


def evaluator_of(model: Trainable, validation: Any, loss: Loss, batch_size: int, classes: Classes) -> Evaluator:
    """Return what evaluates a network on a pair (X, y), or on batches; raise TypeError or ValueError for others."""
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        X, y = validation
        return Evaluator(model, X, encode(y, classes, "validation y"), loss, batch_size, "validation ")
    if isinstance(validation, (tuple, np.ndarray)) or not (hasattr(validation, "__iter__") or callable(validation)):
        raise TypeError(
            f"validation is {type(validation).__name__}; it must be a pair (X, y), or batches of such pairs"
        )
    if iter_once(validation):
        raise TypeError(f"validation is a {type(validation).__name__}, which is used up by one epoch; give a list")
    return Evaluator(model, validation, None, loss, batch_size, "validation ")


def split(targets: npt.NDArray[Any], fraction: float) -> tuple[Rows, Rows]:
    """Return the numbers of the samples to train on and of those to hold out, both ascending.

    They are drawn at random, always the same ones of the same targets; of integer labels (n,), the same fraction of
    each class, up to one sample. Raises TypeError or ValueError, which names validation_split, for a fraction that is
    not between 0 and 1, or leaves either side without samples.

    >>> split(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25)
    (array([1, 2, 3, 4, 6, 7]), array([0, 5]))
    """
    fraction, n = check_proper_fraction(fraction, "validation_split"), len(targets)
    count = int(fraction * n + 0.5)
    if not 0 < count < n:
        raise ValueError(f"validation_split is {fraction}: of {n} samples it holds out {count}")
    order = np.random.default_rng(SEED).permutation(n)
    if _are_labels(targets):
        order = order[np.argsort(targets[order], kind="stable")]
    places = ((np.arange(count) + 0.5) * (n / count)).astype(np.int64)  # evenly spaced, and so within each class
    held_out = np.sort(order[places])
    return np.setdiff1d(np.arange(n), held_out, assume_unique=True), held_out


def class_weights(
    targets: npt.NDArray[Any], given: ClassWeight, classes: Sequence[Any], rows: Rows
) -> npt.NDArray[np.float64]:
    """Return the weight of each sample by its class: "balanced" gives each class the same sum over the `rows`.

    `classes` are the labels of a mapping, in the order of the targets: their names, or a range. A class that a mapping
    leaves out has weight 1. Raises TypeError or ValueError, which names class_weight, where the
    targets are no labels, or the mapping is not one of labels to weights.

    >>> class_weights(np.array([0, 0, 0, 1]), "balanced", range(2), np.arange(4))
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    if not _are_labels(targets):
        raise ValueError("class_weight is given, but y holds no labels (n,): it weights samples by their class")
    if isinstance(given, str) and given == "balanced":
        counts = np.bincount(targets[rows], minlength=len(classes))
        there = counts > 0
        weights = np.ones(len(classes))
        weights[there] = len(rows) / (np.count_nonzero(there) * counts[there])
        return weights.take(targets)
    if not isinstance(given, Mapping):
        raise TypeError(f"class_weight is {given!r}; it must be 'balanced' or a dict of labels and their weights")
    weights, places = np.ones(len(classes)), {label: place for place, label in enumerate(classes)}
    for label, weight in given.items():
        if isinstance(label, (bool, np.bool_)) or label not in places:
            raise ValueError(f"class_weight has the label {label!r}; the network has {_described(classes)}")
        weights[places[label]] = check_not_negative(weight, f"class_weight[{label}]")
    return weights.take(targets)


def _described(classes: Sequence[Any]) -> str:
    if isinstance(classes, range):
        return f"classes 0 to {len(classes) - 1}"
    return f"the classes {listed(classes)}"


def _are_labels(targets: npt.NDArray[Any]) -> bool:
    return targets.ndim == 1 and targets.dtype.kind in "iu"
