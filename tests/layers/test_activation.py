"""Activations as layers of their own, and as parts of others."""

import pickle

import numpy as np
import pytest
from scipy import special

import nerva
from nerva.activations import NAMES

from ..reference import activate, assert_same_bits
from ..test_activations import OBJECTS


def value(activation, Z):
    """f(Z) in float64."""
    match activation:
        case nerva.SReLU(tl, al, tr, ar):
            return np.where(tl >= Z, tl + al * (Z - tl), np.where(tr > Z, Z, tr + ar * (Z - tr)))
        case "srelu":
            return np.clip(Z, 0, None)
        case nerva.LeakyReLU() | nerva.AllReLU():
            return activate("all_relu", Z, activation.slope)
        case nerva.TReLU(epsilon):
            return activate("trelu", Z, epsilon)
        case nerva.GELU(tanh):
            return activate("gelu_tanh" if tanh else "gelu", Z)
        case "softmax":
            return special.softmax(Z, axis=0)
        case "log_softmax":
            return special.log_softmax(Z, axis=0)
    return activate(activation, Z, {"all_relu": 0.6, "trelu": 1e-30, "leaky_relu": 0.01}.get(activation, 0.0))


@pytest.mark.parametrize("activation", [*NAMES, *OBJECTS], ids=repr)
def test_a_layer_of_its_own_is_the_argument_of_another(activation, dtype, rng):
    X, DY = rng.standard_normal((7, 30)).astype(dtype), rng.standard_normal((5, 30)).astype(dtype)
    within = nerva.SparseLinear(7, 5, density=0.5, activation=activation, rng=1, dtype=dtype)
    below, own = nerva.SparseLinear(7, 5, density=0.5, rng=1, dtype=dtype), nerva.Activation(activation)
    for layer in (within, below):
        layer.bias[:] = np.linspace(-1, 1, 5)
    Z = below.forward(X)
    Y = own.forward(Z)
    np.testing.assert_allclose(Y, value(activation, Z.astype(np.float64)), rtol=1e-5, atol=1e-6)
    assert_same_bits(within.forward(X).copy(), Y)
    before = DY.copy()
    DX = below.backward(own.backward(DY))
    assert_same_bits(within.backward(DY).copy(), DX)
    assert_same_bits(DY, before, "DY")
    gradients = [parameter.gradient for parameter in [*below.parameters(), *own.parameters()]]
    assert len(gradients) == 2 + (isinstance(activation, nerva.SReLU) or activation == "srelu")
    for parameter, gradient in zip(within.parameters(), gradients, strict=True):
        np.testing.assert_allclose(parameter.gradient, gradient, rtol=2e-5, atol=1e-6)
    assert own.backward(DY, input_gradient=False) is None
    assert_same_bits(own.forward(Z, training=False).copy(), Y)
    with pytest.raises(RuntimeError, match="forward"):
        own.backward(DY)


def test_srelu_layers_train_their_parameters(dtype, rng):
    X, DY = rng.standard_normal((6, 40)).astype(dtype), rng.standard_normal((6, 40)).astype(dtype)
    for per, sets in (("layer", 1), ("neuron", 6)):
        layer = nerva.Activation(nerva.SReLU(per=per))
        assert layer.parameters() == []
        layer.forward(X)
        assert layer.numbers.shape == (4, sets)
        assert (layer.numbers[:, 0] == [0, 0, 1, 1]).all()
        layer.backward(DY)
        (parameter,) = layer.parameters()
        gradient = parameter.gradient.copy()
        assert gradient.any()
        nerva.SGD().step(layer.parameters(), 0.5)
        np.testing.assert_allclose(layer.numbers.reshape(-1), np.repeat([0, 0, 1, 1], sets) - 0.5 * gradient, atol=1e-6)
        twin = pickle.loads(pickle.dumps(layer))
        assert_same_bits(twin.forward(X).copy(), layer.forward(X))
        assert_same_bits(twin.numbers, layer.numbers)
        assert layer.nbytes == 2 * parameter.values.nbytes
    assert nerva.Activation("relu").numbers is None
