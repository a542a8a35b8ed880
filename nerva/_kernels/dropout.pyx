"""Dropout of the elements of a matrix or a vector. A key determines the mask, which is never stored."""

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t

from .arrays cimport apart, matrix, real_type, row, vector
from .isa cimport NERVA_MASKED_ROW, kernels, nerva_matrix, nerva_table
from .mkl cimport threads

cnp.import_array()

cdef enum:
    # A vector is masked as a matrix with rows of this length.
    LENGTH = NERVA_MASKED_ROW


cdef int check_rate(double rate) except -1:
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}; it must be from 0 to below 1")
    return 0


def dropout(X, uint64_t key, double rate, out):
    """out = X / (1 - rate) for each element with probability 1 - rate, else 0; the key determines which.

    Shapes: X, out (K, N), N below 2**31. out may be X.
    """
    cdef int typenum = real_type(X, "X")
    cdef nerva_matrix x = matrix(X, "X", typenum, -1, -1)
    cdef Py_ssize_t K = X.shape[0], N = X.shape[1]
    cdef nerva_matrix y = matrix(out, "out", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    check_rate(rate)
    if N > INT_MAX:
        raise ValueError(f"X has shape {X.shape}; a batch must be below 2**31")
    apart(x, K, N, "X", y, K, N, "out", typenum, True)
    with nogil:
        kernel.dropout(K, N, x, key, 0, rate, threads(), y)


def dropout_vector(x, uint64_t key, double rate, out):
    """As `dropout`, for vectors: out = x / (1 - rate) or 0. Shapes: x, out (n,). out may be x."""
    cdef int typenum = real_type(x, "x")
    cdef Py_ssize_t n = x.size, rows = n // LENGTH, rest = n - n // LENGTH * LENGTH
    cdef Py_ssize_t size = 4 if typenum == cnp.NPY_FLOAT32 else 8, done = rows * LENGTH * size
    cdef nerva_matrix source, target
    source.data, source.ld = vector(x, "x", typenum, n), LENGTH
    target.data, target.ld = vector(out, "out", typenum, n, True), LENGTH
    cdef const nerva_table *kernel = kernels(typenum)
    check_rate(rate)
    apart(row(source.data, n), 1, n, "x", row(target.data, n), 1, n, "out", typenum, True)
    with nogil:
        kernel.dropout(rows, LENGTH, source, key, 0, rate, threads(), target)
        if rest:
            source.data, target.data = <char *> source.data + done, <char *> target.data + done
            kernel.dropout(1, rest, source, key, rows, rate, 1, target)
