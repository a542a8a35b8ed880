"""Losses for regression."""

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.losses.loss import Loss
from nerva.losses.targets import check_labels, check_numbers, rows_of
from nerva.validation import check_flag


class SquaredError(Loss):
    """The sum over the outputs of squared errors: sum_k (y[k] - T[k])^2.

    Parameters
    ----------
    classes : the targets are integer labels, taken as one-hot rows, and the largest output is the prediction

    Targets are real numbers, (n, K), or (n,) for a single output.

    >>> result = nerva.SquaredError()(np.array([[1.0], [5.0]]), np.array([[2.0, 2.0]]))
    >>> result.value, result.gradient.tolist()
    (10.0, [[-2.0], [6.0]])
    """

    def __init__(self, *, classes: bool = False) -> None:
        super().__init__()
        self.classes = check_flag(classes, "classes")

    @property
    def has_accuracy(self) -> bool:  # type: ignore[override]
        """Whether predictions are correct or not: those of classes."""
        return self.classes

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        difference = Z - rows_of(y, Z.shape[0])
        return (difference**2).sum(axis=0), 2 * difference, None

    def _correct(self, Z: Array, y: Array) -> float | None:
        return super()._correct(Z, y) if self.classes else None

    def check_targets(self, y: npt.ArrayLike, samples: int, outputs: int, name: str = "y") -> Array:
        """Return targets as float64 (samples, outputs); of classes, labels as int64 (samples,)."""
        if self.classes:
            return check_labels(y, samples, outputs, name)
        y = np.asarray(y)
        return check_numbers(y[:, None] if y.ndim == 1 and outputs == 1 else y, samples, outputs, name)

    def predict(self, Z: Array) -> Array:
        """Return the outputs, (batch, K) or (batch,) of a single one; of classes, the largest, int64 (batch,)."""
        if self.classes:
            return super().predict(Z)
        return Z[0].copy() if len(Z) == 1 else Z.T.copy()

    def probabilities(self, Z: Array) -> Array:
        """Raise TypeError: after regression there are no probabilities."""
        raise TypeError(f"a network trained by {type(self).__name__} has no probabilities; predict gives its outputs")


class MeanSquaredError(SquaredError):
    """The mean over the outputs of squared errors: sum_k (y[k] - T[k])^2 / K, as torch.nn.MSELoss.

    Parameters and targets: as of SquaredError.

    >>> nerva.MeanSquaredError()(np.array([[1.0], [5.0]]), np.array([[2.0, 2.0]])).value
    5.0
    """

    def _each(self, Z: Array, y: Array) -> tuple[Array, Array, Array | None]:
        values, gradient, _ = super()._each(Z, y)
        return values / Z.shape[0], gradient / Z.shape[0], None
