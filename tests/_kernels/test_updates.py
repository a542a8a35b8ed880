"""Optimizer steps against NumPy in float64, for several steps in a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.updates import Update

from .. import reference
from ..reference import (
    Call,
    Frame,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    subnormals_are_live,
)

LENGTHS = st.one_of(st.integers(0, 80), st.sampled_from([255, 256, 257, 20011]))
RATES = st.sampled_from([0.0, 0.01, 0.5, -0.1])
DECAYS = st.sampled_from([0.0, 1e-4, 0.1])
STEPS = 4


def sgd(gradient, rate, decay, weights):
    Update("sgd", rate, 0.0, decay)(gradient, None, weights)


def momentum(gradient, rate, momentum, nesterov, decay, velocity, weights):
    Update("nesterov" if nesterov else "momentum", rate, momentum, decay)(gradient, velocity, weights)


@given(n=LENGTHS, offset=st.integers(0, 17), rate=RATES, decay=DECAYS)
def test_sgd(instruction_set, dtype, n, offset, rate, decay):
    rng = np.random.default_rng(n)
    weights = Frame(rng.standard_normal(n), dtype, offset)
    wanted = weights.array.astype(np.float64)
    for _ in range(STEPS):
        gradient = Frame(rng.standard_normal(n), dtype, 3)
        sgd(gradient.array, rate, decay, weights.array)
        wanted = reference.sgd(gradient.array.astype(np.float64), rate, decay, wanted)
        assert_within(weights.array, wanted, 8 * STEPS * np.finfo(dtype).eps * (1 + np.abs(wanted)))
        gradient.assert_unchanged("gradient")
        weights.assert_intact_outside("weights")


@given(n=LENGTHS, offset=st.integers(0, 17), rate=RATES, mu=st.sampled_from([0.0, 0.5, 0.9]), decay=DECAYS)
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(instruction_set, dtype, nesterov, n, offset, rate, mu, decay):
    rng = np.random.default_rng(n)
    weights, velocity = Frame(rng.standard_normal(n), dtype, offset), Frame(np.zeros(n), dtype, 1)
    wanted, speed = weights.array.astype(np.float64), np.zeros(n)
    for _ in range(STEPS):
        gradient = Frame(rng.standard_normal(n), dtype, 3)
        momentum(gradient.array, rate, mu, nesterov, decay, velocity.array, weights.array)
        speed, wanted = reference.momentum(gradient.array.astype(np.float64), rate, mu, nesterov, decay, speed, wanted)
        bound = 16 * STEPS * np.finfo(dtype).eps * (2 + np.abs(wanted) + np.abs(speed))
        assert_within(weights.array, wanted, bound, "weights")
        assert_within(velocity.array, speed, bound, "velocity")
        gradient.assert_unchanged("gradient")
        velocity.assert_intact_outside("velocity")
        weights.assert_intact_outside("weights")


def test_without_momentum_it_is_sgd(instruction_set, dtype, rng):
    start, gradient = (rng.standard_normal(100).astype(dtype) for _ in range(2))
    plain, others = start.copy(), [start.copy() for _ in range(2)]
    sgd(gradient, 0.1, 0.01, plain)
    for nesterov, weights in enumerate(others):
        momentum(gradient, 0.1, 0.0, bool(nesterov), 0.01, np.zeros_like(start), weights)
        np.testing.assert_allclose(weights, plain, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("n", [16384, 50001])
def test_the_bits_do_not_depend_on_threads(instruction_set, dtype, rng, n):
    start, gradient, speed = (rng.standard_normal(n).astype(dtype) for _ in range(3))
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        arrays = start.copy(), start.copy(), speed.copy(), start.copy(), speed.copy()
        sgd(gradient, 0.1, 0.01, arrays[0])
        momentum(gradient, 0.1, 0.9, False, 0.01, arrays[2], arrays[1])
        momentum(gradient, 0.1, 0.9, True, 0.01, arrays[4], arrays[3])
        results.append(arrays)
        for array, first in zip(arrays, results[0], strict=True):
            assert_same_bits(array, first, f"{threads} threads")


def test_subnormals_are_flushed_inside_and_live_outside(instruction_set, dtype):
    for n in (40, 40000):
        tiny = np.full(n, np.finfo(dtype).smallest_subnormal * 5, dtype)
        weights, velocity = tiny.copy(), tiny.copy()
        sgd(tiny, 1.0, 0.0, weights)
        assert not weights.any()
        momentum(tiny, 1.0, 0.9, True, 0.0, velocity, weights)
        assert not velocity.any()
        assert not weights.any()
        assert subnormals_are_live()


def test_a_nan_stays_where_it_is(instruction_set, dtype):
    gradient, weights, velocity = np.ones(50, dtype), np.ones(50, dtype), np.zeros(50, dtype)
    gradient[7] = np.nan
    momentum(gradient, 0.1, 0.9, True, 0.0, velocity, weights)
    for array in (velocity, weights):
        np.testing.assert_array_equal(np.isnan(array), np.arange(50) == 7)


# ---- refusals
def right_calls(dtype):
    plain = {"gradient": np.ones(5, dtype), "rate": 0.1, "decay": 0.1, "weights": np.ones(5, dtype)}
    with_velocity = {**plain, "momentum": 0.9, "nesterov": True, "velocity": np.ones(5, dtype)}
    return {
        "sgd": Call(sgd, plain, ("weights",)),
        "momentum": Call(momentum, with_velocity, ("velocity", "weights")),
    }


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_wrong_arrays_are_refused(dtype, name):
    call = right_calls(dtype)[name]
    call()
    assert_refuses_wrong_arrays(call)


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_rates_that_are_no_numbers_are_refused(name):
    for rate in (None, "0.1", [0.1]):
        with pytest.raises(TypeError):
            right_calls(np.dtype(np.float32))[name](rate=rate)


@pytest.mark.parametrize(("name", "output"), [("sgd", "weights"), ("momentum", "weights"), ("momentum", "velocity")])
def test_an_output_partly_on_the_gradient_is_refused(name, output):
    block = np.ones(20, np.float32)
    with pytest.raises(ValueError, match=f"{output} overlaps gradient"):
        right_calls(np.dtype(np.float32))[name](**{"gradient": block[:5], output: block[2:7]})
    assert (block == 1).all()


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="rule is 'newton'"):
        Update("newton", 0.1)
