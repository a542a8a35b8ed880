"""Losses against float64 formulas written apart, central differences, and one another."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.losses import LOSSES
from nerva.losses.targets import Weighted, weighted

from ..loss_cases import CASES, RNG, K, outputs


@pytest.mark.parametrize("name", CASES)
def test_value(name, dtype):
    loss, targets, activation, formula = CASES[name]
    Z = outputs(activation, dtype)
    result = loss(Z, loss.check_targets(targets, 8, K))
    assert result.value == pytest.approx(formula(Z.T.astype(np.float64)), rel=2e-6 if dtype == np.float32 else 1e-13)
    assert result.gradient.dtype == dtype
    assert result.gradient.shape == Z.shape


@pytest.mark.parametrize("weights", [None, RNG.random(8) + 0.1])
@pytest.mark.parametrize("name", CASES)
def test_gradient_by_central_differences(name, weights):
    loss, targets, activation, _ = CASES[name]
    Z = outputs(activation)
    y = weighted(loss.check_targets(targets, 8, K), weights, 8)
    gradient = loss(Z, y).gradient.copy()
    for at in np.ndindex(Z.shape):
        h, ends = 1e-6, []
        for sign in (1, -1):
            moved = Z.copy()
            moved[at] += sign * h
            ends.append(loss(moved, y).value)
        assert gradient[at] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-8)


@given(scale=st.sampled_from([1e2, 1e4, 1e30]), seed=st.integers(0, 100))
def test_logits_of_any_size(dtype, scale, seed):
    rng = np.random.default_rng(seed)
    Z = (rng.standard_normal((K, 8)) * scale).astype(dtype)
    for name in ("softmax", "softmax of rows", "softmax smoothed", "softmax with class weights", "logistic"):
        loss, targets, _, _ = CASES[name]
        value, gradient, _, _ = loss(Z, loss.check_targets(targets, 8, K))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() <= 1


@pytest.mark.parametrize("name", CASES)
def test_weights_repeat_and_leave_out(name):
    """A sample of weight 2 counts as two samples, one of weight 0 not at all."""
    loss, targets, activation, _ = CASES[name]
    Z, weights = outputs(activation), np.array([0, 1, 2, 0, 1, 1, 2, 1])
    repeated = np.repeat(np.arange(8), weights)
    y = loss.check_targets(targets, 8, K)
    value, gradient, _, weight = loss(Z, weighted(y, weights, 8))
    gradient = gradient.copy()
    plain = loss(np.ascontiguousarray(Z[:, repeated]), y[repeated])
    assert value == pytest.approx(plain.value, rel=1e-12)
    assert weight == pytest.approx(plain.weight if loss.__dict__.get("class_weights") is not None else 8)
    for n in range(8):
        np.testing.assert_allclose(gradient[:, n], plain.gradient[:, repeated == n].sum(axis=1), atol=1e-14)


def test_no_weight_at_all():
    for loss, targets, activation, _ in CASES.values():
        y = Weighted(loss.check_targets(targets, 8, K), np.zeros(8))  # a batch of samples that do not count
        value, gradient, _, weight = loss(outputs(activation), y)
        assert (value, weight, np.abs(gradient).max()) == (0, 0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nerva.SoftmaxCrossEntropy(label_smoothing=1.0), "label_smoothing is 1.0"),
        (lambda: nerva.SoftmaxCrossEntropy(label_smoothing=-0.1), "label_smoothing is -0.1"),
        (lambda: nerva.SoftmaxCrossEntropy(label_smoothing=True), "label_smoothing is True"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[1, -1]), "class_weights holds"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[[1]]), r"class_weights has shape \(1, 1\)"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[np.nan]), "class_weights holds"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[0, 0]), r"class_weights has the sum 0\.0"),
        (lambda: nerva.LogisticCrossEntropy(positive_weights=[1e39]), r"positive_weights has the sum 1e\+39"),
        (lambda: nerva.NegativeLogLikelihood("odds"), "of is 'odds'"),
        (lambda: nerva.LogisticCrossEntropy(positive_weights=[-1]), "positive_weights holds"),
        (lambda: nerva.LogisticCrossEntropy(negatives=0), "negatives is 0"),
        (lambda: nerva.SquaredError(classes=1), "classes is 1"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize("name", CASES)
def test_a_lost_training_shows_in_the_loss_alone(name):
    """No warnings of NumPy's, and not an error of its own."""
    loss, targets, _, _ = CASES[name]
    Z = np.full((K, 8), np.nan)
    assert np.isnan(loss(Z, loss.check_targets(targets, 8, K)).value)


def test_a_loss_says_what_it_is():
    loss = nerva.SoftmaxCrossEntropy(label_smoothing=0.1)
    assert repr(loss) == "SoftmaxCrossEntropy(label_smoothing=0.1, class_weights=None)"
    assert repr(nerva.MeanSquaredError()) == "MeanSquaredError(classes=False)"
    assert set(LOSSES) == {
        "softmax-cross-entropy",
        "cross-entropy",
        "negative-log-likelihood",
        "logistic-cross-entropy",
        "squared-error",
        "mean-squared-error",
    }


@pytest.mark.parametrize("name", CASES)
def test_through_a_network_of_sparse_layers(name):
    loss, targets, activation, _ = CASES[name]
    layers = [
        nerva.SparseLinear(6, 9, density=0.4, activation="tanh", rng=1, dtype=np.float64),
        nerva.SparseLinear(9, K, density=0.6, activation=activation, rng=2, dtype=np.float64),
    ]
    X = np.random.default_rng(3).standard_normal((8, 6))
    report = nerva.check_gradients(nerva.Sequential(layers), X, targets, loss=loss)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_made_again_of_its_config(name):
    loss, targets, activation, _ = CASES[name]
    config = json.loads(json.dumps(loss.config()))
    twin = type(loss)(**config)
    assert repr(twin) == repr(loss)
    assert twin.config() == config
    Z, y = outputs(activation), loss.check_targets(targets, 8, K)
    assert twin(Z, y).value == loss(Z, y).value
