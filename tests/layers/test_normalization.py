"""The batch normalization layer against NumPy's float64, in training and in evaluation."""

import pickle

import numpy as np
import pytest

import nerva

from ..reference import assert_same_bits, normalized


def test_the_layer_in_training_and_in_evaluation(dtype, rng):
    layer = nerva.BatchNorm(6, momentum=0.3, dtype=dtype)
    layer.gamma, layer.beta = rng.uniform(0.5, 1.5, 6), rng.standard_normal(6)
    X = rng.standard_normal((6, 50)).astype(dtype)
    gamma, beta = layer.gamma.astype(np.float64), layer.beta.astype(np.float64)
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(layer.forward(X), normalized(X, gamma, beta), **tolerance)
    np.testing.assert_allclose(layer.running_mean, 0.3 * X.astype(np.float64).mean(1), **tolerance)
    np.testing.assert_allclose(layer.running_variance, 0.7 + 0.3 * X.astype(np.float64).var(1, ddof=1), **tolerance)
    one = layer.forward(X[:, :1], training=False)
    np.testing.assert_allclose(
        one, normalized(X[:, :1], gamma, beta, layer.running_mean, layer.running_variance), **tolerance
    )
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(X)
    twin = pickle.loads(pickle.dumps(layer))
    assert repr(twin) == repr(layer)
    assert_same_bits(twin.forward(X, training=False).copy(), layer.forward(X, training=False))
    assert [parameter.name for parameter in layer.parameters()] == ["gamma", "beta"]
    assert layer.nbytes == 6 * 6 * dtype.itemsize


def test_one_sample_in_training_is_refused_before_anything_changes():
    model = nerva.MLP([4, 3, 2], density=0.5, batch_norm=True)
    X, y = np.ones((21, 4), np.float32), np.zeros(21, int)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match=r"batch_size is 20: 21 samples leave a batch of 1, .* at least 2"):
        model.fit(X, y, epochs=1, batch_size=20)
    with pytest.raises(ValueError, match=r"batch_size is 1: .* at least 2"):
        model.fit(X, y, epochs=1, batch_size=1)
    with pytest.raises(ValueError, match="leave a batch of 1"):
        model.train_step(X[:1], y[:1], nerva.SGD(), 0.1)
    assert pickle.dumps(model) == before
    layer = nerva.BatchNorm(4)
    for N in (0, 1):
        with pytest.raises(ValueError, match="at least two samples"):
            layer.forward(np.ones((4, N), np.float32))
    assert not layer.running_mean.any()
    assert layer.forward(np.ones((4, 0), np.float32), training=False).shape == (4, 0)


@pytest.mark.parametrize(
    ("changed", "error", "name"),
    [
        ({"features": 0}, ValueError, "features"),
        ({"features": 3.0}, TypeError, "features"),
        ({"momentum": 1.5}, ValueError, "momentum"),
        ({"momentum": "0.1"}, TypeError, "momentum"),
        ({"momentum": np.nan}, ValueError, "momentum"),
        ({"epsilon": 0.0}, ValueError, "epsilon"),
        ({"epsilon": np.nan}, ValueError, "epsilon"),
        ({"epsilon": None}, TypeError, "epsilon"),
        ({"activation": "swish"}, ValueError, "activation"),
        ({"dtype": np.int32}, ValueError, "dtype"),
    ],
)
def test_a_wrong_argument_is_named(changed, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        nerva.BatchNorm(**{"features": 4} | changed)
