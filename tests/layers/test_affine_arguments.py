"""Wrong arguments of linear layers and of their passes are named, and change nothing."""

import numpy as np
import pytest

import nerva

from ..layer_reference import KINDS, D, K, batch, make
from ..reference import assert_same_bits

WRONG_OF_BOTH = [
    ({"in_features": 0}, ValueError, "in_features"),
    ({"in_features": 2**31}, ValueError, "in_features"),
    ({"in_features": 3.0}, TypeError, "in_features"),
    ({"out_features": -1}, ValueError, "out_features"),
    ({"out_features": "9"}, TypeError, "out_features"),
    ({"activation": "swish"}, ValueError, "activation"),
    ({"activation": None}, ValueError, "activation"),
    ({"activation": ["relu"]}, (TypeError, ValueError), "activation"),
    ({"init": "glorot"}, ValueError, "init"),
    ({"init": 0}, TypeError, "init"),
    ({"init": lambda rng, fan_in, fan_out, count, dtype: np.zeros(count + 1)}, ValueError, "init"),
    ({"init": lambda rng, fan_in, fan_out, count, dtype: np.full(count, np.nan)}, ValueError, "init"),
    ({"rng": "seed"}, TypeError, "rng"),
    ({"rng": -1}, ValueError, "rng"),
    ({"rng": np.random.RandomState(0)}, TypeError, "rng"),
    ({"dtype": np.float16}, ValueError, "dtype"),
    ({"dtype": "int32"}, ValueError, "dtype"),
    ({"dtype": "number"}, TypeError, "dtype"),
]
GIVEN = nerva.CSR.from_dense(np.eye(K, D, dtype=np.float32))
WRONG_OF_SPARSE = [
    ({"density": None}, TypeError, "density"),
    ({"density": 1.5}, ValueError, "density"),
    ({"density": -0.1}, ValueError, "density"),
    ({"density": np.nan}, ValueError, "density"),
    ({"density": "thin"}, TypeError, "density"),
    ({"density": "0.5"}, TypeError, "density"),
    ({"backend": "cuda"}, ValueError, "backend"),
    ({"backend": None}, ValueError, "backend"),
    ({"in_features": 10**6, "out_features": 10**6, "density": 0.5}, ValueError, "weights"),
    ({"weight": GIVEN}, ValueError, "weight"),
    ({"weight": GIVEN, "density": None, "init": "he"}, ValueError, "weight"),
    ({"weight": GIVEN.to_dense(), "density": None}, TypeError, "weight"),
    ({"weight": GIVEN, "density": None, "in_features": D + 1}, ValueError, "weight"),
    ({"weight": GIVEN, "density": None, "dtype": np.float64}, TypeError, "weight"),
    ({"weight": GIVEN, "density": None, "dtype": "number"}, TypeError, "dtype"),
]


@pytest.mark.parametrize(
    ("layer", "changed", "error", "name"),
    [(nerva.Linear, *case) for case in WRONG_OF_BOTH]
    + [(nerva.SparseLinear, *case) for case in WRONG_OF_BOTH + WRONG_OF_SPARSE],
)
def test_a_wrong_argument_is_named(layer, changed, error, name):
    right = {"in_features": D, "out_features": K} | ({"density": 0.5} if layer is nerva.SparseLinear else {})
    with pytest.raises(error, match=rf"\b{name}\b"):
        layer(**right | changed)


SPOILED = {
    "a list": lambda A: A.tolist(),
    "nothing": lambda A: None,
    "another dtype": lambda A: A.astype(np.float64),
    "integers": lambda A: A.astype(np.int32),
    "a vector": lambda A: A[:, 0],
    "three axes": lambda A: A[None],
    "fewer rows": lambda A: A[1:],
    "more rows": lambda A: np.vstack([A, A]),
    "transposed": lambda A: np.asfortranarray(A),
    "backwards": lambda A: A[:, ::-1],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_x_is_named_and_leaves_the_layer_alone(kind, spoil):
    layer = make(kind, activation="relu")
    X, DY = batch(layer, 6)
    Y = layer.forward(X)
    before = Y.copy()
    with pytest.raises((TypeError, ValueError), match=r"\bX\b"):
        layer.forward(spoil(X))
    assert_same_bits(Y, before, "the outputs before")
    layer.backward(DY)
    assert np.any(layer.bias_gradient)


@pytest.mark.parametrize("spoil", [*SPOILED.values(), lambda A: A[:, 1:]], ids=[*SPOILED, "another batch"])
@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_dy_is_named_and_leaves_the_layer_alone(kind, activation, spoil):
    layer = make(kind, activation=activation)
    X, DY = batch(layer, 6)
    layer.forward(X)
    layer.backward(DY)
    before = [(parameter.values.copy(), parameter.gradient.copy()) for parameter in layer.parameters()]
    with pytest.raises((TypeError, ValueError), match=r"\bDY\b"):
        layer.backward(spoil(DY))
    for parameter, (values, gradient) in zip(layer.parameters(), before, strict=True):
        assert_same_bits(parameter.values, values, parameter.name)
        assert_same_bits(parameter.gradient, gradient, parameter.name)
