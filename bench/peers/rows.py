"""A training step on rows: consecutive float32 samples of a data set, the next ones each time."""

from typing import Any

from harness.use import Blocks, Use
from harness.workloads import RATE
from peers.steps import DensePyTorchStep, MaskedPyTorchStep, NervaNetwork


class NervaTrainStep(NervaNetwork):
    """nerva's `train_step`, which checks its arguments and transposes the samples."""

    timed = "train_step"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.weights, threads)
        self._samples, self._labels = work.data.floats()
        self._next = Blocks(len(self._samples), work.batch)

    def train_step(self) -> float:
        """Take a step on the next batch."""
        rows = self._next()
        return self.model.train_step(self._samples[rows], self._labels[rows], self.optimizer, RATE)


class DensePyTorchTrainStep(DensePyTorchStep):
    """PyTorch's step on a view of a tensor."""

    timed = "train_step"

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Reject what the hot step rejects."""
        return super().unsupported(work.step)

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.step, threads)
        import torch

        self._samples, self._labels = map(torch.from_numpy, work.data.floats())
        self._next = Blocks(len(self._samples), work.batch)

    def train_step(self) -> Any:
        """Take a step on the next batch."""
        rows = self._next()
        return self.update(self._samples[rows], self._labels[rows])


class MaskedPyTorchTrainStep(DensePyTorchTrainStep, MaskedPyTorchStep):
    """The same with masks."""
