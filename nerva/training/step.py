"""One training step: forward pass, loss, backward pass and update."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.losses import Loss, LossResult
from nerva.optimizers import Nesterov, Optimizer
from nerva.training.batches import Batches, Draw, check_batch_size
from nerva.training.chunked_batches import as_batches
from nerva.training.compiled import check_bfloat16, compiled_for, obstacle
from nerva.training.evaluation import check_loss
from nerva.training.profiling import recorder
from nerva.training.ranks import ranks_of, train_part
from nerva.training.samples import labelled_samples
from nerva.training.trainable import Trainable
from nerva.validation import check_not_negative


class StepResult(NamedTuple):
    """The mean loss of a batch before a step, its correct predictions, if there is such a notion, and its weight."""

    value: float
    correct: float | None
    weight: float


def train_draw(
    model: Trainable,
    batches: Batches,
    draw: Draw,
    optimizer: Optimizer,
    rate: float,
    loss: Loss,
    learn: bool = True,
    by_layer: bool = False,
) -> StepResult:
    """Take one step on some samples, compiled where the network can be, else layer by layer; as `train_batch`.

    Layer by layer with `by_layer`, too: layers keep the factors of their gradients then. Where several ranks train the
    network, this one computes its part of the samples.
    """
    if (ranks := ranks_of(model)) is not None:
        how = {"learn": learn, "factors": by_layer or not learn}
        return StepResult(*train_part(model, ranks, batches, draw, optimizer, rate, loss, **how))
    can_be = learn and not by_layer and getattr(optimizer, "compiled", False)
    compiled = compiled_for(model, batches, draw) if can_be else None
    if compiled is not None:
        return StepResult(*compiled.train(batches, draw, optimizer, rate, loss))
    if learn and not by_layer:
        check_bfloat16(model, batches, optimizer)
    profile = recorder()
    started = 0 if profile is None else time.perf_counter_ns()
    X, y = batches.gather(draw)
    if profile is not None:
        profile.add("data", started)
        reason = obstacle(model, batches, len(draw.rows), optimizer)
        profile.add_step(reason or "the method of dynamic sparse training reads gradients")
    assert y is not None
    result = train_batch(model, X, y, optimizer, rate, loss, learn)
    return StepResult(result.value, result.correct, result.weight)


def train_batch(
    model: Trainable, X: Array, y: Array, optimizer: Optimizer, rate: float, loss: Loss, learn: bool = True
) -> LossResult:
    """Take one step on X (features, batch) with checked targets, and return the loss before it.

    Without `learn`, the gradients are left in the parameters and no step is taken.
    """
    Z, profile = model.forward(X), recorder()
    started = 0 if profile is None else time.perf_counter_ns()
    result = loss(Z, y)
    if profile is not None:
        profile.add("loss", started)
    model.backward(result.gradient)
    if learn:
        started = 0 if profile is None else time.perf_counter_ns()
        optimizer.step(model.parameters(), rate)
        if profile is not None:
            profile.add("update", started)
    return result


def train_step(
    model: Trainable,
    X: object,
    y: npt.ArrayLike,
    optimizer: Optimizer,
    rate: float,
    loss: Loss | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Take one step on one batch of samples, and return its mean loss before the step.

    Parameters
    ----------
    X : samples (batch, features), as of `fit`
    y : targets, as the loss takes them: labels (batch,) or rows (batch, outputs)
    optimizer : a nerva.Optimizer, or an object with its method `step(parameters, rate)`
    rate : the learning rate, finite and not negative
    loss : None is the model's own; another one becomes its own
    sample_weight : (batch,) weights of the samples in the loss

    Raises TypeError or ValueError, which names the argument that is wrong, before anything is changed.

    >>> model, optimizer = nerva.MLP([4, 3], init="zeros"), nerva.Nesterov()
    >>> X, y = np.ones((6, 4)), [0, 1, 1, 0, 1, 1]
    >>> [round(model.train_step(X, y, optimizer, 0.1), 3) for _ in range(3)]
    [1.099, 0.921, 0.796]
    """
    optimizer, loss = check_optimizer(optimizer), check_loss(loss, model)
    samples, targets = labelled_samples(model, X, y, loss, sample_weight, check=False)
    rate = check_not_negative(rate, "rate")
    check_batch_size(model, len(samples), len(samples))
    batches = as_batches(samples, targets, len(samples), dtype=model.dtype)
    try:
        value = train_draw(model, batches, batches.draw(0), optimizer, rate, loss).value
    finally:
        batches.close()
    model.loss = loss
    return value


def check_optimizer(optimizer: Optimizer | None) -> Optimizer:
    """Return the optimizer, Nesterov() for None; raise TypeError for what has no method `step`, or for a class."""
    if optimizer is None:
        return Nesterov()
    if isinstance(optimizer, type) or not callable(getattr(optimizer, "step", None)):
        raise TypeError(f"optimizer is {optimizer!r}; it must be an optimizer, such as nerva.Nesterov(0.9)")
    return optimizer
