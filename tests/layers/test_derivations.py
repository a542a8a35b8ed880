"""Layers and activations, forward and backward, against symbolic formulas."""

import copy
from functools import cache

import numpy as np
import pytest
import sympy as sp

import nerva
from nerva.activations import NAMES

from ..derivations import (
    ACTIVATIONS,
    PATTERNS,
    SIZES,
    SRELUS,
    activated,
    affine,
    assert_agree,
    compiled,
    gradients,
    make,
    matrix,
    numbers_of,
)

KINDS = ("linear", "native", "mkl", "dense")


@cache
def derived(sparse, size, name):
    """Y, DX, DW, Db and the gradient of an SReLU's numbers, as a function of DY, X, W, b and these numbers."""
    D, K, N = size
    X, DY, numbers = matrix("x", D, N), matrix("c", K, N), numbers_of("s", name, K)
    Z, *parameters = affine("wb", sparse, X, K)
    Y = activated(name, Z, numbers)
    groups = [X, *parameters, *numbers]
    return compiled([DY, *groups], Y, *gradients(sum(DY.multiply_elementwise(Y)), groups))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_layer_with_every_activation(kind, name, size):
    D, K, N = size
    rng, last = np.random.default_rng(5), []
    layer = make(kind, D, K, rng, activation=ACTIVATIONS[name][0])
    for _ in range(3):
        X, DY = 2 * rng.standard_normal((D, N)), rng.standard_normal((K, N))
        wanted = derived(kind != "linear", size, name)(DY, X, *(p.values for p in layer.parameters()))
        assert_agree([layer.forward(X).copy(), layer.backward(DY), *(p.gradient for p in layer.parameters())], wanted)
        last.append(wanted[-1])
    if name in SRELUS:
        assert np.any(last, axis=0).reshape(4, -1).any(axis=1).all()  # both outer pieces were reached


@pytest.mark.parametrize(
    ("activation", "z", "slope"),
    [
        ("relu", 0.0, 0.0),
        (nerva.LeakyReLU(0.3), 0.0, 0.3),
        (nerva.AllReLU(0.3, layer=1), 0.0, 0.3),
        (nerva.AllReLU(0.3, layer=2), 0.0, -0.3),
        (nerva.TReLU(0.5), 0.5, 1.0),
        (nerva.TReLU(0.5), 0.0, 0.0),
        (nerva.SReLU(-0.5, 0.2, 0.5, 1.7), -0.5, 0.2),
        (nerva.SReLU(-0.5, 0.2, 0.5, 1.7), 0.5, 1.7),
        (nerva.SReLU(0.5, 0.2, 0.5, 1.7), 0.5, 0.2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["activation", "linear", "sparse"])
def test_the_slope_at_a_kink_is_the_documented_one(kind, activation, z, slope):
    settings = {"activation": activation, "dtype": np.float64, "init": lambda *_: np.ones(1)}
    layer = nerva.Activation(activation)
    if kind != "activation":
        layer = nerva.Linear(1, 1, **settings) if kind == "linear" else nerva.SparseLinear(1, 1, density=1, **settings)
    layer.forward(np.array([[z]]))
    assert layer.backward(np.array([[2.0]])) == 2 * slope


# ---- normalization and dropout


@pytest.mark.parametrize("size", [(1, 4), (2, 3)], ids=str)
@pytest.mark.parametrize("name", ["identity", "tanh", "gelu"])
def test_batch_normalization(name, size):
    (K, N), rng = size, np.random.default_rng(8)
    X, DY = matrix("x", K, N), matrix("c", K, N)
    gamma, beta, mean, variance = (matrix(letter, K, 1) for letter in "gbmv")
    epsilon, rate = sp.symbols("epsilon rate", positive=True)
    means = [sum(X[k, :]) / N for k in range(K)]
    squares = [sum((x - means[k]) ** 2 for x in X[k, :]) for k in range(K)]

    def outputs(m, v):
        rows = [gamma[k] * (X[k, :] - m[k] * sp.ones(1, N)) / sp.sqrt(v[k] + epsilon) for k in range(K)]
        return activated(name, sp.Matrix.vstack(*rows) + beta * sp.ones(1, N), [])

    Y = outputs(means, [s / N for s in squares])
    moved = [[(1 - rate) * mean[k] + rate * means[k] for k in range(K)]]
    moved += [[(1 - rate) * variance[k] + rate * squares[k] / (N - 1) for k in range(K)]]
    back = gradients(sum(DY.multiply_elementwise(Y)), [X, gamma, beta])
    inputs = [X, DY, gamma, beta, mean, variance, [epsilon, rate]]
    formulas = compiled(inputs, outputs(mean, variance), Y, *back, *moved)

    layer = nerva.BatchNorm(K, momentum=0.3, epsilon=1e-3, activation=name, dtype=np.float64)
    running = [layer.running_mean, layer.running_variance]
    for values in (layer.gamma, layer.beta, *running):
        values[:] = rng.uniform(0.5, 1.5, K)
    x, dy = rng.standard_normal((2, K, N))
    wanted = formulas(x, dy, layer.gamma, layer.beta, *running, [1e-3, 0.3])
    got = [layer.forward(x, training=False).copy(), layer.forward(x).copy(), layer.backward(dy)]
    assert_agree([*got, *(parameter.gradient for parameter in layer.parameters()), *running], wanted)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_dropout(size):
    """Which numbers stay is seen in what comes out."""
    _, K, N = size
    rng, seen, layer = np.random.default_rng(3), set(), nerva.Dropout(0.4, rng=1)
    X, DY, M, p = matrix("x", K, N), matrix("c", K, N), matrix("m", K, N), sp.Symbol("p")
    Y = X.multiply_elementwise(M) / (1 - p)
    formulas = compiled([X, DY, M, [p]], Y, *gradients(sum(DY.multiply_elementwise(Y)), [X]))
    for _ in range(5):
        x, dy = rng.standard_normal((2, K, N))
        y = layer.forward(x).copy()
        assert_agree([y, layer.backward(dy)], formulas(x, dy, y != 0, [0.4]))
        seen |= set(np.ravel(y != 0))
    assert seen == {True, False}
    assert_agree([layer.forward(x, training=False)], [x])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_drop_connect(kind, size):
    """Which weights stay is seen in a copy of the layer, whose first training step has the identity for X."""
    (D, K, N), rng, seen, rate = size, np.random.default_rng(4), set(), 0.4
    for seed in range(4):
        layer = make(kind, D, K, rng, activation="tanh", drop_connect=rate, rng=seed)
        (weight, bias), twin = layer.parameters(), copy.deepcopy(layer)
        twin.bias[:] = 0
        stays = twin.forward(np.eye(D)) != 0
        stays = np.ravel(stays) if kind == "linear" else stays[np.array(PATTERNS[K, D], bool)]
        seen |= set(stays)
        X, DY, scale = rng.standard_normal((D, N)), rng.standard_normal((K, N)), stays / (1 - rate)
        Y, DX, DW, Db = derived(kind != "linear", size, "tanh")(DY, X, scale * weight.values, bias.values)
        got = [layer.forward(X).copy(), layer.backward(DY), weight.gradient, bias.gradient]
        assert_agree(got, [Y, DX, scale * DW, Db])  # by the chain rule: W is the weights times the scale
    assert seen == {True, False}


def test_nothing_is_left_out():
    assert {kind for kind, _ in ACTIVATIONS.values() if isinstance(kind, str)} == set(NAMES)
