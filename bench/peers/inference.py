"""Prediction of classes: from NumPy to NumPy in nerva, from tensor to tensor in PyTorch."""

from typing import Any

import numpy as np

from harness.workloads import Inference, Step
from peers.by_hand import CSRPyTorchStep
from peers.steps import DensePyTorchStep, NervaStep


def _step(work: Inference) -> Step:
    """Return a step with the network; its labels are not used."""
    return Step(work.weights, work.X, np.zeros(len(work.X), np.int64))


class NervaPredict(NervaStep):
    """nerva's predict, which checks its arguments and transposes the samples."""

    timed = "predict"

    def __init__(self, work: Inference, threads: int) -> None:
        super().__init__(_step(work), threads)
        self._samples = work.X

    def predict(self) -> Any:
        """Classify the samples."""
        return self.model.predict(self._samples)


class DensePyTorchPredict(DensePyTorchStep):
    """PyTorch with dense weights in inference mode."""

    timed = "predict"

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Reject a layer that is too large."""
        return super().unsupported(_step(work))

    def __init__(self, work: Inference, threads: int) -> None:
        super().__init__(_step(work), threads)
        import torch

        self._inference_mode = torch.inference_mode

    def predict(self) -> Any:
        """Classify the samples."""
        with self._inference_mode():
            return self.model(self._X).argmax(1)


class CSRPyTorchPredict(CSRPyTorchStep):
    """PyTorch's sparse CSR tensors, written by hand; the samples are columns in advance."""

    timed = "predict"

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Reject what the step rejects."""
        return super().unsupported(_step(work))

    def __init__(self, work: Inference, threads: int) -> None:
        super().__init__(_step(work), threads)

    def predict(self) -> Any:
        """Classify the samples."""
        with self._torch.inference_mode():
            X = self._X
            for layer in self._layers[:-1]:
                X = layer.forward(X).relu_()
            return self._layers[-1].forward(X).argmax(0)
