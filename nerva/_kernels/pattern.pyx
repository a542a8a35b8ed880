"""The pattern of a CSR matrix, `indptr` and `indices`: its checks, its own memory, and its transpose."""

import numpy as np

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t

from .isa cimport nerva_csr

from .memory import empty_vector

cnp.import_array()


cdef cnp.ndarray integers(object array, str name):
    """A vector of integers within 0 to 2**31 - 1, of any integer type: checked before a conversion could wrap them."""
    array = np.asarray(array)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; it must be a vector")
    if array.size == 0:
        return array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}; it must be integers")
    if array.min() < 0 or array.max() > INT_MAX:
        raise ValueError(f"{name} holds {array.min()} to {array.max()}; it must be within 0 to {INT_MAX}")
    return array


cdef int check_pattern(cnp.ndarray indptr, cnp.ndarray indices, Py_ssize_t columns) except -1:
    """Raise ValueError unless int32 `indptr`, which runs from 0 to nnz, ascends, and each row is sorted."""
    cdef const int32_t *start = <int32_t *> cnp.PyArray_DATA(indptr)
    cdef const int32_t *column = <int32_t *> cnp.PyArray_DATA(indices)
    cdef Py_ssize_t rows = len(indptr) - 1, nnz = len(indices), row, j
    for row in range(rows):
        # Before the loop over the row: it must not run beyond `indices`.
        if start[row + 1] < start[row] or start[row + 1] > nnz:
            raise ValueError(f"indptr[{row + 1}] is {start[row + 1]} after {start[row]}; "
                             f"it must ascend to nnz = {nnz}")
        for j in range(start[row], start[row + 1]):
            if column[j] >= columns:
                raise ValueError(f"indices[{j}] is {column[j]}; it must be below D = {columns}")
            if j > start[row] and column[j] <= column[j - 1]:
                raise ValueError(f"indices[{j}] is {column[j]} after {column[j - 1]} in row {row}; "
                                 "a row must ascend strictly")
    return 0


cdef cnp.ndarray owned(object array, object dtype):
    """An aligned copy, with memory for at least one element: so an empty one has an address to pass to MKL."""
    copy = empty_vector(max(len(array), 1), dtype)
    copy[:1] = 0
    copy = copy[: len(array)]
    copy[:] = array
    return copy


cdef int freeze(object array) except -1:
    """Make an aligned array read-only for good: its base too, or a view could be made writeable again."""
    array.base.flags.writeable = False
    array.flags.writeable = False
    return 0


cdef tuple transpose(const nerva_csr *W):
    """(indptr, indices, permutation) of the transpose, int32: its value j is W's value permutation[j]."""
    cdef cnp.ndarray indptr = owned(np.zeros(W.cols + 1, np.int32), np.int32)
    cdef cnp.ndarray indices = empty_vector(max(W.nnz, 1), np.int32)
    cdef cnp.ndarray permutation = empty_vector(max(W.nnz, 1), np.int32)
    cdef int32_t *start = <int32_t *> cnp.PyArray_DATA(indptr)
    cdef int32_t *to_indices = <int32_t *> cnp.PyArray_DATA(indices)
    cdef int32_t *to_permutation = <int32_t *> cnp.PyArray_DATA(permutation)
    cdef Py_ssize_t row, column, j
    cdef int32_t to
    with nogil:
        for j in range(W.nnz):
            start[W.indices[j] + 1] += 1
        for column in range(W.cols):
            start[column + 1] += start[column]
        for row in range(W.rows):
            for j in range(W.indptr[row], W.indptr[row + 1]):
                to = start[W.indices[j]]
                start[W.indices[j]] += 1
                to_indices[to] = <int32_t> row
                to_permutation[to] = <int32_t> j
        # Each start has advanced to the next one's value.
        for column in range(W.cols, 0, -1):
            start[column] = start[column - 1]
        start[0] = 0
    return indptr, indices[: W.nnz], permutation[: W.nnz]


cdef class FullPattern:
    """The pattern of a dense matrix (K, D), which has all positions, and that of its transpose."""

    def __init__(self, Py_ssize_t K, Py_ssize_t D):
        columns, rows = np.tile(np.arange(D, dtype=np.int32), K), np.tile(np.arange(K, dtype=np.int32), D)
        indptr, transposed_indptr = np.arange(K + 1, dtype=np.int32) * D, np.arange(D + 1, dtype=np.int32) * K
        permutation = np.ascontiguousarray(np.arange(K * D, dtype=np.int32).reshape(K, D).T).reshape(-1)
        self.arrays = columns, rows, indptr, transposed_indptr, permutation
        self.direct = nerva_csr(K, D, K * D, <int32_t *> cnp.PyArray_DATA(indptr),
                                <int32_t *> cnp.PyArray_DATA(columns), NULL, NULL)
        self.transposed = nerva_csr(D, K, K * D, <int32_t *> cnp.PyArray_DATA(transposed_indptr),
                                    <int32_t *> cnp.PyArray_DATA(rows), <int32_t *> cnp.PyArray_DATA(permutation), NULL)

    cdef int take_values(self, const void *values) except -1:
        """Set where the values of both are."""
        self.direct.values = self.transposed.values = values
        return 0
