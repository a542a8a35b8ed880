"""MKL's handles of sparse matrices: created, optimized, told of new values."""

cimport numpy as cnp

from .mkl cimport sparse_matrix_t

cdef sparse_matrix_t create_handle(cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values,
                                   Py_ssize_t columns) except NULL
cdef int optimize_handle(sparse_matrix_t handle, Py_ssize_t columns, Py_ssize_t calls) except -1
cdef int update_handle(sparse_matrix_t handle, cnp.ndarray values) except -1
