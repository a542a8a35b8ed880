"""One step of an optimizer, as an argument of kernels."""

from .isa cimport nerva_update


cdef class Update:
    cdef nerva_update how
