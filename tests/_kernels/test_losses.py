"""Softmax cross-entropy against SciPy in float64, finite differences, and logits of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import losses, mkl

from ..reference import (
    Call,
    Frame,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    softmax_cross_entropy,
    subnormals_are_live,
)

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 140))
FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
SCALES = st.sampled_from([0.01, 1.0, 30.0, 1e4])


def run(Z, labels, DZ=None):
    """(mean loss, number right, gradient, loss of each sample)."""
    DZ = np.full_like(Z, np.nan) if DZ is None else DZ
    per_sample = np.full(len(labels), np.nan)
    return *losses.softmax_cross_entropy(Z, labels, DZ, per_sample), DZ, per_sample


def bounds(dtype, Z):
    """What rounding may do to a loss and to a probability: the difference of two logits carries their rounding."""
    eps = np.finfo(dtype).eps
    return (len(Z) + 8) * eps, (len(Z) + 8 + 2 * np.ptp(Z)) * eps


@given(size=SIZES, frames=st.tuples(FRAMES, FRAMES), scale=SCALES, in_place=st.booleans())
def test_cross_entropy(instruction_set, dtype, size, frames, scale, in_place):
    rng, (C, N) = np.random.default_rng(size), size
    Z = Frame(rng.standard_normal(size) * scale, dtype, *frames[0])
    DZ = Z if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    labels = rng.integers(0, C, N)
    wanted, gradient, right = softmax_cross_entropy(Z.array, labels)
    loss_bound, gradient_bound = bounds(dtype, Z.array)
    loss, correct, _, per_sample = run(Z.array, labels, DZ.array)
    assert_within(per_sample, wanted, loss_bound * (1 + np.abs(wanted)), "loss")
    assert_within(DZ.array, gradient, gradient_bound / N, "gradient")
    assert loss == pytest.approx(per_sample.mean(), rel=1e-14)
    assert correct == right
    DZ.assert_intact_outside("DZ")
    if not in_place:
        Z.assert_unchanged("Z")


def test_the_gradient_is_the_slope_of_the_loss(instruction_set, rng):
    Z, labels, h = rng.standard_normal((6, 9)) * 3, rng.integers(0, 6, 9), 1e-6
    gradient = run(Z, labels)[2]
    for at in np.ndindex(Z.shape):
        above, below = Z.copy(), Z.copy()
        above[at] += h
        below[at] -= h
        slope = (run(above, labels)[0] - run(below, labels)[0]) / (2 * h)
        assert gradient[at] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("size", [1e4, -1e4, 1e30])
def test_huge_logits_are_stable(instruction_set, dtype, size):
    Z = np.array([[size, 0, size], [0, size, size], [-size, -size, size]], dtype)
    labels = np.array([0, 0, 1])
    wanted, gradient, right = softmax_cross_entropy(Z, labels)
    loss, correct, DZ, per_sample = run(Z, labels)
    np.testing.assert_allclose(per_sample, wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(DZ, gradient, rtol=1e-6, atol=1e-6)
    assert np.isfinite(loss)
    assert correct == right


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_nan_shows_in_the_loss_of_its_sample_alone(instruction_set, dtype, rng, where):
    Z, labels = rng.standard_normal((3, 37)).astype(dtype), rng.integers(0, 3, 37)
    labels[5] = 1
    clean = run(Z, labels)
    Z[where, 5] = np.nan
    loss, correct, DZ, per_sample = run(Z, labels)
    others = np.arange(37) != 5
    assert np.isnan(loss)
    assert np.isnan(per_sample[5])
    assert np.isnan(DZ[:, 5]).all()
    assert_same_bits(per_sample[others], clean[3][others])
    assert_same_bits(DZ[:, others], clean[2][:, others])
    assert correct == np.sum(Z[labels, np.arange(37)][others] == Z.max(0)[others])


def test_correct_counts_the_largest_logit(instruction_set, dtype, rng):
    Z = rng.permuted(np.arange(7 * 53).reshape(7, 53), axis=0).astype(dtype)
    labels = rng.integers(0, 7, 53)
    assert run(Z, labels)[1] == np.sum(Z.argmax(0) == labels)
    assert run(Z, Z.argmax(0))[1] == 53
    assert run(Z, Z.argmin(0))[1] == 0


def test_one_class_costs_nothing(instruction_set, dtype):
    loss, correct, DZ, _ = run(np.full((1, 20), 3.0, dtype), np.zeros(20, np.int64))
    assert (loss, correct, np.abs(DZ).max()) == (0, 20, 0)


def test_the_bits_do_not_depend_on_threads(dtype, rng):
    Z, labels = rng.standard_normal((100, 1000)).astype(dtype), rng.integers(0, 100, 1000)
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        results.append(run(Z, labels))
        for got, first in zip(results[-1], results[0], strict=True):
            assert_same_bits(got, first)


def test_subnormals_live_outside(instruction_set, dtype):
    tiny = np.full((4, 20), np.finfo(dtype).smallest_subnormal, dtype)
    run(tiny, np.zeros(20, np.int64))
    assert subnormals_are_live()


# ---- refusals
def right_call(dtype):
    Z = np.ones((3, 5), dtype)
    entropy = {"Z": Z, "labels": np.array([0, 1, 2, 0, 1]), "DZ": Z + 1, "per_sample": np.full(5, 7.0)}
    return Call(losses.softmax_cross_entropy, entropy, ("DZ", "per_sample"))


def test_wrong_arrays_are_refused(dtype):
    call = right_call(dtype)
    call()
    assert_refuses_wrong_arrays(call)


@pytest.mark.parametrize("bad", [-1, 3, 2**62, -(2**63)])
@pytest.mark.parametrize("at", [0, 4])
def test_labels_out_of_range_are_refused_and_nothing_is_written(dtype, bad, at):
    call = right_call(dtype)
    labels = call.arguments["labels"].copy()
    labels[at] = bad
    with pytest.raises(ValueError, match=rf"labels\[{at}\] is {bad}"):
        call(labels=labels)
    assert (call.arguments["DZ"] == 2).all()
    assert (call.arguments["per_sample"] == 7).all()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_no_class_and_no_sample_are_refused(shape):
    Z, labels = np.ones(shape, np.float32), np.zeros(shape[1], np.int64)
    with pytest.raises(ValueError, match="Z has shape"):
        run(Z, labels)


def test_an_output_partly_on_the_logits_is_refused():
    """DZ may be Z; anywhere else on Z it would overwrite what is yet to be read."""
    block, call = np.ones(40, np.float32), right_call(np.dtype(np.float32))
    with pytest.raises(ValueError, match="DZ overlaps Z"):
        call(Z=block[:15].reshape(3, 5), DZ=block[2:17].reshape(3, 5))
    assert (block == 1).all()
