"""The loop: fit and train_step. Rows are samples here; from the loader inwards, columns are.

These functions drive anything with the methods of `Trainable`; nerva.Sequential offers them as its own methods.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.datasets.augment import Augment, check_augment
from nerva.losses import Loss, LossResult
from nerva.losses.targets import weighted
from nerva.optimizers import SGD, Nesterov
from nerva.parameters import Parameter
from nerva.schedules import Schedule, as_schedule, tell
from nerva.topology import Topology, TopologyUpdater
from nerva.training.batches import Batches
from nerva.training.evaluation import Evaluator, Trainable, check_loss
from nerva.training.history import EpochRecord, History, StopTraining
from nerva.training.profiling import recorder, timed
from nerva.training.samples import Samples
from nerva.validation import as_generator, check_flag, check_integer, check_not_negative

Callback = Callable[[Any, EpochRecord], object]


def train_batch(
    model: Trainable, X: Array, y: Array, optimizer: SGD, rate: float, loss: Loss, learn: bool = True
) -> LossResult:
    """Take one step on X (features, batch), and return the loss before it.

    Without `learn`, the gradients are left and no step is taken.
    """
    Z, profile = model.forward(X), recorder()
    started = 0 if profile is None else time.perf_counter_ns()
    result = loss(Z, y)
    if profile is not None:
        profile.add("loss", started)
    if not learn:
        model.backward(result.gradient)
    elif getattr(optimizer, "fused", False):
        model.backward(result.gradient, step=optimizer.at(rate))
    else:
        model.backward(result.gradient)
        started = 0 if profile is None else time.perf_counter_ns()
        optimizer.step(model.parameters(), rate)
        if profile is not None:
            profile.add("update", started)
    return result


def train_step(
    model: Trainable,
    X: object,
    y: npt.ArrayLike,
    optimizer: SGD,
    rate: float,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Take one step on one batch of samples, X (samples, features), and return its mean loss before the step."""
    optimizer, loss = _check_optimizer(optimizer), check_loss(loss, model)
    samples = Samples(X, model.in_features, model.dtype)
    labels = weighted(loss.check_targets(y, len(samples), model.out_features), sample_weight, len(samples))
    rate = check_not_negative(rate, "rate")
    _check_batches(model, len(samples), len(samples))
    model.loss = loss
    ((batch, targets),) = Batches(samples, labels, len(samples), model.dtype)
    assert targets is not None
    return train_batch(model, batch, targets, optimizer, rate, loss).value


