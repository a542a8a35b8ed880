"""Matrices of sparse layers: some rows and columns of one, coordinates, removed weights."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.layers.sparse_weights import coordinates, submatrix

from ..reference import assert_same_bits


@st.composite
def matrices(draw):
    """A CSR, its positions as a mask, and rows and columns to keep; some stored values are 0."""
    K, D = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.random((K, D)) < draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    indptr = np.concatenate([[0], mask.sum(1).cumsum()])
    values = rng.integers(-2, 3, mask.sum()).astype(draw(st.sampled_from([np.float32, np.float64])))
    rows, columns = (np.flatnonzero(rng.random(n) < 0.6) for n in (K, D))
    rows, columns = (kept if len(kept) else np.zeros(1, np.int64) for kept in (rows, columns))
    return nerva.CSR((K, D), indptr, np.nonzero(mask)[1], values), mask, rows, columns


@given(case=matrices())
def test_a_submatrix_is_that_of_the_dense_one(case):
    W, mask, rows, columns = case
    part = submatrix(W, rows, columns)
    assert part.dtype == W.dtype
    assert part.nnz == mask[np.ix_(rows, columns)].sum()  # stored zeros stay
    assert_same_bits(part.to_dense(), W.to_dense()[np.ix_(rows, columns)])


@given(case=matrices())
def test_coordinates_are_the_places_of_the_weights(case):
    W, mask, _, _ = case
    row, column = coordinates(W)
    assert row.dtype == column.dtype == np.int64
    np.testing.assert_array_equal((row, column), np.nonzero(mask))


@given(case=matrices(), seed=st.integers(0, 2**32))
def test_weights_are_removed_by_number(case, seed):
    W, mask, _, _ = case
    K, D = W.shape
    gone = np.flatnonzero(np.random.default_rng(seed).random(W.nnz) < 0.4)
    wanted, dense = W.to_dense(), nerva.Linear(D, K, dtype=W.dtype)
    dense.weight = wanted
    row, column = (places[gone] for places in np.nonzero(mask))
    wanted[row, column] = 0
    sparse = nerva.SparseLinear(D, K, weight=W)
    assert sparse.entries().value.tolist() == W.values.tolist()
    sparse.remove_weights(gone)
    assert sparse.nnz == mask.sum() - len(gone)
    assert_same_bits(sparse.dense_weight(), wanted)
    dense.remove_weights(row * D + column)
    assert_same_bits(dense.dense_weight(), wanted)
    assert_same_bits(dense.entries().value, wanted.reshape(-1))
