"""Compile a network: its layers, softmax cross-entropy and the optimizer's update as one program for a whole step.

What the program cannot express runs layer by layer, by `forward` and `backward` of the layers, which are its reference
in the tests. Which it is, is decided here, by `CompiledNetwork.accepts`, and by what loss and optimizer say of
themselves.
"""

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from nerva._kernels.memory import Array, Buffer
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.plan import Plan
from nerva.layers.layer import CompiledLayer, Layer
from nerva.parameters import Step
from nerva.training.batches import Batches, Draw
from nerva.training.profiling import Profile, recorder

SMALLEST_BATCH = 65  # a batch of one slice is computed with the same bits by kernels that share its rows


class CompiledNetwork:
    """A network of linear layers with fused activations as one program.

    Parameters
    ----------
    layers : of the network, in order
    compiled : what each of them computes, for the batch sizes that `accepts` is asked about
    dtype : float32 or float64
    """

    def __init__(self, layers: Sequence[Any], compiled: Sequence[CompiledLayer], dtype: np.dtype[Any]) -> None:
        self._layers, self._plan = layers, Plan(compiled, dtype)
        self._accepted: dict[tuple[int, int, tuple[str, ...]], bool] = {}
        self._nnz = [layer.nnz for layer in layers]
        self._outputs = Buffer(layers[-1].out_features, dtype)

    def fits(self) -> bool:
        """Whether the layers still have the weights that were compiled, rewired or not."""
        return all(
            layer.weight.base is weight.base if isinstance(weight, np.ndarray) else layer.weight is weight
            for layer, weight in zip(self._layers, self._plan.weights, strict=True)
        )

    def accepts(self, batch: int) -> bool:
        """Whether every layer can be part of the program for batches of this size, and the present threads."""
        nnz = [layer.nnz for layer in self._layers]
        if nnz != self._nnz:
            self._nnz, self._accepted = nnz, {}
        # The backend of a layer is a setting that may change at any time.
        key = batch, get_num_threads(), tuple(getattr(layer, "backend", "") for layer in self._layers)
        found = self._accepted.get(key)
        if found is None:
            found = self._accepted[key] = all(layer.compiled(batch) is not None for layer in self._layers)
        return found

    def train(self, batches: Batches, draw: Draw, step: Step) -> tuple[float, int]:
        """Take a step on some samples, and return their mean loss before it and how many predictions are correct."""
        updates = []
        for layer in self._layers:
            weight, *bias = layer.parameters()
            updates.append((*step.take(weight), *(step.take(bias[0]) if bias else (None, None, None))))
        profile, samples, targets = recorder(), batches.samples, batches.targets
        assert targets is not None
        times = None if profile is None else np.zeros(3 + 2 * len(self._layers), np.int64)
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
        """Add the times of a step to an open profile."""
        count = len(self._layers)
        forward, backward = times[1 : 1 + count], times[2 + count : 2 + 2 * count]
        profile.add_time("data", int(times[0]))
        profile.add_time("loss", int(times[1 + count]))
        profile.add_time("update", int(times[-1]))
        for phase, own in (("forward", forward), ("backward", backward)):
            for i, layer in enumerate(self._layers):
                profile.add_time(phase, int(own[i]), i, batch, layer)


def compile_network(layers: Sequence[Layer], batch: int) -> CompiledNetwork | None:
    """Return the program of a network for batches of this size, None where a layer cannot be part of one."""
    found = []
    for layer in layers:
        compiled = layer.compiled(batch)
        if compiled is None:
            return None
        found.append(compiled)
    assert layers[0].dtype is not None
    return CompiledNetwork(layers, found, layers[0].dtype)
