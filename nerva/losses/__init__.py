"""Losses: the value of outputs (K, batch) with targets, and its gradient.

`loss` holds the base class, `classification` and `regression` the losses, `targets` the checks of labels and rows.
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
