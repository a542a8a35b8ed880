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
