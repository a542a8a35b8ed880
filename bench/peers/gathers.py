"""Gathering alone: mini-batches of 100 samples, in random order, from data in memory."""

import numpy as np

from harness.peer import Peer
from harness.use import Use
from harness.workloads import Array


class _Gather(Peer):
    """One mini-batch after the other."""

    timed = "batch"

    def __init__(self, work: Use, threads: int) -> None:
        order = np.random.default_rng(work.data.seed).permutation(work.data.samples)
        self._batches: list[Array] = [order[i : i + work.batch] for i in range(0, len(order), work.batch)]
        self._next = 0

    def _rows(self) -> Array:
        self._next = (self._next + 1) % len(self._batches)
        return self._batches[self._next]


class NervaGather(_Gather):
    """nerva's kernel: uint8 samples are gathered, standardized and transposed in one pass."""

    name, module, distribution = "nerva", "nerva", "nerva-sparse"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work, threads)
        import nerva
        from nerva._kernels.batches import gather
        from nerva._kernels.memory import empty_batch

        nerva.set_num_threads(threads)
        pixels, _, mean, std = work.data.bytes()
        self._gather, self._data = gather, nerva.datasets.Standardized(pixels, mean, std)
        self._X = empty_batch(self._data.shape[1], work.batch, np.float32)

    def batch(self) -> None:
        """Gather the next mini-batch."""
        self._gather(self._data.pixels, self._rows(), self._X, self._data.scale, self._data.shift)


class PyTorchGather(_Gather):
    """PyTorch's indexing of uint8 samples, converted and standardized in place; samples stay rows."""

    name, module, distribution = "PyTorch, bytes", "torch", "torch"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work, threads)
        import torch

        torch.set_num_threads(threads)
        pixels, _, mean, std = work.data.bytes()
        self._from_numpy, self._pixels = torch.from_numpy, torch.from_numpy(pixels)
        self._scale, self._shift = torch.from_numpy(1 / (255 * std)).float(), torch.from_numpy(mean / std).float()

    def batch(self) -> None:
        """Gather the next mini-batch."""
        self._pixels[self._from_numpy(self._rows())].float().mul_(self._scale).sub_(self._shift)


class FloatPyTorchGather(_Gather):
    """PyTorch's index_select of float32 samples standardized in advance, which take four times the memory."""

    name, module, distribution = "PyTorch, float32", "torch", "torch"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work, threads)
        import torch

        torch.set_num_threads(threads)
        self._from_numpy, self._samples = torch.from_numpy, torch.from_numpy(work.data.floats()[0])

    def batch(self) -> None:
        """Gather the next mini-batch."""
        self._samples.index_select(0, self._from_numpy(self._rows()))
