"""The operations of a compiled network as C structs."""

from .isa cimport nerva_operation, nerva_plan_parameter


cdef class Program:
    cdef nerva_operation *operations
    cdef nerva_plan_parameter *parameters
    cdef int typenum
    cdef bint masks  # whether weights are dropped in the present step
    cdef bint sparse  # whether the samples are
    cdef bint bfloat16  # whether activations and deltas are stored in it
    cdef Py_ssize_t stored  # bytes of one of them
    cdef readonly object dtype
    cdef readonly list descriptions
    cdef readonly Py_ssize_t features, outputs
    cdef list weights, patterns  # in use since the last step, and what tells whether they were rewired since
    cdef list tables  # that the updates of the present step read
    cdef list full  # of each product with a dense W, its FullPattern
    cdef Py_ssize_t count, first_trained, parameter_count, gradient_size, updated_size, scratch
    cdef Py_ssize_t arena_rows, again
    cdef Py_ssize_t statistics_size  # of batch normalization, if there is any

    cdef int add(self, Py_ssize_t i, object description, Py_ssize_t rows) except -1
    cdef nerva_plan_parameter *add_parameter(self) noexcept
    cdef int place_matrices(self) except -1
    cdef object matrices_of(self, Py_ssize_t i)
    cdef Py_ssize_t weight_count(self) except -1
    cdef int take_weights(self, bint training, bint fuse) except -1
    cdef int place_gradients(self, bint fuse) except -1
    cdef int take_weight(self, Py_ssize_t i, object description, bint training) except -1
    cdef bint has_same_patterns(self) except -1
    cdef int take_normalization(self, nerva_operation *of, object description) except -1
    cdef int take_updates(self, object updates) except -1
