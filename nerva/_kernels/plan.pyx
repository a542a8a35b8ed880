"""A network compiled into one C program: a step of it, and the memory that it works in."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memset

from .arrays cimport as_array, matrix, vector
from .batches cimport check_source, sample_source, take_moves
from .isa cimport (
    NERVA_BACKWARD_PASS, NERVA_FORWARD_PASS, NERVA_UINT8, NERVA_WHOLE_STEP, bfloat16_kernels, kernels,
    nerva_matrix, nerva_plan, nerva_table,
)
from .mkl cimport threads
from .program cimport Program
from .sparse_inputs cimport check_sparse_source
from .workspace cimport Workspace

from .slices import pays_to_share, row_stride, shares_rows, slices_of

cnp.import_array()

cdef class Plan:
    """A network as one program: `step` is for softmax cross-entropy, `begin` and `finish` for any other loss.

    Parameters
    ----------
    operations, dtype, bfloat16, sparse : as of Program
    by_rows : whether all threads share the rows of wide slices, see `slices_of`; None decides by batch and weights

    Raises TypeError or ValueError where an operation does not fit, RuntimeError where this processor has no kernels for
    bfloat16.
    """

    cdef nerva_plan plan
    cdef sample_source samples  # of the batch
    cdef Program program
    cdef int typenum
    cdef Workspace memory
    cdef dict slices
    cdef object by_rows, labels, per_sample, correct, pointers
    cdef readonly Py_ssize_t taken  # steps that have changed the parameters
    cdef bint busy
    cdef object unit_scale, no_shift  # of bytes that have none; None before the first of them
    cdef object begun  # what a step that is not finished reads; None where there is none
    cdef Py_ssize_t widest, stride
    cdef int team  # the most threads that take a step
    cdef int broken  # whether a value of the samples was found not to be finite

    def __init__(self, operations, dtype, by_rows=None, *, bfloat16=False, sparse=False):
        cdef Program program = Program(operations, dtype, bfloat16=bfloat16, sparse=sparse)
        self.program, self.slices, self.by_rows = program, {}, by_rows
        self._kernels()
        self.typenum = program.typenum
        self.memory = Workspace()
        self.labels, self.per_sample, self.correct = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        self.plan.operations, self.plan.count = program.operations, program.count
        self.plan.parameters, self.plan.parameter_count = program.parameters, program.parameter_count
        self.plan.waits = program.statistics_size > 0
        self.plan.first_trained, self.plan.scratch = program.first_trained, program.scratch
        self.plan.again = program.again

    cdef const nerva_table *_kernels(self) except NULL:
        return bfloat16_kernels() if self.program.bfloat16 else kernels(self.typenum)

    @property
    def nbytes(self):
        """The bytes that a step works in: activations of slices, and gradients."""
        return self.memory.nbytes

    cdef int _take_step(self, int passes, object nanoseconds, double clip_norm, bint check) except -1:
        """Set what a training step reads, all of it or the first of two passes."""
        self.plan.clip_norm = clip_norm
        self.broken, self.plan.broken, self.begun = 0, &self.broken if check else NULL, None
        self.plan.passes, self.plan.keeps = passes, self.plan.waits or passes != <int> NERVA_WHOLE_STEP
        self.plan.nanoseconds = NULL
        if nanoseconds is not None:
            phases = 3 + 2 * self.plan.count
            self.plan.nanoseconds = <int64_t *> vector(nanoseconds, "nanoseconds", cnp.NPY_INT64, phases, True)
        self._take_batch()
        return self._take_weights(True)

    cdef int _take_weights(self, bint training) except -1:
        """Set what depends on the weights, as they are now."""
        self.program.take_weights(training, self.plan.group_count == 1 and self.plan.clip_norm == 0)
        self.plan.masks = self.program.masks
        self.plan.updated_size = self.program.updated_size
        # A gradient that is complete with the first slice, in one part, is used where it is computed.
        stored = self.plan.slice_count > 1 or self.widest > self._kernels().widest_batch
        self.plan.gradient_size = self.program.gradient_size if stored else self.program.updated_size
        return 0

    cdef int _take_batch(self) except -1:
        """Set the pointers to the samples, and the slices of their batch."""
        cdef Py_ssize_t N = self.samples.N, j
        if N == 0:
            raise ValueError("rows is empty; there must be at least one sample")
        cdef Py_ssize_t weights = self.program.weight_count()
        by_rows = shares_rows(N, weights) if self.by_rows is None else self.by_rows
        self.team = 1 if self.by_rows is None and by_rows and not pays_to_share(N, weights) else threads()
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
        return self._take_source()

    cdef sample_source _samples(self, object source, object rows, object scale, object shift) except *:
        """The samples of a batch, checked."""
        if not self.program.sparse:
            return check_source(source, rows, self.program.features, scale, shift)
        if scale is not None or shift is not None:
            raise ValueError("scale and shift are for dense samples")
        return check_sparse_source(source, rows, self.program.features, self.typenum)

    cdef int _take_labels(self, object labels) except -1:
        """Copy the labels of the batch, checked: another thread may write to those of the user meanwhile."""
        cdef Py_ssize_t j, classes = self.program.outputs
        cdef Py_ssize_t count = as_array(labels, "labels").size if self.program.sparse else self.samples.count
        cdef const int64_t *given = <int64_t *> vector(labels, "labels", cnp.NPY_INT64, count)
        if len(self.labels) < self.samples.N:
            self.labels = np.zeros(self.samples.N, np.int64)
        cdef int64_t *own = <int64_t *> cnp.PyArray_DATA(self.labels)
        for j in range(self.samples.N):
            if not 0 <= self.samples.rows[j] < count:
                raise ValueError(f"rows[{j}] is {self.samples.rows[j]}; it must be within 0 to {count - 1}")
            own[j] = given[self.samples.rows[j]]
            if not 0 <= own[j] < classes:
                raise ValueError(f"labels[{self.samples.rows[j]}] is {own[j]}; it must be within 0 to {classes - 1}")
        self.plan.labels = own
        return 0

    cdef int _take_source(self) except -1:
        """Set the pointers to the samples."""
        cdef sample_source *samples = &self.samples
        self.plan.sparse = samples.sparse
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

    def step(self, updates, source, rows, labels, *, scale=None, shift=None, image_shape=None, moves=None,
             nanoseconds=None, double clip_norm=0.0, bint check=False):
        """Train on the samples source[rows]; return their mean loss before the step, and the correct predictions.

        updates : (update, velocity, second moment, born) of each vector of parameters, in the order of the operations
        source, rows, scale, shift, image_shape, moves : as of `batches.gather`; or source is a SparseBatch of these
            samples, without the others
        labels : int64 (samples of the source,), classes
        nanoseconds : int64 (3 + 2 operations,), to which the times of the first thread are added: gather, forward by
            operation, loss, backward by operation from the last one on, update
        clip_norm : the largest norm of all gradients together, by which they are scaled down; 0 does not
        check : return None, and update nothing, where a value of the samples is not finite in the dtype of the plan

        Raises TypeError or ValueError, before anything is changed, where an argument is wrong, and RuntimeError where
        it is called by what a step or a forward pass calls, such as the handler of a signal.
        """
        self._enter()
        try:
            return self._step(updates, source, rows, labels, scale, shift, image_shape, moves, nanoseconds, clip_norm,
                              check)
        finally:
            self.busy = False

    cdef int _enter(self) except -1:
        """Refuse a call from within another one, which has set half of the plan."""
        if self.busy:
            raise RuntimeError("the network is within a step; what interrupts it, such as a signal, must not use it")
        self.busy = True
        return 0

    cdef object _step(self, updates, source, rows, labels, scale, shift, image_shape, moves, nanoseconds,
                      double clip_norm, bint check):
        cdef Py_ssize_t j
        cdef double total = 0.0
        cdef int64_t correct = 0
        cdef const nerva_table *kernel = self._kernels()
        self.samples = self._samples(source, rows, scale, shift)
        self._take_labels(labels)
        take_moves(&self.samples, image_shape, moves)
        self._take_step(NERVA_WHOLE_STEP, nanoseconds, clip_norm, check)
        self.program.take_updates(updates)
        self.memory.take(&self.plan, self.program, self.stride, self.team, True)
        with nogil:
            memset(self.plan.correct, 0, self.plan.slice_count * sizeof(int64_t))
            kernel.plan_step(&self.plan, self.team)
            for j in range(self.plan.N):
                total += self.plan.per_sample[j]
            for j in range(self.plan.slice_count):
                correct += self.plan.correct[j]
        if self.broken:
            return None
        self.taken += 1
        return total / self.plan.N, correct

    def begin(self, source, rows, out, *, scale=None, shift=None, image_shape=None, moves=None, nanoseconds=None,
              double clip_norm=0.0, bint check=False):
        """Begin to train on the samples source[rows]: set out, (K, N), to their outputs, of which a loss is computed.

        Other arguments and errors as of `step`. Returns whether the values of the samples are finite, True without
        `check`; a step on others cannot be finished.
        """
        self._enter()
        try:
            return self._begin(source, rows, out, scale, shift, image_shape, moves, nanoseconds, clip_norm, check)
        finally:
            self.busy = False

    cdef bint _begin(self, source, rows, out, scale, shift, image_shape, moves, nanoseconds, double clip_norm,
                     bint check) except -1:
        cdef const nerva_table *kernel = self._kernels()
        self.samples = self._samples(source, rows, scale, shift)
        take_moves(&self.samples, image_shape, moves)
        self.plan.outputs = matrix(out, "out", self.typenum, self.program.outputs, self.samples.N, True)
        self._take_step(NERVA_FORWARD_PASS, nanoseconds, clip_norm, check)
        self.memory.take(&self.plan, self.program, self.stride, self.team, True)
        with nogil:
            kernel.plan_step(&self.plan, self.team)
        if not self.broken:
            self.begun = (source, rows, scale, shift, moves, nanoseconds)
        return not self.broken

    def finish(self, take_updates, DY):
        """Take the step that was begun, by the gradient of the loss by the outputs, DY (K, N).

        take_updates : returns the updates, as of `step`; called when all else has been checked

        Raises RuntimeError where no step was begun, or the network was used otherwise since, and TypeError or
        ValueError, before anything is changed, where an argument is wrong.
        """
        self._enter()
        try:
            self._finish(take_updates, DY)
        finally:
            self.busy = False

    cdef int _finish(self, take_updates, DY) except -1:
        cdef const nerva_table *kernel = self._kernels()
        if self.begun is None or not self.program.has_same_patterns():
            raise RuntimeError("the network was used or changed between the forward pass of a step and its backward "
                               "pass; a loss must not do that")
        self.plan.outputs = matrix(DY, "DY", self.typenum, self.program.outputs, self.plan.N)
        self.program.take_updates(take_updates())
        _held, self.begun = self.begun, None  # its arrays, until the pass is done
        self.plan.passes = NERVA_BACKWARD_PASS
        self.memory.take(&self.plan, self.program, self.stride, self.team, True)
        with nogil:
            kernel.plan_step(&self.plan, self.team)
        self.taken += 1
        return 0

    def forward(self, source, rows, out, *, scale=None, shift=None):
        """Set out, (K, N), to the outputs for the samples source[rows]; other arguments as of `step`.

        Returns whether the values of the samples are finite in the dtype of the plan.
        """
        self._enter()
        try:
            return self._forward(source, rows, out, scale, shift)
        finally:
            self.busy = False

    cdef bint _forward(self, source, rows, out, scale, shift) except -1:
        cdef const nerva_table *kernel = self._kernels()
        self.samples = self._samples(source, rows, scale, shift)
        cdef nerva_matrix y = matrix(out, "out", self.typenum, self.program.outputs, self.samples.N, True)
        self.broken, self.plan.broken, self.begun = 0, &self.broken, None
        self._take_batch()
        self._take_weights(False)
        self.team = threads()
        self.memory.take(&self.plan, self.program, self.stride, self.team, False)
        with nogil:
            kernel.plan_forward(&self.plan, self.team, y)
        return not self.broken
