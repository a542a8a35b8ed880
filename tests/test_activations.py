"""Activations by name and as objects, as layers of their own and as part of others."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from scipy import special

import nerva
from nerva.activations import NAMES, check_activation, code_of, of_hidden_layers

from .reference import activate, assert_same_bits
from .test_curves import bent

OBJECTS = (
    nerva.LeakyReLU(0.2),
    nerva.LeakyReLU(-0.3),
    nerva.AllReLU(0.6, layer=1),
    nerva.AllReLU(0.6, layer=2),
    nerva.TReLU(0.1),
    nerva.GELU(),
    nerva.GELU(tanh=True),
    nerva.SReLU(-0.5, 0.2, 0.4, 0.7),
    nerva.SReLU(-0.5, 0.2, 0.4, 0.7, per="neuron"),
)


def value(activation, Z):
    """f(Z) in float64."""
    match activation:
        case nerva.SReLU(tl, al, tr, ar):
            return bent(Z, [tl, al, tr, ar])
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


@pytest.mark.parametrize("activation", OBJECTS, ids=repr)
def test_objects_are_values(activation):
    for twin in (copy.deepcopy(activation), pickle.loads(pickle.dumps(activation)), dataclasses.replace(activation)):
        assert twin == activation
        assert hash(twin) == hash(activation)
    assert eval(repr(activation), vars(nerva)) == activation
    with pytest.raises(dataclasses.FrozenInstanceError):
        activation.slope = 3


def test_srelu_layers_learn_their_numbers(dtype, rng):
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
        layer.backward(DY, step=nerva.SGD().at(0.5))
        np.testing.assert_allclose(layer.numbers.reshape(-1), np.repeat([0, 0, 1, 1], sets) - 0.5 * gradient, atol=1e-6)
        twin = pickle.loads(pickle.dumps(layer))
        assert_same_bits(twin.forward(X).copy(), layer.forward(X))
        assert_same_bits(twin.numbers, layer.numbers)
        assert layer.nbytes == 2 * parameter.values.nbytes
    assert nerva.Activation("relu").numbers is None


def test_all_relu_alternates():
    model = nerva.MLP([9, 8, 7, 6, 5], density=0.5, activation=nerva.AllReLU(0.6))
    assert [layer.activation for layer in model.layers[:3]] == [nerva.AllReLU(0.6, layer=i) for i in (1, 2, 3)]
    assert [layer.activation.slope for layer in model.layers[:3]] == [0.6, -0.6, 0.6]
    assert nerva.AllReLU(0.6).slope == 0.6
    own = of_hidden_layers(["relu", nerva.AllReLU(0.3), nerva.AllReLU(0.3, layer=1), "all_relu"], 4)
    assert own == ["relu", nerva.AllReLU(0.3, layer=2), nerva.AllReLU(0.3, layer=1), nerva.AllReLU(0.6, layer=4)]


def test_every_name_is_known():
    for name in NAMES:
        assert check_activation(name) == name
        assert (code_of(name) is None) == (name in ("srelu", "softmax", "log_softmax"))
    assert of_hidden_layers("tanh", 3) == ["tanh"] * 3
    assert of_hidden_layers(["tanh"], 1) == ["tanh"]
    assert of_hidden_layers("tanh", 0) == []


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: nerva.LeakyReLU("0.1"), TypeError, "slope"),
        (lambda: nerva.LeakyReLU(np.nan), ValueError, "slope"),
        (lambda: nerva.AllReLU(np.inf), ValueError, "alpha"),
        (lambda: nerva.AllReLU(0.6, layer=0), ValueError, "layer"),
        (lambda: nerva.AllReLU(0.6, layer=1.0), TypeError, "layer"),
        (lambda: nerva.TReLU(0.0), ValueError, "epsilon"),
        (lambda: nerva.TReLU(-1e-30), ValueError, "epsilon"),
        (lambda: nerva.TReLU(None), TypeError, "epsilon"),
        (lambda: nerva.GELU(tanh="no"), TypeError, "tanh"),
        (lambda: nerva.SReLU(per="sample"), ValueError, "per"),
        (lambda: nerva.SReLU(t_l=2.0), ValueError, "t_l"),
        (lambda: nerva.SReLU(a_r=True), TypeError, "a_r"),
        (lambda: nerva.Activation("swish"), ValueError, "activation"),
        (lambda: nerva.Activation(None), ValueError, "activation"),
        (lambda: nerva.Activation(nerva.GELU), ValueError, "activation"),
        (lambda: nerva.MLP([3, 2, 1], activation=["relu", "relu"]), ValueError, "activation"),
        (lambda: nerva.MLP([3, 2, 1], activation=["swish"]), ValueError, r"activation\[0\]"),
        (lambda: nerva.MLP([3, 2, 1], activation=None), ValueError, "activation"),
    ],
)
def test_wrong_ones_are_named(make, error, name):
    with pytest.raises(error, match=rf"{name}\b|{name}"):
        make()
