"""Mini-batches: samples gathered, scaled and transposed, and images moved, against NumPy's indexing."""

import ctypes
import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import batches, mkl

from ..reference import (
    Call,
    Frame,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    moved_images,
    subnormals_are_live,
)

SOURCES = (np.uint8, np.float32, np.float64)


def draw_source(rng, samples, features, source_type, padding=0):
    """A set of samples whose rows are `padding` elements longer than the features."""
    if source_type == np.uint8:
        whole = rng.integers(0, 256, (samples, features + padding), np.uint8)
    else:
        whole = (rng.standard_normal((samples, features + padding)) * 50).astype(source_type)
    return whole[:, :features]


def draw_moves(rng, image_shape, N):
    """TopologyUpdater as far as they may go, the corners first, each flipped and not, for N images."""
    _, height, width = image_shape
    moves = np.stack([rng.integers(1 - n, n, N) for n in (height, width)] + [rng.integers(0, 2, N)], axis=1)
    far = np.array([[i * (height - 1), j * (width - 1), f] for i in (1, -1) for j in (1, -1) for f in (0, 1)])
    moves[: len(far)] = far[:N]
    return rng.permutation(moves).astype(np.int32)


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


# ---- images, moved


@pytest.mark.parametrize("source_type", SOURCES)
@given(
    channels=st.integers(1, 4),
    height=st.integers(1, 40),
    width=st.one_of(st.integers(1, 40), st.sampled_from([15, 16, 17, 32, 63, 64, 65, 79, 80, 81, 130])),
    N=st.sampled_from([1, 7, 8, 9, 15, 16, 17, 33, 100]),
    padding=st.integers(0, 9),
    frame=st.tuples(st.integers(0, 17), st.integers(0, 17)),
    scaled=st.booleans(),
    shifted=st.booleans(),
)
def test_gather_moves_images(
    instruction_set, dtype, source_type, channels, height, width, N, padding, frame, scaled, shifted
):
    rng, shape, D = np.random.default_rng((height, width, N)), (channels, height, width), channels * height * width
    source, rows = draw_source(rng, 20, D, source_type, padding), rng.integers(0, 20, N)
    moves = draw_moves(rng, shape, N)
    arrays = Frame(rng.standard_normal(D), np.float32, 3), Frame(rng.standard_normal(D), np.float32, 3)
    scale, shift = (a.array if used else None for a, used in zip(arrays, (scaled, shifted), strict=True))
    before = source.copy(), moves.copy()
    out = Frame(np.full((D, N), np.nan), dtype, *frame)
    batches.gather(source, rows, out.array, scale, shift, shape, moves)
    picked = moved_images(source[rows], shape, moves).T.astype(dtype).astype(np.float64)
    if scaled or shifted:
        factor = scale.astype(np.float64)[:, None] if scaled else 1.0
        offset = shift.astype(np.float64)[:, None] if shifted else 0.0
        bound = 2 * np.finfo(dtype).eps * (np.abs(picked * factor) + np.abs(offset))
        assert_within(out.array, picked * factor + offset, bound)
    else:
        np.testing.assert_array_equal(out.array, picked)
    out.assert_intact_outside()
    for array in arrays:
        array.assert_unchanged()
    assert_same_bits(source, before[0])
    assert_same_bits(moves, before[1])


@pytest.mark.parametrize("N", [1, 15, 16, 17, 100, 128, 129, 300])
@pytest.mark.parametrize("source_type", SOURCES)
def test_every_move_of_an_image_of_cifar10(instruction_set, dtype, rng, source_type, N):
    shape = (3, 32, 32)
    every = np.stack(np.meshgrid(range(-4, 5), range(-4, 5), (0, 1)), axis=-1).reshape(-1, 3).astype(np.int32)
    source = draw_source(rng, 30, 3072, source_type)
    for first in range(0, len(every), N):
        moves = np.resize(np.roll(every, -first, axis=0), (N, 3))
        rows, out = rng.integers(0, 30, N), np.full((3072, N), np.nan, dtype)
        batches.gather(source, rows, out, None, None, shape, moves)
        np.testing.assert_array_equal(out, moved_images(source[rows], shape, moves).T.astype(dtype))


@pytest.mark.parametrize("source_type", SOURCES)
def test_images_that_stay_are_those_gathered_plainly(instruction_set, dtype, rng, source_type):
    source, rows = draw_source(rng, 9, 3 * 28 * 28, source_type), rng.integers(0, 9, 40)
    scale, shift = rng.standard_normal((2, 3 * 28 * 28)).astype(np.float32)
    plain, moved = (np.full((3 * 28 * 28, 40), np.nan, dtype) for _ in range(2))
    batches.gather(source, rows, plain, scale, shift)
    batches.gather(source, rows, moved, scale, shift, (3, 28, 28), np.zeros((40, 3), np.int32))
    np.testing.assert_allclose(moved, plain, rtol=4 * np.finfo(dtype).eps, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 21, 19), (1, 33, 13), (1, 9, 70)])
