"""Dropout: which elements are kept, and that the key alone decides it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.dropout import dropout, dropout_vector

from ..reference import (
    Call,
    Frame,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    kept_by_dropout,
)

FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
MASK64 = 2**64 - 1


@given(
    size=st.tuples(st.integers(0, 9), st.integers(0, 140)),
    frames=st.tuples(FRAMES, FRAMES),
    key=st.integers(0, MASK64),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    in_place=st.booleans(),
)
def test_what_is_kept(instruction_set, dtype, size, frames, key, rate, in_place):
    rng, (K, N) = np.random.default_rng(size), size
    X = Frame(rng.standard_normal(size), dtype, *frames[0])
    mask = np.array([kept_by_dropout(key, k, N, rate) for k in range(K)]).reshape(size) / (1 - rate)
    wanted = X.array * mask
    out = X if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    dropout(X.array, key, rate, out.array)
    eps = 4 * np.finfo(dtype).eps
    assert_within(out.array, wanted, eps * np.abs(wanted))
    out.assert_intact_outside()


@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 5000])
def test_a_vector_is_rows_of_1024(instruction_set, dtype, rng, n):
    x, out = Frame(rng.standard_normal(n), dtype, 3), Frame(np.full(n, np.nan), dtype, 5)
    dropout_vector(x.array, 77, 0.25, out.array)
    mask = np.concatenate([kept_by_dropout(77, row, 1024, 0.25) for row in range(n // 1024 + 1)])[:n]
    assert_within(out.array, x.array * mask / 0.75, 1e-6)
    assert_same_bits(out.array == 0, ~mask | (x.array == 0))
    out.assert_intact_outside()
    x.assert_unchanged()
    dropout_vector(x.array, 77, 0.25, x.array)
    assert_same_bits(x.array, out.array)


def test_what_is_dropped_is_zero_even_of_infinity(instruction_set, dtype):
    X, out = np.full((4, 100), np.inf, dtype), np.empty((4, 100), dtype)
    X[::2] = np.nan
    dropout(X, 5, 0.5, out)
    assert (out == 0).sum() > 100
    assert np.isposinf(out[1][out[1] != 0]).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_chances_are_even_and_independent(rate):
    """Over elements, rows and keys: the kept fraction is as expected, and neighbours are uncorrelated."""
    ones, masks = np.ones((400, 500), np.float32), []
    for key in (0, 1, 2, 2**63, MASK64):
        out = np.empty_like(ones)
        dropout(ones, key, rate, out)
        masks.append(out != 0)
    masks = np.array(masks)
    deviation = np.sqrt(rate * (1 - rate))
    assert abs(masks.mean() - (1 - rate)) < 5 * deviation / np.sqrt(masks.size)
    for axis, bound in ((0, 0.4), (1, 6), (2, 6)):  # each place over keys is five draws only
        means = masks.mean(axis)
        if axis:
            assert np.abs(means - (1 - rate)).max() < bound * deviation / np.sqrt(masks.shape[axis])
    noise = (masks - (1 - rate)) / deviation
    for axis in range(3):
        for lag in range(1, 2 if axis == 0 else 40):
            ahead = np.take(noise, range(lag, noise.shape[axis]), axis)
            behind = np.take(noise, range(noise.shape[axis] - lag), axis)
            assert abs((ahead * behind).mean()) < 6 / np.sqrt(ahead.size), (axis, lag)


def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    X, x = rng.standard_normal((101, 333)).astype(dtype), rng.standard_normal(100_000).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        outs = [np.empty_like(X), np.empty_like(x)]
        dropout(X, 3, 0.3, outs[0])
        dropout_vector(x, 3, 0.3, outs[1])
        results.append(outs)
    for outs in results[1:]:
        for array, first in zip(outs, results[0], strict=True):
            assert_same_bits(array, first)


def right_calls(dtype):
    one, flat = np.ones((4, 5), dtype), np.ones(7, dtype)
    return {
        "dropout": Call(dropout, {"X": one, "key": 1, "rate": 0.5, "out": one + 1}, ("out",)),
        "dropout_vector": Call(dropout_vector, {"x": flat, "key": 1, "rate": 0.5, "out": flat + 1}, ("out",)),
    }


@pytest.mark.parametrize("name", ["dropout", "dropout_vector"])
def test_wrong_arguments_are_refused(dtype, name):
    call = right_calls(dtype)[name]
    call()
    assert_refuses_wrong_arrays(call)
    for rate in (-0.1, 1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="rate"):
            call(rate=rate)
    for key in (-1, 2**64, "key"):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            call(key=key)
