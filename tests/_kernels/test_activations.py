"""Activations, forward and backward, against the formulas and finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS, FROM_INPUTS, activation, activation_backward, bias_activation

from ..reference import Call, Frame, activate, assert_refuses_wrong_arrays, assert_same_bits, assert_within

CODES = ACTIVATIONS | FROM_INPUTS
SIZES = st.tuples(st.integers(0, 9), st.integers(0, 140))
FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
LARGE = (101, 333)
H = 1e-6
# What is below counts as 0: these are z times a factor that kernels set to 0 when it is subnormal, or shortly before.
VANISHING = {np.dtype(np.float32): 2e-36, np.dtype(np.float64): 1e-300}
FACTORS = ("gelu", "gelu_tanh", "silu")


@given(
    size=SIZES,
    frames=st.tuples(FRAMES, FRAMES),
    name=st.sampled_from(list(CODES)),
    spread=st.sampled_from([3, 12]),
    in_place=st.booleans(),
)
def test_forward(instruction_set, dtype, size, frames, name, spread, in_place):
    """Spread so far that both ends of the GELUs are seen in every run, not in one of many."""
    rng = np.random.default_rng(size)
    Z = Frame(rng.standard_normal(size) * spread, dtype, *frames[0])
    out = Z if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    wanted = activate(name, Z.array, dtype.type(-0.3 if name in FROM_INPUTS else 0.3))
    # The error of the exponential includes the rounding of z^2 / 2.
    bound = 30 * np.finfo(dtype).eps * np.abs(wanted) * (1 + Z.array**2)
    bound += VANISHING[dtype] if name in FACTORS else np.finfo(dtype).tiny
    activation(Z.array, CODES[name], -0.3 if name in FROM_INPUTS else 0.3, out.array)
    assert_within(out.array, wanted, bound)
    out.assert_intact_outside()
    if not in_place:
        Z.assert_unchanged()


@pytest.mark.parametrize("name", FACTORS)
def test_they_are_accurate_from_end_to_end(instruction_set, dtype, rng, name):
    sizes = np.concatenate([np.geomspace(1e-30, 1e4, 20000), rng.uniform(0, 1, 20000), rng.uniform(0, 40, 20000)])
    z = np.concatenate([sizes, -sizes, [0.0]]).astype(dtype)
    got, wanted = np.empty((1, len(z)), dtype), activate(name, z)
    activation(z[None], CODES[name], 0.0, got)
    # Far below zero the relative error is that of the exponential of a large number; the absolute error is tiny.
    assert_within(got[0], wanted, 8 * np.finfo(dtype).eps * np.abs(wanted) * (1 + np.minimum(np.abs(z), 90.0)) ** 2
                  + VANISHING[dtype])  # fmt: skip
    above = z > -3
    assert_within(got[0, above], wanted[above], 30 * np.finfo(dtype).eps * np.abs(wanted[above]) + 1e-37)


@pytest.mark.parametrize("name", FROM_INPUTS)
def test_extremes(instruction_set, dtype, name):
    largest = np.finfo(dtype).max
    z = np.array([[0.0, -0.0, 1e4, -1e4, largest, -largest, np.inf, -np.inf, np.nan]], dtype)
    out = np.empty_like(z)
    activation(z, CODES[name], 0.5, out)
    np.testing.assert_array_equal(out, activate(name, z, 0.5).astype(dtype))
    if name not in ("all_relu", "trelu"):
        activation_backward(np.ones_like(z), z, CODES[name], 0.5, out)
        np.testing.assert_allclose(out, [[0.5, 0.5, 1, 0, 1, 0, 1, 0, np.nan]], atol=1e-6)


@pytest.mark.parametrize("name", CODES)
def test_backward_is_the_slope_of_forward(instruction_set, rng, name):
    z = rng.uniform(-6, 6, (5, 333))
    z[np.abs(z) < 1e-3] += 0.01
    alpha = 0.0123 if name in ACTIVATIONS else -0.4
    up, down, Y, DY, DZ, Db = (*(np.empty_like(z) for _ in range(3)), rng.standard_normal(z.shape), z * 0, np.empty(5))
    activation(z + H, CODES[name], alpha, up)
    activation(z - H, CODES[name], alpha, down)
    activation(z, CODES[name], alpha, Y)
    activation_backward(DY, z if name in FROM_INPUTS else Y, CODES[name], alpha, DZ, Db)
    np.testing.assert_allclose(DZ, DY * (up - down) / (2 * H), rtol=1e-7, atol=2e-9)
    np.testing.assert_allclose(Db, DZ.sum(1), rtol=1e-12)


def test_those_computed_from_inputs_cannot_be_fused():
    out = np.ones((3, 4))
    for code in FROM_INPUTS.values():
        with pytest.raises(ValueError, match="activation"):
            bias_activation(None, code, 0.0, out)
    for code in (-1, 10):
        with pytest.raises(ValueError, match="activation"):
            activation(out, code, 0.0, np.ones((3, 4)))


def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    Z, DY = (rng.standard_normal(LARGE).astype(dtype) for _ in range(2))
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        outs = [np.empty(LARGE, dtype) for _ in range(2)]
        activation(Z, FROM_INPUTS["gelu"], 0.0, outs[0])
        activation_backward(DY, Z, FROM_INPUTS["silu"], 0.0, outs[1])
        results.append(outs)
    for result in results[1:]:
        for array, first in zip(result, results[0], strict=True):
            assert_same_bits(array, first)


def right_call(dtype):
    one = np.ones((4, 5), dtype)
    return Call(activation, {"Z": one + 1, "activation": 6, "alpha": 0.0, "out": one + 2}, ("out",))


def test_wrong_arrays_are_refused(dtype):
    call = right_call(dtype)
    call()
    assert_refuses_wrong_arrays(call)


def test_an_output_on_an_input_is_refused():
    call, block = right_call(np.dtype(np.float32)), np.ones(60, np.float32)
    with pytest.raises(ValueError, match="overlaps"):
        call(Z=block[:20].reshape(4, 5), out=block[3:23].reshape(4, 5))
    assert (block == 1).all()
