"""An optimizer's rule for one step, as layers and optimizers hand it to the kernels."""

from .isa cimport nerva_update


cdef class Update:
    cdef nerva_update how
