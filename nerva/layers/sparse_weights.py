"""The CSR matrix of a sparse layer: drawn, given, or cut from that of another."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva.initializers import Fan, Initializer, fans, initial_values
from nerva.layers.layer import Features
from nerva.topology.distributions import weight_count
from nerva.topology.supports import as_support, from_mask
from nerva.validation import check_fraction, real_dtype


def draw_weight(
    shape: tuple[int, int],
    *,
    density: float | None,
    support: Any,
    init: str | Initializer | None,
    fan: Fan,
    rng: np.random.Generator,
    dtype: np.dtype[Any],
) -> CSR:
    """Return weights of shape (K, D); the arguments are those of nerva.SparseLinear.

    Raises TypeError or ValueError for a density or a support that is not right, or not in place.

    >>> rng = np.random.default_rng(0)
    >>> draw_weight(
    ...     (2, 4), density=0.5, support="fan-in", init="he", fan="dense", rng=rng, dtype=np.dtype("float32")
    ... ).indptr
    array([0, 2, 4], dtype=int32)
    """
    K, D = shape
    support = "random" if support is None else support
    init = "xavier" if init is None else init
    if isinstance(support, str) or callable(support):
        if density is None:
            raise TypeError("density is missing: the fraction of weights that exist, or a weight")
        count = weight_count(check_fraction(density, "density"), K, D)
        indptr, indices = as_support(support)(K, D, count, rng)
    else:
        if density is not None:
            raise ValueError("support is a matrix, so density must not be given: it has its own")
        if np.shape(support) != (K, D):
            raise ValueError(f"support has shape {np.shape(support)}; it must be {(K, D)}")
        indptr, indices = from_mask(support)
        count = len(indices)
    if len(indices) != count:
        raise ValueError(f"support returned {len(indices)} positions; {count} were asked for")
    # After the support: both draw from one generator, and this order belongs to what a seed gives.
    values = initial_values(init, rng, *fans(fan, D, K, count), count, dtype)
    return CSR((K, D), indptr, indices, values)


def check_weight(weight: CSR, shape: tuple[int, int], dtype: npt.DTypeLike | None) -> None:
    """Raise TypeError or ValueError for a weight that is no CSR, or of another shape or dtype."""
    if not isinstance(weight, CSR):
        raise TypeError(f"weight is {type(weight).__name__}; it must be a nerva.CSR")
    if weight.shape != shape:
        raise ValueError(f"weight has shape {weight.shape}; it must be {shape}")
    if dtype is not None and real_dtype(dtype) != weight.dtype:
        raise TypeError(f"weight has dtype {weight.dtype}; dtype is {np.dtype(dtype)}")


def coordinates(W: CSR) -> tuple[Features, Features]:
    """Return the row and the column of each weight, int64 of shape (nnz,)."""
    return np.repeat(np.arange(W.rows), np.diff(W.indptr)), W.indices.astype(np.int64)


def submatrix(W: CSR, rows: Features, columns: Features) -> CSR:
    """Return a matrix of some rows and columns of W, strictly ascending; stored zeros stay.

    >>> submatrix(nerva.CSR.from_dense(np.eye(3)), np.array([0, 2]), np.array([1, 2])).to_dense()
    array([[0., 0.],
           [0., 1.]])
    """
    row, column = coordinates(W)
    stay = np.isin(row, rows) & np.isin(column, columns)
    row, column = np.searchsorted(rows, row[stay]), np.searchsorted(columns, column[stay])
    indptr = np.concatenate([[0], np.bincount(row, minlength=len(rows)).cumsum()])
    return CSR((len(rows), len(columns)), indptr, column, W.values[stay])
