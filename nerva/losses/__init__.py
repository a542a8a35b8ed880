"""Losses on the outputs of a network, (K, batch): value and gradient in one pass.

`loss` says what every loss has, `classification` and `regression` hold them, `targets` checks what they compare with.
"""

from nerva.losses.classification import CrossEntropy, LogisticCrossEntropy, NegativeLogLikelihood, SoftmaxCrossEntropy
from nerva.losses.loss import Loss, LossResult
from nerva.losses.regression import MeanSquaredError, SquaredError

LOSSES: dict[str, type[Loss]] = {
    "softmax-cross-entropy": SoftmaxCrossEntropy,
    "cross-entropy": CrossEntropy,
    "negative-log-likelihood": NegativeLogLikelihood,
    "logistic-cross-entropy": LogisticCrossEntropy,
    "squared-error": SquaredError,
    "mean-squared-error": MeanSquaredError,
}

__all__ = [
    "LOSSES",
    "CrossEntropy",
    "LogisticCrossEntropy",
    "Loss",
    "LossResult",
    "MeanSquaredError",
    "NegativeLogLikelihood",
    "SoftmaxCrossEntropy",
    "SquaredError",
]
