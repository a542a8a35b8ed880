"""MKL's handles of sparse matrices: created, optimized, told of new values."""

cimport numpy as cnp
from libc.stdint cimport int32_t

from .mkl cimport (
    MKL_INT, SPARSE_INDEX_BASE_ZERO, SPARSE_LAYOUT_ROW_MAJOR, SPARSE_MATRIX_TYPE_GENERAL,
    SPARSE_OPERATION_NON_TRANSPOSE, check, matrix_descr, mkl_sparse_d_create_csr, mkl_sparse_d_update_values,
    mkl_sparse_optimize, mkl_sparse_s_create_csr, mkl_sparse_s_update_values, mkl_sparse_set_mm_hint, sparse_matrix_t,
)

cnp.import_array()


cdef sparse_matrix_t create_handle(cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values,
                                   Py_ssize_t columns) except NULL:
    """A handle that reads these arrays live: they must outlive it, and it must be destroyed by mkl_sparse_destroy."""
    cdef sparse_matrix_t handle = NULL
    cdef MKL_INT *start = <MKL_INT *> cnp.PyArray_DATA(indptr)
    cdef MKL_INT *column = <MKL_INT *> cnp.PyArray_DATA(indices)
    cdef int32_t rows = <int32_t> (len(indptr) - 1)
    if cnp.PyArray_TYPE(values) == cnp.NPY_FLOAT32:
        check(mkl_sparse_s_create_csr(&handle, SPARSE_INDEX_BASE_ZERO, rows, <int32_t> columns, start, start + 1,
                                      column, <float *> cnp.PyArray_DATA(values)), "mkl_sparse_s_create_csr")
    else:
        check(mkl_sparse_d_create_csr(&handle, SPARSE_INDEX_BASE_ZERO, rows, <int32_t> columns, start, start + 1,
                                      column, <double *> cnp.PyArray_DATA(values)), "mkl_sparse_d_create_csr")
    return handle


cdef int optimize_handle(sparse_matrix_t handle, Py_ssize_t columns, Py_ssize_t calls) except -1:
    """Let MKL analyse the matrix for `calls` products with `columns` columns. It may copy the values from then on."""
    cdef matrix_descr general = matrix_descr(SPARSE_MATRIX_TYPE_GENERAL, 0, 0)
    check(mkl_sparse_set_mm_hint(handle, SPARSE_OPERATION_NON_TRANSPOSE, general, SPARSE_LAYOUT_ROW_MAJOR,
                                 <int32_t> columns, <int32_t> calls), "mkl_sparse_set_mm_hint")
    check(mkl_sparse_optimize(handle), "mkl_sparse_optimize")
    return 0


cdef int update_handle(sparse_matrix_t handle, cnp.ndarray values) except -1:
    """Tell an optimized handle, which may hold a copy of the values, what they are now."""
    cdef int32_t nnz = <int32_t> len(values)
    if cnp.PyArray_TYPE(values) == cnp.NPY_FLOAT32:
        check(mkl_sparse_s_update_values(handle, nnz, NULL, NULL, <float *> cnp.PyArray_DATA(values)),
              "mkl_sparse_s_update_values")
    else:
        check(mkl_sparse_d_update_values(handle, nnz, NULL, NULL, <double *> cnp.PyArray_DATA(values)),
              "mkl_sparse_d_update_values")
    return 0
