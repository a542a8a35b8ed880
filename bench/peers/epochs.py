"""An epoch, in which the mini-batches are drawn, gathered from memory and standardized too; and gathering alone."""

from typing import Any

import numpy as np

from harness.peer import Peer
from harness.workloads import MEAN, RATE, STD, Array, Epoch, Step
from peers.steps import MaskedPyTorchStep, NervaStep


def _step(work: Epoch) -> Step:
    """Return a step with the network of the epoch; its batch is not used."""
    return Step(work.weights, np.zeros((1, work.weights[0].shape[1]), np.float32), np.zeros(1, np.int64))


class NervaEpoch(NervaStep):
    """nerva's fit on uint8 samples, which are standardized a mini-batch at a time."""

    timed = "epoch"

    def __init__(self, work: Epoch, threads: int) -> None:
        super().__init__(_step(work), threads)
        import nerva

        pixels, self._labels = work.data()
        self._data, self._batch = nerva.datasets.Standardized(pixels, MEAN, STD), work.batch

    def epoch(self) -> None:
        """Train for an epoch."""
        self.model.fit(
            self._data, self._labels, epochs=1, batch_size=self._batch, optimizer=self.optimizer, schedule=RATE
        )


class MaskedPyTorchEpoch(MaskedPyTorchStep):
    """Masked PyTorch on float32 samples standardized in advance; a twentieth of an epoch is timed."""

    timed, fraction = "epoch", 0.05

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Support every epoch: none has a large network."""
        return ""

    def __init__(self, work: Epoch, threads: int) -> None:
        super().__init__(_step(work), threads)
        import torch

        pixels, labels = work.data()
        samples = pixels * np.float32(1 / (255 * STD))
        samples -= np.float32(MEAN / STD)
        self._samples, self._labels = torch.from_numpy(samples), torch.from_numpy(labels)
        self._randperm, self._batch = torch.randperm, work.batch

    def epoch(self) -> None:
        """Train for the fraction of an epoch."""
        count = len(self._labels)
        for rows in self._randperm(count)[: round(self.fraction * count)].split(self._batch):
            self.update(self._samples[rows], self._labels[rows])


class _Gather(Peer):
    """One mini-batch after the other, in random order."""

    timed = "batch"

    def __init__(self, work: Epoch, threads: int) -> None:
        order = np.random.default_rng(work.seed).permutation(work.samples)
        self._batches: list[Array] = [order[i : i + work.batch] for i in range(0, len(order), work.batch)]
        self._next = 0

    def _rows(self) -> Array:
        self._next = (self._next + 1) % len(self._batches)
        return self._batches[self._next]


class NervaGather(_Gather):
    """nerva's kernel: uint8 samples are gathered, standardized and transposed in one pass."""

    name, module, distribution = "nerva", "nerva", "nerva-sparse"

    def __init__(self, work: Epoch, threads: int) -> None:
        super().__init__(work, threads)
        import nerva
        from nerva._kernels.batches import gather
        from nerva._kernels.memory import empty_batch

        nerva.set_num_threads(threads)
        self._gather, self._data = gather, nerva.datasets.Standardized(work.data()[0], MEAN, STD)
        self._X = empty_batch(self._data.shape[1], work.batch, np.float32)

    def batch(self) -> None:
        """Gather the next mini-batch."""
        self._gather(self._data.pixels, self._rows(), self._X, self._data.scale, self._data.shift)


class PyTorchGather(_Gather):
    """PyTorch's indexing of uint8 samples, converted and standardized in place; samples stay rows."""

    name, module, distribution = "PyTorch, bytes", "torch", "torch"

    def __init__(self, work: Epoch, threads: int) -> None:
        super().__init__(work, threads)
        import torch

        torch.set_num_threads(threads)
        self._from_numpy, self._pixels = torch.from_numpy, torch.from_numpy(work.data()[0])

    def batch(self) -> None:
        """Gather the next mini-batch."""
        self._pixels[self._from_numpy(self._rows())].float().mul_(1 / (255 * STD)).sub_(MEAN / STD)


class FloatPyTorchGather(_Gather):
    """PyTorch's indexing of float32 samples standardized in advance, which take four times the memory."""

    name, module, distribution = "PyTorch, float32", "torch", "torch"

    def __init__(self, work: Epoch, threads: int) -> None:
        super().__init__(work, threads)
        import torch

        torch.set_num_threads(threads)
        self._from_numpy, self._samples = torch.from_numpy, torch.from_numpy(work.data()[0].astype(np.float32))

    def batch(self) -> None:
        """Gather the next mini-batch."""
        self._samples[self._from_numpy(self._rows())]
