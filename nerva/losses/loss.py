"""Losses on the outputs of a network, (K, batch): value and gradient in one pass.

Every value is a mean over the samples of a batch, weighted where samples have weights, and the gradient is that of the
value. The original Nerva has sums over the batch instead, and divides its gradients by the batch elsewhere.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva._kernels.softmax import softmax
from nerva.losses.targets import Weighted, labels_of


class LossResult(NamedTuple):
    """The mean loss of a batch, its gradient (K, batch), how many predictions were right, and the batch's weight.

    `correct` is None where there is no right or wrong. The weight is the number of samples, or the sum of theirs.
    """

    value: float
    gradient: Array
    correct: float | None
    weight: float


class Loss(ABC):
    """What every loss has. A subclass says what it is of one sample, and what targets it takes."""

    def __init__(self) -> None:
        self._buffer: Buffer | None = None
        self._shape: tuple[int, np.dtype[Any]] | None = None

    def __call__(self, Z: Array, y: Any) -> LossResult:
        """Return the loss of outputs Z (K, batch) against checked targets; the gradient lies in a buffer."""
        targets, weights = (y.targets, y.weights) if isinstance(y, Weighted) else (y, None)
        with np.errstate(over="ignore", invalid="ignore"):  # of a training that is lost, which the loss itself shows
            values, gradient, shares = self._each(Z, targets)
            correct = self._correct(Z, targets)
            counted = shares if weights is None else weights if shares is None else weights * shares
            whole = float(Z.shape[1] if counted is None else counted.sum())
            scale: Any = (1.0 if weights is None else weights) / whole if whole else np.zeros(Z.shape[1])
            DZ = self._take(Z)
            np.multiply(gradient, scale, out=DZ, casting="same_kind")
            return LossResult(float(np.sum(values * scale)), DZ, correct, whole)

    def _take(self, Z: Array) -> Array:
        if self._buffer is None or self._shape != (Z.shape[0], Z.dtype):
            self._buffer, self._shape = Buffer(Z.shape[0], Z.dtype), (Z.shape[0], Z.dtype)
        return self._buffer.take(Z.shape[1])

    @abstractmethod
    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        """Return the loss of each sample (batch,), its gradient (K, batch), and what each counts, None for 1.

        The mean is the sum of the losses divided by that of the counts.
        """

    def _correct(self, Z: Array, y: Array) -> float | None:
        return float((Z.argmax(axis=0) == labels_of(y)).sum())

    @abstractmethod
    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return targets as the loss takes them; raise TypeError or ValueError, by this name, for others."""

    def predict(self, Z: Array) -> Array:
        """Return what outputs Z (K, batch) predict: the class of each sample, int64 (batch,)."""
        classes: Array = Z.argmax(axis=0)
        return classes

    def probabilities(self, Z: Array) -> Array:
        """Return the probabilities (K, batch) that outputs stand for, which may be in their memory."""
        softmax(Z, Z)
        return Z

    def __repr__(self) -> str:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in own.items())})"
