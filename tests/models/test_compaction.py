"""Dead neurons, and networks made smaller without them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.layers import LEAKY_SLOPE

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, LEAKY_SLOPE * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


def outputs(model, X):
    """The network in NumPy, float64."""
    Y = X.astype(np.float64)
    for layer in model.layers:
        W = layer.weight.to_dense() if isinstance(layer, nerva.SparseLinear) else layer.weight
        Y = W @ Y + (0 if layer.bias is None else layer.bias[:, None])
        Y = ACTIVATIONS[layer.activation](Y)
    return Y


@st.composite
def networks(draw):
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layers = []
    for D, K in pairwise(sizes):
        f = draw(st.sampled_from(list(ACTIVATIONS)))
        bias = draw(st.booleans())
        if draw(st.integers(0, 3)) == 0:
            layer = nerva.Linear(D, K, activation=f, bias=bias, rng=rng, dtype=np.float64)
            layer.weight[rng.random(K) < 0.4] = 0
            layer.weight[:, rng.random(D) < 0.4] = 0
        else:
            density = draw(st.sampled_from([0.0, 0.1, 0.3, 0.7]))
            layer = nerva.SparseLinear(D, K, density=density, activation=f, bias=bias, rng=rng, dtype=np.float64)
            layer.weight.values[rng.random(layer.nnz) < 0.2] = 0
        if bias:
            layer.bias = rng.standard_normal(K)
        layers.append(layer)
    return nerva.Sequential(layers, rng=0)


@given(model=networks(), seed=st.integers(0, 2**32))
def test_the_outputs_are_the_same_and_no_dead_neuron_is_left(model, seed):
    X = np.random.default_rng(seed).standard_normal((model.in_features, 7))
    before = outputs(model, X)
    small = model.compact()
    np.testing.assert_array_equal(outputs(model, X), before)  # it is left alone
    np.testing.assert_allclose(small.forward(X, training=False), before, rtol=1e-9, atol=1e-12)
    assert (small.in_features, small.out_features) == (model.in_features, model.out_features)
    assert small.nnz <= model.nnz
    for dead, layer, above in zip(nerva.dead_neurons(small), small.layers, small.layers[1:], strict=False):
        assert not len(dead.without_output) or layer.out_features == 1
        assert not len(dead.without_input) or layer.out_features == 1 or above.bias is None
    again = small.compact()
    assert [layer.out_features for layer in again.layers] == [layer.out_features for layer in small.layers]


FUNCTIONS = [
    "relu",
    "gelu",
    nerva.SReLU(),
    nerva.SReLU(per="neuron"),
    nerva.AllReLU(0.3, layer=2),
    nerva.LeakyReLU(0.4),
]


@st.composite
def towers(draw):
    """Networks with everything between the linear layers, trained for a few steps so that no number is a default."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(2, 12), min_size=3, max_size=4))
    settings = {"rng": rng, "dtype": np.float64}
    layers = [nerva.BatchNorm(sizes[0], dtype=np.float64)] if draw(st.booleans()) else []
    for D, K in pairwise(sizes):
        f = draw(st.sampled_from(FUNCTIONS))
        density = draw(st.sampled_from([0.1, 0.3, 0.7]))
        layers.append(nerva.SparseLinear(D, K, density=density, activation=f, bias=draw(st.booleans()), **settings))
        if draw(st.booleans()):
            layers.append(nerva.BatchNorm(K, activation=draw(st.sampled_from(FUNCTIONS)), dtype=np.float64))
        if draw(st.booleans()):
            layers.append(nerva.Activation(draw(st.sampled_from(FUNCTIONS))))
        if draw(st.booleans()):
            layers.append(nerva.Dropout(0.2, rng=rng))
    model = nerva.Sequential([*layers, nerva.Linear(sizes[-1], 3, activation="softmax", **settings)], rng=rng)
    X, y = rng.standard_normal((40, sizes[0])), rng.standard_normal((40, 3))
    model.fit(X, y, epochs=2, batch_size=20, loss=nerva.MeanSquaredError(), schedule=0.05)
    return model


@given(model=towers())
def test_layers_between_are_cut_with_their_neurons(model):
    X = np.random.default_rng(0).standard_normal((model.in_features, 7))
    before = model.forward(X, training=False).copy()
    small = model.compact()
    np.testing.assert_array_equal(model.forward(X, training=False), before)
    np.testing.assert_allclose(small.forward(X, training=False), before, rtol=1e-9, atol=1e-12)
    assert isinstance(small.loss, nerva.MeanSquaredError)
    for dead, (group, *_) in zip(nerva.dead_neurons(small), pairwise(_linear(small)), strict=True):
        assert not len(dead.without_output) or group.out_features == 1
    small.fit(X.T, np.zeros((7, 3)), epochs=1)


def _linear(model):
    return [layer for layer in model.layers if isinstance(layer, (nerva.Linear, nerva.SparseLinear))]


def test_what_cannot_be_made_smaller_is_named():
    class Own(nerva.Dropout):
        pass

    with pytest.raises(ValueError, match="couples the neurons"):
        nerva.MLP([4, 5, 3], density=0.3, activation="softmax").compact()
    with pytest.raises(TypeError, match=r"layers\[1\] is Own"):
        nerva.Sequential([nerva.Linear(4, 3), Own(0.1)]).compact()
    with pytest.raises(TypeError, match="no linear layer"):
        nerva.Sequential([nerva.BatchNorm(3)]).compact()


def test_dead_neurons_by_hand():
    first = nerva.CSR((4, 3), [0, 2, 2, 3, 4], [0, 2, 1, 0], np.array([1.0, 2.0, 3.0, 0.0]))
    second = nerva.CSR((2, 4), [0, 2, 4], [0, 1, 1, 3], np.array([1.0, 2.0, 3.0, 4.0]))
    layers = [
        nerva.SparseLinear(3, 4, weight=first, activation="relu"),
        nerva.SparseLinear(4, 2, weight=second),
    ]
    layers[0].bias = [0.5, 0.25, -1.0, 2.0]
    model = nerva.Sequential(layers)
    (dead,) = nerva.dead_neurons(model)
    assert dead.without_input.tolist() == [1, 3]
    assert dead.without_output.tolist() == [2]
    small = model.compact()
    assert [layer.out_features for layer in small.layers] == [1, 2]
    assert small.layers[1].bias.tolist() == [0.5, 0.75 + 8.0]
    assert small.nnz == 3


def test_a_trained_network_shrinks():
    data = nerva.datasets.shapes()
    model = nerva.MLP([data.train.X.shape[1], 300, 200, 10], density=0.002, seed=0)
    model.fit(*data.train, epochs=1, topology=nerva.SET(every=5, unit="step"))
    small = model.compact()
    assert small.layers[0].out_features < 300
    assert small.nnz < model.nnz
    a, b = (network.evaluate(*data.test) for network in (model, small))
    assert a.accuracy == pytest.approx(b.accuracy, abs=0.002)
    assert a.loss == pytest.approx(b.loss, rel=1e-5)
    small.fit(*data.train, epochs=1)
