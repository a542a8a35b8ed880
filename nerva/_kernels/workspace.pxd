"""The memory of a compiled network, of which C has the pointers."""

cimport numpy as cnp

from .isa cimport nerva_plan
from .program cimport Program


cdef class Workspace:
    cdef list arenas, gradients, mailboxes, partials, totals, sums  # vectors: see nerva_plan
    cdef cnp.ndarray norms
    cdef list pointers
    cdef Py_ssize_t arena_size, gradient_size, parameters_size

    cdef int outgrow(self, nerva_plan *plan, Program program, Py_ssize_t stride, bint training) except -1
    cdef int take(self, nerva_plan *plan, Program program, Py_ssize_t stride, int team, bint training) except -1
