"""The dropout layer: what stays, that seed and step alone decide which, and the gradient."""

import copy
import pickle

import numpy as np
import pytest

import nerva

from ..reference import assert_same_bits


def test_the_layer(dtype, rng):
    layer, X = nerva.Dropout(0.4, rng=3), rng.standard_normal((30, 50)).astype(dtype)
    assert layer.forward(X, training=False) is X
    Y = layer.forward(X).copy()
    kept = Y != 0
    assert 0.5 < kept.mean() < 0.7
    np.testing.assert_allclose(Y[kept], X[kept] / 0.6, rtol=1e-6)
    DY = rng.standard_normal(X.shape).astype(dtype)
    np.testing.assert_allclose(layer.backward(DY), np.where(kept, DY / 0.6, 0), rtol=1e-6)
    again = layer.forward(X).copy()
    assert not np.array_equal(Y, again)
    same = nerva.Dropout(0.4, rng=3)
    assert_same_bits(same.forward(X).copy(), Y)
    for twin in (copy.deepcopy(same), pickle.loads(pickle.dumps(same))):
        assert_same_bits(twin.forward(X).copy(), again, "a copy goes on where the original stood")
    idle = nerva.Dropout(0.0)
    assert idle.forward(X) is X
    assert idle.backward(DY) is DY
    assert idle.backward(DY, input_gradient=False) is None


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1, np.nan, "0.5", None, True])
def test_wrong_rates_are_named(rate):
    for make, name in (
        (lambda: nerva.Dropout(rate), "rate"),
        (lambda: nerva.Linear(3, 2, drop_connect=rate), "drop_connect"),
        (lambda: nerva.SparseLinear(3, 2, density=0.5, drop_connect=rate), "drop_connect"),
        (lambda: nerva.MLP([3, 2, 2], dropout=rate), "dropout"),
        (lambda: nerva.MLP([3, 2, 2], drop_connect=rate), "drop_connect"),
    ):
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            make()


def test_a_built_layer_takes_no_other_features_or_dtype():
    layer = nerva.Dropout(0.5)
    layer.forward(np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match="shape"):
        layer.forward(np.ones((5, 3), np.float32))
    with pytest.raises(TypeError, match="dtype"):
        layer.forward(np.ones((4, 3)))
    for X in (None, [[1.0]], np.ones(3), np.ones((2, 2), int), np.ones((4, 6))[:, ::2]):
        with pytest.raises((TypeError, ValueError), match="X"):
            nerva.Dropout(0.5).forward(X)
