"""The kernels of dynamic sparse training: candidates, the largest, empty positions, merging, bits and unions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva._kernels.csr import CSR
from nerva._kernels.memory import empty_batch
from nerva._kernels.rewiring import candidates, empty_positions, flat_positions, mark, merge, moved, union
from nerva._kernels.selection import largest
from nerva._kernels.supports import draw_support
from nerva.topology.grow import distinct


def make(K, D, nnz, rng, dtype=np.float32):
    return CSR((K, D), *draw_support(K, D, nnz, rng), rng.standard_normal(nnz).astype(dtype))


def batch(features, N, rng, dtype, whole=True):
    """Random numbers; whole ones, whose products are exact in any order and full of ties."""
    out = empty_batch(features, N, dtype)
    out[:] = rng.integers(-3, 4, (features, N)) if whole else rng.standard_normal((features, N))
    return out


@st.composite
def problems(draw):
    K, D, N = draw(st.integers(1, 40)), draw(st.integers(1, 70)), draw(st.integers(1, 9))
    nnz = draw(st.integers(0, K * D))
    return K, D, N, nnz, draw(st.integers(0, K * D - nnz)), draw(st.integers(0, 2**32))


@pytest.mark.usefixtures("instruction_set")
def test_the_tile(dtype, rng):
    W = make(9, 37, 80, rng, dtype)
    DZ, X = batch(9, 5, rng, dtype), batch(37, 5, rng, dtype)
    work, scores = np.empty((3, 200), dtype), np.empty((3, 200), dtype)
    positions = np.empty((3, 200), np.int64)
    cut = np.array([(2, 7, 3, 36), (0, 9, 0, 1), (8, 9, 0, 37)])
    for threads in (1, 3):
        nerva.set_num_threads(threads)
        for threshold in (0.0, 2.0, 6.0, 1e9):
            size = np.abs(DZ @ X.T).reshape(-1)
            tied = int(np.flatnonzero(size == threshold)[-3]) if (size == threshold).sum() > 2 else 120
            found = candidates(W, DZ, X, cut, threshold, tied, work, scores, positions)
            for t, (top_, bottom, left, right) in enumerate(cut):
                flat = (np.arange(top_, bottom)[:, None] * 37 + np.arange(left, right)).reshape(-1)
                outside = ~np.isin(flat, flat_positions(W))
                size = np.abs((DZ @ X.T)[top_:bottom, left:right].reshape(-1))
                wanted = outside & ((size > threshold) | ((size == threshold) & (flat < tied)))
                np.testing.assert_array_equal(positions[t, : found[t]], flat[wanted])
                np.testing.assert_array_equal(scores[t, : found[t]], size[wanted])
                alone = candidates(W, DZ, X, cut[t : t + 1], threshold, tied, work[:1], scores.copy(), positions.copy())
                assert alone == found[t : t + 1]
                np.testing.assert_array_equal(np.abs(work[0, : size.size])[outside], size[outside])
                assert np.isnan(work[0, : size.size][~outside]).all()


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 300),
    kinds=st.integers(1, 40),
    scale=st.sampled_from([0.0, 1.0, 1e-42, 1e30]),
    placed=st.booleans(),
)
def test_the_largest_of_many(dtype, seed, n, kinds, scale, placed):
    """Of either sign, with ties, zeros of both signs, subnormals and infinities."""
    rng = np.random.default_rng(seed)
    numbers = (rng.choice(rng.standard_normal(kinds), n) * scale).astype(dtype)
    numbers[rng.random(n) < 0.1] *= -0.0
    with np.errstate(all="ignore"):
        numbers[rng.random(n) < 0.02] = np.inf * rng.choice([-1, 1])
    positions = rng.permutation(3 * n)[:n] if placed else None
    order = np.lexsort((np.arange(n) if positions is None else positions, -numbers))
    for count in {0, 1, n // 3, n - 1, n} & set(range(n + 1)):
        np.testing.assert_array_equal(largest(numbers, count, positions), np.sort(order[:count]))


def test_no_largest_of_wrong_numbers():
    numbers = np.array([1.0, np.nan, 3.0])
    for wrong, error, message in [
        ((numbers, 4), ValueError, "count is 4; there are 3"),
        ((numbers, -1), ValueError, "count is -1"),
        ((numbers, 1), ValueError, "NaN"),
        ((np.arange(3), 1), TypeError, "numbers has dtype int64"),
        ((numbers[::2], 1), ValueError, "contiguous"),
        ((numbers, 1, np.arange(2)), ValueError, "positions"),
        ((numbers, 1, np.arange(3.0)), TypeError, "positions"),
    ]:
        with pytest.raises(error, match=message):
            largest(*wrong)


@given(n=st.integers(0, 50), size=st.integers(0, 90), seed=st.integers(0, 2**32))
def test_numbers_move_along(dtype, n, size, seed):
    rng = np.random.default_rng(seed)
    numbers, kept = rng.standard_normal(n).astype(dtype), rng.permutation(n)[: rng.integers(0, min(n, size) + 1)]
    source = np.full(size, -1)
    source[np.sort(rng.permutation(size)[: len(kept)])] = np.sort(kept)
    result = moved(numbers, source)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [numbers[i] if i >= 0 else 0 for i in source])


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


def test_numbers_do_not_move_from_nowhere():
    numbers = np.ones(3)
    for source, error in (([0, 3], ValueError), ([-2], ValueError), ([0.0], TypeError)):
        with pytest.raises(error, match="source"):
            moved(numbers, np.array(source))
    with pytest.raises(TypeError, match="numbers"):
        moved(np.arange(3), np.array([0]))


def test_a_large_layer_is_merged_by_any_number_of_threads(rng):
    W = make(700, 900, 200_000, rng)
    dropped = distinct(rng, W.nnz, 50_000)
    grown = empty_positions(W, distinct(rng, 700 * 900 - W.nnz, 60_000))
    nerva.set_num_threads(1)
    one = merge(W, dropped, grown)
    for threads in (2, 3, 5):
        nerva.set_num_threads(threads)
        for got, wanted in zip(merge(W, dropped, grown), one, strict=True):
            np.testing.assert_array_equal(got, wanted)
        kept = flat_positions(W)[[0, -1]]
        with pytest.raises(ValueError, match=f"grown holds position {kept[0]},"):
            merge(W, np.empty(0, np.int64), np.union1d(grown, kept))


def test_wrong_tiles_are_refused(rng):
    W = make(4, 6, 5, rng)
    DZ, X = batch(4, 3, rng, np.float32), batch(6, 3, rng, np.float32)
    room, places = np.empty((1, 24), np.float32), np.empty((1, 24), np.int64)
    good = [W, DZ, X, np.array([(0, 4, 0, 6)]), 0.0, 0, room, room.copy(), places]
    candidates(*good)
    wrong = [
        (1, DZ.astype(np.float64), TypeError, "DZ"),
        (1, DZ[:3], ValueError, "DZ"),
        (2, X[:, :2], ValueError, "X"),
        (3, [(0, 4, 0, 6)], TypeError, "tiles"),
        (3, np.array([0, 4, 0, 6]), ValueError, "tiles"),
        (3, np.array([(0, 4, 0)]), ValueError, "tiles"),
        (3, np.array([(0, 4, 0, 6)], np.int32), ValueError, "tiles"),
        (3, np.array([(0, 5, 0, 6)]), ValueError, "rows"),
        (3, np.array([(-1, 2, 0, 6)]), ValueError, "rows"),
        (3, np.array([(2, 2, 0, 6)]), ValueError, "rows"),
        (3, np.array([(0, 4, 0, 7)]), ValueError, "columns"),
        (3, np.array([(0, 4, 0, 6), (0, 4, 0, 6)]), ValueError, "scores"),
        (4, float("nan"), ValueError, "threshold"),
        (6, room[:, :20], ValueError, "work"),
        (7, room[:, :20].copy(), ValueError, "scores"),
        (8, places[:, :20], ValueError, "positions"),
        (8, places.astype(np.int32), TypeError, "positions"),
    ]
    for at, value, error, message in wrong:
        with pytest.raises(error, match=message):
            candidates(*good[:at], value, *good[at + 1 :])
    assert len(candidates(W, DZ, X, np.empty((0, 4), np.int64), *good[4:])) == 0


@given(problem=problems())
def test_empty_positions(problem):
    K, D, _, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    W = make(K, D, nnz, rng)
    empties = np.setdiff1d(np.arange(K * D), flat_positions(W))
    ranks = distinct(rng, K * D - nnz, count)
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
    K, D, _, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    W = make(K, D, nnz, rng)
    flat = flat_positions(W)
    dropped = distinct(rng, nnz, int(rng.integers(nnz + 1))) if nnz else np.empty(0, np.int64)
    back = dropped[rng.random(len(dropped)) < 0.2]  # some come again at once
    grown = np.sort(np.concatenate([empty_positions(W, distinct(rng, K * D - nnz, count)), flat[back]]))
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
    with pytest.raises(TypeError, match="int32"):
        merge(W, arguments[0].astype(np.int32), np.empty(0, np.int64))
    assert W.values.tolist() == [0, 1, 2, 3, 4]


def test_replace_checks_first(rng):
    W = make(4, 6, 5, rng)
    before = W.copy()
    for arguments, error in [
        (([0, 1, 1, 1, 1], [7], np.ones(1, np.float32)), ValueError),
        (([0, 1, 1, 1], [0], np.ones(1, np.float32)), ValueError),
        (([0, 1, 1, 1, 1], [0], np.ones(1)), TypeError),
        (([0, 1, 1, 1, 1], [0], np.ones(1, int)), TypeError),
    ]:
        with pytest.raises(error):
            W.replace(*arguments)
        for name in ("indptr", "indices", "values"):
            np.testing.assert_array_equal(getattr(W, name), getattr(before, name))
