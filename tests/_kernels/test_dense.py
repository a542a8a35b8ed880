"""The products by gemm on dense blocks of rows, and the memory they hold."""

import numpy as np
import pytest

from nerva._kernels import csr, products
from nerva._kernels.csr import CSR
from nerva._kernels.dense import block_nbytes

from ..reference import Problem, assert_within, product_bound


@pytest.mark.parametrize(("K", "D"), [(150, 20000), (65, 16385), (2100, 600), (1, 30000)])
def test_dense_blocks(dtype, K, D):
    """Matrices of one row of blocks, several, and a last one that is lower; one block after another, one memory."""
    rng = np.random.default_rng(K)
    dense = np.where(rng.random((K, D)) < 0.1, rng.standard_normal((K, D)), 0).astype(dtype)
    W = CSR.from_dense(dense)
    X, DY = (rng.standard_normal((n, 5)).astype(dtype) for n in (D, K))
    before, held = W.nbytes, block_nbytes(K, D, dtype)
    assert held <= max(2**20, 64 * D) * dtype.itemsize
    for _ in range(2):
        Y, DX, G = np.full_like(DY, np.nan), np.full_like(X, np.nan), np.full(W.nnz, np.nan, dtype)
        products.sddmm(W, DY, X, G, "dense")
        assert_within(G, (DY @ X.T)[dense != 0], product_bound(dtype, DY, X.T)[dense != 0] * 2, "sddmm")
        products.spmm(W, X, Y, backend="dense")
        assert_within(Y, dense.astype(np.float64) @ X, product_bound(dtype, dense, X), "spmm")
        products.spmm_t(W, DY, DX, "dense")
        assert_within(DX, dense.T.astype(np.float64) @ DY, product_bound(dtype, dense.T, DY), "spmm_t")
        assert W.nbytes == before + held
        W.values *= -2
        dense *= -2


def test_no_memory_for_a_dense_block(dtype, monkeypatch):
    W, dense, X, DY, _ = Problem(12, 10, 40, "half").arrays(dtype)
    DX, Y, G = np.ones((10, 40), dtype), np.ones((12, 40), dtype), np.ones(W.nnz, dtype)
    held = W.nbytes

    def no_memory(*_):
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(csr, "empty_vector", no_memory)
        for call in (
            lambda: products.spmm(W, X.array, Y, backend="dense"),
            lambda: products.spmm_t(W, DY.array, DX, "dense"),
            lambda: products.sddmm(W, DY.array, X.array, G, "dense"),
        ):
            with pytest.raises(MemoryError, match="none left"):
                call()
    assert all((out == 1).all() for out in (DX, Y, G))
    assert W.nbytes == held
    products.spmm(W, X.array, Y, backend="dense")
    assert_within(Y, dense.astype(np.float64) @ X.array, product_bound(dtype, dense, X.array))


def test_by_dense_blocks_nan_reaches_every_output_of_its_sample(dtype):
    W, dense, X, DY, _ = Problem(12, 10, 40, "half").arrays(dtype)
    X.array[3, 5], DY.array[2, 3] = np.nan, np.nan
    Y, DX, G = np.zeros((12, 40), dtype), np.zeros((10, 40), dtype), np.zeros(W.nnz, dtype)
    products.spmm(W, X.array, Y, backend="dense")
    assert np.isnan(Y[:, 5]).all()
    assert np.isnan(Y).sum() == 12
    products.spmm_t(W, DY.array, DX, "dense")
    assert np.isnan(DX[:, 3]).all()
    assert np.isnan(DX).sum() == 10
    products.sddmm(W, DY.array, X.array, G, "dense")
    rows, columns = np.nonzero(dense)
    np.testing.assert_array_equal(np.isnan(G), (rows == 2) | (columns == 3))
