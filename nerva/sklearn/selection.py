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

HIDDEN, CONNECTIVITY, MOVED, RATE = 1000, 13.0, 0.2, 0.01  # of the paper's autoencoder; epsilon and zeta there
MOST_DENSE = 0.5  # where there are few features, so that weights can move


class InputStrengthSelector(MetaEstimatorMixin, SelectorMixin, BaseEstimator):
    """Keep the features whose input neurons are strongest: s_d = sum_k |W[k, d]|, W the weights of the first layer.

    Without an `estimator` this is QuickSelection: features are selected by a sparse autoencoder, whose weights move
    (SET) while it learns to give back samples that noise was added to. y plays no part then, and the strength of a
    feature grows with its variance.

    Parameters
    ----------
    estimator : a SparseMLPClassifier or SparseMLPRegressor, of which a copy is fitted on X and y, and whose inputs are
        ranked; one with a `topology` and a large `alpha` does best. None is the autoencoder of the paper: 1000 neurons
        in one hidden layer, 13 (D + 1000) weights, of D features, in either layer, or half of all, tanh, SET that moves
        20 % of them after every epoch, momentum 0.9, learning rate 0.01
    n_features_to_select : how many are kept: an integer, a fraction of all, or None for half of them
    noise : standard deviation of the noise of the autoencoder, drawn once, in those of all samples together
    max_iter : epochs of the autoencoder
    random_state : of the noise and of the network, but where an `estimator` has its own

    Attributes
    ----------
    estimator_ : the network that was fitted
    strengths_ : (n_features,) of the input neurons, float64
    n_features_, n_iter_ : how many features are kept, and for how many epochs the network was trained
    n_features_in_, feature_names_in_ : of samples

    Z. Atashgahi et al., Quick and robust feature selection: the strength of energy-efficient sparse training for
    autoencoders, Machine Learning 111, 2022.

    >>> from nerva.sklearn import InputStrengthSelector, SparseMLPClassifier
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(1000, 500, n_informative=5, n_redundant=0, shuffle=False, random_state=0)
    >>> network = SparseMLPClassifier(density=0.1, topology="set", alpha=1.0, random_state=0)
    >>> selector = InputStrengthSelector(network, n_features_to_select=5).fit(X, y)
    >>> selector.get_support(indices=True)
    array([0, 1, 2, 3, 4])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_features_to_select: Any = None,
        noise: float = 0.2,
        max_iter: int = 10,
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
            validate_data(self, X, accept_sparse="csr", dtype=None)
            n = self._wanted(self.n_features_in_)
            network = clone(self.estimator)
            if self.random_state is not None and getattr(network, "random_state", 0) is None:
                network.set_params(random_state=check_random_state(self.random_state).randint(2**31 - 1))
            self.estimator_ = network.fit(X, y)  # X as it was given, with the names of its columns
        self.strengths_, self.n_features_, self.n_iter_ = neuron_strength(self.estimator_), n, self.estimator_.n_iter_
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
            solver="momentum",
            learning_rate_init=RATE * features / 2,  # of the sum over the features, of which the loss is the mean
            batch_size=100,
            topology=SET(MOVED) if self.max_iter != 1 else None,  # it moves weights between epochs
            max_iter=self.max_iter,
            n_iter_no_change=np.inf,
            random_state=random,
        )
        spread = noise * X.std(dtype=np.float64)
        network.fit(X + (spread * random.standard_normal(X.shape)).astype(X.dtype), X)
        return network

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
