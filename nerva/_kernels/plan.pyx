"""A network compiled into one C program: its layers, the memory that it works in, and the pointers to both."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free

from .arrays cimport check_activation, matrix, vector
from .batches cimport check_source, sample_source, take_moves
from .csr cimport CSR
from .isa cimport NERVA_UINT8, kernels, nerva_csr, nerva_matrix, nerva_plan, nerva_plan_layer, nerva_table
from .mkl cimport threads
from .updates cimport Update

from .memory import zeros

cnp.import_array()

cdef enum:
    UNIT = 8  # samples: slices begin at multiples of it
    WIDEST = 64  # samples of a slice, as plan.c has it
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


cdef Py_ssize_t padded(Py_ssize_t n) noexcept:
    """n rounded up to whole cache lines."""
    return (n + LINE - 1) // LINE * LINE


cdef class Plan:
    """A network of linear layers with fused activations, Y = f(W X + b), for softmax cross-entropy.

    Parameters
    ----------
    layers : for each layer (W, b, activation, alpha): a CSR or an array, (K, D); an array (K,) or None; a code of
        ACTIVATIONS and its parameter. They are used in place, not copied
    dtype : float32 or float64

    Raises TypeError or ValueError where a layer does not fit.
    """

    cdef nerva_plan plan
    cdef nerva_plan_layer *layers
    cdef nerva_csr *full  # of each dense layer: the pattern of all positions, and its transpose
    cdef int typenum
    cdef readonly object dtype
    cdef readonly list weights, biases
    cdef list sizes, held, arenas, gradients, mailboxes
    cdef dict slices
    cdef bint bytes  # whether the inputs stay the bytes of their source
    cdef object outputs, per_sample, correct, pointers, ones, zeros

    def __cinit__(self, layers, dtype):
        self.layers = <nerva_plan_layer *> calloc(len(layers), sizeof(nerva_plan_layer))
        self.full = <nerva_csr *> calloc(2 * len(layers), sizeof(nerva_csr))
        if self.layers == NULL or self.full == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.layers)
        free(self.full)

    def __init__(self, layers, dtype):
        cdef Py_ssize_t begin, widest, i
        self.dtype, self.slices, self.held = np.dtype(dtype), {}, []
        self.typenum = self.dtype.num
        self.arenas, self.gradients, self.mailboxes, self.sizes = [], [], [], []
        self.weights, self.biases = [layer[0] for layer in layers], [layer[1] for layer in layers]
        for i, (weight, bias, activation, alpha) in enumerate(layers):
            check_activation(activation)
            self.layers[i].activation, self.layers[i].alpha = activation, alpha
            if i and weight.shape[1] != self.weights[i - 1].shape[0]:
                raise ValueError(f"layers[{i}] has shape {weight.shape}; it must take {self.weights[i - 1].shape[0]}")
            if not isinstance(weight, CSR):
                matrix(weight, "weight", self.typenum, -1, -1)
                self._fill(i, weight.shape[0], weight.shape[1])
        begin, widest = 0, 0
        ends = []
        for weight in self.weights:
            ends.append(begin * WIDEST)
            begin += weight.shape[0]
            widest = max(widest, weight.shape[0])
        self.outputs = np.array(ends, np.int64)
        self.plan.outputs = <int64_t *> cnp.PyArray_DATA(self.outputs)
        self.plan.deltas[0], self.plan.deltas[1] = begin * WIDEST, (begin + widest) * WIDEST
        self.plan.inputs = (begin + 2 * widest) * WIDEST
        self.ones, self.zeros = np.ones(0, np.float32), np.zeros(0, np.float32)
        self.plan.layers, self.plan.layer_count = self.layers, len(layers)
        self.per_sample, self.correct = np.zeros(0), np.zeros(0, np.int64)

    cdef int _fill(self, Py_ssize_t i, Py_ssize_t K, Py_ssize_t D) except -1:
        """Set the pattern of a dense layer and its transpose, whose values are found by the permutation."""
        columns, rows = np.tile(np.arange(D, dtype=np.int32), K), np.tile(np.arange(K, dtype=np.int32), D)
        indptr, transposed_indptr = np.arange(K + 1, dtype=np.int32) * D, np.arange(D + 1, dtype=np.int32) * K
        permutation = np.ascontiguousarray(np.arange(K * D, dtype=np.int32).reshape(K, D).T).reshape(-1)
        cdef nerva_csr *direct = self.full + 2 * i
        cdef nerva_csr *transposed = direct + 1
        direct.rows, direct.cols, direct.nnz = K, D, K * D
        transposed.rows, transposed.cols, transposed.nnz = D, K, K * D
        direct.indptr, direct.indices = <int32_t *> cnp.PyArray_DATA(indptr), <int32_t *> cnp.PyArray_DATA(columns)
        transposed.indptr = <int32_t *> cnp.PyArray_DATA(transposed_indptr)
        transposed.indices = <int32_t *> cnp.PyArray_DATA(rows)
        transposed.permutation = <int32_t *> cnp.PyArray_DATA(permutation)
        self.held += [columns, rows, indptr, transposed_indptr, permutation]
        return 0

    cdef int _take_weights(self, bint training) except -1:
        """Set the pointers to weights and biases, and where their gradients begin, as they are now."""
        cdef Py_ssize_t i, end = 0
        cdef CSR W
        cdef nerva_plan_layer *layer
        sizes = []
        for i in range(len(self.weights)):
            layer, weight, bias = self.layers + i, self.weights[i], self.biases[i]
            if isinstance(weight, CSR):
                W = weight
                layer.W, layer.values = &W.direct, cnp.PyArray_DATA(W._values)
                layer.transposed = W.companion() if training and i else NULL
            else:
                layer.W, layer.transposed = self.full + 2 * i, self.full + 2 * i + 1
                layer.values = matrix(weight, "weight", self.typenum, layer.W.rows, layer.W.cols, True).data
                self.full[2 * i].values = self.full[2 * i + 1].values = layer.values
            layer.bias = NULL if bias is None else vector(bias, "bias", self.typenum, layer.W.rows, True)
            layer.gradient = end
            layer.bias_gradient = end + padded(layer.W.nnz)
            end = layer.bias_gradient + (0 if bias is None else padded(layer.W.rows))
            sizes.append(layer.W.nnz)
        self.plan.gradient_size = end
        if sizes != self.sizes:  # the first step, or weights that were rewired
            self.sizes, self.gradients, self.mailboxes = sizes, [], []
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
        self.bytes = samples.kind == NERVA_UINT8 and kernels(self.typenum).byte_inputs
        if self.bytes and (samples.scale == NULL or samples.shift == NULL):
            if self.ones.size == 0:
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
        cdef Py_ssize_t inputs = self.plan.features * WIDEST
        cdef Py_ssize_t arena = self.plan.inputs + (inputs // sizeof(float) if self.bytes else inputs)
        cdef Py_ssize_t groups = self.plan.group_count if training else 0
        cdef Py_ssize_t gradients = team if training and team > 1 else 0  # one thread adds up in the mailboxes
        if self.arenas and self.arenas[0].size < arena:
            self.arenas = []
        if len(self.arenas) >= team and len(self.gradients) >= gradients and len(self.mailboxes) >= groups:
            return 0
        while len(self.arenas) < team:
            self.arenas.append(zeros(arena, self.dtype))
        while len(self.gradients) < gradients:
            self.gradients.append(zeros(size, self.dtype))
        while len(self.mailboxes) < groups:
            self.mailboxes.append(zeros(size, self.dtype))
        self.pointers = [np.array([array.ctypes.data for array in arrays] + [0], np.uintp)
                         for arrays in (self.arenas, self.gradients, self.mailboxes)]
        self.plan.arenas = <void **> cnp.PyArray_DATA(self.pointers[0])
        self.plan.gradients = <void **> cnp.PyArray_DATA(self.pointers[1])
        self.plan.mailboxes = <void **> cnp.PyArray_DATA(self.pointers[2])
        return 0

    cdef int _take_updates(self, updates) except -1:
        """Set the rules of the updates, and the moments that they keep."""
        cdef Py_ssize_t i
        cdef Update update, bias_update
        cdef nerva_plan_layer *layer
        for i, (update, velocity, second, bias_update, bias_velocity, bias_second) in enumerate(updates):
            layer = self.layers + i
            layer.update = &update.how
            layer.velocity = moments(velocity, update.has_velocity, self.typenum, layer.W.nnz)
            layer.second = moments(second, update.has_second, self.typenum, layer.W.nnz)
            if layer.bias != NULL:
                layer.bias_update = &bias_update.how
                layer.bias_velocity = moments(bias_velocity, bias_update.has_velocity, self.typenum, layer.W.rows)
                layer.bias_second = moments(bias_second, bias_update.has_second, self.typenum, layer.W.rows)
        return 0

    def step(self, updates, source, rows, labels, *, scale=None, shift=None, image_shape=None, moves=None,
             nanoseconds=None):
        """Train on the samples source[rows]; return their mean loss before the step, and the correct predictions.

        updates : for each layer (update, velocity, second moment) of the weights and the same three of the bias
        source, rows, scale, shift, image_shape, moves : as of `batches.gather`
        labels : int64 (samples of the source,), classes
        nanoseconds : int64 (3 + 2 layers,), to which the times of the first thread are added: gather, forward by
            layer, loss, backward by layer, update

        Raises TypeError or ValueError, before anything is changed, where an argument is wrong.
        """
        cdef Py_ssize_t j, classes = self.weights[len(self.weights) - 1].shape[0]
        cdef double total = 0.0
        cdef int64_t correct = 0
        cdef int team = threads()
        cdef const nerva_table *kernel = kernels(self.typenum)
        cdef sample_source samples = check_source(source, rows, self.weights[0].shape[1], scale, shift)
        cdef const int64_t *label = <int64_t *> vector(labels, "labels", cnp.NPY_INT64, samples.count)
        take_moves(&samples, image_shape, moves)
        for j in range(samples.N):
            if not 0 <= label[samples.rows[j]] < classes:
                raise ValueError(f"labels[{samples.rows[j]}] is {label[samples.rows[j]]}; it must be within 0 to "
                                 f"{classes - 1}")
        self.plan.labels, self.plan.nanoseconds = label, NULL
        if nanoseconds is not None:
            self.plan.nanoseconds = <int64_t *> vector(nanoseconds, "nanoseconds", cnp.NPY_INT64,
                                                       3 + 2 * self.plan.layer_count, True)
        self._take_weights(True)
        self._take_updates(updates)
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
        cdef const nerva_table *kernel = kernels(self.typenum)
        cdef sample_source samples = check_source(source, rows, self.weights[0].shape[1], scale, shift)
        cdef nerva_matrix y = matrix(out, "out", self.typenum, self.weights[len(self.weights) - 1].shape[0], samples.N,
                                     True)
        self._take_weights(False)
        self._take_batch(&samples)
        self._take_memory(team, False)
        with nogil:
            kernel.plan_forward(&self.plan, team, y)


cdef void *moments(object array, bint needed, int typenum, Py_ssize_t n) except? NULL:
    """The data of what a rule keeps for each parameter, NULL where it keeps nothing."""
    return vector(array, "moments", typenum, n, True) if needed else NULL
