"""Rewiring: positions of weights and without, merging, and state that moves with its weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.csr import CSR
from nerva._kernels.rewiring import empty_positions, flat_positions, mark, merge, moved, rewire, union
from nerva._kernels.supports import draw_support


def make(K, D, nnz, rng, dtype=np.float32):
    return CSR((K, D), *draw_support(K, D, nnz, rng), rng.standard_normal(nnz).astype(dtype))


def sample(rng, total, count):
    """`count` of the integers below `total`, ascending."""
    return np.sort(rng.choice(total, count, replace=False))


@st.composite
def problems(draw):
    K, D = draw(st.integers(1, 40)), draw(st.integers(1, 70))
    nnz = draw(st.integers(0, K * D))
    return K, D, nnz, draw(st.integers(0, K * D - nnz)), draw(st.integers(0, 2**32))


@given(n=st.integers(0, 50), size=st.integers(0, 90), seed=st.integers(0, 2**32))
def test_state_moves_with_its_weights(dtype, n, size, seed):
    rng = np.random.default_rng(seed)
    values, kept = rng.standard_normal(n).astype(dtype), rng.permutation(n)[: rng.integers(0, min(n, size) + 1)]
    source = np.full(size, -1)
    source[np.sort(rng.permutation(size)[: len(kept)])] = np.sort(kept)
    result = moved(values, source)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [values[i] if i >= 0 else 0 for i in source])
    counts = rng.integers(0, 2**31, n).astype(np.int32)
    result = moved(counts, source, 2**31 - 1)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, [counts[i] if i >= 0 else 2**31 - 1 for i in source])


def test_no_bit_beyond_the_last():
    for bits, positions, error in [
        (np.zeros(2, np.uint8), [16], ValueError),
        (np.zeros(2, np.uint8), [-1], ValueError),
        (np.zeros(2, np.uint8), [3, 3], ValueError),
        (np.zeros(2, np.int16), [3], TypeError),
        (np.zeros(4, np.uint8)[::2], [3], ValueError),
    ]:
        with pytest.raises(error):
            mark(bits, np.array(positions))
        assert not bits.any()


def test_wrong_sources_are_refused():
    values = np.ones(3)
    for source, error in (([0, 3], ValueError), ([-2], ValueError), ([0.0], TypeError)):
        with pytest.raises(error, match="source"):
            moved(values, np.array(source))
    with pytest.raises(TypeError, match="values"):
        moved(np.arange(3), np.array([0]))


def test_a_large_pattern_is_merged_by_any_number_of_threads(rng):
    W = make(700, 900, 200_000, rng)
    dropped = sample(rng, W.nnz, 50_000)
    grown = empty_positions(W, sample(rng, 700 * 900 - W.nnz, 60_000))
    mkl.set_num_threads(1)
    one = merge(W, dropped, grown)
    for threads in (2, 3, 5):
        mkl.set_num_threads(threads)
        for got, wanted in zip(merge(W, dropped, grown), one, strict=True):
            np.testing.assert_array_equal(got, wanted)
        kept = flat_positions(W)[[0, -1]]
        with pytest.raises(ValueError, match=f"grown holds position {kept[0]},"):
            merge(W, np.empty(0, np.int64), np.union1d(grown, kept))


@given(problem=problems())
def test_empty_positions(problem):
    K, D, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    W = make(K, D, nnz, rng)
    empties = np.setdiff1d(np.arange(K * D), flat_positions(W))
    ranks = sample(rng, K * D - nnz, count)
    assert len(ranks) == len(set(ranks.tolist())) == count
    np.testing.assert_array_equal(empty_positions(W, ranks), empties[ranks])


@given(a=st.sets(st.integers(0, 60)), b=st.sets(st.integers(0, 60)))
def test_union(a, b):
    found = union(np.array(sorted(a), np.int64), np.array(sorted(b), np.int64))
    assert found.tolist() == sorted(a | b)


@pytest.mark.parametrize("wrong", [[1, 1], [2, 1], [-1, 2]])
def test_a_wrong_union_is_refused(wrong):
    with pytest.raises(ValueError, match="second"):
        union(np.arange(3), np.array(wrong))


@given(problem=problems())
def test_merge_is_the_set_of_kept_and_grown(problem):
    K, D, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    W = make(K, D, nnz, rng)
    flat = flat_positions(W)
    dropped = sample(rng, nnz, int(rng.integers(nnz + 1))) if nnz else np.empty(0, np.int64)
    back = dropped[rng.random(len(dropped)) < 0.2]  # some come again at once
    grown = np.sort(np.concatenate([empty_positions(W, sample(rng, K * D - nnz, count)), flat[back]]))
    indptr, indices, source = merge(W, dropped, grown)
    kept = np.setdiff1d(np.arange(nnz), dropped)
    new = CSR((K, D), indptr, indices, np.ones(len(indices), np.float32))
    np.testing.assert_array_equal(flat_positions(new), np.union1d(flat[kept], grown))
    np.testing.assert_array_equal(source[source >= 0], kept)
    np.testing.assert_array_equal(flat_positions(new)[source < 0], grown)
    np.testing.assert_array_equal(flat_positions(new)[source >= 0], flat[kept])


@pytest.mark.parametrize(
    ("dropped", "grown", "error", "message"),
    [
        ([5], [], ValueError, "dropped"),
        ([-1], [], ValueError, "dropped"),
        ([1, 1], [], ValueError, "dropped"),
        ([2, 1], [], ValueError, "dropped"),
        ([], [24], ValueError, "grown"),
        ([], [3, 3], ValueError, "grown"),
        ([], [0], ValueError, "grown"),
    ],
)
def test_a_wrong_merge_is_refused(dropped, grown, error, message):
    W = CSR((4, 6), [0, 2, 2, 4, 5], [0, 3, 1, 2, 5], np.arange(5.0))
    arguments = np.array(dropped, np.int64), np.array(grown, np.int64)
    with pytest.raises(error, match=message):
        merge(W, *arguments)
    with pytest.raises(error, match=message):
        rewire(W, *arguments, 0.0)
    with pytest.raises(TypeError, match="int32"):
        merge(W, arguments[0].astype(np.int32), np.empty(0, np.int64))
    assert W.values.tolist() == [0, 1, 2, 3, 4]
