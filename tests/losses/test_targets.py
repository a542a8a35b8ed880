"""Targets and sample weights: what is refused, and that weights belong to their samples."""

import numpy as np
import pytest

import nerva

from ..loss_cases import LABELS, REAL, ROWS, SIGNS, K


@pytest.mark.parametrize(
    ("loss", "targets", "message"),
    [
        (nerva.SoftmaxCrossEntropy(class_weights=[1, 2]), LABELS, "class_weights has shape"),
        (nerva.LogisticCrossEntropy(positive_weights=[1, 2]), SIGNS, "positive_weights has 2 numbers"),
        (nerva.LogisticCrossEntropy(), LABELS, r"y has shape \(8,\)"),
        (nerva.LogisticCrossEntropy(), 2 * SIGNS, "y holds numbers from 0.0 to 2.0"),
        (nerva.LogisticCrossEntropy(), SIGNS.astype(str), "y has dtype"),
        (nerva.SoftmaxCrossEntropy(), -ROWS, "no probabilities"),
        (nerva.SoftmaxCrossEntropy(), ROWS[:, 1:], r"y has shape \(8, 4\)"),
        (nerva.CrossEntropy(), LABELS - 5, "y holds labels from -"),
        (nerva.NegativeLogLikelihood(), LABELS + 0.5, "y has dtype float64"),
        (nerva.SquaredError(), REAL[:, :1], r"y has shape \(8, 1\)"),
        (nerva.SquaredError(), np.where(REAL > 0, np.nan, REAL), "y holds NaN or infinity"),
        (nerva.SquaredError(classes=True), LABELS - 5, "y holds labels from -"),
        (nerva.LogisticCrossEntropy(classes=True), SIGNS, "y has shape"),
        (nerva.MeanSquaredError(), REAL.astype(complex), "y has dtype complex128"),
        (nerva.SoftmaxCrossEntropy(), LABELS[None], r"y has shape \(1, 8\)"),
    ],
)
def test_wrong_targets_are_named(loss, targets, message):
    with pytest.raises((TypeError, ValueError), match=message):
        loss.check_targets(targets, 8, K)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(7),
        -np.ones(8),
        np.full(8, np.nan),
        np.ones((8, 1)),
        ["a"] * 8,
        np.full(8, np.inf),
        np.zeros(8),
        np.full(8, 1e308),
        [-1, 1, 1, 1, 1, 1, 1, 1],
        [np.nan, 1, 1, 1, 1, 1, 1, 1],
    ],
)
def test_wrong_sample_weights_are_named_and_nothing_changes(weights):
    rng = np.random.default_rng(0)
    model = nerva.MLP([4, 6, K], density=0.5, seed=0)
    before = [p.values.copy() for p in model.parameters()]
    for call in (
        lambda: model.fit(rng.standard_normal((8, 4)), LABELS, sample_weight=weights, epochs=1),
        lambda: model.train_step(rng.standard_normal((8, 4)), LABELS, nerva.SGD(), 0.1, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match="sample_weight"):
            call()
    for p, values in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.values, values)


def test_sample_weights_of_zero_are_absent_samples():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 6)), rng.integers(0, 3, 60)
    weights = np.repeat([1.0, 0.0], 30)
    models = [nerva.MLP([6, 8, 3], density=0.5, seed=0, dtype=np.float64) for _ in range(2)]
    for _ in range(5):
        a = models[0].train_step(X, y, nerva.SGD(), 0.1, sample_weight=weights)
        b = models[1].train_step(X[:30], y[:30], nerva.SGD(), 0.1)
        assert a == pytest.approx(b, rel=1e-12)
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        np.testing.assert_allclose(p.values, q.values, rtol=1e-10, atol=1e-12)


def test_weights_follow_their_samples_through_epochs():
    """Half the labels are wrong, and weigh nothing."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5))
    truth = (X[:, 0] > 0).astype(int)
    wrong = np.arange(400) % 2 == 1
    model = nerva.MLP([5, 16, 2], density=0.8, seed=0)
    model.fit(X, np.where(wrong, 1 - truth, truth), sample_weight=1.0 * ~wrong, epochs=30, schedule=0.1, batch_size=32)
    assert (model.predict(X) == truth).mean() > 0.95


def test_labels_and_numbers_of_one_column_may_be_a_vector():
    for loss in (nerva.SoftmaxCrossEntropy(), nerva.LogisticCrossEntropy(classes=True)):
        np.testing.assert_array_equal(loss.check_targets(LABELS[:, None], 8, K), LABELS)
    values = np.linspace(0, 1, 8)
    np.testing.assert_array_equal(nerva.LogisticCrossEntropy().check_targets(values, 8, 1), values[:, None])
    with pytest.raises(ValueError, match=r"y has shape \(8,\); it must be \(8, 2\)"):
        nerva.LogisticCrossEntropy().check_targets(values, 8, 2)
