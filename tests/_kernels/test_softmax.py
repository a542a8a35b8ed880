"""Softmax and log-softmax, forward and backward, against SciPy in float64, differences, and logits of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from nerva._kernels import mkl
from nerva._kernels.softmax import softmax, softmax_backward

from ..reference import (
    Call,
    Frame,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    subnormals_are_live,
)

FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
LARGE = (101, 333)
H = 1e-6


@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 140)),
    frames=st.tuples(FRAMES, FRAMES),
    scale=st.sampled_from([0.01, 1.0, 30.0, 1e4]),
    in_place=st.booleans(),
)
def test_probabilities_add_up_to_one(instruction_set, dtype, size, frames, scale, in_place):
    Z = Frame(np.random.default_rng(size).standard_normal(size) * scale, dtype, *frames[0])
    P = Z if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    wanted = special.softmax(Z.array.astype(np.float64), axis=0)
    # The difference of two logits carries their rounding.
    bound = (size[0] + 8 + 2 * np.ptp(Z.array)) * np.finfo(dtype).eps
    softmax(Z.array, P.array)
    assert_within(P.array, wanted, bound)
    np.testing.assert_allclose(P.array.sum(0, dtype=np.float64), 1, rtol=4 * size[0] * np.finfo(dtype).eps)
    P.assert_intact_outside()
    if not in_place:
        Z.assert_unchanged()


@given(size=st.tuples(st.integers(1, 9), st.integers(0, 140)), frames=st.tuples(FRAMES, FRAMES),
       logarithm=st.booleans(), in_place=st.booleans(), scale=st.sampled_from([1.0, 30.0]))  # fmt: skip
def test_softmax_both_ways(instruction_set, dtype, size, frames, logarithm, in_place, scale):
    rng = np.random.default_rng(size)
    Z = Frame(rng.standard_normal(size) * scale, dtype, *frames[0])
    Y = Z if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    wanted = (special.log_softmax if logarithm else special.softmax)(Z.array.astype(np.float64), axis=0)
    softmax(Z.array, Y.array, logarithm=logarithm)
    eps = np.finfo(dtype).eps
    # Far below the largest, e^z has the rounding of a large z in it.
    assert_within(Y.array, wanted, (8 + 10 * scale) * eps * (np.abs(wanted) + logarithm) + 4 * np.finfo(dtype).tiny)
    Y.assert_intact_outside()
    DY = Frame(rng.standard_normal(size), dtype, *frames[0])
    DZ = DY if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    y, dy = Y.array.astype(np.float64), DY.array.astype(np.float64)
    back = dy - np.exp(y) * dy.sum(0) if logarithm else y * (dy - (dy * y).sum(0))
    softmax_backward(DY.array, Y.array, DZ.array, logarithm=logarithm)
    assert_within(DZ.array, back, 40 * scale * eps * (1 + size[0]) * np.abs(dy).max(initial=1))
    DZ.assert_intact_outside()


@pytest.mark.parametrize("logarithm", [False, True])
def test_softmax_has_its_whole_jacobian(instruction_set, rng, logarithm):
    Z, DY, Y, DZ = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), np.empty((5, 3)), np.empty((5, 3))
    softmax(Z, Y, logarithm=logarithm)
    softmax_backward(DY, Y, DZ, logarithm=logarithm)
    up, down = np.empty((5, 3)), np.empty((5, 3))
    for i, n in np.ndindex(5, 3):
        shift = np.zeros((5, 3))
        shift[i, n] = H
        softmax(Z + shift, up, logarithm=logarithm)
        softmax(Z - shift, down, logarithm=logarithm)
        assert np.sum(DY * (up - down)) / (2 * H) == pytest.approx(DZ[i, n], rel=1e-6, abs=1e-8)


def test_softmax_does_not_overflow(instruction_set, dtype):
    Z, Y = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 0.0]], dtype), np.empty((2, 3), dtype)
    softmax(Z, Y)
    np.testing.assert_allclose(Y, [[1, 0.5, 0.5], [0, 0.5, 0.5]], atol=1e-30)
    softmax(Z, Y, logarithm=True)
    np.testing.assert_allclose(Y, [[0, -np.log(2), -np.log(2)], [-2e4, -np.log(2), -np.log(2)]], rtol=1e-6)


def test_subnormals_live_outside(instruction_set, dtype):
    tiny = np.full((4, 20), np.finfo(dtype).smallest_subnormal, dtype)
    softmax(tiny, np.empty_like(tiny))
    assert subnormals_are_live()


def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    Z, DY = (rng.standard_normal(LARGE).astype(dtype) for _ in range(2))
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        outs = [np.empty(LARGE, dtype) for _ in range(4)]
        softmax(Z, outs[0])
        softmax_backward(DY, outs[0], outs[1])
        softmax(Z, outs[2], logarithm=True)
        softmax_backward(DY, outs[2], outs[3], logarithm=True)
        results.append(outs)
    for result in results[1:]:
        for array, first in zip(result, results[0], strict=True):
            assert_same_bits(array, first)


# ---- refusals
def right_calls(dtype):
    one = np.ones((4, 5), dtype)
    return {
        "forward": Call(softmax, {"Z": one + 1, "out": one + 2}, ("out",)),
        "backward": Call(softmax_backward, {"DY": one, "Y": one + 1, "DZ": one + 3, "logarithm": True}, ("DZ",)),
    }


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_wrong_arrays_are_refused(dtype, way):
    call = right_calls(dtype)[way]
    call()
    assert_refuses_wrong_arrays(call)


def test_no_feature_is_refused():
    Z = np.ones((0, 5), np.float32)
    with pytest.raises(ValueError, match="Z has shape"):
        softmax(Z, Z)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_an_output_on_an_input_is_refused(way):
    """It may be the input itself; anywhere else on it, it would overwrite what is yet to be read."""
    call, block = right_calls(np.dtype(np.float32))[way], np.ones(60, np.float32)
    first = next(iter(call.arguments))
    with pytest.raises(ValueError, match=f"{call.outputs[0]} overlaps {first}"):
        call(**{first: block[:20].reshape(4, 5), call.outputs[0]: block[3:23].reshape(4, 5)})
    assert (block == 1).all()
