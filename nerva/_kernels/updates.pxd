"""One step of an optimizer, as an argument of kernels."""

from .isa cimport nerva_plan_parameter, nerva_update


cdef class Update:
    cdef nerva_update how
    cdef double rate  # without the corrections of Adam
    cdef int t

    cdef object take(self, nerva_plan_parameter *of, object velocity, object second, object born, int typenum)
