"""Optimizer steps on flat vectors: sparse values, dense weights and biases look alike here."""

cimport numpy as cnp

from .arrays cimport apart, real_type, row, vector
from .isa cimport NERVA_MOMENTUM, NERVA_NESTEROV, NERVA_SGD, kernels, nerva_table
from .mkl cimport threads

cnp.import_array()

RULES = {"sgd": NERVA_SGD, "momentum": NERVA_MOMENTUM, "nesterov": NERVA_NESTEROV}


cdef class Update:
    """A rule for one step on a weight w with gradient g, where d = g + decay w:

    "sgd"       w -= rate d
    "momentum"  v = momentum v + d;  w -= rate v
    "nesterov"  v = momentum v + d;  w -= rate (d + momentum v)
    """

    def __init__(self, str rule, double rate, double momentum=0.0, double decay=0.0):
        if rule not in RULES:
            raise ValueError(f"rule is {rule!r}; it must be one of {', '.join(RULES)}")
        self.how.rule, self.how.rate, self.how.momentum, self.how.decay = RULES[rule], rate, momentum, decay

    @property
    def has_velocity(self):
        """Whether each weight needs a velocity beside it."""
        return self.how.rule != NERVA_SGD

    def __call__(self, gradient, velocity, weights):
        """Take the step on all weights. Shapes: gradient, velocity, weights (n,); velocity is None for "sgd"."""
        cdef int typenum = real_type(weights, "weights")
        cdef Py_ssize_t n = weights.size
        cdef void *w = vector(weights, "weights", typenum, n, True)
        cdef void *v = NULL
        if self.how.rule != NERVA_SGD:
            v = vector(velocity, "velocity", typenum, n, True)
        cdef void *g = vector(gradient, "gradient", typenum, n)
        cdef const nerva_table *kernel = kernels(typenum)
        apart(row(g, n), 1, n, "gradient", row(w, n), 1, n, "weights", typenum)
        apart(row(g, n), 1, n, "gradient", row(v, n), 1, n, "velocity", typenum)
        apart(row(v, n), 1, n, "velocity", row(w, n), 1, n, "weights", typenum)
        with nogil:
            kernel.update(n, g, &self.how, threads(), v, w)


def sgd(gradient, double rate, double decay, weights):
    """w -= rate (g + decay w). Shapes: gradient, weights (n,)."""
    Update("sgd", rate, 0.0, decay)(gradient, None, weights)


def momentum(gradient, double rate, double momentum, bint nesterov, double decay, velocity, weights):
    """d = g + decay w;  v = momentum v + d;  w -= rate (d + momentum v if nesterov else v).

    Shapes: gradient, velocity, weights (n,).
    """
    Update("nesterov" if nesterov else "momentum", rate, momentum, decay)(gradient, velocity, weights)
