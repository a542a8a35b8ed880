"""Labels in every form that users have them in, and names of classes."""

import pickle

import numpy as np
import pandas as pd
import pytest

import nerva

NAMES = np.array(["cat", "ape", "dog"])


@pytest.fixture
def data(rng):
    y = rng.integers(0, 3, 60)
    y[:3] = 0, 1, 2
    return (np.eye(3)[y] * 3 + rng.standard_normal((60, 3))).astype(np.float32), y


def fitted(X, y, outputs=3, **settings):
    model = nerva.MLP([3, 8, outputs])
    model.fit(X, y, epochs=5, batch_size=10, schedule=0.1, rng=0, **settings)
    return model


@pytest.mark.parametrize(
    "form",
    [
        lambda y: y.astype(np.float32),
        lambda y: y.astype(np.uint8),
        lambda y: y[:, None],
        lambda y: y[:, None].astype(float),
        lambda y: y.tolist(),
        pd.Series,
        lambda y: pd.Series(y, dtype="Int64"),
    ],
)
def test_every_form_of_numbers_trains_alike(data, form):
    X, y = data
    model, other = fitted(X, y), fitted(X, form(y))
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    assert model.evaluate(X, y) == model.evaluate(X, form(y))
    assert other.classes is None
    assert other.predict(X).dtype == np.int64


def test_labels_that_are_true_or_false(data):
    X, y = data
    np.testing.assert_array_equal(
        fitted(X, y == 1, 2).predict_proba(X), fitted(X, (y == 1).astype(int), 2).predict_proba(X)
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda names: names,
        lambda names: names.astype(object),
        lambda names: names[:, None],
        lambda names: names.tolist(),
        pd.Series,
        lambda names: pd.Series(names, dtype="category"),
    ],
)
def test_names_of_classes(data, form, tmp_path):
    X, y = data
    names = NAMES[y]
    order = np.array([1, 0, 2])  # of the names, sorted
    model, other = fitted(X, order[y]), fitted(X, form(names), validation=(X, form(names)))
    assert other.classes == ("ape", "cat", "dog")
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(other.predict(X), np.sort(NAMES)[model.predict(X)])
    np.testing.assert_array_equal(other.predict(X[:1]), other.predict(X)[:1])
    assert other.evaluate(X, form(names)) == model.evaluate(X, order[y])
    nerva.save_weights(other, tmp_path / "w.npz")
    copies = [
        nerva.load_weights(tmp_path / "w.npz"),
        nerva.load_weights(tmp_path / "w.npz", nerva.MLP([3, 8, 3])),
        pickle.loads(pickle.dumps(other)),
        other.astype(np.float64),
        other.compact(),
    ]
    for copied in copies:
        assert copied.classes == other.classes
        np.testing.assert_array_equal(copied.predict(X), other.predict(X))


def test_names_stay_what_they_are_in_a_later_fit(data):
    X, y = data
    model = fitted(X, NAMES[y])
    model.fit(X[:1], ["dog"], epochs=1)
    assert model.classes == ("ape", "cat", "dog")
    model.train_step(X, NAMES[y], optimizer=nerva.SGD(), rate=0.0)
    model.classes = None
    model.fit(X, y, epochs=1)
    assert model.classes is None
    assert model.predict(X).dtype == np.int64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda y: np.array(["cat", "emu", "dog"])[y], "y holds 'emu', which is none of model.classes, 'ape', 'cat'"),
        (lambda y: np.array(["cow", "emu", "bee"])[y], "y holds 'bee', which is none of model.classes"),
        (lambda y: y, r"y holds the label \d, not the names that the network knows, 'ape', 'cat', 'dog'"),
        (lambda y: np.eye(3)[y], "y holds numbers, not the names"),
    ],
)
def test_a_later_fit_gives_no_output_another_meaning(data, make, message):
    X, y = data
    model = fitted(X, NAMES[y])
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=f"{message}.*; model.classes = None starts anew"):
        model.fit(X, make(y), epochs=1)
    assert model.classes == ("ape", "cat", "dog")
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.classes = None
    model.fit(X, make(y), epochs=1)
    assert model.classes != ("ape", "cat", "dog")


def test_two_names_for_one_output(data):
    X, y = data
    names = np.where(y == 1, "yes", "no")
    model = fitted(X, names, 1, loss=nerva.LogisticCrossEntropy())
    numbers = fitted(X, (y == 1).astype(int), 1, loss=nerva.LogisticCrossEntropy())
    np.testing.assert_array_equal(model.predict(X), np.array(["no", "yes"])[numbers.predict(X)[:, 0]])
    assert model.evaluate(X, names) == numbers.evaluate(X, y == 1)
    with_rows = fitted(X, (y == 1)[:, None], 1, loss=nerva.LogisticCrossEntropy())
    np.testing.assert_array_equal(with_rows.predict_proba(X), numbers.predict_proba(X))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda y: np.ma.array(y, mask=y == 1), TypeError, "y is a masked array"),
        (lambda y: y + 0.5, TypeError, r"y has dtype float64, and holds \d.5; labels must be integers"),
        (lambda y: np.where(y == 1, np.nan, y), TypeError, "holds nan; labels must be integers"),
        (lambda y: np.array(["a", "b"])[y % 2], ValueError, "y names 2 classes, 'a', 'b'; the network has 3 outputs"),
        (lambda y: np.array(["a", 1, None], object)[y], TypeError, r"y\[\d+\] is .*; labels must be numbers, or all"),
        (lambda y: np.array([["a", "b"]] * 60), ValueError, r"y has shape \(60, 2\); labels that are names"),
        (lambda y: np.array([b"a", b"b", b"c"])[y], TypeError, "y has dtype"),
    ],
)
def test_what_is_no_label_is_named_and_nothing_changes(data, make, error, message):
    X, y = data
    model = nerva.MLP([3, 8, 3])
    before = model.predict_proba(X)
    with pytest.raises(error, match=message):
        model.fit(X, make(y), epochs=1)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.classes is None


@pytest.mark.parametrize("make", [lambda y: y + 0.5, lambda y: y + 0.0, lambda y: y[:, None] * 1.5])
def test_numbers_to_predict_need_a_loss_of_them(data, make):
    X, y = data
    with pytest.raises((TypeError, ValueError), match=r"need a loss of them, loss=nerva\.MeanSquaredError\(\)"):
        nerva.MLP([3, 1]).fit(X, make(y), epochs=1)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_loss_of_numbers_refuses_names(data, outputs):
    X, y = data
    with pytest.raises(TypeError, match=r"y holds names, such as '...'; the loss MeanSquaredError takes numbers"):
        nerva.MLP([3, outputs]).fit(X, NAMES[y], loss=nerva.MeanSquaredError())


def test_names_that_a_network_does_not_know(data):
    X, y = data
    with pytest.raises(TypeError, match="y holds names of classes, which the network does not know"):
        nerva.MLP([3, 3]).evaluate(X, NAMES[y])
    model = fitted(X, NAMES[y])
    with pytest.raises(ValueError, match="y holds 'emu', which is none of 'ape', 'cat', 'dog'"):
        model.evaluate(X[:2], ["dog", "emu"])
    with pytest.raises(ValueError, match="validation y holds 'emu'"):
        model.fit(X, NAMES[y], validation=(X[:1], ["emu"]))
    with pytest.raises(TypeError, match="sample_weight is a masked array"):
        model.fit(X, NAMES[y], sample_weight=np.ma.array(np.ones(60), mask=y == 1))
