"""Batches of sparse samples: gathered, converted, pickled, shared by threads."""

import pickle
import threading

import numpy as np
import pytest
from scipy import sparse

from nerva._kernels import sparse_inputs
from nerva._kernels.sparse_batch import SparseBatch

from ..reference import draw_sparse_samples

pytestmark = pytest.mark.usefixtures("instruction_set")


@pytest.mark.parametrize("values", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("indices", [np.int32, np.int64])
def test_samples_are_gathered_in_any_order(dtype, rng, values, indices):
    X, dense = draw_sparse_samples(rng, 50, 30, dtype=values)
    batch = SparseBatch(30, dtype)
    memory = None
    for size in (40, 7, 40, 1, 0):
        rows = rng.integers(0, 50, size)
        batch.gather(X.indptr.astype(np.int64), X.indices.astype(indices), X.data, rows)
        assert (batch.shape, batch.dtype) == ((30, size), dtype)
        assert batch.nnz == np.diff(X.indptr)[rows].sum()
        out = np.empty((30, size), dtype)
        sparse_inputs.product(np.eye(30, dtype=dtype), batch, out)
        np.testing.assert_allclose(out, dense[rows].T, rtol=1e-6, atol=1e-6)
        whole = np.full((2, 30), np.nan, dtype)
        sparse_inputs.gradient(np.ones((2, 30), dtype), np.ones((2, size), dtype), batch, whole)
        np.testing.assert_allclose(whole, np.tile(dense[rows].sum(axis=0), (2, 1)), rtol=1e-5, atol=1e-5)
        memory = memory or batch.nbytes
    assert repr(batch) == f"<SparseBatch 30 x 0, 0 entries, {dtype}>"


def test_a_batch_takes_no_wrong_data():
    good = {
        "indptr": np.array([0, 2, 3]),
        "indices": np.array([0, 2, 1], np.int32),
        "values": np.ones(3, np.float32),
        "rows": np.array([1, 0]),
    }
    batch = SparseBatch(3, np.float32)
    batch.gather(**good)
    wrong = [
        ("indptr", [0, 2, 3], TypeError, "indptr is list"),
        ("indptr", np.array([0, 2, 3], np.int32), TypeError, "indptr has dtype int32"),
        ("indptr", np.array([0, 2, 4]), ValueError, r"indptr\[2\] is 4 after 2; it must ascend from 0 to at most 3"),
        ("indptr", np.array([0, 4, 3]), ValueError, r"indptr\[2\] is 3 after 4"),
        ("indptr", np.array([-1, 2, 3]), ValueError, r"indptr\[1\] is 2 after -1"),
        ("indptr", np.empty(0, np.int64), ValueError, r"rows\[0\] is 1"),
        ("indices", np.array([0, 3, 1], np.int32), ValueError, r"indices\[1\] is 3; it must be within 0 to 2"),
        ("indices", np.array([0, -1, 1]), ValueError, r"indices\[1\] is -1"),
        ("indices", np.array([0, 2**32, 1]), ValueError, r"indices\[1\] is 4294967296"),
        ("indices", np.array([0, 2, 1], np.int16), TypeError, "indices has dtype int16"),
        ("indices", np.zeros(6, np.int32)[::2], ValueError, "indices has stride 8"),
        ("values", np.ones(2, np.float32), ValueError, r"values has shape \(2,\)"),
        ("values", np.ones(3, np.int64), TypeError, "values has dtype int64"),
        ("values", np.ones(3, ">f4"), TypeError, "values has dtype >f4"),
        ("rows", np.array([0, 2]), ValueError, r"rows\[1\] is 2; it must be within 0 to 1"),
        ("rows", np.array([-1]), ValueError, r"rows\[0\] is -1"),
        ("rows", np.array([0], np.int32), TypeError, "rows has dtype int32"),
    ]
    for name, value, error, message in wrong:
        with pytest.raises(error, match=message):
            batch.gather(**(good | {name: value}))
        assert (batch.shape, batch.nnz) == ((3, 2), 3)
    for arguments, error, message in (
        ((3, np.int32), TypeError, "dtype is int32"),
        ((0, np.float32), ValueError, "features is 0; it must be within 1"),
        ((2**31, np.float32), ValueError, "features is 2147483648"),
        ((3, np.float32, -1), ValueError, "samples is -1"),
    ):
        with pytest.raises(error, match=message):
            SparseBatch(*arguments)
    with pytest.raises(RuntimeError, match="made once"):
        batch.__init__(3, np.float32)


def test_a_batch_is_made_of_a_sparse_matrix_and_pickled(dtype, rng):
    X, dense = draw_sparse_samples(rng, 9, 5)
    for samples in (X, X.tocoo(), sparse.csc_matrix(X), X.astype(np.int64), X.astype(np.uint8)):
        batch = SparseBatch.from_scipy(samples, dtype)
        for each in (batch, pickle.loads(pickle.dumps(batch))):
            out = np.empty((5, 9), dtype)
            sparse_inputs.product(np.eye(5, dtype=dtype), each, out)
            np.testing.assert_allclose(out, samples.toarray().T, rtol=1e-6, atol=1e-6)
    with pytest.raises(TypeError, match="X is ndarray; it must be a SciPy sparse"):
        SparseBatch.from_scipy(dense)
    X.indices[:] = 5
    with pytest.raises(ValueError, match=r"indices\[0\] is 5"):
        SparseBatch.from_scipy(X)


def test_threads_may_share_a_batch(rng):
    X, _ = draw_sparse_samples(rng, 300, 40)
    batch, W, wrong = SparseBatch(40, np.float64), np.ones((1, 40)), []
    indptr = X.indptr.astype(np.int64)

    def work(seed):
        rows = np.random.default_rng(seed)
        for _ in range(200):
            batch.gather(indptr, X.indices, X.data, rows.integers(0, 300, rows.integers(1, 300)))
            try:
                out = np.empty((1, batch.shape[1]))
                sparse_inputs.product(W, batch, out)
                sparse_inputs.gradient(W, out, batch, np.empty((1, 40)))
            except ValueError:  # another thread has gathered other samples meanwhile
                pass
            except BaseException as error:
                wrong.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_a_batch_is_made_dense(rng, dtype):
    X, dense = draw_sparse_samples(rng, 23, 11, dtype=dtype)
    found = SparseBatch.from_scipy(X, dtype).to_dense()
    assert (found.dtype, found.shape) == (dtype, (11, 23))
    np.testing.assert_allclose(found, dense.T, rtol=1e-6)
