"""Train a network: `fit`. Samples are rows here; inside the network they are columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nerva.datasets.augment import Augment
from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.schedules import Schedule
from nerva.topology import Topology
from nerva.training.batches import Batches
from nerva.training.checkpoints import Checkpoints
from nerva.training.evaluation import check_loss
from nerva.training.history import Callback, History
from nerva.training.progress import shown_by
from nerva.training.ranks import ranks_of
from nerva.training.run import Run, WhenDiverged
from nerva.training.shared_checkpoints import SharedCheckpoints
from nerva.training.trainable import Trainable
from nerva.training.training_data import ClassWeight, LoadedData, TrainingData, data_of
from nerva.validation import check_flag, check_integer


def fit(
    model: Trainable,
    X: object,
    y: npt.ArrayLike | None = None,
    *,
    validation: tuple[object, npt.ArrayLike] | Iterable[Any] | None = None,
    validation_split: float | None = None,
    epochs: int = 10,
    batch_size: int = 100,
    steps_per_epoch: int | None = None,
    optimizer: Optimizer | None = None,
    schedule: float | Schedule | None = None,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    rng: np.random.Generator | int | None = None,
    shuffle: bool = True,
    augment: Augment | None = None,
    topology: Topology | None = None,
    callbacks: Iterable[Callback] = (),
    verbose: bool | Literal["auto"] = "auto",
    initial_epoch: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    diverged: WhenDiverged = "raise",
) -> History:
    """Train on samples X with targets y, and return the history.

    Parameters
    ----------
    X : (n, features): array, data frame, sparse, Standardized, Chunked; without y batches (docs/large-data.md)
    y : as the loss takes it: labels (n,) from 0 on, names of classes (sorted: `model.classes`), or rows (n, outputs)
    validation : a pair (X, y) to evaluate after every epoch, or batches of such pairs
    validation_split : the fraction of samples to hold out for that instead, the same in every call (docs/training.md)
    epochs, batch_size : passes over the data; samples in a step, the last one of an epoch on those that remain
    steps_per_epoch : batches of an epoch, where X gives them; None is len(X)
    optimizer : a nerva.Optimizer; None is Nesterov(0.9)
    schedule : the learning rate, or a callable epoch -> rate (see nerva.schedules); None is optimizer.default_rate
    loss : None is the model's own: that of the last `fit`, SoftmaxCrossEntropy() before any
    sample_weight, class_weight : (n,) weights in the loss; a dict of labels and factors, "balanced" for equal sums
    rng : generator or seed, of the order of samples, augmentation and topology; None is the model's own generator
    shuffle : whether every epoch has a new random order; False keeps the order of X
    augment : shifts and flips the training images at random, such as nerva.Augment((3, 32, 32))
    topology : dynamic sparse training of the sparse layers, such as nerva.RigL()
    callbacks : called as callback(model, record) after every epoch (see nerva.training.history.Callback)
    verbose : whether to show the progress; "auto" does in terminals and notebooks, where somebody sees it
    initial_epoch : epochs of calls before this one: schedule and records count on, optimizer state is taken over
    checkpoint, checkpoint_every : a folder for the state of the run; the steps between two, None is an epoch
    resume : go on from the last state there, if there is one; all else is given as to the run that ended
    diverged : "raise" ends a training whose loss is not finite by nerva.Diverged; "warn" goes on, and warns once

    Raises TypeError or ValueError, which names the argument that is wrong, before the first step; FileExistsError where
    `checkpoint` holds states already, without `resume`, and ValueError, which names the file, for one that is broken.
    """
    data = data_of(model, X, y, check_loss(loss, model), steps_per_epoch, sample_weight, class_weight, validation_split)
    batches = data.batches(check_integer(batch_size, "batch_size", least=1), rng, augment, shuffle)
    how: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "topology": topology, "callbacks": callbacks}
    how |= {"epochs": epochs, "initial_epoch": initial_epoch, "diverged": diverged, "display": shown_by(verbose)}
    return _train(model, data, batches, validation, _checkpoints(model, checkpoint, checkpoint_every, resume), how)


def _train(
    model: Trainable,
    data: TrainingData | LoadedData,
    batches: Batches,
    validation: Any,
    checkpoints: AbstractContextManager[Checkpoints | None],
    how: Mapping[str, Any],
) -> History:
    """Train on batches of the data, and return the history; `how` are settings of a Run."""
    evaluator = data.evaluator(validation, batches.batch_size)
    with checkpoints as folder:
        settings = {**how, "validation": evaluator, "checkpoints": folder, "classes": data.classes}
        return Run(model, batches, data.loss, **settings).train()


def _checkpoints(
    model: Trainable, folder: str | os.PathLike[str] | None, every: int | None, resume: bool
) -> AbstractContextManager[Checkpoints | None]:
    """Return the checkpoints of these arguments of `fit`; raise TypeError or ValueError where one is wrong."""
    resume = check_flag(resume, "resume")
    if folder is not None:
        if (ranks := ranks_of(model)) is not None:
            return SharedCheckpoints(ranks, folder, every, resume=resume)
        return Checkpoints(folder, every, resume=resume)
    for name, given in (("checkpoint_every", every is not None), ("resume", resume)):
        if given:
            raise ValueError(f"{name} is given, but no checkpoint, the folder it is about")
    return nullcontext()
