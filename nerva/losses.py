"""Losses on the outputs of a network, (K, batch): value and gradient in one pass.

Every value is a mean over the samples of a batch, weighted where samples have weights, and the gradient is that of the
value. The original Nerva has sums over the batch instead, and divides its gradients by the batch elsewhere.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.losses import softmax, softmax_cross_entropy
from nerva._kernels.memory import Buffer
from nerva.targets import Weighted, check_classes, check_labels, check_numbers, labels_of, rows_of

Array = npt.NDArray[Any]
SMALLEST = 1e-12  # probabilities below it count as it where their logarithm is taken


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


class SoftmaxCrossEntropy(Loss):
    """-sum_c T[c] log softmax(z)[c] of logits z, for integer labels, one-hot rows or rows of probabilities T.

    Parameters
    ----------
    label_smoothing : s makes of the targets (1 - s) T + s / K
    class_weights : K numbers; the term of class c counts so much. For labels, the mean over the batch is then weighted
        by the weights of the labels; for rows it is the plain one. As torch.nn.CrossEntropyLoss

    gradient = (softmax(z) sum(T) - T) / N. Stable for any finite logits. C. Szegedy et al., Rethinking the Inception
    architecture for computer vision, CVPR 2016, section 7, for the smoothing.
    """

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: npt.ArrayLike | None = None) -> None:
        super().__init__()
        self.label_smoothing = _within_one(label_smoothing, "label_smoothing")
        self.class_weights = None if class_weights is None else _positive_vector(class_weights, "class_weights")
        self._per_sample = np.empty(0)

    def __call__(self, Z: Array, y: Any) -> LossResult:
        """Return the loss of logits Z (K, batch) against checked targets; the gradient lies in a buffer."""
        if isinstance(y, Weighted) or y.ndim > 1 or self.label_smoothing or self.class_weights is not None:
            return super().__call__(Z, y)
        if self._per_sample.size < Z.shape[1]:
            self._per_sample = np.empty(Z.shape[1])
        gradient = self._take(Z)
        value, correct = softmax_cross_entropy(Z, y, gradient, self._per_sample[: Z.shape[1]])
        return LossResult(value, gradient, correct, float(Z.shape[1]))

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        K = Z.shape[0]
        T = rows_of(y, K)
        if self.label_smoothing:
            T = (1 - self.label_smoothing) * T + self.label_smoothing / K
        shares = None
        if self.class_weights is not None:
            T = T * self.class_weights[:, None]
            shares = self.class_weights[y] if y.ndim == 1 else None
        Z = Z.astype(np.float64)
        Z -= Z.max(axis=0)
        log = Z - np.log(np.exp(Z).sum(axis=0))
        return -(T * log).sum(axis=0), np.exp(log) * T.sum(axis=0) - T, shares

    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return labels as int64 (samples,), or rows of probabilities as float64 (samples, outputs)."""
        if self.class_weights is not None and self.class_weights.shape != (outputs,):
            raise ValueError(f"class_weights has shape {self.class_weights.shape}; there are {outputs} outputs")
        return check_classes(y, samples, outputs, name)


class CrossEntropy(Loss):
    """-sum_c T[c] log y[c] of probabilities y, softmax's say; those below 1e-12 count as 1e-12."""

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        _check_probabilities(Z)
        T, P = rows_of(y, Z.shape[0]), np.maximum(Z.astype(np.float64), SMALLEST)
        return -(T * np.log(P)).sum(axis=0), -T / P, None

    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return labels as int64 (samples,), or rows of probabilities as float64 (samples, outputs)."""
        return check_classes(y, samples, outputs, name)

    def probabilities(self, Z: Array) -> Array:
        """Return the outputs, which are probabilities."""
        return Z


class NegativeLogLikelihood(Loss):
    """-sum_c T[c] z[c] of log-probabilities z, log_softmax's say, as torch.nn.NLLLoss.

    Of "probabilities" it is the original Nerva's, -log sum_c T[c] y[c]; sums below 1e-12 count as 1e-12.
    """

    def __init__(self, of: str = "log-probabilities") -> None:
        super().__init__()
        if of not in ("log-probabilities", "probabilities"):
            raise ValueError(f"of is {of!r}; it must be log-probabilities or probabilities")
        self.of = of

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        T = rows_of(y, Z.shape[0])
        _check_probabilities(Z, self.of == "log-probabilities")
        if self.of == "log-probabilities":
            return -(T * Z).sum(axis=0), -T, None
        likelihood = np.maximum((T * Z).sum(axis=0), SMALLEST)
        return -np.log(likelihood), -T / likelihood, None

    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return labels as int64 (samples,), or rows of probabilities as float64 (samples, outputs)."""
        return check_classes(y, samples, outputs, name)

    def probabilities(self, Z: Array) -> Array:
        """Return the outputs, or their exponentials where they are logarithms."""
        return Z if self.of == "probabilities" else np.exp(Z)


