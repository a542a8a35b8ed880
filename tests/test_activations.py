"""Activations by name and as objects: values, hidden layers, wrong ones."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

import nerva
from nerva.activations import NAMES, check_activation, code_of, of_hidden_layers

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


@pytest.mark.parametrize("activation", OBJECTS, ids=repr)
def test_objects_are_values(activation):
    for twin in (copy.deepcopy(activation), pickle.loads(pickle.dumps(activation)), dataclasses.replace(activation)):
        assert twin == activation
        assert hash(twin) == hash(activation)
    assert eval(repr(activation), vars(nerva)) == activation
    with pytest.raises(dataclasses.FrozenInstanceError):
        activation.slope = 3


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
