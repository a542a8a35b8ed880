"""A mini-batch of sparse samples: its arrays, by sample and by feature."""

cimport numpy as cnp
from libc.stdint cimport int32_t

from .isa cimport nerva_csr


cdef class SparseBatch:
    cdef readonly Py_ssize_t features, batch, nnz
    cdef readonly object dtype
    cdef object lock  # held while the entries are read or written
    cdef int typenum
    cdef bint _is_transposed
    cdef cnp.ndarray _indptr, _indices, _values  # by sample: a matrix (N, D)
    cdef cnp.ndarray _rows_of, _features, _starts, _samples, _by_feature  # by feature: (features that occur, N)
    cdef nerva_csr direct, transposed

    cdef int allocate(self, Py_ssize_t samples, Py_ssize_t entries) except -1
    cdef const int32_t *transpose(self) except NULL
