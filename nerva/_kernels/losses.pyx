"""Losses: value and gradient in one call."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from .arrays cimport apart, matrix, real_type, vector
from .isa cimport kernels, nerva_matrix, nerva_table

cnp.import_array()


def softmax_cross_entropy(Z, labels, DZ, per_sample):
    """Softmax cross-entropy of logits, its gradient, and the number of correct predictions.

    per_sample[n] = -log softmax(Z)[labels[n], n];  DZ = (softmax(Z) - one-hot(labels)) / N

    Shapes: Z, DZ (C, N), labels int64 (N,) within 0 to C - 1, per_sample float64 (N,). DZ may be Z. The largest
    logit of a column is subtracted before the exponential, so no logit overflows. Returns (the mean of per_sample,
    the number of columns whose first maximum is at the label).
    """
    cdef int typenum = real_type(Z, "Z")
    cdef nerva_matrix z = matrix(Z, "Z", typenum, -1, -1)
    cdef Py_ssize_t C = Z.shape[0], N = Z.shape[1], n
    cdef const int64_t *label = <int64_t *> vector(labels, "labels", cnp.NPY_INT64, N)
    cdef nerva_matrix dz = matrix(DZ, "DZ", typenum, C, N, True)
    cdef double *losses = <double *> vector(per_sample, "per_sample", cnp.NPY_FLOAT64, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    cdef int64_t correct
    cdef double total = 0.0
    if N == 0 or C == 0:
        raise ValueError(f"Z has shape {Z.shape}; there must be at least one class and one sample")
    for n in range(N):
        if not 0 <= label[n] < C:
            raise ValueError(f"labels[{n}] is {label[n]}; it must be within 0 to {C - 1}")
    apart(z, C, N, "Z", dz, C, N, "DZ", typenum, True)
    with nogil:
        correct = kernel.softmax_cross_entropy(C, N, z, label, 1.0 / N, dz, losses)
        for n in range(N):
            total += losses[n]
    return total / N, correct
