"""The gathered, scaled and turned mini-batch, against NumPy's indexing, and the memory it lies in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import batches, mkl
from nerva._kernels.memory import ALIGNMENT, empty_batch, empty_vector

from .reference import Call, Frame, assert_refuses_wrong_arrays, assert_same_bits, assert_within, subnormals_are_live

SOURCES = (np.uint8, np.float32, np.float64)


def draw_source(rng, samples, features, source_type, padding=0):
    """A set of samples whose rows are `padding` elements longer than the features."""
    if source_type == np.uint8:
        whole = rng.integers(0, 256, (samples, features + padding), np.uint8)
    else:
        whole = (rng.standard_normal((samples, features + padding)) * 50).astype(source_type)
    return whole[:, :features]


@pytest.mark.parametrize("source_type", SOURCES)
@given(
    samples=st.integers(1, 60),
    D=st.one_of(st.integers(1, 90), st.sampled_from([15, 16, 17, 63, 64, 65, 128, 200])),
    N=st.one_of(st.integers(1, 40), st.sampled_from([16, 32, 48, 100])),
    padding=st.integers(0, 9),
    frame=st.tuples(st.integers(0, 17), st.integers(0, 17)),
    scaled=st.booleans(),
    shifted=st.booleans(),
)
def test_gather(instruction_set, dtype, source_type, samples, D, N, padding, frame, scaled, shifted):
    rng = np.random.default_rng((samples, D, N))
    source, rows = draw_source(rng, samples, D, source_type, padding), rng.integers(0, samples, N)
    before = source.copy()
    scale, shift = (Frame(rng.standard_normal(D), np.float32, 3) for _ in range(2))
    factor = scale.array.astype(np.float64)[:, None] if scaled else 1.0
    offset = shift.array.astype(np.float64)[:, None] if shifted else 0.0
    picked = source[rows].T.astype(dtype).astype(np.float64)
    out = Frame(np.full((D, N), np.nan), dtype, *frame)
    batches.gather(source, rows, out.array, scale.array if scaled else None, shift.array if shifted else None)
    if scaled or shifted:
        bound = 2 * np.finfo(dtype).eps * (np.abs(picked * factor) + np.abs(offset))
        assert_within(out.array, picked * factor + offset, bound)
    else:
        np.testing.assert_array_equal(out.array, picked)
    out.assert_intact_outside()
    scale.assert_unchanged()
    shift.assert_unchanged()
    assert_same_bits(source, before)


@pytest.mark.parametrize("N", [*range(1, 41), 100])
def test_every_byte_is_exact_for_every_batch(instruction_set, dtype, rng, N):
    source = np.arange(256, dtype=np.uint8).repeat(3).reshape(8, 96)
    rows = rng.permutation(np.arange(N) % 8)
    scale, shift = np.full(96, 0.5, np.float32), np.arange(96, dtype=np.float32)
    out = np.full((96, N), np.nan, dtype)
    batches.gather(source, rows, out, scale, shift)
    np.testing.assert_array_equal(out, source[rows].T * 0.5 + np.arange(96)[:, None])


@pytest.mark.parametrize("source_type", SOURCES)
def test_repeated_and_extreme_rows(instruction_set, dtype, rng, source_type):
    source = draw_source(rng, 5, 70, source_type)
    for rows in (np.zeros(33, np.int64), np.full(17, 4), np.array([4, 0, 4, 0])):
        out = np.full((70, len(rows)), np.nan, dtype)
        batches.gather(source, rows, out)
        np.testing.assert_array_equal(out, source[rows].T.astype(dtype))


@pytest.mark.parametrize("source_type", SOURCES)
def test_the_bits_do_not_depend_on_threads(instruction_set, dtype, rng, source_type):
    source, rows = draw_source(rng, 50, 1001, source_type), rng.integers(0, 50, 77)
    scale, shift = rng.standard_normal((2, 1001)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        out = np.full((1001, 77), np.nan, dtype)
        batches.gather(source, rows, out, scale, shift)
        results.append(out)
        assert_same_bits(out, results[0], f"{threads} threads")
    assert subnormals_are_live()
    wanted = source[rows].T.astype(dtype) * scale[:, None].astype(np.float64) + shift[:, None]
    np.testing.assert_allclose(results[0], wanted, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-4)


def test_nan_and_infinity_pass_through(instruction_set, dtype):
    source = np.zeros((3, 20), np.float32)
    source[1, 2], source[2, 3] = np.nan, np.inf
    out = np.zeros((20, 3), dtype)
    batches.gather(source, np.arange(3), out, np.ones(20, np.float32))
    np.testing.assert_array_equal(out, source.T)


@pytest.mark.parametrize("batch", [0, 1, 15, 16, 17, 100])
def test_batches_are_aligned_and_padded(dtype, batch):
    X = empty_batch(7, batch, dtype)
    assert (X.shape, X.dtype) == ((7, batch), dtype)
    assert X.ctypes.data % ALIGNMENT == 0
    assert X.strides[0] % ALIGNMENT == 0
    assert X.strides[0] < max(batch, 1) * dtype.itemsize + ALIGNMENT
    vector = empty_vector(batch + 1, dtype)
    assert (vector.shape, vector.dtype, vector.ctypes.data % ALIGNMENT) == ((batch + 1,), dtype, 0)


# ---- refusals
def right_call(dtype, source_type=np.uint8):
    arguments = {
        "source": np.ones((6, 4), source_type),
        "rows": np.array([0, 5, 2, 2, 1]),
        "out": np.zeros((4, 5), dtype),
        "scale": np.ones(4, np.float32),
        "shift": np.ones(4, np.float32),
    }
    return Call(batches.gather, arguments, ("out",))


@pytest.mark.parametrize("source_type", SOURCES)
def test_wrong_arrays_are_refused(dtype, source_type):
    call = right_call(dtype, source_type)
    call()
    # The source and the output may each have any precision, and there may be any number of samples.
    assert_refuses_wrong_arrays(
        call,
        optional=("scale", "shift"),
        any_type=("source", "out"),
        any_shape={"source": ("longer along axis 0",), "rows": ()},
    )


@pytest.mark.parametrize("bad", [-1, 6, 2**62, -(2**63)])
@pytest.mark.parametrize("at", [0, 4])
def test_rows_out_of_range_are_refused_and_nothing_is_written(dtype, bad, at):
    call = right_call(dtype)
    rows = call.arguments["rows"].copy()
    rows[at] = bad
    with pytest.raises(ValueError, match=rf"rows\[{at}\] is {bad}"):
        call(rows=rows)
    assert not call.arguments["out"].any()


def test_an_empty_source_has_no_row(dtype):
    with pytest.raises(ValueError, match=r"rows\[0\]"):
        right_call(dtype)(source=np.ones((0, 4), np.uint8))


def test_no_rows_are_nothing_to_do(dtype):
    right_call(dtype)(rows=np.zeros(0, np.int64), out=np.zeros((4, 0), dtype))
