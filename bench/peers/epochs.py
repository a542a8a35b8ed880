"""An epoch of `fit` on samples in memory: mini-batches are drawn, gathered and standardized, and trained on."""

from itertools import pairwise
from typing import Any

from harness.use import Use
from harness.workloads import BATCH, RATE, SIZES
from peers.steps import DensePyTorchStep, MaskedPyTorchStep, NervaNetwork

STEPS, MIN_STEPS = 50, 5  # of a masked epoch that are timed; a whole one takes some seconds
AFFORDABLE = STEPS * BATCH * sum(D * K for D, K in pairwise(SIZES))  # samples times weights in these steps


class NervaEpoch(NervaNetwork):
    """nerva's `fit` on uint8 samples, which are standardized a mini-batch at a time; whole epochs."""

    timed, long = "epoch", True

    @classmethod
    def unsupported(cls, work: Use) -> str:
        """Require what the precision needs."""
        import nerva

        there = nerva.config()["bfloat16"]  # "yes", or "no: it needs ..."
        if work.precision == "float32" or there == "yes":
            return ""
        return f"bfloat16 is not on this machine{there.removeprefix('no')}"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.weights, threads)
        import nerva

        self.model.precision = work.precision
        pixels, self._labels, mean, std = work.data.bytes()
        self._data, self._batch = nerva.datasets.Standardized(pixels, mean, std), work.batch

    def epoch(self) -> None:
        """Train for an epoch."""
        self.model.fit(
            self._data,
            self._labels,
            epochs=1,
            batch_size=self._batch,
            optimizer=self.optimizer,
            schedule=RATE,
            verbose=False,
        )


class DensePyTorchEpoch(DensePyTorchStep):
    """PyTorch on float32 samples standardized in advance, gathered by index_select; some steps are timed."""

    timed, long = "epoch", True

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Reject what the hot step rejects."""
        return super().unsupported(work.step)

    @classmethod
    def steps(cls, work: Use) -> int:
        """Return how many steps are timed: fewer, the longer one takes."""
        batches = -(-work.data.samples // work.batch)
        return min(batches, max(MIN_STEPS, min(STEPS, AFFORDABLE // (work.batch * work.dense_size))))

    @classmethod
    def fraction(cls, work: Use) -> float:
        """Return the fraction of an epoch that these steps are."""
        return min(1.0, cls.steps(work) * work.batch / work.data.samples)

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.step, threads)
        import torch

        self._samples, self._labels = map(torch.from_numpy, work.data.floats())
        self._randperm, self._batch, self._steps = torch.randperm, work.batch, self.steps(work)

    def epoch(self) -> None:
        """Train for the steps."""
        for rows in self._randperm(len(self._labels))[: self._steps * self._batch].split(self._batch):
            self.update(self._samples.index_select(0, rows), self._labels.index_select(0, rows))


class MaskedPyTorchEpoch(DensePyTorchEpoch, MaskedPyTorchStep):
    """The same with masks."""
