"""Losses for classification, of one label for each sample or of several."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nerva._kernels.losses import softmax_cross_entropy
from nerva._kernels.memory import Array
from nerva.losses.loss import Loss, LossResult
from nerva.losses.targets import Weighted, check_classes, check_labels, check_numbers, rows_of
from nerva.validation import check_below_one, check_choice, check_flag, check_weights

SMALLEST = 1e-12  # probabilities are clipped to it before their logarithm is taken


class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of the softmax of logits z: -sum_c T[c] log softmax(z)[c]; gradient (softmax(z) sum(T) - T) / N.

    Parameters
    ----------
    label_smoothing : s, from 0 to below 1, replaces the targets T by (1 - s) T + s / K
    class_weights : (K,) factors of the terms of the classes. With labels, the mean over the batch is weighted by the
        weights of the labels; with rows it is not

    Targets are integer labels (n,), or rows (n, K) of probabilities, such as one-hot ones. Stable for any finite
    logits. As torch.nn.CrossEntropyLoss. C. Szegedy et al., Rethinking the Inception architecture for computer vision,
    CVPR 2016, section 7, for label smoothing.

    >>> Z = np.log([[0.25], [0.75]])
    >>> result = nerva.SoftmaxCrossEntropy()(Z, np.array([1]))
    >>> round(result.value, 6), result.gradient.round(6).tolist()
    (0.287682, [[0.25], [-0.25]])
    """

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: npt.ArrayLike | None = None) -> None:
        super().__init__()
        self.label_smoothing = check_below_one(label_smoothing, "label_smoothing")
        self.class_weights = None if class_weights is None else check_weights(class_weights, "class_weights")
        self._per_sample = np.empty(0)

    @property
    def fused(self) -> bool:  # type: ignore[override]
        """Whether a compiled step computes this loss itself: without smoothing and class weights."""
        return type(self) is SoftmaxCrossEntropy and not self.label_smoothing and self.class_weights is None

    def __call__(self, Z: Array, y: Any) -> LossResult:
        """Return the loss of logits Z (K, batch) with checked targets: plain labels by one fused kernel."""
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
    """Cross-entropy of probabilities y, those of a softmax layer: -sum_c T[c] log y[c].

    Targets: as of SoftmaxCrossEntropy. Probabilities below 1e-12 are clipped to 1e-12.

    >>> nerva.CrossEntropy()(np.array([[0.5], [0.5]]), np.array([1])).value
    0.6931471805599453
    """

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
    """Negative log-likelihood of log-probabilities z, those of a log_softmax layer: -sum_c T[c] z[c].

    Parameters
    ----------
    of : what the outputs are. Of "probabilities" y it is the original Nerva's, -log sum_c T[c] y[c], where sums below
        1e-12 are clipped to 1e-12

    Targets: as of SoftmaxCrossEntropy. As torch.nn.NLLLoss.

    >>> nerva.NegativeLogLikelihood()(np.array([[-0.5], [-1.0]]), np.array([1])).value
    1.0
    """

    def __init__(self, of: Literal["log-probabilities", "probabilities"] = "log-probabilities") -> None:
        super().__init__()
        self.of: str = check_choice(of, "of", ("log-probabilities", "probabilities"))

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
    """Binary cross-entropy of logits z, for several labels of a sample (multi-label classification):
    -sum_k (p[k] T[k] log sigmoid(z[k]) + (1 - T[k]) log(1 - sigmoid(z[k]))).

    Parameters
    ----------
    positive_weights : p, (K,) or one for all; None is 1
    negatives : False leaves out the second term, as the original Nerva does: absent labels then have no gradient
    classes : the targets are integer labels, taken as one-hot rows, and the largest output is the prediction

    Targets are rows (n, K) of values from 0 to 1, or (n,) for a single output. Stable for any finite logits. The
    accuracy is the mean fraction of correct labels (one minus the Hamming loss), and predictions are 0 or 1 for each
    label. K times torch.nn.BCEWithLogitsLoss, whose mean is over the outputs too.

    >>> result = nerva.LogisticCrossEntropy()(np.zeros((2, 1)), np.array([[1.0, 0.0]]))
    >>> round(result.value, 6), result.gradient.tolist(), result.correct
    (1.386294, [[-0.5], [0.5]], 0.5)
    """

    def __init__(
        self, *, positive_weights: npt.ArrayLike | None = None, negatives: bool = True, classes: bool = False
    ) -> None:
        super().__init__()
        self.negatives, self.classes = check_flag(negatives, "negatives"), check_flag(classes, "classes")
        self.positive_weights = None
        if positive_weights is not None:
            self.positive_weights = check_weights(np.atleast_1d(np.asarray(positive_weights)), "positive_weights")

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
        """Return rows of values from 0 to 1 as float64 (samples, outputs); of classes, labels as int64 (samples,)."""
        if self.positive_weights is not None and self.positive_weights.size not in (1, outputs):
            raise ValueError(f"positive_weights has {self.positive_weights.size} numbers; there are {outputs} outputs")
        if self.classes:
            return check_labels(y, samples, outputs, name)
        y = np.asarray(y)
        T = check_numbers(y[:, None] if y.ndim == 1 and outputs == 1 else y, samples, outputs, name)
        if T.size and (T.min() < 0 or T.max() > 1):
            raise ValueError(f"{name} holds numbers from {T.min()} to {T.max()}; they must be within 0 to 1")
        return T

    def predict(self, Z: Array) -> Array:
        """Return 0 or 1 for each label, int64 (batch, K); of classes, the most probable ones, int64 (batch,)."""
        return super().predict(Z) if self.classes else (Z.T > 0).astype(np.int64)

    def probabilities(self, Z: Array) -> Array:
        """Return the probability of each label, the sigmoid of its logit."""
        half: Array = 0.5 * np.tanh(0.5 * Z) + 0.5
        return half


def _check_probabilities(Z: Array, logarithms: bool = False) -> None:
    """Raise ValueError for outputs that are not probabilities, or not logarithms of some; NaN passes, to show."""
    least, most = (-np.inf, 0.0) if logarithms else (0.0, 1.0)
    if Z.size and (Z.min() < least - 1e-4 or Z.max() > most + 1e-4):
        wanted = "log-probabilities, those of log_softmax" if logarithms else "probabilities, those of softmax"
        raise ValueError(f"the outputs are from {Z.min():g} to {Z.max():g}; this loss takes {wanted}")
