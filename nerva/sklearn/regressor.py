"""A truly sparse multi-layer perceptron for regression, as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import column_or_1d

from nerva._kernels.memory import Array
from nerva.losses import Loss, MeanSquaredError
from nerva.sklearn.estimator import SparseMLP, Targets


class SparseMLPRegressor(RegressorMixin, MultiOutputMixin, SparseMLP):
    """A truly sparse multi-layer perceptron for regression, of one number for each sample or of several.

    The loss is the mean squared error. Parameters and attributes are those of SparseMLPClassifier, without classes; the
    score of samples held out is R^2. y is numbers, (n_samples,) or (n_samples, n_outputs).

    >>> from nerva.sklearn import SparseMLPRegressor
    >>> from sklearn.datasets import make_friedman1
    >>> X, y = make_friedman1(500, random_state=0)
    >>> network = SparseMLPRegressor((64, 64), max_iter=1000, random_state=0).fit(X, y)
    >>> network.score(X, y) > 0.8
    True
    """

    _y_numeric = True

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on samples X with numbers y, from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : as of `fit`

        Raises TypeError or ValueError, which names the argument or the parameter that is wrong.
        """
        return self._fit_further(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the numbers (n_samples,), or (n_samples, n_outputs), of samples X."""
        X = self._samples(X)
        return self.model_.predict(X)

    # ---- what training asks for

    def _targets(self, y: Any, known: bool, classes: Any, all_of_them: bool) -> Targets:
        y = np.asarray(y, np.float64)  # texts that are no numbers are refused here
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        outputs = 1 if y.ndim == 1 else y.shape[1]
        if known and outputs != self.n_outputs_:
            raise ValueError(f"y has shape {y.shape}; the network has {self.n_outputs_} outputs")
        return Targets(y, outputs, {})

    def _loss(self) -> Loss:
        return MeanSquaredError()

    def _score(self, targets: Array, predicted: Array, sample_weight: Array | None) -> float:
        return float(r2_score(targets, predicted, sample_weight=sample_weight))
