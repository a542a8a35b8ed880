"""The three products of a sparse layer. Each peer keeps between calls what an expert user would keep."""

from collections.abc import Callable

import numpy as np

from harness.peer import Peer
from harness.workloads import Array, Kind, Product


def _positions(work: Product) -> tuple[Array, Array]:
    """Return the row and the column of each non-zero."""
    return np.repeat(np.arange(work.W.shape[0]), np.diff(work.W.indptr)), np.asarray(work.W.indices, np.int64)


def _padded(A: Array) -> Array:
    """Return a copy whose rows start on cache lines, like every batch in nerva's layers."""
    from nerva._kernels.memory import empty_batch

    copy = empty_batch(A.shape[0], A.shape[1], A.dtype)
    copy[:] = A
    return copy


class NervaProduct(Peer):
    """nerva's own kernels."""

    name, timed, module, distribution = "nerva", "product", "nerva", "nerva-sparse"

    def __init__(self, work: Product, threads: int) -> None:
        import nerva
        from nerva._kernels import products

        nerva.set_num_threads(threads)
        W, X, DY = nerva.CSR.from_scipy(work.W), _padded(work.X), _padded(work.DY)
        G = np.zeros(W.nnz, W.dtype)
        calls: dict[Kind, Callable[[], None]] = {
            "spmm": lambda: products.spmm(W, X, DY),
            "spmm_t": lambda: products.spmm_t(W, DY, X),
            "sddmm": lambda: products.sddmm(W, DY, X, G),
        }
        self.product = calls[work.kind]


class MKLProduct(Peer):
    """MKL, called by nerva. It has no sampled product: sddmm is gemm, and the pattern is picked from the result."""

    name, timed, module, distribution = "MKL", "product", "nerva", "mkl"

    def __init__(self, work: Product, threads: int) -> None:
        import nerva
        from nerva._kernels import products

        nerva.set_num_threads(threads)
        W, X, DY = nerva.CSR.from_scipy(work.W), _padded(work.X), _padded(work.DY)
        dense, flat = np.zeros(W.shape, W.dtype), np.ravel_multi_index(_positions(work), W.shape)
        G = np.zeros(W.nnz, W.dtype)

        def sampled() -> None:
            products.gemm(DY, X, dense, transpose_b=True)
            np.take(dense.ravel(), flat, out=G, mode="clip")

        calls: dict[Kind, Callable[[], None]] = {
            "spmm": lambda: products.spmm(W, X, DY, backend="mkl"),
            "spmm_t": lambda: products.spmm_t(W, DY, X, backend="mkl"),
            "sddmm": sampled,
        }
        self.product = calls[work.kind]


class SciPyProduct(Peer):
    """SciPy's csr_array, on one thread for any number of threads.

    It has no sampled product: sddmm is NumPy's dense product, on as many threads as its BLAS uses, and the pattern is
    picked from the result.
    """

    name, timed, module, distribution = "SciPy", "product", "scipy", "scipy"

    def __init__(self, work: Product, threads: int) -> None:
        W, Wt, X, DY = work.W, work.W.T.tocsr(), work.X, work.DY
        flat = np.ravel_multi_index(_positions(work), W.shape)
        calls: dict[Kind, Callable[[], Array]] = {
            "spmm": lambda: W @ X,
            "spmm_t": lambda: Wt @ DY,
            "sddmm": lambda: np.take(DY @ X.T, flat),
        }
        self.product = calls[work.kind]


class CSRPyTorchProduct(Peer):
    """PyTorch's sparse CSR tensors; the transposed matrix is kept as well."""

    name, timed, module, distribution = "PyTorch CSR", "product", "torch", "torch"

    def __init__(self, work: Product, threads: int) -> None:
        import warnings

        import torch

        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        torch.set_num_threads(threads)
        W, Wt = (
            torch.sparse_csr_tensor(
                *map(torch.from_numpy, (A.indptr, A.indices, A.data)), size=A.shape, check_invariants=False
            )
            for A in (work.W, work.W.T.tocsr())
        )
        X, DY = torch.from_numpy(work.X), torch.from_numpy(work.DY)
        Xt = X.T
        calls: dict[Kind, Callable[[], object]] = {
            "spmm": lambda: W @ X,
            "spmm_t": lambda: Wt @ DY,
            "sddmm": lambda: torch.sparse.sampled_addmm(W, DY, Xt, beta=0.0),
        }
        self.product = calls[work.kind]
