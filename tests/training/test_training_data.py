"""Samples held out of the training data, and weights of classes."""

import numpy as np
import pytest
from scipy import sparse

import nerva

from ..training_reference import Recorder, assert_same_weights, network, samples, state


def trained_rows(model):
    """The numbers of the samples that a Recorder was trained on, from their first feature."""
    return np.rint(np.concatenate(model.seen)[:, 0] * 90).astype(int)


def fitted(X, y, kind=nerva.MLP, **settings):
    model = network(kind)
    return model, model.fit(X, y, **{"epochs": 2, "batch_size": 20, "rng": 3} | settings)


# ---- validation_split


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_the_same_fraction_of_each_class_is_held_out(fraction):
    X, y = samples()
    model, history = fitted(X, y, Recorder, validation_split=fraction)
    rows = trained_rows(model)
    count = int(90 * fraction + 0.5)
    first, second = rows[: 90 - count], rows[90 - count :]
    assert sorted(first) == sorted(second) == sorted(set(first))
    held_out = np.setdiff1d(np.arange(90), first)
    assert len(held_out) == count
    for label in range(4):
        assert abs(np.count_nonzero(y[held_out] == label) - fraction * np.count_nonzero(y == label)) <= 1
    loss, accuracy = model.evaluate(X[held_out], y[held_out])
    assert history["test_loss"][-1] == pytest.approx(loss)
    assert history["test_accuracy"][-1] == pytest.approx(accuracy)


def test_it_is_training_on_the_others_with_validation_on_these():
    X, y = samples()
    model, _ = fitted(X, y, Recorder, validation_split=0.2)
    kept = np.unique(trained_rows(model))
    rest = np.setdiff1d(np.arange(90), kept)
    one, history = fitted(X, y, validation_split=0.2)
    other, wanted = fitted(X[kept], y[kept], validation=(X[rest], y[rest]))
    assert_same_weights(one, other)
    assert [{**row, "seconds": 0} for row in history.as_dicts()] == [{**row, "seconds": 0} for row in wanted.as_dicts()]


def test_every_call_holds_out_the_same_samples():
    X, y = samples()
    rows = [set(trained_rows(fitted(X, y, Recorder, validation_split=0.2, rng=rng)[0])) for rng in (3, 4, None)]
    assert rows[0] == rows[1] == rows[2]
    model = network(Recorder)
    for epoch in range(2):
        model.fit(X, y, epochs=1, initial_epoch=epoch, validation_split=0.2)
    assert set(trained_rows(model)) == rows[0]


def test_the_order_of_the_others_stays_without_shuffling():
    X, y = samples()
    model, _ = fitted(X, y, Recorder, validation_split=0.2, shuffle=False, epochs=1)
    assert (np.diff(trained_rows(model)) > 0).all()


