"""A network compiled into one C program: a step of it, and the memory that it works in."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memset

from .arrays cimport matrix, vector
from .batches cimport check_source, sample_source, take_moves
from .isa cimport NERVA_UINT8, bfloat16_kernels, kernels, nerva_matrix, nerva_plan, nerva_table
from .mkl cimport threads
from .program cimport Program

from .memory import zeros
from .slices import row_stride, shares_rows, slices_of

cnp.import_array()

cdef enum:
    LINE = 16  # entries of two cache lines of float64, and one of float32


cdef class Plan:
    """A network as one program, for softmax cross-entropy.

    Parameters
    ----------
    operations, dtype, bfloat16 : as of Program
    by_rows : whether all threads share the rows of wide slices, see `slices_of`; None decides by batch and weights

    Raises TypeError or ValueError where an operation does not fit, RuntimeError where this processor has no kernels for
    bfloat16.
    """

    cdef nerva_plan plan
    cdef Program program
    cdef int typenum
    cdef list arenas, gradients, mailboxes, partials, totals
    cdef dict slices
    cdef object by_rows, labels, per_sample, correct, pointers
    cdef readonly Py_ssize_t taken  # steps that have changed the parameters
    cdef bint busy
    cdef object unit_scale, no_shift  # of bytes that have none; None before the first of them
    cdef Py_ssize_t widest, stride, arena_size, gradient_size, parameters_size

    def __init__(self, operations, dtype, by_rows=None, *, bfloat16=False):
        cdef Program program = Program(operations, dtype, bfloat16=bfloat16)
        self.program, self.slices, self.by_rows = program, {}, by_rows
        self._kernels()
        self.typenum = program.typenum
        self.arenas, self.partials, self.totals = [], [], []
        self.gradients, self.mailboxes = [], []
        self.labels, self.per_sample, self.correct = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        self.plan.operations, self.plan.count = program.operations, program.count
        self.plan.parameters, self.plan.parameter_count = program.parameters, program.parameter_count
        self.plan.waits = program.statistics_size > 0
        self.plan.first_trained, self.plan.scratch = program.first_trained, program.scratch

    cdef const nerva_table *_kernels(self) except NULL:
        return bfloat16_kernels() if self.program.bfloat16 else kernels(self.typenum)

    @property
    def nbytes(self):
        """The bytes that a step works in: activations of slices, and gradients."""
        held = self.arenas, self.gradients, self.mailboxes, self.partials, self.totals
        return sum(vector.nbytes for vectors in held for vector in vectors)

    cdef int _take_weights(self, bint training) except -1:
        """Set what depends on the weights, as they are now."""
        self.program.take_weights(training, self.plan.group_count == 1)
        self.plan.masks = self.program.masks
        self.plan.updated_size = self.program.updated_size
        # A gradient that is complete with the first slice, in one part, is used where it is computed.
        stored = self.plan.slice_count > 1 or self.widest > self._kernels().widest_batch
        self.plan.gradient_size = self.program.gradient_size if stored else self.program.updated_size
        return 0

    cdef int _take_batch(self, sample_source *samples) except -1:
        """Set the pointers to the samples, and the slices of their batch."""
        cdef Py_ssize_t N = samples.N, j
        if N == 0:
            raise ValueError("rows is empty; there must be at least one sample")
        by_rows = shares_rows(N, self.program.weight_count()) if self.by_rows is None else self.by_rows
        slices = self.slices.get((N, by_rows))
        if slices is None:
            if len(self.slices) >= 64:
                self.slices.clear()
            columns, groups = slices_of(N, by_rows)
            strides = [row_stride(n, self.program.stored) for n in np.diff(columns).tolist()]
            slices = [np.array(part, np.int64) for part in (columns, groups, strides)]
            self.slices[N, by_rows] = slices
        columns, groups, strides = slices
        if len(self.per_sample) < N:
            self.per_sample, self.correct = np.zeros(N), np.zeros(N, np.int64)
        self.plan.N, self.plan.slice_count, self.plan.group_count = N, len(columns) - 1, len(groups) - 1
        self.plan.columns = <int64_t *> cnp.PyArray_DATA(columns)
        self.plan.groups = <int64_t *> cnp.PyArray_DATA(groups)
        self.plan.strides = <int64_t *> cnp.PyArray_DATA(strides)
        self.widest = self.stride = 0
        for j in range(self.plan.slice_count):
            self.widest = max(self.widest, self.plan.columns[j + 1] - self.plan.columns[j])
            self.stride = max(self.stride, self.plan.strides[j])
        self.plan.per_sample = <double *> cnp.PyArray_DATA(self.per_sample)
        self.plan.correct = <int64_t *> cnp.PyArray_DATA(self.correct)
        self._take_source(samples)
        return 0

    cdef int _take_labels(self, object labels, sample_source *samples) except -1:
        """Copy the labels of the batch, checked: another thread may write to those of the user meanwhile."""
        cdef const int64_t *given = <int64_t *> vector(labels, "labels", cnp.NPY_INT64, samples.count)
        cdef Py_ssize_t j, classes = self.program.outputs
        if len(self.labels) < samples.N:
            self.labels = np.zeros(samples.N, np.int64)
        cdef int64_t *own = <int64_t *> cnp.PyArray_DATA(self.labels)
        for j in range(samples.N):
            own[j] = given[samples.rows[j]]
            if not 0 <= own[j] < classes:
                raise ValueError(f"labels[{samples.rows[j]}] is {own[j]}; it must be within 0 to {classes - 1}")
        self.plan.labels = own
        return 0

    cdef int _take_source(self, sample_source *samples) except -1:
        """Set the pointers to the samples."""
        self.plan.source_type, self.plan.source, self.plan.stride = samples.kind, samples.data.data, samples.data.ld
        self.plan.features, self.plan.rows = samples.features, samples.rows
        self.plan.scale, self.plan.shift = samples.scale, samples.shift
        if samples.kind == NERVA_UINT8 and (samples.scale == NULL or samples.shift == NULL):
            if self.unit_scale is None:
                self.unit_scale = np.ones(samples.features, np.float32)
                self.no_shift = np.zeros(samples.features, np.float32)
            if samples.scale == NULL:
                self.plan.scale = <float *> cnp.PyArray_DATA(self.unit_scale)
            if samples.shift == NULL:
                self.plan.shift = <float *> cnp.PyArray_DATA(self.no_shift)
        self.plan.images = &samples.images if samples.moved else NULL
        return 0

    cdef int _outgrow(self, bint training) except -1:
        """Give memory back that is too small, and gradients of other weights than those of the last step."""
        cdef Py_ssize_t row = self.stride * self.program.stored  # bytes, and cache lines where there are two sizes
        cdef Py_ssize_t arena_size = self.program.scratch + self.program.arena_rows * row // self.program.dtype.itemsize
        if arena_size > self.arena_size:
            self.arena_size, self.arenas = arena_size, []
        if not training:
            return 0
        if self.parameters_size != self.program.gradient_size or self.plan.gradient_size > self.gradient_size:
            self.parameters_size, self.gradient_size = self.program.gradient_size, self.plan.gradient_size
            self.gradients, self.mailboxes = [], []
        return 0

    cdef int _take_memory(self, int team, bint training) except -1:
        """Allocate, the first time, what a team of threads works in."""
        cdef Py_ssize_t slices = self.plan.slice_count if training and self.plan.waits else 0
        cdef Py_ssize_t crews = min(team, self.plan.group_count), statistics = self.program.statistics_size
        self._outgrow(training)
        needed = (
            (self.arenas, max(crews, slices), self.arena_size),
            (self.gradients, crews if training and crews > 1 else 0, self.gradient_size + LINE),
            (self.mailboxes, self.plan.group_count if training else 0, self.gradient_size + LINE),
            (self.partials, slices, statistics),
            (self.totals, team if self.plan.waits else 0, statistics),
        )
        for vectors, count, _ in needed:
            if len(vectors) < count:
                break
        else:
            return 0
        for vectors, count, length in needed:
            while len(vectors) < count:
                vectors.append(zeros(length, self.program.dtype))
        self.pointers = [np.array([vector.ctypes.data for vector in vectors] + [0], np.uintp)
                         for vectors, _, _ in needed]
        self.plan.arenas = <void **> cnp.PyArray_DATA(self.pointers[0])
        self.plan.gradients = <void **> cnp.PyArray_DATA(self.pointers[1])
        self.plan.mailboxes = <void **> cnp.PyArray_DATA(self.pointers[2])
        self.plan.partials = <void **> cnp.PyArray_DATA(self.pointers[3])
        self.plan.totals = <void **> cnp.PyArray_DATA(self.pointers[4])
        return 0

    def step(self, updates, source, rows, labels, *, scale=None, shift=None, image_shape=None, moves=None,
             nanoseconds=None, bint check=False):
        """Train on the samples source[rows]; return their mean loss before the step, and the correct predictions.

        updates : (update, velocity, second moment) of each vector of parameters, in the order of the operations
        source, rows, scale, shift, image_shape, moves : as of `batches.gather`
        labels : int64 (samples of the source,), classes
        nanoseconds : int64 (3 + 2 operations,), to which the times of the first thread are added: gather, forward by
            operation, loss, backward by operation from the last one on, update
        check : return None, and update nothing, where a value of the samples is not finite in the dtype of the plan

        Raises TypeError or ValueError, before anything is changed, where an argument is wrong, and RuntimeError where
        it is called by what a step or a forward pass calls, such as the handler of a signal.
        """
        self._begin()
        try:
            return self._step(updates, source, rows, labels, scale, shift, image_shape, moves, nanoseconds, check)
        finally:
            self.busy = False

    cdef int _begin(self) except -1:
        """Refuse a call from within another one, which has set half of the plan."""
        if self.busy:
            raise RuntimeError("the network is within a step; what interrupts it, such as a signal, must not use it")
        self.busy = True
        return 0

    cdef object _step(self, updates, source, rows, labels, scale, shift, image_shape, moves, nanoseconds, bint check):
        cdef int broken = 0
        cdef Py_ssize_t j
        cdef double total = 0.0
        cdef int64_t correct = 0
        cdef int team = threads()
        cdef const nerva_table *kernel = self._kernels()
        cdef sample_source samples = check_source(source, rows, self.program.features, scale, shift)
        self._take_labels(labels, &samples)
        take_moves(&samples, image_shape, moves)
        self.plan.nanoseconds, self.plan.broken = NULL, &broken if check else NULL
        if nanoseconds is not None:
            self.plan.nanoseconds = <int64_t *> vector(nanoseconds, "nanoseconds", cnp.NPY_INT64,
                                                       3 + 2 * self.plan.count, True)
        self._take_batch(&samples)
        self._take_weights(True)
        self.program.take_updates(updates)
        self._take_memory(team, True)
        with nogil:
            memset(self.plan.correct, 0, self.plan.slice_count * sizeof(int64_t))
            kernel.plan_step(&self.plan, team)
            for j in range(self.plan.N):
                total += self.plan.per_sample[j]
            for j in range(self.plan.slice_count):
                correct += self.plan.correct[j]
        if broken:
            return None
        self.taken += 1
        return total / samples.N, correct

    def forward(self, source, rows, out, *, scale=None, shift=None):
        """Set out, (K, N), to the outputs for the samples source[rows]; other arguments as of `step`.

        Returns whether the values of the samples are finite in the dtype of the plan.
        """
        self._begin()
        try:
            return self._forward(source, rows, out, scale, shift)
        finally:
            self.busy = False

    cdef bint _forward(self, source, rows, out, scale, shift) except -1:
        cdef int broken = 0, team = threads()
        cdef const nerva_table *kernel = self._kernels()
        cdef sample_source samples = check_source(source, rows, self.program.features, scale, shift)
        cdef nerva_matrix y = matrix(out, "out", self.typenum, self.program.outputs, samples.N, True)
        self._take_batch(&samples)
        self._take_weights(False)
        self._take_memory(team, False)
        self.plan.broken = &broken
        with nogil:
            kernel.plan_forward(&self.plan, team, y)
        return not broken
