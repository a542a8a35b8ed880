"""The arrays of a CSR matrix from and to dense arrays and SciPy's matrices."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

Arrays = tuple[tuple[int, ...], Array, Array, Array]  # shape, indptr, indices, values


def dense_to_csr(array: npt.ArrayLike, threshold: float) -> Arrays:
    """Return the CSR arrays of the elements |x| > threshold of an array (K, D)."""
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"array has shape {array.shape}; it must be (K, D)")
    if not threshold >= 0:
        raise ValueError(f"threshold is {threshold}; it must not be negative")
    # Negated, so that NaN is kept rather than dropped unnoticed.
    rows, indices = np.nonzero(array if threshold == 0 else ~(np.abs(array) <= threshold))
    indptr = np.zeros(array.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=array.shape[0]), out=indptr[1:])
    return array.shape, indptr, indices, array[rows, indices]


def csr_to_dense(shape: tuple[int, int], indptr: Array, indices: Array, values: Array) -> Array:
    """Return the array (K, D) of a CSR matrix."""
    dense = np.zeros(shape, values.dtype)
    dense[np.repeat(np.arange(shape[0]), np.diff(indptr)), indices] = values
    return dense


def scipy_to_csr(matrix: Any) -> Arrays:
    """Return the CSR arrays of any SciPy sparse matrix or array; duplicates are summed, stored zeros are kept."""
    if not hasattr(matrix, "tocsr"):
        raise TypeError(f"matrix is {type(matrix).__name__}; it must be a SciPy sparse matrix or array")
    matrix = matrix.tocsr(copy=True)
    # Before SciPy sums duplicates: with indices out of range, its own code would leave the arrays.
    matrix.check_format(full_check=True)
    matrix.sum_duplicates()
    return matrix.shape, matrix.indptr, matrix.indices, matrix.data


def csr_to_scipy(shape: tuple[int, int], indptr: Array, indices: Array, values: Array) -> Any:
    """Return a scipy.sparse.csr_array with copies of the arrays; raise ImportError without SciPy."""
    try:
        from scipy.sparse import csr_array
    except ImportError:
        raise ImportError("to_scipy needs SciPy: pip install 'nerva-sparse[scipy]'") from None
    return csr_array((np.array(values), np.array(indices), np.array(indptr)), shape=shape)