def fit(
    model: Trainable,
    X: object,
    y: npt.ArrayLike,
    *,
    validation: tuple[object, npt.ArrayLike] | None = None,
    epochs: int = 10,
    batch_size: int = 100,
    optimizer: SGD | None = None,
    schedule: float | Schedule = 0.01,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
    shuffle: bool = True,
    augment: Augment | None = None,
    topology: Topology | None = None,
    callbacks: Iterable[Callback] = (),
) -> History:
    """Train on samples X (n, features) with targets y (n,), and return the history.

    Parameters
    ----------
    X : float32, float64 or uint8 of shape (n, features), a datasets.Standardized, or a SciPy sparse matrix, of which
        the first layer takes the entries alone
    y : what the loss takes: integer labels (n,), 0 to the network's outputs - 1, or rows (n, outputs)
    sample_weight : (n,) numbers; so much does each sample count in the loss
    validation : a pair (X, y) to evaluate after every epoch
    epochs, batch_size : passes over the data, samples in a step; the last batch of a pass holds what is left
    optimizer : one of nerva.optimizers, or nerva.Groups of them; None is Nesterov(0.9)
    schedule : a learning rate, or a callable epoch -> rate (see nerva.schedules)
    loss : None is the model's own, SoftmaxCrossEntropy() unless it was trained with another, which it keeps
    rng : a generator or seed for the order of the samples; None takes the model's own generator
    shuffle : whether every pass goes in a new random order; False keeps that of the samples
    augment : nerva.Augment((3, 32, 32)) shifts and flips the training images at random, drawn from `rng` too
    topology : moves the weights of the sparse layers as they train, nerva.RigL() say; it draws from `rng` too
    callbacks : called as callback(model, record) after every epoch; one with a method `on_batch(batch, batches)` has
        it called after every batch. A callback may raise StopTraining.

    All arguments are checked before the first step: TypeError or ValueError names the one that is wrong.
    """
    epochs, batch_size = check_integer(epochs, "epochs", least=1), check_integer(batch_size, "batch_size", least=1)
    optimizer, loss, rate_at = _check_optimizer(optimizer), check_loss(loss, model), as_schedule(schedule)
    samples = Samples(X, model.in_features, model.dtype)
    labels = weighted(loss.check_targets(y, len(samples), model.out_features), sample_weight, len(samples))
    held_out = None
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation is {type(validation).__name__}; it must be a pair (X, y)")
        held_out = Evaluator(model, *validation, loss, batch_size, "validation ")
    shuffle = check_flag(shuffle, "shuffle")
    order, augment = model.rng if rng is None else as_generator(rng), check_augment(augment, model.in_features)
    batches = Batches(samples, labels, batch_size, model.dtype, order, augment, shuffle=shuffle)
    callbacks = _check_callbacks(callbacks)
    per_batch = [callback.on_batch for callback in callbacks if hasattr(callback, "on_batch")]
    check_not_negative(rate_at(0.0), "schedule(0)")
    _check_batches(model, len(samples), batch_size)
    history, moves = History(), None
    if topology is not None:
        layers = getattr(model, "layers", ())
        _check_state(topology, optimizer)
        moves = TopologyUpdater(topology, layers, epochs * len(batches), len(batches), order)
        history.topology = moves.records
    model.loss = loss
    with contextlib.ExitStack() as ending:
        if moves is not None:
            ending.callback(moves.finish)  # however it ends
        for epoch in range(epochs):
            correct: float | None = 0.0
            total, weight, seen, stopped, started = 0.0, 0.0, 0, False, time.perf_counter()
            for index, (batch, targets) in enumerate(timed(batches)):
                assert targets is not None
                rate = check_not_negative(rate_at(epoch + index / len(batches)), "the schedule's rate")
                learn = moves is None or moves.before(epoch * len(batches) + index)
                result = train_batch(model, batch, targets, optimizer, rate, loss, learn)
                if moves is not None:
                    moves.after(epoch * len(batches) + index, rate)
                total += result.value * result.weight
                weight += result.weight
                correct = None if correct is None or result.correct is None else correct + result.correct
                seen += len(targets)
                try:
                    for on_batch in per_batch:
                        on_batch(index + 1, len(batches))
                except StopTraining:
                    stopped = True
                    break
            seconds = time.perf_counter() - started
            if not isfinite(total) and all(map(isfinite, history["loss"])):
                warnings.warn("the loss is not finite: the learning rate may be too high", RuntimeWarning, stacklevel=3)
            evaluation = held_out() if held_out else None
            record = EpochRecord(
                epoch=epoch + 1,
                learning_rate=rate_at(float(epoch)),
                loss=total / weight if weight else 0.0,
                train_accuracy=None if correct is None else correct / seen,
                test_loss=evaluation.loss if evaluation else None,
                test_accuracy=evaluation.accuracy if evaluation else None,
                seconds=seconds,
            )
            history.epochs.append(record)
            tell(rate_at, evaluation.loss if evaluation else record.loss)
            try:
                for callback in callbacks:
                    callback(model, record)
            except StopTraining:
                stopped = True
            if stopped:
                break
    return history


def _check_optimizer(optimizer: SGD | None) -> SGD:
    if optimizer is None:
        return Nesterov()
    if isinstance(optimizer, type) or not callable(getattr(optimizer, "step", None)):
        raise TypeError(f"optimizer is {optimizer!r}; it must be an optimizer, nerva.Nesterov(0.9) say")
    return optimizer


def _check_state(topology: Topology, optimizer: SGD) -> None:
    """Raise ValueError where the optimizer does not keep what a method looks at."""
    wanted = getattr(topology, "optimizer_state", ())
    probe = Parameter("weight", np.zeros(1, np.float32))
    if wanted:
        optimizer.step([probe], 0.0)
    for name in wanted:
        if name not in probe.state:
            raise ValueError(f"topology is {topology!r}, which needs an optimizer with {name}; this is {optimizer!r}")


def _check_batches(model: Trainable, samples: int, batch_size: int) -> None:
    """Raise ValueError where a batch, the last one maybe, has fewer samples than a layer needs in training."""
    least = max((layer.least_batch for layer in getattr(model, "layers", ())), default=1)
    last = samples % batch_size or min(samples, batch_size)
    if min(last, batch_size) < least:
        raise ValueError(
            f"batch_size is {batch_size}: {samples} samples leave a batch of {last}, and batch normalization needs "
            f"at least {least} in training"
        )


def _check_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    if not isinstance(callbacks, Iterable) or not all(map(callable, checked := tuple(callbacks))):
        raise TypeError(f"callbacks is {callbacks!r}; it must be a sequence of callables")
    return checked
