"""SReLU, forward and backward, and the gradients of its parameters, against formulas and finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS, activation, srelu, srelu_backward

from ..reference import Call, Frame, assert_refuses_wrong_arrays, assert_same_bits, assert_within

SIZES = st.tuples(st.integers(0, 9), st.integers(0, 140))
FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
LARGE = (101, 333)
H = 1e-6


def parameters_of(rng, sets, dtype=np.float64):
    """t_l, a_l, t_r, a_r, `sets` of each; t_l is rarely above t_r."""
    left, left_slope, right, right_slope = rng.uniform(-1, 1, (4, sets))
    return np.concatenate([left - 0.3, left_slope, right + 0.3, right_slope]).astype(dtype)


def bent(Z, parameters):
    """SReLU in float64, as Jin et al. define it."""
    Z, (tl, al, tr, ar) = np.asarray(Z, np.float64), np.asarray(parameters, np.float64).reshape(4, -1, 1)
    return np.where(tl >= Z, tl + al * (Z - tl), np.where(tr > Z, Z, tr + ar * (Z - tr)))


def bent_back(DY, Z, parameters):
    """DZ, and the gradient of the parameters of each row, shape (4, K), in float64."""
    DY, Z = np.asarray(DY, np.float64), np.asarray(Z, np.float64)
    tl, al, tr, ar = np.asarray(parameters, np.float64).reshape(4, -1, 1)
    below, beyond = tl >= Z, (tl < Z) & (tr <= Z)
    DZ = DY * np.where(below, al, np.where(beyond, ar, 1.0))
    parts = (DY * below * (1 - al), DY * below * (Z - tl), DY * beyond * (1 - ar), DY * beyond * (Z - tr))
    return DZ, np.stack([part.sum(1) for part in parts])


@given(size=SIZES, frames=st.tuples(FRAMES, FRAMES), per_row=st.booleans(), in_place=st.booleans())
def test_srelu_both_ways(instruction_set, dtype, size, frames, per_row, in_place):
    rng, (K, N) = np.random.default_rng(size), size
    sets = K if per_row else 1
    parameters = parameters_of(rng, sets, dtype)
    Z, DY = Frame(rng.standard_normal(size), dtype, *frames[0]), Frame(rng.standard_normal(size), dtype, *frames[1])
    Y = Frame(np.full(size, np.nan), dtype, *frames[1])
    DZ = DY if in_place else Frame(np.full(size, np.nan), dtype, *frames[0])
    eps = 8 * np.finfo(dtype).eps
    if K == 0 and per_row:
        return
    srelu(Z.array, parameters, Y.array)
    assert_within(Y.array, bent(Z.array, parameters), eps * (2 + np.abs(Z.array)))
    wanted, by_row = bent_back(DY.array, Z.array, parameters)
    gradient = Frame(np.full(4 * sets, np.nan), dtype, 1)
    srelu_backward(DY.array, Z.array, parameters, DZ.array, gradient.array, np.empty(4 * K, dtype))
    assert_within(DZ.array, wanted, eps * (1 + np.abs(wanted)), "DZ")
    total = by_row if per_row else by_row.sum(1, keepdims=True)
    assert_within(gradient.array.reshape(4, -1), total, eps * (1 + N) * (1 + K) * 16, "gradient")
    for frame in (Y, DZ, gradient):
        frame.assert_intact_outside()
    Z.assert_unchanged("Z")


def test_srelu_by_central_differences(instruction_set, rng):
    Z, DY = rng.standard_normal((6, 40)), rng.standard_normal((6, 40))
    for sets in (1, 6):
        parameters = parameters_of(rng, sets)
        gradient, DZ = np.empty(4 * sets), np.empty_like(Z)
        srelu_backward(DY, Z, parameters, DZ, gradient, np.empty(24))
        for i in range(len(parameters)):
            up, down = parameters.copy(), parameters.copy()
            up[i] += H
            down[i] -= H
            outs = [np.empty_like(Z), np.empty_like(Z)]
            srelu(Z, up, outs[0])
            srelu(Z, down, outs[1])
            assert np.sum(DY * (outs[0] - outs[1])) / (2 * H) == pytest.approx(gradient[i], rel=1e-6, abs=1e-7)


def test_srelu_as_it_starts_is_the_relu_to_the_bit(instruction_set, dtype, rng):
    Z, Y, wanted = rng.standard_normal(LARGE).astype(dtype), np.empty(LARGE, dtype), np.empty(LARGE, dtype)
    srelu(Z, np.array([0, 0, 1, 1], dtype), Y)
    activation(Z, ACTIVATIONS["relu"], 0.0, wanted)
    np.testing.assert_allclose(Y, wanted, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    Z, DY = (rng.standard_normal(LARGE).astype(dtype) for _ in range(2))
    parameters, results = parameters_of(rng, 1, dtype), []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        outs = [np.empty(LARGE, dtype) for _ in range(2)]
        gradient = np.empty(4, dtype)
        srelu(Z, parameters, outs[0])
        srelu_backward(DY, Z, parameters, outs[1], gradient, np.empty(4 * LARGE[0], dtype))
        results.append([*outs, gradient])
    for result in results[1:]:
        for array, first in zip(result, results[0], strict=True):
            assert_same_bits(array, first)


def right_calls(dtype):
    one, four = np.ones((4, 5), dtype), np.array([-1, 0.1, 1, 0.9], dtype)
    backward = {"DY": one, "Z": one + 1, "parameters": four, "DZ": one + 3, "gradient": four + 1}
    backward |= {"scratch": np.zeros(16, dtype)}
    return {
        "forward": Call(srelu, {"Z": one + 1, "parameters": four, "out": one + 2}, ("out",)),
        "backward": Call(srelu_backward, backward, ("DZ", "gradient", "scratch")),
    }


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_wrong_arrays_are_refused(dtype, way):
    call = right_calls(dtype)[way]
    call()
    assert_refuses_wrong_arrays(call)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_an_output_on_an_input_is_refused(way):
    call, block = right_calls(np.dtype(np.float32))[way], np.ones(60, np.float32)
    first = next(iter(call.arguments))
    with pytest.raises(ValueError, match="overlaps"):
        call(**{first: block[:20].reshape(4, 5), call.outputs[0]: block[3:23].reshape(4, 5)})
    assert (block == 1).all()
