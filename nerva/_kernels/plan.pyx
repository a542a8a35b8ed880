"""A network compiled into one C program: a step of it, and the memory that it works in."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

from .arrays cimport matrix, vector
from .batches cimport check_source, sample_source, take_moves
from .isa cimport NERVA_UINT8, bfloat16_kernels, kernels, nerva_matrix, nerva_plan, nerva_table
from .mkl cimport threads
from .program cimport Program

from .memory import zeros

cnp.import_array()

cdef enum:
    UNIT = 8  # samples: slices begin at multiples of it
    WIDEST = 64  # samples of a slice, as plan.h has it
    MOST_GROUPS = 8
    LINE = 16  # entries of two cache lines of float64, and one of float32


def slices_of(Py_ssize_t N):
    """Return where the slices of a batch of N begin and end, and where the groups of slices do.

    They depend on N alone, so that results do not depend on the number of threads.

    >>> slices_of(100)
    ([0, 48, 100], [0, 1, 2])
    """
    cdef Py_ssize_t units = (N + UNIT - 1) // UNIT, count = (N + WIDEST - 1) // WIDEST
    columns = [min(units * s // count * UNIT, N) for s in range(count + 1)]
    groups = min(count, MOST_GROUPS)
    return columns, [count * g // groups for g in range(groups + 1)]


cdef class Plan:
    """A network as one program, for softmax cross-entropy.

    Parameters
    ----------
    operations, dtype, bfloat16 : as of Program

    Raises TypeError or ValueError where an operation does not fit, RuntimeError where this processor has no kernels for
    bfloat16.
    """

    cdef nerva_plan plan
    cdef Program program
    cdef int typenum
    cdef list arenas, gradients, mailboxes
    cdef dict slices
    cdef object per_sample, correct, pointers
    cdef object ones, zeros  # scale and shift of bytes that have none; None before the first of them
    cdef Py_ssize_t gradient_size

    def __init__(self, operations, dtype, *, bfloat16=False):
        cdef Program program = Program(operations, dtype, bfloat16=bfloat16)
        self.program, self.slices = program, {}
        self._kernels()
        self.typenum = program.typenum
        self.arenas, self.gradients, self.mailboxes, self.gradient_size = [], [], [], 0
        self.per_sample, self.correct = np.zeros(0), np.zeros(0, np.int64)
        self.plan.operations, self.plan.count = program.operations, program.count
        self.plan.parameters, self.plan.parameter_count = program.parameters, program.parameter_count
        self.plan.first_trained, self.plan.scratch = program.first_trained, program.scratch

    cdef const nerva_table *_kernels(self) except NULL:
        return bfloat16_kernels() if self.program.bfloat16 else kernels(self.typenum)

    cdef int _take_weights(self, bint training) except -1:
        """Set what depends on the weights, as they are now."""
        self.program.take_weights(training)
        self.plan.masks = self.program.masks
        self.plan.gradient_size = self.program.gradient_size
        if self.gradient_size != self.program.gradient_size:  # the first step, or weights that were rewired
            self.gradient_size, self.gradients, self.mailboxes = self.program.gradient_size, [], []
        return 0

    cdef int _take_batch(self, sample_source *samples) except -1:
        """Set the pointers to the samples, and the slices of their batch."""
        cdef Py_ssize_t N = samples.N
        if N == 0:
            raise ValueError("rows is empty; there must be at least one sample")
        slices = self.slices.get(N)
        if slices is None:
            if len(self.slices) >= 64:
                self.slices.clear()
            slices = self.slices[N] = [np.array(part, np.int64) for part in slices_of(N)]
        if len(self.per_sample) < N:
            self.per_sample, self.correct = np.zeros(N), np.zeros(N, np.int64)
        self.plan.N, self.plan.slice_count, self.plan.group_count = N, len(slices[0]) - 1, len(slices[1]) - 1
        self.plan.columns, self.plan.groups = (
            <int64_t *> cnp.PyArray_DATA(slices[0]), <int64_t *> cnp.PyArray_DATA(slices[1])
        )
        self.plan.per_sample = <double *> cnp.PyArray_DATA(self.per_sample)
        self.plan.correct = <int64_t *> cnp.PyArray_DATA(self.correct)
        self.plan.source_type, self.plan.source, self.plan.stride = samples.kind, samples.data.data, samples.data.ld
        self.plan.features, self.plan.rows = samples.features, samples.rows
        self.plan.scale, self.plan.shift = samples.scale, samples.shift
        if samples.kind == NERVA_UINT8 and (samples.scale == NULL or samples.shift == NULL):
            if self.ones is None:
                self.ones, self.zeros = np.ones(samples.features, np.float32), np.zeros(samples.features, np.float32)
            if samples.scale == NULL:
                self.plan.scale = <float *> cnp.PyArray_DATA(self.ones)
            if samples.shift == NULL:
                self.plan.shift = <float *> cnp.PyArray_DATA(self.zeros)
        self.plan.images = &samples.images if samples.moved else NULL
        return 0

    cdef int _take_memory(self, int team, bint training) except -1:
        """Allocate, the first time, what a team of threads works in."""
        cdef Py_ssize_t size = self.plan.gradient_size + LINE
        cdef Py_ssize_t groups = self.plan.group_count if training else 0
        cdef Py_ssize_t gradients = team if training and team > 1 else 0  # one thread adds up in the mailboxes
        if len(self.arenas) >= team and len(self.gradients) >= gradients and len(self.mailboxes) >= groups:
            return 0
        while len(self.arenas) < team:
            self.arenas.append(zeros(self.program.arena_size, np.uint8))
        while len(self.gradients) < gradients:
            self.gradients.append(zeros(size, self.program.dtype))
        while len(self.mailboxes) < groups:
            self.mailboxes.append(zeros(size, self.program.dtype))
        self.pointers = [np.array([array.ctypes.data for array in arrays] + [0], np.uintp)
                         for arrays in (self.arenas, self.gradients, self.mailboxes)]
        self.plan.arenas = <void **> cnp.PyArray_DATA(self.pointers[0])
        self.plan.gradients = <void **> cnp.PyArray_DATA(self.pointers[1])
        self.plan.mailboxes = <void **> cnp.PyArray_DATA(self.pointers[2])
        return 0

    def step(self, updates, source, rows, labels, *, scale=None, shift=None, image_shape=None, moves=None,
             nanoseconds=None):
        """Train on the samples source[rows]; return their mean loss before the step, and the correct predictions.

        updates : (update, velocity, second moment) of each vector of parameters, in the order of the operations
        source, rows, scale, shift, image_shape, moves : as of `batches.gather`
        labels : int64 (samples of the source,), classes
        nanoseconds : int64 (3 + 2 operations,), to which the times of the first thread are added: gather, forward by
            operation, loss, backward by operation from the last one on, update

        Raises TypeError or ValueError, before anything is changed, where an argument is wrong.
        """
        cdef Py_ssize_t j, classes = self.program.outputs
        cdef double total = 0.0
        cdef int64_t correct = 0
        cdef int team = threads()
        cdef const nerva_table *kernel = self._kernels()
        cdef sample_source samples = check_source(source, rows, self.program.features, scale, shift)
        cdef const int64_t *label = <int64_t *> vector(labels, "labels", cnp.NPY_INT64, samples.count)
        take_moves(&samples, image_shape, moves)
        for j in range(samples.N):
            if not 0 <= label[samples.rows[j]] < classes:
                raise ValueError(f"labels[{samples.rows[j]}] is {label[samples.rows[j]]}; it must be within 0 to "
                                 f"{classes - 1}")
        self.plan.labels, self.plan.nanoseconds = label, NULL
        if nanoseconds is not None:
            self.plan.nanoseconds = <int64_t *> vector(nanoseconds, "nanoseconds", cnp.NPY_INT64,
                                                       3 + 2 * self.plan.count, True)
        self._take_weights(True)
        self.program.take_updates(updates)
        self._take_batch(&samples)
        self._take_memory(team, True)
        with nogil:
            kernel.plan_step(&self.plan, team)
            for j in range(self.plan.N):
                total += self.plan.per_sample[j]
            for j in range(self.plan.slice_count):
                correct += self.plan.correct[j]
        return total / samples.N, correct

    def forward(self, source, rows, out, *, scale=None, shift=None):
        """Set out, (K, N), to the outputs for the samples source[rows]; other arguments as of `step`."""
        cdef int team = threads()
        cdef const nerva_table *kernel = self._kernels()
        cdef sample_source samples = check_source(source, rows, self.program.features, scale, shift)
        cdef nerva_matrix y = matrix(out, "out", self.typenum, self.program.outputs, samples.N, True)
        self._take_weights(False)
        self._take_batch(&samples)
        self._take_memory(team, False)
        with nogil:
            kernel.plan_forward(&self.plan, team, y)
