"""SGD, Momentum and Nesterov against NumPy's float64, step after step, and whose momentum is whose."""

import copy
import math
import pickle

import numpy as np
import pytest

import nerva
from nerva.optimizers import OPTIMIZERS
from nerva.parameters import Parameter

from .. import reference

RATES = (0.1, 0.1, 0.5, 0.01, 0.0, 0.2)
DECAYS = (0.0, 0.01)


def parameters(dtype, seed=0, sizes=(37, 5, 1, 0)):
    rng = np.random.default_rng(seed)
    return [Parameter(f"p{n}", rng.standard_normal(n).astype(dtype)) for n in sizes]


def run(optimizer, them, rates, seed=1):
    """Take a step at each rate with gradients drawn anew, and return these, a list for each step."""
    rng, drawn = np.random.default_rng(seed), []
    for rate in rates:
        for parameter in them:
            parameter.gradient[:] = rng.standard_normal(parameter.values.size)
        drawn.append([parameter.gradient.astype(np.float64) for parameter in them])
        optimizer.step(them, rate)
    return drawn


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(
    ("kind", "mu"), [("sgd", 0.0), ("momentum", 0.9), ("momentum", 0.0), ("nesterov", 0.9), ("nesterov", 0.5)]
)
def test_numpy_agrees(kind, mu, decay, dtype):
    settings = {"weight_decay": decay} | ({} if kind == "sgd" else {"momentum": mu})
    optimizer = OPTIMIZERS[kind](**settings)
    them = parameters(dtype)
    wanted = [parameter.values.astype(np.float64) for parameter in them]
    speed = [np.zeros(len(values)) for values in wanted]
    identities = [id(parameter.values) for parameter in them]
    for rate, gradients in zip(RATES, run(optimizer, them, RATES), strict=True):
        for i, gradient in enumerate(gradients):
            speed[i], wanted[i] = reference.momentum(gradient, rate, mu, kind == "nesterov", decay, speed[i], wanted[i])
    for parameter, values, velocity in zip(them, wanted, speed, strict=True):
        np.testing.assert_allclose(parameter.values, values, rtol=0, atol=100 * np.finfo(dtype).eps)
        if kind == "sgd":
            assert parameter.state == {}
        else:
            np.testing.assert_allclose(parameter.state["momentum"], velocity, rtol=0, atol=100 * np.finfo(dtype).eps)
    assert [id(parameter.values) for parameter in them] == identities


def test_the_rules_differ():
    results = []
    for optimizer in (nerva.SGD(), nerva.Momentum(0.9), nerva.Momentum(0.8), nerva.Nesterov(0.9)):
        them = parameters(np.float64)
        run(optimizer, them, RATES)
        results.append(them[0].values)
    for i, one in enumerate(results):
        assert all(np.abs(one - other).max() > 0.01 for other in results[:i])


def test_a_rate_of_zero_moves_no_weight_but_gathers_momentum(dtype):
    them = parameters(dtype)
    before = [parameter.values.copy() for parameter in them]
    run(nerva.Momentum(), them, [0.0, 0.0])
    for parameter, values in zip(them, before, strict=True):
        np.testing.assert_array_equal(parameter.values, values)
    assert them[0].state["momentum"].all()


def test_a_new_optimizer_starts_without_momentum():
    first, second = nerva.Nesterov(), nerva.Nesterov()
    shared, alone = parameters(np.float64), parameters(np.float64)
    run(first, shared, RATES)
    for mine, yours in zip(shared, alone, strict=True):
        yours.values[:] = mine.values
    run(second, shared, RATES, seed=2)
    run(nerva.Nesterov(), alone, RATES, seed=2)
    for mine, yours in zip(shared, alone, strict=True):
        reference.assert_same_bits(mine.values, yours.values, mine.name)
    assert shared[0].owner is second


def test_one_optimizer_keeps_its_momentum_over_calls():
    whole, parts = parameters(np.float64), parameters(np.float64)
    run(nerva.Nesterov(), whole, (0.1,) * 6)
    optimizer = nerva.Nesterov()
    drawn = np.random.default_rng(1)
    for _ in range(6):
        for parameter in parts:
            parameter.gradient[:] = drawn.standard_normal(parameter.values.size)
        for parameter in parts:  # one at a time, in any order
            optimizer.step([parameter], 0.1)
    for mine, yours in zip(whole, parts, strict=True):
        reference.assert_same_bits(mine.values, yours.values, mine.name)


def test_one_optimizer_may_serve_two_networks():
    optimizer, one, other = nerva.Momentum(), parameters(np.float64), parameters(np.float64)
    run(optimizer, one, RATES)
    run(optimizer, other, RATES)
    for mine, yours in zip(one, other, strict=True):
        reference.assert_same_bits(mine.values, yours.values, mine.name)


@pytest.mark.parametrize("clone", [lambda pair: pickle.loads(pickle.dumps(pair)), copy.deepcopy], ids=["pickle", ""])
def test_momentum_survives_a_copy_of_both(clone):
    optimizer, them = nerva.Nesterov(0.8, weight_decay=0.01), parameters(np.float32)
    run(optimizer, them, RATES)
    twin, theirs = clone((optimizer, them))
    assert repr(twin) == repr(optimizer)
    run(optimizer, them, RATES, seed=3)
    run(twin, theirs, RATES, seed=3)
    for mine, yours in zip(them, theirs, strict=True):
        reference.assert_same_bits(mine.values, yours.values, mine.name)
        assert not np.shares_memory(mine.values, yours.values) or not mine.values.size


@pytest.mark.parametrize("optimizer", [nerva.SGD(), nerva.Nesterov()], ids=repr)
def test_weight_decay_pulls_sparse_dense_and_bias_alike(optimizer):
    layers = nerva.SparseLinear(20, 10, density=0.3, rng=0), nerva.Linear(20, 10, rng=0)
    decaying = copy.copy(optimizer)
    decaying.weight_decay = 0.5
    for layer in layers:
        layer.bias[:] = 1
        them = layer.parameters()
        before = [parameter.values.copy() for parameter in them]
        for parameter in them:
            parameter.gradient[:] = 0
        decaying.step(them, 0.1)
        factor = 1 - 0.1 * 0.5 * (1.9 if isinstance(optimizer, nerva.Nesterov) else 1)
        for parameter, values in zip(them, before, strict=True):
            np.testing.assert_allclose(parameter.values, factor * values, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: nerva.SGD(weight_decay=-1e-4), ValueError, "weight_decay"),
        (lambda: nerva.SGD(weight_decay=math.nan), ValueError, "weight_decay"),
        (lambda: nerva.SGD(weight_decay="much"), TypeError, "weight_decay"),
        (lambda: nerva.Momentum(1.0), ValueError, "momentum"),
        (lambda: nerva.Momentum(-0.1), ValueError, "momentum"),
        (lambda: nerva.Momentum(None), TypeError, "momentum"),
        (lambda: nerva.Nesterov(math.inf), ValueError, "momentum"),
        (lambda: nerva.Nesterov(weight_decay=math.inf), ValueError, "weight_decay"),
    ],
)
def test_a_wrong_setting_is_named(make, error, name):
    with pytest.raises(error, match=rf"^{name} is"):
        make()
