"""Supports from named edges as a parameter of estimators."""

import pickle

import numpy as np
import pandas
import pytest
from sklearn.base import clone

import nerva
from nerva.sklearn import SparseMLPClassifier, SparseMLPRegressor, neuron_strength

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

INPUTS, OUTPUTS = list("abcd"), list("xyz")


def support_of(inputs=INPUTS):
    edges = [("b", "y"), ("a", "x"), ("c", "x"), ("d", "y")]
    return nerva.support_from_edges(edges, inputs=inputs, outputs=OUTPUTS)


def samples():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    return pandas.DataFrame(X, columns=INPUTS), (X[:, 0] + X[:, 2] > 0).astype(int)


def test_an_estimator_takes_it_and_keeps_to_it():
    X, y = samples()
    network = SparseMLPClassifier(
        (3,),
        density=1.0,
        support=[support_of(inputs=X.columns), None],
        random_state=0,
        n_iter_no_change=np.inf,
        learning_rate_init=0.05,
    ).fit(X, y)
    assert network.score(X, y) > 0.9
    np.testing.assert_array_equal(network.coefs_[0].toarray() != 0, support_of().to_dense().T)
    strengths = neuron_strength(network.model_, 1)
    assert strengths.argmax() == 0  # that of "x", which alone sees what y depends on


def test_it_is_a_parameter_as_others_are():
    network = SparseMLPRegressor((3,), support=[support_of(), "fan-in"])
    for other in (network, clone(network), pickle.loads(pickle.dumps(network))):
        assert other.fit(*samples()).model_.layers[0].nnz == 4
    assert network.set_params(support="random", density=0.5).fit(*samples()).model_.layers[0].nnz != 4


def test_another_number_of_features_or_neurons_is_refused():
    X, y = samples()
    with pytest.raises(ValueError, match=r"support has shape \(3, 4\); it must be \(3, 3\)"):
        SparseMLPClassifier((3,), support=[support_of(), None]).fit(X[["a", "b", "c"]], y)
    with pytest.raises(ValueError, match=r"support has shape \(3, 4\); it must be \(5, 4\)"):
        SparseMLPClassifier((5,), support=[support_of(), None]).fit(X, y)
