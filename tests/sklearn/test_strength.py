"""The strength of the inputs of a network, in sparse and in dense layers."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nerva
from nerva.sklearn import SparseMLPRegressor, neuron_strength


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_it_is_the_sum_of_absolute_weights(density):
    model = nerva.MLP([12, 8, 3], density=density, batch_norm=True, seed=0)
    for number, layer in enumerate(layer for layer in model.layers if hasattr(layer, "dense_weight")):
        expected = np.abs(layer.dense_weight()).sum(axis=0, dtype=np.float64)
        np.testing.assert_allclose(neuron_strength(model, number), expected)


def test_of_an_estimator():
    rng = np.random.default_rng(0)
    network = SparseMLPRegressor((8,), max_iter=2, n_iter_no_change=np.inf).fit(rng.random((20, 6)), rng.random(20))
    np.testing.assert_array_equal(neuron_strength(network), neuron_strength(network.model_))
    np.testing.assert_allclose(neuron_strength(network), abs(network.coefs_[0]).sum(axis=1))


def test_an_input_without_weights_has_none():
    W = nerva.CSR.from_dense(np.array([[0.0, -1.5, 0.0], [0.0, 2.0, 0.0]]))
    assert neuron_strength(nerva.Sequential([nerva.SparseLinear(3, 2, weight=W)])).tolist() == [0, 3.5, 0]


def test_what_has_no_strengths_is_refused():
    with pytest.raises(TypeError, match="model is SparseMLPRegressor; it must be a nerva network, or an estimator"):
        neuron_strength(SparseMLPRegressor())
    with pytest.raises(TypeError, match="model is Pipeline"):
        neuron_strength(make_pipeline(StandardScaler()))
    with pytest.raises(ValueError, match="layer is 2; the network has linear layers 0 to 1"):
        neuron_strength(nerva.MLP([4, 3, 2]), 2)
    with pytest.raises(ValueError, match="layer is -1; it must be at least 0"):
        neuron_strength(nerva.MLP([4, 3, 2]), -1)
