"""SparseMLPClassifier: labels of every kind, several of them, probabilities, and what is refused."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.preprocessing import scale

import nerva
from nerva.sklearn import SparseMLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def samples(n=200, classes=3, **settings):
    X, y = make_classification(n, 20, n_informative=6, n_classes=classes, random_state=0, **settings)
    return scale(X), y


def make(**settings):
    return SparseMLPClassifier(**{"hidden_layer_sizes": (32,), "random_state": 0, **settings})


def test_labels_are_given_back():
    X, y = samples()
    names = np.array(["setosa", "virginica", "lily"])[y]
    network = make().fit(X, names)
    assert network.classes_.tolist() == ["lily", "setosa", "virginica"]
    assert network.score(X, names) > 0.9
    np.testing.assert_array_equal(network.classes_[network.predict_proba(X).argmax(axis=1)], network.predict(X))
    numbers = make().fit(X, y)
    assert numbers.predict(X).dtype == y.dtype
    # The same order of classes is the same network.
    assert make().fit(X, np.array(["a", "b", "c"])[y]).loss_curve_ == numbers.loss_curve_


@pytest.mark.parametrize("labels", [[True, False], [-7, 5], [2.0, 1.0], np.array(["no", "yes"], object)])
def test_two_classes(labels):
    X, y = samples(classes=2)
    y = np.asarray(labels)[y]
    network = make().fit(X, y)
    assert network.score(X, y) > 0.9
    assert network.predict_proba(X).shape == (200, 2)
    assert set(network.predict(X)) == set(y)


@pytest.mark.parametrize("dtype", [str, object])
def test_the_network_knows_names_and_takes_them_to_a_file(dtype, tmp_path):
    X, y = samples()
    names = np.array(["setosa", "virginica", "lily"], dtype)[y]
    network = make(warm_start=True, early_stopping=True, max_iter=20).fit(X, names)
    nerva.save(network.model_, tmp_path / "m.safetensors")
    found = nerva.load(tmp_path / "m.safetensors")
    assert found.classes == ("lily", "setosa", "virginica")
    np.testing.assert_array_equal(found.predict(X), network.predict(X))
    assert network.predict(X).dtype == network.classes_.dtype
    assert network.fit(X, names).model_.classes == found.classes  # further
    network.set_params(warm_start=False).fit(X, np.array(["a", "b", "c"], dtype)[y])  # from scratch
    assert network.model_.classes == ("a", "b", "c")
    step_by_step = make().partial_fit(X, names, classes=list(found.classes))
    assert step_by_step.partial_fit(X[:5], names[:5]).model_.classes == found.classes
    assert make(max_iter=1).fit(X, y).model_.classes is None


def test_probabilities():
    X, y = samples()
    network = make(max_iter=20).fit(X, y)
    probabilities = network.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(network.predict_log_proba(X)), probabilities)
    expected = -np.log(probabilities[np.arange(len(y)), y]).mean()
    assert network.model_.evaluate(X, y).loss == pytest.approx(expected)


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, sparse.csr_array])
def test_several_labels(kind):
    X, Y = make_multilabel_classification(200, 20, n_classes=4, random_state=0)
    X = scale(X)
    network = make(hidden_layer_sizes=(64,), density=0.5).fit(X, kind(Y))
    assert network.classes_.tolist() == [0, 1, 2, 3]
    assert network.predict(X).shape == network.predict_proba(X).shape == Y.shape
    np.testing.assert_array_equal(network.predict(X), network.predict_proba(X) > 0.5)
    assert network.score(X, Y) > 0.9  # all labels of a sample
    # Each label has a probability of its own.
    assert np.abs(network.predict_proba(X).sum(axis=1) - 1).max() > 0.5


def test_several_labels_in_parts():
    X, Y = make_multilabel_classification(200, 20, n_classes=4, random_state=0)
    network = make().partial_fit(X, Y)
    assert network.n_outputs_ == 4
    with pytest.raises(ValueError, match=r"y has 3 columns; the network has 4 outputs"):
        network.partial_fit(X, Y[:, :3])
    with pytest.raises(ValueError, match="cannot be trained on both"):
        network.partial_fit(X, Y[:, 0])
    with pytest.raises(ValueError, match=r"classes has 3 labels; y has 4 columns"):
        make().partial_fit(X, Y, classes=[0, 1, 2])


def test_several_classes_for_each_of_several_outputs_are_refused():
    X, y = samples()
    with pytest.raises(ValueError, match="each sample may have one class"):
        make().fit(X, np.stack([y, y], axis=1))


def test_parts_need_all_classes_first():
    X, y = samples()
    with pytest.raises(ValueError, match="classes is None; the first call of partial_fit needs all labels"):
        make().partial_fit(X, y)
    network = make().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
    assert network.predict_proba(X).shape == (200, 3)
    network.partial_fit(X, y).partial_fit(X, y, classes=[2, 1, 0])
    with pytest.raises(ValueError, match=r"classes is \[0, 1\]; the network has the classes \[0 1 2\]"):
        network.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"y has the classes \[3\]; those of the network are \[0 1 2\]"):
        network.partial_fit(X, y + 1)


def test_parts_are_the_epochs_of_a_fit():
    X, y = samples()
    whole = make(max_iter=5, shuffle=False, batch_size=30, dropout=0.1).fit(X, y)
    parts = make(shuffle=False, batch_size=30, dropout=0.1)
    for _ in range(5):
        parts.partial_fit(X, y, classes=[0, 1, 2])
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == whole.n_iter_ == 5
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))


def test_a_warm_start_has_the_same_classes():
    X, y = samples()
    network = make(warm_start=True, max_iter=3).fit(X, y)
    with pytest.raises(ValueError, match=r"y has the classes \[0 1\]; with warm_start it must have all of \[0 1 2\]"):
        network.fit(X[y < 2], y[y < 2])
    with pytest.raises(ValueError, match=r"y has the classes \[3\]"):
        network.fit(X, y + 1)


def test_samples_held_out_are_shared_out_by_class():
    X, y = samples()
    network = make(early_stopping=True, validation_fraction=0.25)
    with pytest.raises(ValueError, match="least populated class"):
        network.fit(X, np.where(np.arange(len(y)) == 0, 9, y))
    network.fit(X, y)
    assert all(round(score * 50) == pytest.approx(score * 50) for score in network.validation_scores_)


@pytest.mark.parametrize("weighting", [np.ones, lambda n: np.full(n, 0.125), lambda n: 3])
def test_equal_weights_are_no_weights(weighting):
    X, y = samples()
    settings = {"max_iter": 10, "batch_size": 30, "alpha": 0}  # the penalty is divided by the sum of the weights
    plain, weighted = make(**settings).fit(X, y), make(**settings).fit(X, y, sample_weight=weighting(len(y)))
    assert plain.loss_curve_ == pytest.approx(weighted.loss_curve_, rel=1e-9)


def test_a_weight_of_zero_leaves_a_sample_out():
    X, y = samples()
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, len(y))
    kept = weights > 0
    some = make(max_iter=10, batch_size=30).fit(X[kept], y[kept], sample_weight=weights[kept])
    all_of_them = make(max_iter=10, batch_size=30).fit(X, y, sample_weight=weights)
    assert some.loss_curve_ == all_of_them.loss_curve_


def test_weights_decide_between_classes():
    X, y = np.repeat([[1.0, -1.0]], 100, axis=0), np.arange(100) % 2
    for heavy in (0, 1):
        network = make(batch_size=20).fit(X, y, sample_weight=np.where(y == heavy, 3, 1))
        assert network.predict_proba(X)[0, heavy] == pytest.approx(0.75, abs=0.05)


def test_a_class_whose_samples_have_no_weight_has_an_output():
    X, y = samples()
    network = make(max_iter=50).fit(X, y, sample_weight=y < 2)
    assert network.predict_proba(X).shape == (200, 3)
    assert set(network.predict(X)) <= {0, 1}
