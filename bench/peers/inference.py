"""Inference on the next samples of a data set each time.

Prediction of classes, from NumPy to NumPy in nerva and from tensor to tensor in PyTorch; and evaluation: the mean loss
and the accuracy.
"""

from typing import Any

import numpy as np

from harness.use import Blocks, Use
from peers.by_hand import CSRPyTorchStep
from peers.steps import DensePyTorchStep, NervaNetwork

EVALUATION_BATCH = 1000  # of PyTorch's evaluation; nerva has its default


class NervaPredict(NervaNetwork):
    """nerva's predict on float32 samples: it checks its arguments and transposes the samples."""

    timed = "predict"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.weights, threads)
        self._samples, _ = work.data.floats()
        self._next = Blocks(len(self._samples), work.batch)

    def predict(self) -> Any:
        """Classify the next samples."""
        return self.model.predict(self._samples[self._next()])


class DensePyTorchPredict(DensePyTorchStep):
    """PyTorch with dense weights in inference mode, which is as fast as masked PyTorch; views of a float32 tensor."""

    timed = "predict"

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Reject a layer that is too large."""
        return super().unsupported(work.step)

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.step, threads)
        import torch

        self._inference_mode = torch.inference_mode
        self._samples, self._labels = map(torch.from_numpy, work.data.floats())
        self._next = Blocks(len(self._samples), work.batch)

    def predict(self) -> Any:
        """Classify the next samples."""
        with self._inference_mode():
            return self.model(self._samples[self._next()]).argmax(1)


class CSRPyTorchPredict(CSRPyTorchStep):
    """PyTorch's sparse CSR tensors, written by hand; the samples are columns in advance, block by block."""

    timed = "predict"

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Reject what the hot step rejects."""
        return super().unsupported(work.step)

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.step, threads)
        samples, _ = work.data.floats()
        blocks = samples.reshape(-1, work.batch, samples.shape[1]).swapaxes(1, 2)
        self._columns = self._torch.from_numpy(np.ascontiguousarray(blocks))
        self._next = Blocks(len(self._columns), 1)

    def predict(self) -> Any:
        """Classify the next samples."""
        with self._torch.inference_mode():
            X = self._columns[self._next().start]
            for layer in self._layers[:-1]:
                X = layer.forward(X).relu_()
            return self._layers[-1].forward(X).argmax(0)


class NervaEvaluate(NervaNetwork):
    """nerva's evaluate on uint8 samples, which are standardized a batch at a time."""

    timed = "evaluate"

    def __init__(self, work: Use, threads: int) -> None:
        super().__init__(work.weights, threads)
        import nerva

        pixels, self._labels, mean, std = work.data.bytes()
        self._data = nerva.datasets.Standardized(pixels, mean, std)
        self._next = Blocks(len(pixels), work.batch)

    def evaluate(self) -> tuple[float, float]:
        """Return the mean loss and the accuracy on the next samples."""
        rows = self._next()
        loss, accuracy = self.model.evaluate(self._data[rows], self._labels[rows])
        return loss, accuracy


class DensePyTorchEvaluate(DensePyTorchPredict):
    """PyTorch with dense weights in inference mode, on float32 samples standardized in advance."""

    timed = "evaluate"

    def evaluate(self) -> tuple[float, float]:
        """Return the mean loss and the accuracy on the next samples."""
        rows = self._next()
        X, y = self._samples[rows], self._labels[rows]
        loss, correct = 0.0, 0
        with self._inference_mode():
            for samples, labels in zip(X.split(EVALUATION_BATCH), y.split(EVALUATION_BATCH), strict=True):
                Z = self.model(samples)
                loss += self._loss(Z, labels, reduction="sum").item()
                correct += int((Z.argmax(1) == labels).sum())
        return loss / len(y), correct / len(y)
