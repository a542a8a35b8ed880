"""Candidates for growth: the largest entries of tiles of a dense gradient, outside a pattern."""

import numpy as np
import pytest

from nerva._kernels import mkl
from nerva._kernels.csr import CSR
from nerva._kernels.dense_gradient import candidates
from nerva._kernels.memory import empty_batch
from nerva._kernels.rewiring import flat_positions
from nerva._kernels.supports import draw_support


def make(K, D, nnz, rng, dtype=np.float32):
    return CSR((K, D), *draw_support(K, D, nnz, rng), rng.standard_normal(nnz).astype(dtype))


def batch(features, N, rng, dtype):
    """Random integers, whose products are exact in any order and full of ties."""
    out = empty_batch(features, N, dtype)
    out[:] = rng.integers(-3, 4, (features, N))
    return out


@pytest.mark.usefixtures("instruction_set")
def test_candidates_are_those_of_the_whole_product(dtype, rng):
    W = make(9, 37, 80, rng, dtype)
    DZ, X = batch(9, 5, rng, dtype), batch(37, 5, rng, dtype)
    work, scores = np.empty((3, 200), dtype), np.empty((3, 200), dtype)
    positions = np.empty((3, 200), np.int64)
    cut = np.array([(2, 7, 3, 36), (0, 9, 0, 1), (8, 9, 0, 37)])
    for threads in (1, 3):
        mkl.set_num_threads(threads)
        for threshold in (0.0, 2.0, 6.0, 1e9):
            size = np.abs(DZ @ X.T).reshape(-1)
            tied = int(np.flatnonzero(size == threshold)[-3]) if (size == threshold).sum() > 2 else 120
            found = candidates(W, DZ, X, cut, threshold, tied, work=work, scores=scores, positions=positions)
            for t, (top_, bottom, left, right) in enumerate(cut):
                flat = (np.arange(top_, bottom)[:, None] * 37 + np.arange(left, right)).reshape(-1)
                outside = ~np.isin(flat, flat_positions(W))
                size = np.abs((DZ @ X.T)[top_:bottom, left:right].reshape(-1))
                wanted = outside & ((size > threshold) | ((size == threshold) & (flat < tied)))
                np.testing.assert_array_equal(positions[t, : found[t]], flat[wanted])
                np.testing.assert_array_equal(scores[t, : found[t]], size[wanted])
                alone = candidates(
                    W,
                    DZ,
                    X,
                    cut[t : t + 1],
                    threshold,
                    tied,
                    work=work[:1],
                    scores=scores.copy(),
                    positions=positions.copy(),
                )
                assert alone == found[t : t + 1]
                np.testing.assert_array_equal(np.abs(work[0, : size.size])[outside], size[outside])
                assert np.isnan(work[0, : size.size][~outside]).all()


def test_wrong_arguments_are_refused(rng):
    W = make(4, 6, 5, rng)
    DZ, X = batch(4, 3, rng, np.float32), batch(6, 3, rng, np.float32)
    work, positions = np.empty((1, 24), np.float32), np.empty((1, 24), np.int64)
    good = {"W": W, "DZ": DZ, "X": X, "tiles": np.array([(0, 4, 0, 6)]), "threshold": 0.0, "tied": 0}
    good |= {"work": work, "scores": work.copy(), "positions": positions}
    candidates(**good)
    wrong = [
        ("DZ", DZ.astype(np.float64), TypeError, "DZ"),
        ("DZ", DZ[:3], ValueError, "DZ"),
        ("X", X[:, :2], ValueError, "X"),
        ("tiles", [(0, 4, 0, 6)], TypeError, "tiles"),
        ("tiles", np.array([0, 4, 0, 6]), ValueError, "tiles"),
        ("tiles", np.array([(0, 4, 0)]), ValueError, "tiles"),
        ("tiles", np.array([(0, 4, 0, 6)], np.int32), ValueError, "tiles"),
        ("tiles", np.array([(0, 5, 0, 6)]), ValueError, "rows"),
        ("tiles", np.array([(-1, 2, 0, 6)]), ValueError, "rows"),
        ("tiles", np.array([(2, 2, 0, 6)]), ValueError, "rows"),
        ("tiles", np.array([(0, 4, 0, 7)]), ValueError, "columns"),
        ("tiles", np.array([(0, 4, 0, 6), (0, 4, 0, 6)]), ValueError, "scores"),
        ("threshold", float("nan"), ValueError, "threshold"),
        ("work", work[:, :20], ValueError, "work"),
        ("scores", work[:, :20].copy(), ValueError, "scores"),
        ("positions", positions[:, :20], ValueError, "positions"),
        ("positions", positions.astype(np.int32), TypeError, "positions"),
    ]
    for name, value, error, message in wrong:
        with pytest.raises(error, match=message):
            candidates(**good | {name: value})
    assert len(candidates(**good | {"tiles": np.empty((0, 4), np.int64)})) == 0
