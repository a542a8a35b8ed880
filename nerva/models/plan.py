"""Compile a network: its layers, softmax cross-entropy and the optimizer's update as one program for a whole step.

What the program cannot express runs layer by layer, by `forward` and `backward` of the layers, which are its reference
in the tests. Which it is, is decided here, by `obstacle`, and by what loss and optimizer say of themselves.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from nerva._kernels.isa import lacking_for_bfloat16
from nerva._kernels.memory import Array, Buffer
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.operations import IDENTITY, Elementwise, Normalization, Operation, Product
from nerva._kernels.plan import Plan
from nerva._kernels.sparse_batch import SparseBatch
from nerva.layers.activation import FUSED
from nerva.layers.layer import Layer
from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.parameters import Taken
from nerva.training.batches import Batches, Draw
from nerva.training.profiling import Profile, recorder

Source = Array | SparseBatch
Trained = tuple[float, float | None, float]  # of a batch: mean loss, correct predictions and weight, as of LossResult


class Owned(NamedTuple):
    """An operation, and the number of the layer that it belongs to."""

    operation: Operation
    layer: int


class CompiledNetwork:
    """A network as one program.

    Parameters
    ----------
    layers : of the network, in order
    operations : what they compute, for the batch sizes that `accepts` is asked about
    dtype : float32 or float64
    bfloat16 : whether activations and their gradients are stored in bfloat16; what is faster decides nothing then
    """

    def __init__(
        self, layers: Sequence[Layer], operations: Iterable[Owned], dtype: np.dtype[Any], *, bfloat16: bool = False
    ) -> None:
        self._layers, self._operations = layers, fuse(operations)
        self._dtype, self._bfloat16 = dtype, bfloat16
        self._plan = self._make_plan()
        self._sparse_plan: Plan | None = None  # made with the first sparse samples
        self._accepted: dict[tuple[int, int, tuple[str, ...]], bool] = {}
        self._masks = [layer._keys for layer in layers if getattr(layer, "_keys", None)]  # type: ignore[attr-defined]
        self._nnz = [layer.nnz for layer in layers]
        self._outputs = Buffer(layers[-1].out_features or 0, dtype)

    def _make_plan(self, *, sparse: bool = False) -> Plan:
        operations = [operation for operation, _ in self._operations]
        return Plan(operations, self._dtype, bfloat16=self._bfloat16, sparse=sparse)

    @property
    def takes_sparse(self) -> bool:
        """Whether samples may be sparse: the first operation is a product then."""
        return isinstance(self._operations[0].operation, Product)

    def _source(self, batches: Batches, draw: Draw) -> tuple[Plan, Source]:
        """Return the program for dense or for sparse samples, and what it reads them from."""
        if batches.samples.sparse is None:
            return self._plan, batches.samples.array
        if self._sparse_plan is None:
            self._sparse_plan = self._make_plan(sparse=True)
        return self._sparse_plan, batches.gather_sparse(draw)

    def fits(self) -> bool:
        """Whether the layers still have the weights and statistics that were compiled, rewired or not."""
        for operation, i in self._operations:
            layer: Any = self._layers[i]
            if isinstance(operation, Product):
                now, then = layer.weight, operation.weight
                if (now.base is not then.base) if isinstance(then, np.ndarray) else (now is not then):
                    return False
            if isinstance(operation, Normalization) and (
                layer.running_mean is not operation.running_mean
                or layer.running_variance is not operation.running_variance
            ):
                return False
        return True

    def accepts(self, batch: int) -> bool:
        """Whether every layer can be part of the program for batches of this size, and the present threads."""
        nnz = [layer.nnz for layer in self._layers]
        if nnz != self._nnz:
            self._nnz, self._accepted = nnz, {}
        # The backend of a layer is a setting that may change at any time.
        key = batch, get_num_threads(), tuple(getattr(layer, "backend", "") for layer in self._layers)
        found = self._accepted.get(key)
        if found is None:
            found = self._accepted[key] = obstacle(self._layers, batch, self._bfloat16) is None
        return found

    def train(self, batches: Batches, draw: Draw, optimizer: Optimizer, rate: float, loss: Loss) -> Trained:
        """Take a step on some samples; return their mean loss before it, the correct predictions and their weight.

        The last two are as of LossResult. Raises ValueError, before anything is changed, for a value of the samples
        that is not finite, and what the loss raises.
        """
        profile, samples, targets = recorder(), batches.samples, batches.targets
        assert targets is not None
        parameters = [parameter for layer in self._layers for parameter in layer.parameters()]
        before = [(each, each.state, each.owner, each.steps) for each in parameters]
        drawn = [masks.count for masks in self._masks]
        times = None if profile is None else np.zeros(3 + 2 * len(self._operations), np.int64)
        settings: dict[str, Any] = {"scale": samples.scale, "shift": samples.shift, "check": not samples.checked}
        settings |= {"image_shape": batches.image_shape, "moves": draw.moves, "nanoseconds": times}
        settings["clip_norm"] = optimizer.clip_norm or 0.0
        started = perf_counter_ns()
        plan, source = self._source(batches, draw)
        if times is not None:
            times[0] += perf_counter_ns() - started
        step, taken = optimizer.at(rate), plan.taken

        def take() -> list[Taken]:
            return [step.take(parameter) for parameter in parameters]

        result: Trained | None
        try:
            if loss.fused and _are_labels(targets):
                found = plan.step(take(), source, draw.rows, targets, **settings)
                result = None if found is None else (*found, float(len(draw.rows)))
            else:
                result = self._train_in_passes(plan, source, draw, targets, take, settings, loss)
        finally:  # an error, or a signal that raised, is before the step or behind it
            if plan.taken == taken:
                for parameter, state, owner, steps in before:
                    parameter.state, parameter.owner, parameter.steps = state, owner, steps
                for masks, count in zip(self._masks, drawn, strict=True):
                    masks.count = count
        if result is None:
            samples.check_finite()
            raise RuntimeError("X was changed while a step read it")
        for layer in self._layers:
            layer.forget_batch()
        if profile is not None and times is not None:
            self._record(profile, times, len(draw.rows))
        return result

    def _train_in_passes(
        self,
        plan: Plan,
        source: Source,
        draw: Draw,
        targets: Any,
        take: Callable[[], list[Taken]],
        settings: dict[str, Any],
        loss: Loss,
    ) -> Trained | None:
        """Take a step by a loss that is called between its passes; None where a value of the samples is not finite."""
        Z, times = self._outputs.take(len(draw.rows)), settings["nanoseconds"]
        if not plan.begin(source, draw.rows, Z, **settings):
            return None
        started = perf_counter_ns()
        value, gradient, correct, weight = loss(Z, targets[draw.rows])
        if times is not None:
            times[1 + len(self._operations)] += perf_counter_ns() - started
        plan.finish(take, gradient)
        return value, correct, weight

    def outputs(self, batches: Batches, draw: Draw) -> Array:
        """Return the outputs (outputs, batch) for some samples, in a buffer that the next call overwrites."""
        Y, samples, profile = self._outputs.take(len(draw.rows)), batches.samples, recorder()
        started = 0 if profile is None else perf_counter_ns()
        plan, source = self._source(batches, draw)
        if not plan.forward(source, draw.rows, Y, scale=samples.scale, shift=samples.shift):
            samples.check_finite()
        if profile is not None:
            profile.add("forward", started)
        return Y

    def _record(self, profile: Profile, times: Array, batch: int) -> None:
        """Add the times of a step to an open profile: those of each operation to its layer."""
        count = len(self._operations)
        profile.add_step()
        profile.add_time("data", int(times[0]))
        profile.add_time("loss", int(times[1 + count]))
        profile.add_time("update", int(times[-1]))
        backward = times[2 + count : 2 + 2 * count][::-1]
        for phase, own in (("forward", times[1 : 1 + count]), ("backward", backward)):
            sums: dict[int, int] = {}
            for time, (_, i) in zip(own, self._operations, strict=True):
                sums[i] = sums.get(i, 0) + int(time)
            for i, total in sums.items():
                profile.add_time(phase, total, i, batch, self._layers[i])


def fuse(operations: Iterable[Owned]) -> list[Owned]:
    """Return the operations with functions that a product or a normalization can compute too joined to it."""
    fused: list[Owned] = []
    for operation, layer in operations:
        match fused[-1].operation if fused else None, operation:
            case (Product() | Normalization()) as below, Elementwise(function) if (
                below.activation == IDENTITY and function[0] in FUSED
            ):
                fused[-1] = Owned(replace(below, activation=function), fused[-1].layer)
            case _:
                fused.append(Owned(operation, layer))
    return fused


def _are_labels(targets: Any) -> bool:
    """Whether targets are integers, one for each sample, without weights."""
    return isinstance(targets, np.ndarray) and targets.ndim == 1


def _operations(layer: Layer, batch: int, bfloat16: bool) -> tuple[Operation, ...] | None:
    """Return the operations of a layer; in bfloat16, which nothing else computes, whatever their speed."""
    return layer.operations(batch) if bfloat16 else layer.compiled(batch)


def obstacle(layers: Sequence[Layer], batch: int, bfloat16: bool = False) -> str | None:
    """Return why a network has no program for batches of this size, such as a layer's name; None where it has one."""
    lacking = lacking_for_bfloat16() if bfloat16 else None
    if lacking is not None:  # the network was pickled on another machine
        return f"it needs {lacking}"
    linear = False
    for i, layer in enumerate(layers):
        operations = _operations(layer, batch, bfloat16)
        if operations is None:
            return f"layers[{i}] is {layer!r}, {layer.obstacle(batch, bfloat16)}"
        linear = linear or any(isinstance(operation, Product) for operation in operations)
    return None if linear else "no layer is linear"


def compile_network(layers: Sequence[Layer], batch: int, bfloat16: bool = False) -> CompiledNetwork | None:
    """Return the program of a network for batches of this size, None where there is an `obstacle`."""
    # It is asked in every step that is not compiled: a layer of the user's own is found first, and without words.
    if any(type(layer).operations is Layer.operations and type(layer).compiled is Layer.compiled for layer in layers):
        return None
    if obstacle(layers, batch, bfloat16) is not None:
        return None
    found = [Owned(of, i) for i, layer in enumerate(layers) for of in _operations(layer, batch, bfloat16) or ()]
    assert layers[0].dtype is not None
    return CompiledNetwork(layers, found, layers[0].dtype, bfloat16=bfloat16)