@pytest.mark.parametrize("source_type", SOURCES)
def test_the_bits_of_moved_images_do_not_depend_on_threads(instruction_set, dtype, rng, source_type, shape):
    D = np.prod(shape)
    source, rows, moves = draw_source(rng, 50, D, source_type), rng.integers(0, 50, 77), draw_moves(rng, shape, 77)
    scale, shift = rng.standard_normal((2, D)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        out = np.full((D, 77), np.nan, dtype)
        batches.gather(source, rows, out, scale, shift, shape, moves)
        results.append(out)
        assert_same_bits(out, results[0], f"{threads} threads")
    assert not np.isnan(results[0]).any()


def test_the_last_row_of_the_data_is_not_read_past(instruction_set, dtype):
    """The image ends where the memory of a page ends, and the next page may not be read."""
    page, shape = mmap.PAGESIZE, (1, 4, 33)
    memory = mmap.mmap(-1, 2 * page)
    next_page = ctypes.c_void_p(np.frombuffer(memory, np.uint8).ctypes.data + page)
    assert ctypes.CDLL(None).mprotect(next_page, ctypes.c_size_t(page), 0) == 0
    source = np.frombuffer(memory, np.uint8, 132, page - 132).reshape(1, 132)
    source[0] = np.arange(132)
    moves = np.stack(np.meshgrid((0, 3), range(-32, 33), (0, 1)), axis=-1).reshape(-1, 3).astype(np.int32)
    N = len(moves)
    out = np.full((132, N), np.nan, dtype)
    batches.gather(source, np.zeros(N, np.int64), out, None, None, shape, moves)
    np.testing.assert_array_equal(out, moved_images(source.repeat(N, axis=0), shape, moves).T)


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


def moving_call(dtype, source_type=np.uint8):
    arguments = {
        "source": np.ones((6, 24), source_type),
        "rows": np.array([0, 5, 2, 2, 1]),
        "out": np.zeros((24, 5), dtype),
        "image_shape": (2, 3, 4),
        "moves": np.array([[0, 0, 0], [2, 3, 1], [-2, -3, 0], [1, 1, 1], [0, 0, 1]], np.int32),
    }
    return Call(batches.gather, arguments, ("out",))


@pytest.mark.parametrize("source_type", SOURCES)
def test_wrong_moves_are_refused(dtype, source_type):
    call = moving_call(dtype, source_type)
    call()
    assert_refuses_wrong_arrays(
        call, any_type=("source", "out"), any_shape={"source": ("longer along axis 0",), "rows": ()}
    )
    wide = np.zeros((5, 4), np.int32)[:, :3]
    with pytest.raises(ValueError, match=r"moves has strides \(16, 4\); it must be contiguous"):
        call(moves=wide)


@pytest.mark.parametrize(
    ("at", "move"), [(0, (3, 0, 0)), (4, (-3, 0, 0)), (1, (0, 4, 0)), (2, (0, -4, 1)), (3, (0, 0, 2)), (0, (0, 0, -1))]
)
def test_moves_out_of_range_are_refused_and_nothing_is_written(dtype, at, move):
    call = moving_call(dtype)
    moves = call.arguments["moves"].copy()
    moves[at] = move
    with pytest.raises(ValueError, match=rf"moves\[{at}\] is \({move[0]}, {move[1]}, {move[2]}\); .*< 3.*< 4"):
        call(moves=moves)
    assert not call.arguments["out"].any()


@pytest.mark.parametrize("shape", [None, (2, 3, 5), (24,), (2, 3, 4, 1), (-2, -3, 4), (0, 3, 4), 24, "234"])
def test_an_image_shape_that_does_not_fit_is_refused(dtype, shape):
    with pytest.raises(ValueError, match=r"image_shape is .*\(channels, height, width\) of 24 features"):
        moving_call(dtype)(image_shape=shape)


def test_an_image_shape_alone_is_refused(dtype):
    with pytest.raises(ValueError, match="moves is None, but image_shape is"):
        moving_call(dtype)(moves=None)


def test_no_images_are_nothing_to_do(dtype):
    nothing = {"rows": np.zeros(0, np.int64), "out": np.zeros((24, 0), dtype), "moves": np.zeros((0, 3), np.int32)}
    moving_call(dtype)(**nothing)


@pytest.mark.parametrize("source_type", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("N", "D"), [(1, 1), (1, 50), (2, 16), (3, 15), (3, 16), (17, 33), (50, 70), (65, 40)])
def test_values_that_are_not_finite_are_found(instruction_set, dtype, rng, source_type, value, N, D):
    source, out = draw_source(rng, N + 2, D, source_type, 3), np.empty((D, N), dtype)
    rows = rng.permutation(N + 2)[:N]
    for threads in (1, 2):
        mkl.set_num_threads(threads)
        source[np.setdiff1d(np.arange(N + 2), rows)] = value  # of samples that are not gathered
        assert batches.gather(source, rows, out) is True
        for _ in range(20):
            at = rows[rng.integers(N)], rng.integers(D)
            was, source[at] = source[at], value
            assert batches.gather(source, rows, out) is False
            source[at] = was
        assert batches.gather(source, rows, out) is True


def test_values_beyond_the_type_of_the_batch_are_not_finite(instruction_set, rng):
    for N in (1, 40):
        source, rows = draw_source(rng, N, 30, np.float64), np.arange(N)
        source[N // 2, 17] = 1e39
        assert batches.gather(source, rows, np.empty((30, N), np.float32)) is False
        assert batches.gather(source, rows, np.empty((30, N), np.float64)) is True
