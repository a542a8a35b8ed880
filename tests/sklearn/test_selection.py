"""InputStrengthSelector: which features it finds, by an estimator and by an autoencoder, and how many."""

import numpy as np
import pandas
import pytest
from scipy import sparse
from sklearn.datasets import make_classification, make_regression
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from nerva.sklearn import InputStrengthSelector, SparseMLPClassifier, SparseMLPRegressor, neuron_strength

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(1000, 500, n_informative=5, n_redundant=0, shuffle=False, random_state=1)


def network(**settings):
    return SparseMLPClassifier(**{"density": 0.1, "topology": "set", "alpha": 1.0, "random_state": 0, **settings})


def test_it_finds_the_features_that_tell_of_the_class():
    selector = InputStrengthSelector(network(), n_features_to_select=5).fit(X, Y)
    assert selector.get_support(indices=True).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(selector.transform(X), X[:, :5])
    np.testing.assert_array_equal(selector.strengths_, neuron_strength(selector.estimator_))
    assert selector.n_iter_ == selector.estimator_.n_iter_


def test_it_is_done_by_scikit_learns_selector_too():
    selector = SelectFromModel(network(), importance_getter=neuron_strength, max_features=5, threshold=-np.inf)
    assert selector.fit(X, Y).get_support(indices=True).tolist() == [0, 1, 2, 3, 4]


def test_numbers_and_sparse_samples():
    samples, y = make_regression(500, 60, n_informative=4, shuffle=False, random_state=0)
    of_numbers = SparseMLPRegressor(density=0.2, topology="set", alpha=1.0, random_state=0)
    for kind in (np.asarray, sparse.csr_array):
        selector = InputStrengthSelector(of_numbers, n_features_to_select=4).fit(kind(samples), y / y.std())
        assert selector.get_support(indices=True).tolist() == [0, 1, 2, 3]
        assert selector.transform(kind(samples)).shape == (500, 4)


def test_an_autoencoder_finds_the_features_that_vary_together():
    rng = np.random.default_rng(0)
    samples = 0.3 * rng.standard_normal((400, 40))
    angles = rng.uniform(0, 2 * np.pi, 10)
    samples[:, :10] += rng.standard_normal((400, 2)) @ np.stack([np.cos(angles), np.sin(angles)])
    selector = InputStrengthSelector(n_features_to_select=10, random_state=0).fit(samples)
    assert selector.get_support()[:10].sum() >= 8  # of 10; by chance it would be 2 or 3
    assert selector.estimator_.model_.out_features == 40
    again = InputStrengthSelector(n_features_to_select=10, random_state=0).fit(samples, np.ones(400))  # y is not read
    np.testing.assert_array_equal(again.strengths_, selector.strengths_)
    other = InputStrengthSelector(n_features_to_select=10, random_state=0, noise=0.5).fit(samples)
    assert (other.strengths_ != selector.strengths_).any()


@pytest.mark.parametrize(("wanted", "found"), [(None, 10), (0.25, 5), (0.001, 1), (1.0, 20), (7, 7)])
def test_how_many(wanted, found):
    selector = InputStrengthSelector(n_features_to_select=wanted, max_iter=1).fit(X[:50, :20])
    assert selector.n_features_ == selector.get_support().sum() == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_features_to_select": 21}, "n_features_to_select is 21; it must be within 1 to 20"),
        ({"n_features_to_select": 0}, "n_features_to_select is 0"),
        ({"n_features_to_select": 1.5}, "n_features_to_select is 1.5; it must be within 0 to 1"),
        ({"n_features_to_select": "all"}, "n_features_to_select is 'all'; it must be an integer"),
        ({"noise": -1}, "noise is -1; it must be finite and not negative"),
        ({"max_iter": 0}, "max_iter is 0"),
    ],
)
def test_wrong_parameters_are_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        InputStrengthSelector(**settings).fit(X[:50, :20])


def test_another_estimator_is_refused():
    with pytest.raises(TypeError, match="model is KNeighborsClassifier; it must be a nerva network"):
        InputStrengthSelector(KNeighborsClassifier()).fit(X[:50, :20], Y[:50])


def test_names_of_features():
    frame = pandas.DataFrame(X[:, :20], columns=[f"f{i}" for i in range(20)])
    selector = InputStrengthSelector(network(density=0.5), n_features_to_select=5).set_output(transform="pandas")
    found = selector.fit_transform(frame, Y)
    assert list(found.columns) == selector.get_feature_names_out().tolist()
    assert selector.estimator_.feature_names_in_.tolist() == list(frame.columns)


def test_its_random_state_is_the_estimators_where_that_has_none():
    some = X[:100, :20]
    one, same, other = (
        InputStrengthSelector(network(random_state=None), random_state=seed).fit(some, Y[:100]).strengths_
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    own = [InputStrengthSelector(network(), random_state=seed).fit(some, Y[:100]).strengths_ for seed in (0, 1)]
    np.testing.assert_array_equal(*own)


def test_a_search_over_a_pipeline():
    pipeline = make_pipeline(InputStrengthSelector(network()), KNeighborsClassifier())
    search = GridSearchCV(pipeline, {"inputstrengthselector__n_features_to_select": [5, 500]}, cv=3).fit(X, Y)
    assert search.best_params_ == {"inputstrengthselector__n_features_to_select": 5}
    assert search.best_score_ > cross_val_score(KNeighborsClassifier(), X, Y, cv=3).mean() + 0.2
