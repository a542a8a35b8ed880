"""Losses on the outputs of a network, (classes, batch): value and gradient in one pass."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.losses import softmax_cross_entropy
from nerva._kernels.memory import Buffer

Array = npt.NDArray[Any]


class LossResult(NamedTuple):
    """The mean loss of a batch, its gradient DZ (classes, batch), and how many predictions were right."""

    value: float
    gradient: Array
    correct: int


class SoftmaxCrossEntropy:
    """The mean over the batch of -log softmax(z)[label], for logits z and integer labels.

    value = (1/N) sum_n (log sum_c exp Z[c, n] - Z[y_n, n]);  gradient = (softmax(Z) - one-hot(y)) / N
    """

    def __init__(self) -> None:
        self._gradient: Buffer | None = None
        self._shape: tuple[int, np.dtype[Any]] | None = None
        self._per_sample = np.empty(0)

    def __call__(self, Z: Array, y: Array) -> LossResult:
        """Return the loss of logits Z (classes, batch) against labels y int64 (batch,); the gradient is a buffer."""
        if self._gradient is None or self._shape != (Z.shape[0], Z.dtype):
            self._gradient, self._shape = Buffer(Z.shape[0], Z.dtype), (Z.shape[0], Z.dtype)
        if self._per_sample.size < Z.shape[1]:
            self._per_sample = np.empty(Z.shape[1])
        gradient = self._gradient.take(Z.shape[1])
        value, correct = softmax_cross_entropy(Z, y, gradient, self._per_sample[: Z.shape[1]])
        return LossResult(value, gradient, correct)

    def check_targets(self, y: npt.ArrayLike, samples: int, classes: int, name: str = "y") -> Array:
        """Return labels as int64 (samples,); raise TypeError or ValueError where they are not 0 to classes - 1."""
        labels = np.asarray(y)
        if labels.dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {labels.dtype}; labels must be integers")
        if labels.shape != (samples,):
            raise ValueError(f"{name} has shape {labels.shape}; there must be one label for each of {samples} samples")
        if samples and (labels.min() < 0 or labels.max() >= classes):
            raise ValueError(
                f"{name} holds labels from {labels.min()} to {labels.max()}; the network has classes 0 to {classes - 1}"
            )
        return np.ascontiguousarray(labels, np.int64)
