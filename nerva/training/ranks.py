"""A step and an evaluation by several processes (ranks), each of which computes its part of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, empty_vector
from nerva._kernels.updates import Update
from nerva.layers import BatchNorm, Layer, SparseLinear
from nerva.layers.ranks import Ranks
from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.parameters import Parameter, Taken
from nerva.training.batches import Batches, Draw
from nerva.training.compiled import Compiled, compiled_for

BUCKET = 1 << 18  # bytes of gradients that are summed at once, while the backward pass goes on
LARGE = 1 << 20  # bytes of gradients above which their sums are overlapped with the backward pass
FIGURES = 5


class Doing(IntEnum):
    """What a rank does when it exchanges figures: all must do the same."""

    STEP = 0
    EVALUATION = 1
    END = 2


def ranks_of(model: object) -> Ranks | None:
    """Return the ranks that a network is trained by, None where this process is the only one."""
    found: Ranks | None = getattr(model, "ranks", None)
    return found


def exchange(ranks: Ranks, doing: Doing, *figures: float) -> npt.NDArray[np.float64]:
    """Return the sums of up to five figures over the ranks; raise RuntimeError where the others do something else."""
    vector = np.zeros(FIGURES + len(Doing))
    vector[: len(figures)] = figures
    vector[FIGURES + doing] = 1
    sums = ranks.sum(vector, "figures")
    if sums[FIGURES + doing] != ranks.size:
        raise RuntimeError(
            "the ranks do not do the same: one of them has ended its training, or evaluates while others train. Data, "
            "settings and callbacks that end a training must be the same on all"
        )
    return np.asarray(sums[:FIGURES])


def part_of(draw: Draw, ranks: Ranks) -> Draw:
    """Return the samples of a batch that are this rank's: as many as those of the others, but for one."""
    n = len(draw.rows)
    own = slice(n * ranks.rank // ranks.size, n * (ranks.rank + 1) // ranks.size)
    return Draw(draw.rows[own], None if draw.moves is None else draw.moves[own])


class Buckets:
    """Gradients on their way: summed over the ranks by pieces, while the backward pass goes on to other layers.

    The memory is kept for the next step.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._memory: list[Array] = []
        self._start()

    def _start(self) -> None:
        self._waiting: list[tuple[list[Parameter], Array, Callable[[], object]]] = []
        self._pending: list[Parameter] = []

    def add(self, layer: Layer) -> None:
        """Take the gradients of a layer, whose backward pass is done."""
        self._pending += layer.parameters()
        if sum(parameter.gradient.nbytes for parameter in self._pending) >= BUCKET:
            self._send()

    def _send(self) -> None:
        """Concatenate what is pending, and begin to sum it."""
        parameters, self._pending = [one for one in self._pending if one.values.size], []
        if not parameters:
            return
        place, size, dtype = len(self._waiting), sum(p.values.size for p in parameters), parameters[0].values.dtype
        if place == len(self._memory):
            self._memory.append(empty_vector(0, dtype))
        if (self._memory[place].size, self._memory[place].dtype) != (size, dtype):
            self._memory[place] = empty_vector(size, dtype)
        flat = np.concatenate([parameter.gradient for parameter in parameters], out=self._memory[place])
        self._waiting.append((parameters, flat, self._ranks.start_sum(flat)))

    def finish(self) -> None:
        """Wait until all gradients are sums over the ranks."""
        self._send()
        for parameters, flat, wait in self._waiting:
            wait()
            first = 0
            for parameter in parameters:
                parameter.gradient[:] = flat[first : first + parameter.values.size]
                first += parameter.values.size
        self._start()


class LeaveGradients:
    """In the place of an optimizer of a compiled step: it changes no value, and leaves the gradients in `gradient`."""

    clip_norm = None

    def at(self, rate: float) -> LeaveGradients:
        """Return itself, whatever the rate."""
        return self

    def take(self, parameter: Parameter) -> Taken:
        """Return a step of length 0, whose velocity is the gradient."""
        parameter.gradient[:] = 0  # times the momentum, 0, a NaN that is left would stay
        return Taken(Update("momentum", 0.0, 0.0), parameter.gradient, None, None)


LEAVE_GRADIENTS: Any = LeaveGradients()


def _compiled(model: Any, batches: Batches, draw: Draw) -> Compiled | None:
    """Return the program that computes this rank's gradients; None where they are computed layer by layer.

    So they are where batch normalization exchanges sums on the way, and where gradients are so large that it pays to
    sum those of one layer while the next is computed.
    """
    if any(isinstance(layer, BatchNorm) for layer in model.layers):
        return None
    if sum(parameter.values.nbytes for parameter in model.parameters()) > LARGE:
        return None
    return compiled_for(model, batches, draw)


def train_part(
    model: Any,
    ranks: Ranks,
    batches: Batches,
    draw: Draw,
    optimizer: Optimizer,
    rate: float,
    loss: Loss,
    *,
    learn: bool,
    factors: bool,
) -> tuple[float, float | None, float]:
    """Take one step on a batch, of which this rank computes its part; return loss, correct predictions and weight.

    A batch of fewer samples than there are ranks is computed whole by each. Without `learn`, gradients are left; with
    `factors`, layers keep those of their dense gradients, of the samples of all ranks.
    """
    if len(draw.rows) < ranks.size:
        with apart(model.layers, ranks):
            X, y = batches.gather(draw)
            result = loss(model.forward(X), y)
            model.backward(result.gradient)
        value, correct, weight = result.value, result.correct, result.weight
    else:
        value, correct, weight = _sum_gradients(model, ranks, batches, part_of(draw, ranks), loss, factors)
    if learn:
        optimizer.step(model.parameters(), rate)
    return value, correct, weight


def _sum_gradients(
    model: Any, ranks: Ranks, batches: Batches, own: Draw, loss: Loss, factors: bool
) -> tuple[float, float | None, float]:
    """Leave the gradients of the whole batch in the parameters; return what `train_part` does."""
    compiled = None if factors else _compiled(model, batches, own)
    gradient: Array | None = None
    if compiled is not None:
        value, correct, weight = compiled.train(batches, own, LEAVE_GRADIENTS, 0.0, loss)
    else:
        X, y = batches.gather(own)
        value, gradient, correct, weight = loss(model.forward(X), y)
    total, whole, right, *_ = exchange(ranks, Doing.STEP, value * weight, weight, correct or 0.0)
    # The gradient of the mean over the samples of all ranks, of which that of this one's is a part.
    share = weight / whole if whole else 0.0
    if gradient is not None:
        np.multiply(gradient, share, out=gradient)
        model.backward(gradient, after=model.buckets.add)
    else:
        for layer in reversed(model.layers):
            for parameter in layer.parameters():
                parameter.gradient[:] *= share
            model.buckets.add(layer)
    model.buckets.finish()
    for layer in model.layers if factors else ():
        if isinstance(layer, SparseLinear):
            layer.gather_factors(ranks)
    return float(total / whole if whole else 0.0), None if correct is None else float(right), float(whole)


@contextmanager
def together(layers: Any, ranks: Ranks) -> Iterator[None]:
    """Let layers take part in training by several ranks, and train alone again behind it."""
    for layer in layers:
        layer.join(ranks)
    try:
        yield
    finally:
        for layer in layers:
            layer.join(None)


@contextmanager
def apart(layers: Any, ranks: Ranks) -> Iterator[None]:
    """Let layers train alone meanwhile, so that all ranks compute the same of the same samples."""
    for layer in layers:
        layer.join(None)
    try:
        yield
    finally:
        for layer in layers:
            layer.join(ranks)
