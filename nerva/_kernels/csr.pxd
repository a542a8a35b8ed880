"""The sparse weight matrix: its arrays, its transpose and its MKL handles."""

cimport numpy as cnp

from .isa cimport nerva_csr
from .mkl cimport sparse_matrix_t


cdef class CSR:
    cdef readonly Py_ssize_t rows, columns, nnz
    cdef readonly object dtype
    cdef object lock  # held while the transpose or a handle is built, and while MKL uses a handle
    cdef int typenum
    cdef cnp.ndarray _indptr, _indices, _values
    cdef cnp.ndarray _transposed_indptr, _transposed_indices, _permutation, _transposed_values
    cdef nerva_csr direct, transposed
    cdef CSR _original  # whose pattern and transpose this one shares
    cdef sparse_matrix_t _handle, _transposed_handle
    cdef Py_ssize_t _expected_columns, _expected_calls
    cdef cnp.ndarray _block  # memory for some rows of W as a dense matrix; the lock is held while it is used

    cdef int adopt(self, cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values) except -1
    cdef nerva_csr *companion(self) except NULL
    cdef int _build_companion(self) except -1
    cdef sparse_matrix_t handle(self, bint transposed) except NULL
    cdef int _refresh(self, sparse_matrix_t *handle, cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values,
                      Py_ssize_t columns) except -1
    cdef void _destroy_handles(self) noexcept
    cdef void *block(self, Py_ssize_t size) except NULL
