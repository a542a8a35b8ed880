"""Softmax and log-softmax over the features of each sample, forward and backward."""

cimport numpy as cnp

from .arrays cimport apart, matrix, real_type
from .isa cimport kernels, nerva_matrix, nerva_table
from .mkl cimport threads

cnp.import_array()


def softmax(Z, out, *, bint logarithm=False):
    """out = the softmax of each column of Z, or its logarithm; no logit overflows.

    Shapes: Z, out (K, N), K > 0. out may be Z.
    """
    cdef int typenum = real_type(Z, "Z")
    cdef nerva_matrix z = matrix(Z, "Z", typenum, -1, -1)
    cdef Py_ssize_t K = Z.shape[0], N = Z.shape[1]
    cdef nerva_matrix y = matrix(out, "out", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    if K == 0:
        raise ValueError(f"Z has shape {Z.shape}; there must be at least one feature")
    apart(z, K, N, "Z", y, K, N, "out", typenum, True)
    with nogil:
        kernel.softmax(K, N, z, logarithm, threads(), y)


def softmax_backward(DY, Y, DZ, *, bint logarithm=False):
    """DZ = Y (DY - sum(DY Y)), or with the logarithm DY - e^Y sum(DY), the sums over each column.

    Shapes: DY, Y, DZ (K, N). DZ may be DY.
    """
    cdef int typenum = real_type(DY, "DY")
    cdef nerva_matrix dy = matrix(DY, "DY", typenum, -1, -1)
    cdef Py_ssize_t K = DY.shape[0], N = DY.shape[1]
    cdef nerva_matrix y = matrix(Y, "Y", typenum, K, N)
    cdef nerva_matrix dz = matrix(DZ, "DZ", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    apart(dy, K, N, "DY", dz, K, N, "DZ", typenum, True)
    apart(y, K, N, "Y", dz, K, N, "DZ", typenum)
    with nogil:
        kernel.softmax_backward(K, N, dy, y, logarithm, threads(), dz)
