"""Two layers from end to end, outputs, loss, gradients and a step, against symbolic formulas."""

import copy
from functools import cache

import numpy as np
import pytest
import sympy as sp

import nerva
from nerva.losses import LOSSES

from ..derivations import (
    ACTIVATIONS,
    activated,
    affine,
    assert_agree,
    compiled,
    cross,
    cross_of_logits,
    gradients,
    logistic,
    make,
    matrix,
    numbers_of,
    squared,
)

NETS = [
    ("linear", "relu", "softmax", "cross-entropy", lambda t, z: cross(t, map(sp.log, z))),
    ("linear", "srelu per neuron", "identity", "squared-error", squared),
    ("linear", "gelu", "log_softmax", "negative-log-likelihood", cross),
    ("native", "tanh", "identity", "softmax-cross-entropy", cross_of_logits),
    ("native", "silu", "srelu", "mean-squared-error", lambda t, z: squared(t, z) / 2),
    ("native", "all_relu", "identity", "logistic-cross-entropy", logistic),
]


@cache
def derived_network(kind, hidden, last, formula):
    """Outputs, loss and the gradients of the parameters of the network below."""
    X, T, M, p = matrix("x", 3, 2), matrix("t", 2, 2), matrix("m", 2, 2), sp.Symbol("p")
    numbers, others = numbers_of("s", hidden, 2), numbers_of("o", last, 2)
    Z, W, b = affine("wb", True, X, 2)
    H = activated(hidden, Z, numbers).multiply_elementwise(M) / (1 - p)
    Z, V, c = affine("vc", kind != "linear", H, 2)
    Y = activated(last, Z, others)
    value = sum(formula(T[n, :], Y[:, n]) for n in range(2)) / 2
    groups = [W, b, *numbers, V, c, *others]
    return compiled([X, T, M, [p], *groups], Y, [value], *gradients(value, groups))


@pytest.mark.parametrize("rate", [0.0, 0.4], ids=["plain", "dropout"])
@pytest.mark.parametrize(("kind", "hidden", "last", "name", "formula"), NETS, ids=[net[1] for net in NETS])
def test_two_layers_from_end_to_end(kind, hidden, last, name, formula, rate):
    """Outputs, loss and gradients, and the same again where the step is taken on the way back."""
    rng, loss = np.random.default_rng(12), LOSSES[name]()
    first, second = make("native", 3, 2, rng, activation=ACTIVATIONS[hidden][0]), make(kind, 2, 2, rng, activation=last)
    model = nerva.Sequential([first, nerva.Dropout(rate, rng=2), second])
    stepped, parameters = copy.deepcopy(model), model.parameters()
    stays = copy.deepcopy(model.layers[1]).forward(np.ones((2, 2))) != 0
    assert set(np.ravel(stays)) == ({True, False} if rate else {True})
    X, labels = rng.standard_normal((3, 2)), np.array([1, 0])
    targets = np.eye(2)[labels] if name.endswith("error") or name == "logistic-cross-entropy" else labels
    inputs = [X, np.eye(2)[labels], stays, [rate], *(parameter.values for parameter in parameters)]
    Y, value, *slopes = derived_network(kind, hidden, last, formula)(*inputs)

    outputs = model.forward(X)
    result = loss(outputs, loss.check_targets(targets, 2, 2))
    model.backward(result.gradient)
    assert_agree([outputs, result.value, *(parameter.gradient for parameter in parameters)], [Y, value, *slopes])
    assert_agree([stepped.train_step(X.T.copy(), targets, nerva.SGD(), 0.5, loss)], [value])
    wanted = [parameter.values - 0.5 * slope for parameter, slope in zip(parameters, slopes, strict=True)]
    assert_agree([parameter.values for parameter in stepped.parameters()], wanted)
