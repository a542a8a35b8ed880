"""Losses for classification: probabilities, predictions, and several labels of a sample."""

import numpy as np
import pytest
from scipy import special

import nerva

from ..loss_cases import LABELS, K, one_hot, outputs


def test_probabilities_of_nothing_stay_finite():
    Z = np.zeros((K, 8))
    for loss in (nerva.CrossEntropy(), nerva.NegativeLogLikelihood("probabilities")):
        value, gradient, _, _ = loss(Z, LABELS)
        assert value == pytest.approx(-np.log(1e-12))
        assert np.isfinite(gradient).all()


def test_what_outputs_predict():
    Z = np.array([[2.0, -1.0], [1.0, 3.0], [-1.0, 0.5]])
    for loss in (nerva.SoftmaxCrossEntropy(), nerva.CrossEntropy(), nerva.NegativeLogLikelihood()):
        np.testing.assert_array_equal(loss.predict(Z), [0, 1])
    np.testing.assert_array_equal(nerva.LogisticCrossEntropy().predict(Z), [[1, 1, 0], [0, 1, 1]])
    np.testing.assert_array_equal(nerva.SquaredError().predict(Z), Z.T)
    np.testing.assert_array_equal(nerva.SquaredError().predict(Z[:1]), Z[0])
    np.testing.assert_allclose(nerva.LogisticCrossEntropy().probabilities(Z), special.expit(Z))
    np.testing.assert_allclose(nerva.NegativeLogLikelihood().probabilities(Z), np.exp(Z))
    np.testing.assert_array_equal(nerva.CrossEntropy().probabilities(Z), Z)
    np.testing.assert_allclose(nerva.SoftmaxCrossEntropy().probabilities(Z.copy()), special.softmax(Z, 0))
    for loss in (nerva.SquaredError(classes=True), nerva.LogisticCrossEntropy(classes=True)):
        np.testing.assert_array_equal(loss.predict(Z), [0, 1])
        assert loss(Z, np.array([0, 0])).correct == 1
    with pytest.raises(TypeError, match="MeanSquaredError has no probabilities"):
        nerva.MeanSquaredError().probabilities(Z)


def test_how_many_are_right():
    Z = np.array([[2.0, -1.0, 0.0], [1.0, 3.0, 1.0]])
    assert nerva.SoftmaxCrossEntropy()(Z, np.array([0, 0, 1])).correct == 2
    assert nerva.SoftmaxCrossEntropy()(Z, one_hot([0, 0, 1], 2)).correct == 2
    assert nerva.LogisticCrossEntropy()(Z, np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])).correct == 2
    assert nerva.SquaredError()(Z, Z.T).correct is None


@pytest.mark.parametrize("loss", [nerva.CrossEntropy(), nerva.NegativeLogLikelihood("probabilities")])
@pytest.mark.parametrize("wrong", [-0.2, 1.2])
def test_what_is_no_probability_is_refused(loss, wrong, dtype):
    Z = outputs("softmax", dtype)
    Z[2, 3] = wrong
    with pytest.raises(ValueError, match=f"the outputs are from .*{abs(wrong)}.* this loss takes probabilities"):
        loss(Z, LABELS)
    Z[2, 3] = np.nan  # of a training that is lost; that is for the loss to show
    assert np.isnan(loss(Z, np.full(8, 2)).value)


def test_what_is_no_logarithm_of_a_probability_is_refused(dtype):
    with pytest.raises(ValueError, match="this loss takes log-probabilities, those of log_softmax"):
        nerva.NegativeLogLikelihood()(outputs("identity", dtype), LABELS)


def test_several_labels_end_to_end():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((600, 10))
    Y = (X[:, :4] + 0.3 * X[:, 4:8] > 0).astype(int)
    model = nerva.MLP([10, 40, 4], density=0.5, seed=0)
    history = model.fit(
        X[:500], Y[:500], validation=(X[500:], Y[500:]), loss=nerva.LogisticCrossEntropy(), epochs=25, schedule=0.1
    )
    assert history.epochs[-1].test_accuracy > 0.93
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)
    assert model.evaluate(X[500:], Y[500:]).accuracy == history.epochs[-1].test_accuracy


def test_a_label_is_right_from_a_logit_of_zero_on():
    Z = np.array([[0.5, -0.5, 0.25], [2.0, -3.0, -0.25]])
    y = np.array([[1, 1], [0, 0], [1, 1]])
    evaluated = nerva.LogisticCrossEntropy()(Z, y)
    assert evaluated.correct == 1 + 1 + 0.5
