"""Losses for regression, in whole trainings."""

import copy
import pickle

import numpy as np
import pytest

import nerva


@pytest.mark.parametrize("targets", [1, 2])
def test_regression_end_to_end(targets):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((800, 6))
    Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] * 0.5], axis=1)[:, :targets]
    Y = Y[:, 0] if targets == 1 else Y
    model = nerva.MLP([6, 64, targets], density=0.7, seed=0)
    history = model.fit(X, Y, validation=(X, Y), loss=nerva.MeanSquaredError(), epochs=60, schedule=0.02)
    assert history.epochs[-1].train_accuracy is None
    assert history.epochs[-1].test_accuracy is None
    assert model.predict(X).shape == Y.shape
    assert ((model.predict(X) - Y) ** 2).mean() < 0.05 * Y.var()
    assert model.evaluate(X, Y).loss == pytest.approx(((model.predict(X) - Y) ** 2).mean(), rel=1e-3)
    with pytest.raises(TypeError, match="no probabilities"):
        model.predict_proba(X)


def test_a_network_keeps_its_loss_in_copies():
    model = nerva.MLP([4, 3], density=0.5, seed=0)
    model.fit(np.ones((5, 4)), np.zeros((5, 3)), loss=nerva.SquaredError(), epochs=1)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(twin.loss, nerva.SquaredError)
        np.testing.assert_array_equal(twin.predict(np.ones((2, 4))), model.predict(np.ones((2, 4))))
