"""Compile a network: its layers, softmax cross-entropy and the optimizer's update as one program for a whole step.

What the program cannot express runs layer by layer, by `forward` and `backward` of the layers, which are its reference
in the tests. Which it is, is decided here, by `CompiledNetwork.accepts`, and by what loss and optimizer say of
themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from nerva._kernels.isa import lacking_for_bfloat16
from nerva._kernels.memory import Array, Buffer
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.operations import IDENTITY, Elementwise, Operation, Product
from nerva._kernels.plan import Plan
from nerva.layers.activation import FUSED
from nerva.layers.layer import Layer
from nerva.parameters import Step
from nerva.training.batches import Batches, Draw
from nerva.training.profiling import Profile, recorder

SMALLEST_BATCH = 65  # a batch of one slice is computed with the same bits by kernels that share its rows
MOST_WEIGHTS = 1 << 18  # every slice reads all weights: more than fit a cache cost more than the barriers


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
        self._plan = Plan([operation for operation, _ in self._operations], dtype, bfloat16=bfloat16)
        self._bfloat16 = bfloat16
        self._accepted: dict[tuple[int, int, tuple[str, ...]], bool] = {}
        self._nnz = [layer.nnz for layer in layers]
        self._outputs = Buffer(layers[-1].out_features or 0, dtype)

    def fits(self) -> bool:
        """Whether the layers still have the weights that were compiled, rewired or not."""
        for operation, i in self._operations:
            if isinstance(operation, Product):
                now, then = self._layers[i].weight, operation.weight  # type: ignore[attr-defined]
                if (now.base is not then.base) if isinstance(then, np.ndarray) else (now is not then):
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
            if self._bfloat16:
                found = obstacle(self._layers, batch, True) is None
            else:
                few = sum(nnz) <= MOST_WEIGHTS
                found = few and all(layer.compiled(batch) is not None for layer in self._layers)
            self._accepted[key] = found
        return found

    def train(self, batches: Batches, draw: Draw, step: Step) -> tuple[float, int]:
        """Take a step on some samples, and return their mean loss before it and how many predictions are correct."""
        updates = [step.take(parameter) for layer in self._layers for parameter in layer.parameters()]
        profile, samples, targets = recorder(), batches.samples, batches.targets
        assert targets is not None
        times = None if profile is None else np.zeros(3 + 2 * len(self._operations), np.int64)
        loss, correct = self._plan.step(
            updates,
            samples.array,
            draw.rows,
            targets,
            scale=samples.scale,
            shift=samples.shift,
            image_shape=batches.image_shape,
            moves=draw.moves,
            nanoseconds=times,
        )
        for layer in self._layers:
            layer.forget_batch()
        if profile is not None and times is not None:
            self._record(profile, times, len(draw.rows))
        return loss, correct

    def outputs(self, batches: Batches, draw: Draw) -> Array:
        """Return the outputs (outputs, batch) for some samples, in a buffer that the next call overwrites."""
        Y, samples, profile = self._outputs.take(len(draw.rows)), batches.samples, recorder()
        started = 0 if profile is None else perf_counter_ns()
        self._plan.forward(samples.array, draw.rows, Y, scale=samples.scale, shift=samples.shift)
        if profile is not None:
            profile.add("forward", started)
        return Y

    def _record(self, profile: Profile, times: Array, batch: int) -> None:
        """Add the times of a step to an open profile: those of each operation to its layer."""
        count = len(self._operations)
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
    """Return the operations with functions that a product can compute in its epilogue joined to it."""
    fused: list[Owned] = []
    for operation, layer in operations:
        match fused[-1].operation if fused else None, operation:
            case Product(activation=before) as product, Elementwise(function) if (
                before == IDENTITY and function[0] in FUSED
            ):
                fused[-1] = Owned(replace(product, activation=function), fused[-1].layer)
            case _:
                fused.append(Owned(operation, layer))
    return fused


def obstacle(layers: Sequence[Layer], batch: int, bfloat16: bool = False) -> str | None:
    """Return, in words, which layer cannot be part of a program, whatever its speed; None where all can."""
    lacking = lacking_for_bfloat16() if bfloat16 else None
    if lacking is not None:  # the network was pickled on another machine
        return f"it needs {lacking}"
    for i, layer in enumerate(layers):
        backend = getattr(layer, "backend", "native")
        if backend not in ("auto", "native"):
            return f"layers[{i}] has the backend {backend!r}, but the kernels of a compiled step are native ones"
        if layer.operations(batch) is None:
            return f"layers[{i}] is {layer!r}, which a compiled step does not compute"
    return None if any(layer.nnz or hasattr(layer, "weight") for layer in layers) else "there is no linear layer"


def compile_network(layers: Sequence[Layer], batch: int, bfloat16: bool = False) -> CompiledNetwork | None:
    """Return the program of a network for batches of this size, None where a layer cannot be part of one."""
    found: list[Owned] = []
    if bfloat16 and obstacle(layers, batch, True) is not None:
        return None
    for i, layer in enumerate(layers):
        operations = layer.operations(batch) if bfloat16 else layer.compiled(batch)
        if operations is None:
            return None
        found += (Owned(operation, i) for operation in operations)
    if not any(isinstance(operation, Product) for operation, _ in found):
        return None
    assert layers[0].dtype is not None
    return CompiledNetwork(layers, found, layers[0].dtype, bfloat16=bfloat16)
