"""SparseMLPRegressor: one number for a sample, several, in parts, and with early stopping."""

import numpy as np
import pytest
from sklearn.datasets import make_friedman1
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

from nerva.sklearn import SparseMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_friedman1(300, random_state=0)


def make(**settings):
    return SparseMLPRegressor(**{"hidden_layer_sizes": (64, 64), "random_state": 0, **settings})


def test_one_number():
    network = make().fit(X, Y)
    assert network.score(X, Y) > 0.8
    assert network.predict(X).shape == Y.shape
    assert network.model_.evaluate(X, Y).loss == pytest.approx(mean_squared_error(Y, network.predict(X)))


def test_several_numbers():
    both = np.stack([Y, -2 * Y], axis=1)
    network = make().fit(X, both)
    assert network.n_outputs_ == 2
    assert network.predict(X).shape == both.shape
    assert r2_score(both, network.predict(X), multioutput="raw_values").min() > 0.8
    with pytest.raises(ValueError, match=r"y has shape \(300,\); the network has 2 outputs"):
        network.partial_fit(X, Y)


def test_parts_are_the_epochs_of_a_fit():
    whole = make(max_iter=4, shuffle=False, schedule=lambda epoch: 0.01 / (1 + epoch)).fit(X, Y)
    parts = make(shuffle=False, schedule=lambda epoch: 0.01 / (1 + epoch))
    for _ in range(4):
        parts.partial_fit(X, Y)
    assert parts.loss_curve_ == whole.loss_curve_
    np.testing.assert_array_equal(parts.predict(X), whole.predict(X))


def test_the_best_weights_are_kept():
    weights = np.random.default_rng(0).integers(1, 4, len(Y))
    network = make(early_stopping=True, n_iter_no_change=3, learning_rate_init=0.05, topology="set")
    network.fit(X, Y, sample_weight=weights)
    _, held_out = train_test_split(np.arange(300), test_size=0.1, random_state=np.random.RandomState(0))
    found = network.score(X[held_out], Y[held_out], sample_weight=weights[held_out])
    assert found == pytest.approx(max(network.validation_scores_), rel=1e-9)
    assert network.best_validation_score_ == max(network.validation_scores_)
    assert network.validation_scores_[-1] < found
    assert len(network.validation_scores_) == network.n_iter_ < 200


def test_a_score_needs_two_samples():
    with pytest.raises(ValueError, match=r"validation_fraction is 0.001: of 300 samples it holds out 1"):
        make(early_stopping=True, validation_fraction=0.001).fit(X, Y)


def test_texts_are_no_numbers():
    with pytest.raises(ValueError, match="could not convert string to float"):
        make().fit(X, np.where(Y > 0, "high", "low"))
