"""Selection of features by the strength of a sparse network's inputs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from nerva._kernels.memory import Array
from nerva.sklearn.regressor import SparseMLPRegressor
from nerva.sklearn.strength import neuron_strength
from nerva.topology import SET
from nerva.validation import check_fraction, check_integer, check_not_negative

HIDDEN, CONNECTIVITY, MOVED = 1000, 13.0, 0.2  # of the paper's autoencoders: neurons, epsilon, zeta
MOST_DENSE = 0.5  # where there are few features: weights can move


class InputStrengthSelector(MetaEstimatorMixin, SelectorMixin, BaseEstimator):
    """Keep the features whose input neurons are strongest: s_d = sum_k |W[k, d]|, W the weights of the first layer.

    Without an `estimator` this is QuickSelection: features are selected by a sparse autoencoder, whose weights move
    (SET) while it learns to give samples back that noise was added to. y plays no part then. The samples should have
    mean 0 and variance 1, as of sklearn.preprocessing.StandardScaler.

    Parameters
    ----------
    estimator : a SparseMLPClassifier or SparseMLPRegressor, of which a copy is fitted on X and y, and whose inputs are
        ranked; None is the autoencoder: 1000 neurons in one hidden layer, 13 (D + 1000) weights in each layer of D
        features, tanh, SET that moves 20 % of them after every epoch, Nesterov's momentum, learning rate 0.01
    n_features_to_select : how many are kept: an integer, a fraction of all, or None for half of them
    noise : the standard deviation of the noise, drawn once, where there is no `estimator`
    max_iter : the epochs of the autoencoder
    random_state : of the noise and of the autoencoder; an `estimator` has its own

    Attributes
    ----------
    estimator_ : the network that was fitted
    strengths_ : (n_features,) of the input neurons, float64
    n_features_ : how many features are kept
    n_features_in_, feature_names_in_ : of samples

    Z. Atashgahi et al., Quick and robust feature selection: the strength of energy-efficient sparse training for
    autoencoders, Machine Learning 111, 2022.

    >>> from nerva.sklearn import InputStrengthSelector
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import scale
    >>> X, y = make_classification(500, 50, n_informative=4, n_redundant=6, shuffle=False, random_state=0)
    >>> InputStrengthSelector(n_features_to_select=10, random_state=0).fit(scale(X)).get_support(indices=True)
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_features_to_select: Any = None,
        noise: float = 0.2,
        max_iter: int = 100,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_features_to_select = n_features_to_select
        self.noise = noise
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a network on samples X, (n_samples, n_features), and rank their features.

        Parameters
        ----------
        X : numbers or a data frame; with an `estimator`, also a SciPy sparse matrix
        y : targets of the `estimator`; not read where there is none

        Raises TypeError or ValueError, which names the argument or the parameter that is wrong.
        """
        if self.estimator is None:
            X = validate_data(self, X, dtype=(np.float64, np.float32))
            n = self._wanted(X.shape[1])
            self.estimator_ = self._autoencoder(X)
        else:
            validate_data(self, X, skip_check_array=True)
            n = self._wanted(self.n_features_in_)
            self.estimator_ = clone(self.estimator).fit(X, y)
        self.strengths_, self.n_features_ = neuron_strength(self.estimator_), n
        return self

    def _wanted(self, features: int) -> int:
        """Return how many of the features shall be kept, at least one."""
        given, name = self.n_features_to_select, "n_features_to_select"
        if given is None or isinstance(given, (float, np.floating)):
            return max(1, int(features * (0.5 if given is None else check_fraction(given, name))))
        return check_integer(given, name, least=1, most=features)

    def _autoencoder(self, X: Array) -> SparseMLPRegressor:
        """Return an autoencoder that was trained to remove noise from samples."""
        noise, features = check_not_negative(self.noise, "noise"), X.shape[1]
        random = check_random_state(self.random_state)
        network = SparseMLPRegressor(
            (HIDDEN,),
            density=min(CONNECTIVITY * (features + HIDDEN) / (features * HIDDEN), MOST_DENSE),
            activation="tanh",
            solver="nesterov",
            topology=SET(MOVED),
            max_iter=self.max_iter,
            n_iter_no_change=np.inf,
            random_state=random,
        )
        return network.fit(X + noise * random.standard_normal(X.shape).astype(X.dtype), X)

    def _get_support_mask(self) -> Array:
        check_is_fitted(self)
        mask = np.zeros(len(self.strengths_), bool)
        mask[np.argsort(-self.strengths_, kind="stable")[: self.n_features_]] = True
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            own = get_tags(self.estimator)
            tags.input_tags.sparse, tags.target_tags.required = own.input_tags.sparse, own.target_tags.required
        return tags
