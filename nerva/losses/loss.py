"""The base class of losses.

The value of a loss is the mean over the samples of a batch, weighted where samples have weights, and the gradient is
that of the value. The original Nerva has sums over the batch instead, and divides its gradients by the batch elsewhere.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva._kernels.softmax import softmax
from nerva.losses.targets import Weighted, labels_of


class LossResult(NamedTuple):
    """The loss of a batch.

    Parameters
    ----------
    value : the mean over the samples
    gradient : (K, batch), of the value by the outputs; its memory is used again by the next call
    correct : the number of correct predictions, None where the loss has no notion of one, as in regression
    weight : the number of samples, or the sum of their weights
    """

    value: float
    gradient: Array
    correct: float | None
    weight: float


class Loss(ABC):
    """The base class of losses; a subclass defines `_each`, the loss of each sample, and `check_targets`.

    >>> class AbsoluteError(nerva.Loss):
    ...     def _each(self, Z, y):
    ...         return np.abs(Z - y.T).sum(axis=0), np.sign(Z - y.T), None
    ...     def check_targets(self, y, samples, outputs, name="y"):
    ...         return np.asarray(y, np.float64).reshape(samples, outputs)
    >>> AbsoluteError()(np.array([[1.0, 4.0]]), np.array([[3.0], [3.0]])).value
    1.5
    """

    has_accuracy = True  # whether predictions are correct or not, as in classification
    fused = False  # whether a compiled step computes this loss itself, of integer labels; any other is called

    def __init__(self) -> None:
        self._buffer: Buffer | None = None
        self._shape: tuple[int, np.dtype[Any]] | None = None

    def __call__(self, Z: Array, y: Any) -> LossResult:
        """Return the loss of outputs Z (K, batch) with targets that `check_targets` or `weighted` returned."""
        targets, weights = (y.targets, y.weights) if isinstance(y, Weighted) else (y, None)
        with np.errstate(over="ignore", invalid="ignore"):  # of a diverged training, which the loss shows
            values, gradient, shares = self._each(Z, targets)
            correct = self._correct(Z, targets)
            counted = shares if weights is None else weights if shares is None else weights * shares
            whole = float(Z.shape[1] if counted is None else counted.sum())
            scale: Any = (1.0 if weights is None else weights) / whole if whole else np.zeros(Z.shape[1])
            DZ = self._take(Z)
            np.multiply(gradient, scale, out=DZ, casting="same_kind")
            return LossResult(float(np.sum(values * scale)), DZ, correct, whole)

    def _take(self, Z: Array) -> Array:
        """Return the buffer of the gradient, in the shape and dtype of Z."""
        if self._buffer is None or self._shape != (Z.shape[0], Z.dtype):
            self._buffer, self._shape = Buffer(Z.shape[0], Z.dtype), (Z.shape[0], Z.dtype)
        return self._buffer.take(Z.shape[1])

    @abstractmethod
    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        """Return the loss of each sample (batch,), its gradient (K, batch), and the weight of each, None for 1.

        The mean is the sum of the losses divided by the sum of the weights: class weights are in both.
        """

    def _correct(self, Z: Array, y: Array) -> float | None:
        """Return how many predictions are correct."""
        return float((Z.argmax(axis=0) == labels_of(y)).sum())

    @abstractmethod
    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return targets as the loss takes them; raise TypeError or ValueError, which names them, for others."""

    def predict(self, Z: Array) -> Array:
        """Return the predictions of outputs Z (K, batch): by default the most probable classes, int64 (batch,)."""
        classes: Array = Z.argmax(axis=0)
        return classes

    def probabilities(self, Z: Array) -> Array:
        """Return the probabilities (K, batch) of outputs Z, by default their softmax, which overwrites Z."""
        softmax(Z, Z)
        return Z

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON has them, by which the loss can be made again: `type(loss)(**loss.config())`.

        >>> nerva.SoftmaxCrossEntropy(class_weights=[1, 2]).config()
        {'label_smoothing': 0.0, 'class_weights': [1.0, 2.0]}
        """
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self._settings.items()
        }

    @property
    def _settings(self) -> dict[str, Any]:
        """The settings: the attributes without an underscore, named as the arguments."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._settings.items())})"