class LogisticCrossEntropy(Loss):
    """-sum_k (p T[k] log sigmoid(z[k]) + (1 - T[k]) log(1 - sigmoid(z[k]))) of logits z: several labels a sample.

    Parameters
    ----------
    positive_weights : K numbers p or one for all; None is 1. torch.nn.BCEWithLogitsLoss with its mean over the outputs
        too is this divided by K
    negatives : False leaves out the second term, as the original Nerva does; then nothing says what is no label
    classes : the targets are integer labels, of which one-hot rows are made; the largest output is the prediction

    Targets are rows of numbers within 0 to 1. Stable for any finite logits. `correct` counts samples by the part of
    their labels that is right (one minus the Hamming loss); `predict` gives 0 or 1 for each.
    """

    def __init__(
        self, *, positive_weights: npt.ArrayLike | None = None, negatives: bool = True, classes: bool = False
    ) -> None:
        super().__init__()
        self.negatives, self.classes = _flag(negatives, "negatives"), _flag(classes, "classes")
        self.positive_weights = None
        if positive_weights is not None:
            self.positive_weights = _positive_vector(np.atleast_1d(np.asarray(positive_weights)), "positive_weights")

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        T, Z = rows_of(y, Z.shape[0]), Z.astype(np.float64)
        p = 1.0 if self.positive_weights is None else self.positive_weights[:, None]
        softplus = np.log1p(np.exp(-np.abs(Z))) + np.maximum(-Z, 0)  # -log sigmoid(z)
        off = np.exp(-softplus - Z)  # sigmoid(-z)
        positive, negative = p * T, 1 - T if self.negatives else 0 * T  # -log(1 - sigmoid(z)) is softplus + z
        both = positive + negative
        return (negative * Z + both * softplus).sum(axis=0), negative - both * off, None

    def _correct(self, Z: Array, y: Array) -> float | None:
        if self.classes:
            return super()._correct(Z, y)
        return float(((Z.T > 0) == (y > 0.5)).mean(axis=1).sum())

    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return rows of numbers within 0 to 1, float64 (samples, outputs); of classes, labels as int64 (samples,)."""
        if self.positive_weights is not None and self.positive_weights.size not in (1, outputs):
            raise ValueError(f"positive_weights has {self.positive_weights.size} numbers; there are {outputs} outputs")
        if self.classes:
            return check_labels(y, samples, outputs, name)
        T = check_numbers(y, samples, outputs, name)
        if T.size and (T.min() < 0 or T.max() > 1):
            raise ValueError(f"{name} holds numbers from {T.min()} to {T.max()}; they must be within 0 to 1")
        return T

    def predict(self, Z: Array) -> Array:
        """Return whether each label holds: int64 (batch, K), 0 or 1; of classes, the most probable, int64 (batch,)."""
        return super().predict(Z) if self.classes else (Z.T > 0).astype(np.int64)

    def probabilities(self, Z: Array) -> Array:
        """Return the probability of each label."""
        half: Array = 0.5 * np.tanh(0.5 * Z) + 0.5
        return half


class SquaredError(Loss):
    """sum_k (y[k] - T[k])^2 of outputs y against real numbers T, (samples,) for one output or (samples, outputs).

    classes : the targets are integer labels, of which one-hot rows are made; the largest output is the prediction
    """

    def __init__(self, *, classes: bool = False) -> None:
        super().__init__()
        self.classes = _flag(classes, "classes")

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        difference = Z - rows_of(y, Z.shape[0])
        return (difference**2).sum(axis=0), 2 * difference, None

    def _correct(self, Z: Array, y: Array) -> float | None:
        return super()._correct(Z, y) if self.classes else None

    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return numbers as float64 (samples, outputs); of classes, labels as int64 (samples,)."""
        if self.classes:
            return check_labels(y, samples, outputs, name)
        y = np.asarray(y)
        return check_numbers(y[:, None] if y.ndim == 1 and outputs == 1 else y, samples, outputs, name)

    def predict(self, Z: Array) -> Array:
        """Return the outputs, (batch,) of one output and else (batch, K); of classes, the largest, int64 (batch,)."""
        if self.classes:
            return super().predict(Z)
        return Z[0].copy() if len(Z) == 1 else np.ascontiguousarray(Z.T)

    def probabilities(self, Z: Array) -> Array:
        """Raise TypeError: numbers have none."""
        raise TypeError(f"a network trained by {type(self).__name__} has no probabilities; predict gives its outputs")


class MeanSquaredError(SquaredError):
    """The mean over the outputs of (y[k] - T[k])^2, as torch.nn.MSELoss."""

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        values, gradient, _ = super()._each(Z, y)
        return values / Z.shape[0], gradient / Z.shape[0], None


LOSSES: dict[str, type[Loss]] = {
    "softmax-cross-entropy": SoftmaxCrossEntropy,
    "cross-entropy": CrossEntropy,
    "negative-log-likelihood": NegativeLogLikelihood,
    "logistic-cross-entropy": LogisticCrossEntropy,
    "squared-error": SquaredError,
    "mean-squared-error": MeanSquaredError,
}


def _check_probabilities(Z: Array, logarithms: bool = False) -> None:
    """Raise ValueError for outputs that are no probabilities, nor logarithms of some; NaN passes."""
    least, most = (-np.inf, 0.0) if logarithms else (0.0, 1.0)
    if Z.size and (Z.min() < least - 1e-4 or Z.max() > most + 1e-4):
        wanted = "log-probabilities, those of log_softmax" if logarithms else "probabilities, those of softmax"
        raise ValueError(f"the outputs are from {Z.min():g} to {Z.max():g}; this loss takes {wanted} say")


def _flag(value: bool, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; it must be True or False")
    return value


def _within_one(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a number from 0 to below 1")
    return float(value)


def _positive_vector(values: npt.ArrayLike, name: str) -> Array:
    vector = np.asarray(values)
    if vector.ndim != 1 or vector.dtype.kind not in "fiu":
        raise ValueError(f"{name} has shape {vector.shape} and dtype {vector.dtype}; it must be a vector of numbers")
    if not np.isfinite(vector).all() or (vector < 0).any():
        raise ValueError(f"{name} holds a number that is negative or not finite")
    with np.errstate(over="ignore"):
        total = vector.sum(dtype=np.float64)
    if vector.size and not 0 < total <= np.finfo(np.float32).max:
        raise ValueError(f"{name} has the sum {total}; it must be above 0, and within float32")
    return vector.astype(np.float64)