def test_a_run_with_held_out_samples_is_resumed(tmp_path):
    class Kill:
        def on_batch_end(self, run, result):
            if run.global_step == 6:
                raise OSError("killed")

    X, y = samples()
    whole, history = fitted(X, y, validation_split=0.2)
    with pytest.raises(OSError, match="killed"):
        fitted(X, y, validation_split=0.2, checkpoint=tmp_path, callbacks=[Kill()])
    again, rest = fitted(X, y, validation_split=0.2, checkpoint=tmp_path, resume=True)
    assert_same_weights(again, whole)
    assert rest["test_loss"] == history["test_loss"]
    with pytest.raises(ValueError, match="is of 72 samples; X has 63"):
        fitted(X, y, validation_split=0.3, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("kind", ["regression", "sparse", "weighted"])
def test_other_data_are_split_too(kind):
    X, y = samples()
    settings = {"loss": nerva.SquaredError()} if kind == "regression" else {}
    if kind == "regression":
        y = X[:, :4]
    if kind == "sparse":
        X = sparse.csr_array(X)
    if kind == "weighted":
        settings["sample_weight"] = np.arange(90) % 2
    _, history = fitted(X, y, validation_split=1 / 3, **settings)
    assert np.isfinite(history["test_loss"]).all()
    if kind == "weighted":  # weights are of the training: the samples held out count alike
        _, plain = fitted(X, y, validation_split=1 / 3, schedule=0)
        _, same = fitted(X, y, validation_split=1 / 3, schedule=0, **settings)
        assert same["test_loss"] == plain["test_loss"]
        assert same["loss"] != plain["loss"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_split": 0}, "validation_split is 0; it must be"),
        ({"validation_split": 1}, "validation_split is 1; it must be"),
        ({"validation_split": "0.2"}, "validation_split is '0.2'"),
        ({"validation_split": 0.001}, "validation_split is 0.001: of 90 samples it holds out 0"),
        ({"validation_split": 0.999}, "validation_split is 0.999: of 90 samples it holds out 90"),
        ({"validation_split": 0.2, "validation": samples(9)}, "validation_split is given, and so is validation"),
        ({"class_weight": "even"}, "class_weight is 'even'; it must be 'balanced' or a dict"),
        ({"class_weight": [1, 2, 3, 4]}, r"class_weight is \[1, 2, 3, 4\]"),
        ({"class_weight": {4: 1}}, "class_weight has the label 4; the network has classes 0 to 3"),
        ({"class_weight": {"0": 1}}, "class_weight has the label '0'"),
        ({"class_weight": {True: 1}}, "class_weight has the label True"),
        ({"class_weight": {1: -1}}, r"class_weight\[1\] is -1"),
        ({"class_weight": {1: np.nan}}, r"class_weight\[1\] is nan"),
        ({"class_weight": dict.fromkeys(range(4), 0)}, "sum 0"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_changed(settings, message):
    model = network()
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(*samples(), **settings)
    assert state(model) == before


# ---- class_weight


def test_a_dict_weights_samples_by_their_labels():
    X, y = samples()
    one, history = fitted(X, y, class_weight={0: 3, np.int64(2): 0.5})
    other, wanted = fitted(X, y, sample_weight=np.array([3, 1, 0.5, 1])[y])
    assert_same_weights(one, other)
    assert history["loss"] == wanted["loss"]


def test_balanced_classes_have_the_same_sum():
    X, y = samples()
    y = np.where(y == 1, 0, y)  # and one has no sample
    counts = np.bincount(y, minlength=4)
    weights = len(y) / (3 * np.maximum(counts, 1))[y]
    assert np.bincount(y, weights)[[0, 2, 3]] == pytest.approx(len(y) / 3)
    assert_same_weights(fitted(X, y, class_weight="balanced")[0], fitted(X, y, sample_weight=weights)[0])


def test_classes_are_balanced_over_what_is_trained_on_and_multiply_the_weights_of_samples():
    X, y = samples()
    mine = np.random.default_rng(7).random(90)
    model, _ = fitted(X, y, Recorder, validation_split=0.3)
    kept = np.unique(trained_rows(model))
    weights = len(kept) / (4 * np.bincount(y[kept]))[y]
    one, _ = fitted(X, y, class_weight="balanced", sample_weight=mine, validation_split=0.3)
    other, _ = fitted(X, y, sample_weight=mine * weights, validation_split=0.3)
    assert_same_weights(one, other)


@pytest.mark.parametrize("given", ["balanced", {"a": 3, "c": 0.5}])
def test_classes_with_names_are_weighted_by_these(given):
    X, y = samples()
    named = np.array(list("abcd"))[y]
    by_number = given if given == "balanced" else {0: 3, 2: 0.5}
    settings = {"validation_split": 0.2}
    one, history = fitted(X, named, class_weight=given, **settings)
    other, wanted = fitted(X, y, class_weight=by_number, **settings)
    assert_same_weights(one, other)
    assert history["loss"] == wanted["loss"]
    assert history["test_loss"] == wanted["test_loss"]
    assert one.classes == ("a", "b", "c", "d")
    assert other.classes is None


def test_both_classes_of_one_output_are_weighted():
    X, y = samples()
    y = y == 0
    loss, weights = nerva.LogisticCrossEntropy(), np.where(y, 5.0, 1.0)
    one, other = (nerva.MLP([X.shape[1], 1], seed=0) for _ in range(2))
    one.fit(X, np.where(y, "yes", "no"), class_weight={"yes": 5}, loss=loss, rng=0, epochs=2)
    other.fit(X, y[:, None].astype(float), sample_weight=weights, loss=loss, rng=0, epochs=2)
    assert_same_weights(one, other)


@pytest.mark.parametrize("label", ["e", 0])
def test_a_name_that_is_no_class_has_no_weight(label):
    X, y = samples()
    with pytest.raises(ValueError, match=f"class_weight has the label {label!r}; the network has the classes 'a', 'b'"):
        fitted(X, np.array(list("abcd"))[y], class_weight={label: 1})


def test_classes_need_labels():
    X = samples()[0]
    with pytest.raises(ValueError, match="class_weight is given, but y holds no labels"):
        fitted(X, X[:, :4], loss=nerva.SquaredError(), class_weight="balanced")
