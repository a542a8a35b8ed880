"""The pattern of a CSR matrix, `indptr` and `indices`: its checks, its own memory, and its transpose."""

cimport numpy as cnp

from .isa cimport nerva_csr


cdef class FullPattern:
    cdef nerva_csr direct, transposed
    cdef tuple arrays

    cdef int take_values(self, const void *values) except -1

cdef cnp.ndarray integers(object array, str name)
cdef int check_pattern(cnp.ndarray indptr, cnp.ndarray indices, Py_ssize_t columns) except -1
cdef cnp.ndarray owned(object array, object dtype)
cdef int freeze(object array) except -1
cdef tuple transpose(const nerva_csr *W)
