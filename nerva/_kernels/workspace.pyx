"""The memory that a compiled network works in."""

import numpy as np

cimport numpy as cnp

from .isa cimport NERVA_NORM_BLOCK, nerva_plan
from .program cimport Program

from .memory import zeros

cnp.import_array()

cdef enum:
    LINE = 16  # entries of two cache lines of float64, and one of float32


cdef class Workspace:
    """Activations of slices, gradients and statistics of a compiled network: allocated once for a batch of a size."""

    def __init__(self):
        self.arenas, self.gradients, self.mailboxes = [], [], []
        self.partials, self.totals, self.sums = [], [], []
        self.norms = np.zeros(0)

    @property
    def nbytes(self):
        """The bytes held."""
        held = self.arenas, self.gradients, self.mailboxes, self.partials, self.totals, self.sums, [self.norms]
        return sum(vector.nbytes for vectors in held for vector in vectors)

    cdef int outgrow(self, nerva_plan *plan, Program program, Py_ssize_t stride, bint training) except -1:
        """Give memory back that is too small, and gradients of other weights than those of the last step."""
        cdef Py_ssize_t row = stride * program.stored  # bytes, and cache lines where there are two sizes
        cdef Py_ssize_t arena_size = program.scratch + program.arena_rows * row // program.dtype.itemsize
        if arena_size > self.arena_size:
            self.arena_size, self.arenas = arena_size, []
        if not training:
            return 0
        if self.parameters_size != program.gradient_size or plan.gradient_size > self.gradient_size:
            self.parameters_size, self.gradient_size = program.gradient_size, plan.gradient_size
            self.gradients, self.mailboxes = [], []
        if plan.clip_norm > 0 and len(self.norms) * NERVA_NORM_BLOCK < plan.updated_size:
            self.norms = np.zeros(plan.updated_size // NERVA_NORM_BLOCK + 1)
        return 0

    cdef int take(self, nerva_plan *plan, Program program, Py_ssize_t stride, int team, bint training) except -1:
        """Set the pointers to what a team of threads works in for slices of this stride; allocate it the first time."""
        cdef Py_ssize_t slices = plan.slice_count if training and plan.keeps else 0
        cdef Py_ssize_t crews = min(team, plan.group_count), statistics = program.statistics_size
        self.outgrow(plan, program, stride, training)
        plan.norms = <double *> cnp.PyArray_DATA(self.norms)
        needed = (
            (self.arenas, max(crews, slices), self.arena_size),
            (self.gradients, crews if training and crews > 1 else 0, self.gradient_size + LINE),
            (self.mailboxes, plan.group_count if training else 0, self.gradient_size + LINE),
            (self.partials, slices if plan.waits else 0, statistics),
            (self.totals, team if plan.waits else 0, statistics),
            (self.sums, team if program.sparse else 0, program.operations[0].rows + LINE),
        )
        for vectors, count, _ in needed:
            if self.pointers is None or len(vectors) < count:
                break
        else:
            return 0
        self.pointers = None  # until all is there: a signal may raise in between, and some of it be enough next time
        for vectors, count, length in needed:
            while len(vectors) < count:
                vectors.append(zeros(length, program.dtype))
        self.pointers = [np.array([vector.ctypes.data for vector in vectors] + [0], np.uintp)
                         for vectors, _, _ in needed]
        plan.arenas = <void **> cnp.PyArray_DATA(self.pointers[0])
        plan.gradients = <void **> cnp.PyArray_DATA(self.pointers[1])
        plan.mailboxes = <void **> cnp.PyArray_DATA(self.pointers[2])
        plan.partials = <void **> cnp.PyArray_DATA(self.pointers[3])
        plan.totals = <void **> cnp.PyArray_DATA(self.pointers[4])
        plan.sums = <void **> cnp.PyArray_DATA(self.pointers[5])
        return 0
