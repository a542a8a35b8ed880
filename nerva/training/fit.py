"""Train a network: `fit`. Samples are rows here; inside the network they are columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from nerva.datasets.augment import Augment, check_augment
from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.schedules import Schedule
from nerva.topology import Topology
from nerva.training.batches import Batches
from nerva.training.evaluation import Evaluator, check_loss
from nerva.training.history import Callback, History
from nerva.training.labels import Classes, encode, find_classes
from nerva.training.run import Run
from nerva.training.samples import labelled_samples
from nerva.training.trainable import Trainable
from nerva.validation import as_generator, check_flag, check_integer


def fit(
    model: Trainable,
    X: object,
    y: npt.ArrayLike,
    *,
    validation: tuple[object, npt.ArrayLike] | None = None,
    epochs: int = 10,
    batch_size: int = 100,
    optimizer: Optimizer | None = None,
    schedule: float | Schedule = 0.01,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
    shuffle: bool = True,
    augment: Augment | None = None,
    topology: Topology | None = None,
    callbacks: Iterable[Callback] = (),
) -> History:
    """Train on samples X with targets y, and return the history.

    Parameters
    ----------
    X : (n, features), real numbers or booleans, a data frame, a datasets.Standardized, or a SciPy sparse matrix
    y : targets, as the loss takes them: labels (n,) from 0 to outputs - 1, or names of classes, which become
        `model.classes` in sorted order and which `predict` returns; or rows (n, outputs)
    validation : a pair (X, y) to evaluate after every epoch
    epochs : passes over the data
    batch_size : samples in a step; the last batch of an epoch holds the remaining ones
    optimizer : a nerva.Optimizer; None is Nesterov(0.9)
    schedule : the learning rate, or a callable epoch -> rate (see nerva.schedules)
    loss : None is the model's own: that of the last `fit`, SoftmaxCrossEntropy() before any
    sample_weight : (n,) weights of the samples in the loss
    rng : generator or seed, of the order of samples, augmentation and topology; None is the model's own generator
    shuffle : whether every epoch has a new random order; False keeps the order of X
    augment : shifts and flips the training images at random, such as nerva.Augment((3, 32, 32))
    topology : dynamic sparse training of the sparse layers, such as nerva.RigL()
    callbacks : called as callback(model, record) after every epoch (see nerva.training.history.Callback)

    Raises TypeError or ValueError, which names the argument that is wrong, before the first step.
    """
    batch_size, loss = check_integer(batch_size, "batch_size", least=1), check_loss(loss, model)
    classes = find_classes(y, model.out_features, getattr(model, "classes", None))
    samples, targets = labelled_samples(model, X, encode(y, classes), loss, sample_weight)
    order, augment = model.rng if rng is None else as_generator(rng), check_augment(augment, model.in_features)
    shuffle = check_flag(shuffle, "shuffle")
    batches = Batches(samples, targets, batch_size, model.dtype, order, augment, shuffle=shuffle)
    pair = () if validation is None else (*_pair(validation, classes), loss, batch_size, "validation ")
    run = Run(
        model,
        batches,
        loss,
        epochs=epochs,
        optimizer=optimizer,
        schedule=schedule,
        validation=Evaluator(model, *pair) if pair else None,
        topology=topology,
        callbacks=callbacks,
    )
    model.classes = classes
    return run.train()


def _pair(validation: tuple[object, npt.ArrayLike], classes: Classes) -> tuple[object, npt.ArrayLike]:
    """Return the pair (X, y), with labels as numbers; raise TypeError for anything else."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError(f"validation is {type(validation).__name__}; it must be a pair (X, y)")
    X, y = validation
    return X, encode(y, classes, "validation y")
