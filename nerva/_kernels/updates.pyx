"""Optimizer steps on flat vectors: sparse values, dense weights and biases look alike here."""

cimport numpy as cnp

from .arrays cimport real_type, vector
from .isa cimport kernels, nerva_table
from .mkl cimport threads

cnp.import_array()


def sgd(gradient, double rate, double decay, weights):
    """w -= rate (g + decay w). Shapes: gradient, weights (n,)."""
    cdef int typenum = real_type(weights, "weights")
    cdef Py_ssize_t n = weights.size
    cdef void *w = vector(weights, "weights", typenum, n, True)
    cdef const void *g = vector(gradient, "gradient", typenum, n)
    cdef const nerva_table *kernel = kernels(typenum)
    with nogil:
        kernel.sgd(n, g, rate, decay, threads(), w)


def momentum(gradient, double rate, double momentum, bint nesterov, double decay, velocity, weights):
    """d = g + decay w;  v = momentum v + d;  w -= rate (d + momentum v if nesterov else v).

    Shapes: gradient, velocity, weights (n,).
    """
    cdef int typenum = real_type(weights, "weights")
    cdef Py_ssize_t n = weights.size
    cdef void *w = vector(weights, "weights", typenum, n, True)
    cdef void *v = vector(velocity, "velocity", typenum, n, True)
    cdef const void *g = vector(gradient, "gradient", typenum, n)
    cdef const nerva_table *kernel = kernels(typenum)
    with nogil:
        kernel.momentum(n, g, rate, momentum, nesterov, decay, threads(), v, w)
