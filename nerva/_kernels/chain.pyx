"""Sparse layers one after another for tensors of PyTorch: a call for their forward pass, and one for all gradients.

This module does not import PyTorch: it asks the tensors that it is given for their memory, and has them make others.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t, uintptr_t

from .arrays cimport check_activation
from .csr cimport CSR
from .isa cimport NERVA_IDENTITY, kernels, nerva_csr, nerva_matrix, nerva_table
from .mkl cimport threads

cnp.import_array()

cdef extern from "chain.h" nogil:
    ctypedef struct nerva_link:
        nerva_csr W, transposed
        const void *bias
        int activation
        double alpha
        void *dW
        void *db

    ctypedef struct nerva_samples:
        void *data
        int64_t ld
        bint by_sample

    ctypedef struct nerva_chain:
        const nerva_link *links
        int64_t count, N
        bint in_slices
        nerva_samples X, DY
        nerva_matrix Y, DX
        void *tape
        void *deltas

    int64_t nerva_slice_count(int64_t N)
    int64_t nerva_slice_first(int64_t N, int64_t s, int64_t count)
    int64_t nerva_row_stride(int64_t n, int64_t size)
    int64_t nerva_strides(int64_t N, int64_t end, int64_t count, int64_t size)

cdef enum:
    MOST_LINKS = 32

MOST = MOST_LINKS  # products of a chain


cdef inline void *address(object tensor) except? NULL:
    return <void *> <uintptr_t> tensor.data_ptr()


cdef class Chain:
    """Y = f(W X + b), for one pattern of weights after another; it keeps nothing of a pass, many threads may use it.

    Parameters
    ----------
    matrices : CSR matrices, of which only the patterns are read; each takes as many features as that before it gives
    activations : for each, its code of ACTIVATIONS and the parameter

    Tensors are strided ones of the CPU, of one dtype, that of the matrices: a batch is (N, features), weights are
    (nnz,), biases (K,) or None. Raises ValueError where sizes do not fit.
    """

    cdef readonly tuple matrices
    cdef tuple activations
    cdef readonly Py_ssize_t features, outputs
    cdef Py_ssize_t between  # the outputs of all products but the last
    cdef Py_ssize_t count
    cdef int typenum
    cdef int64_t size  # bytes of an element
    cdef readonly bint reads_outputs  # in the backward pass

    def __init__(self, matrices, activations):
        cdef CSR W, before = None
        self.matrices, self.activations = tuple(matrices), tuple(activations)
        self.count = len(self.matrices)
        if not 1 <= self.count <= MOST_LINKS or len(self.activations) != self.count:
            raise ValueError(f"matrices has {self.count} entries; it must have 1 to {MOST_LINKS}, as activations has")
        for W, (code, _) in zip(self.matrices, self.activations):
            check_activation(code)
            if before is not None and (before.rows != W.columns or before.typenum != W.typenum):
                raise ValueError(f"{W!r} does not take what {before!r} gives")
            before = W
        self.features, self.outputs = self.matrices[0].columns, before.rows
        self.between = sum([W.rows for W in self.matrices]) - before.rows
        self.typenum, self.size = before.typenum, before.dtype.itemsize
        self.reads_outputs = self.activations[self.count - 1][0] != NERVA_IDENTITY

    cdef object checked(self, object tensor, nerva_samples *samples, Py_ssize_t N, Py_ssize_t features):
        """Set where a batch (N, features) lies; return the tensor that holds it, a copy where it must be one."""
        cdef int64_t across, along
        across, along = tensor.stride()
        samples.by_sample = False
        if N == 1 and (along == 1 or features == 1):
            samples.ld = 1
        elif N > 1 and across == 1 and (along >= N or features == 1):
            samples.ld = max(along, N)
        else:
            if not (along == 1 or features == 1) or across < features:
                tensor = tensor.contiguous()
                across = features
            samples.by_sample = N > 1
            samples.ld = across if samples.by_sample else 1
        samples.data = address(tensor)
        return tensor

    cdef int take(self, nerva_link *links, object values, object biases, bint transposed) except -1:
        """Set the parameters, and with `transposed` what a gradient needs to pass on to the first inputs."""
        cdef CSR W
        cdef Py_ssize_t i
        for i in range(self.count):
            W = self.matrices[i]
            if values[i].numel() != W.nnz:
                raise ValueError(f"values has {values[i].numel()} entries; the pattern of the layer has {W.nnz}")
            links[i].W = W.direct
            links[i].W.values = address(values[i])
            if transposed or i > 0:
                links[i].transposed = W.companion()[0]
                links[i].transposed.values = links[i].W.values
            links[i].bias = links[i].dW = links[i].db = NULL
            if biases is not None and biases[i] is not None:
                if biases[i].numel() != W.rows:
                    raise ValueError(f"bias has {biases[i].numel()} entries; there must be {W.rows}")
                links[i].bias = address(biases[i])
            links[i].activation, links[i].alpha = self.activations[i]
        return 0

    cdef int64_t pitch(self, Py_ssize_t N, bint in_slices) noexcept:
        """Elements of a row of all slices."""
        return nerva_strides(N, nerva_slice_count(N) if in_slices else 1, nerva_slice_count(N) if in_slices else 1,
                             self.size)

    cdef object batch(self, object like, Py_ssize_t N, Py_ssize_t features, nerva_matrix *to):
        """Make a batch (N, features) that lies features first."""
        to.ld = nerva_row_stride(N, self.size)
        tensor = like.new_empty_strided((N, features), (1, to.ld))
        to.data = address(tensor)
        return tensor

    def forward(self, x, values, biases):
        """Return the outputs for x, (N, features), N > 0, and what `backward` needs: x or None, a tape (size,) or None.

        What a tape has of x is a copy.
        """
        cdef nerva_link links[MOST_LINKS]
        cdef nerva_chain chain
        cdef const nerva_table *kernel = kernels(self.typenum)
        cdef Py_ssize_t N = x.size(0)
        x = self.checked(x, &chain.X, N, self.features)
        self.take(links, values, biases, False)
        chain.links, chain.count, chain.N = links, self.count, N
        chain.in_slices = chain.X.by_sample or self.count > 1
        cdef int64_t rows = self.between + (self.features if chain.X.by_sample else 0)
        tape = None
        chain.tape = NULL
        if rows:
            tape = x.new_empty(rows * self.pitch(N, chain.in_slices))
            chain.tape = address(tape)
        y = self.batch(x, N, self.outputs, &chain.Y)
        with nogil:
            kernel.chain_forward(&chain, threads())
        return y, (None if chain.X.by_sample else x), tape

    def backward(self, gradient, x, tape, y, values, bint needs_x, needs_values, needs_biases):
        """Return the gradients of x, of all values and of all biases, None where not needed, and what is between.

        gradient : (N, K), of the outputs y, which are read only where `reads_outputs`
        x, tape : as `forward` returned them
        """
        cdef nerva_link links[MOST_LINKS]
        cdef nerva_chain chain
        cdef const nerva_table *kernel = kernels(self.typenum)
        cdef Py_ssize_t i, N = gradient.size(0)
        cdef nerva_samples samples
        chain.links, chain.count, chain.N = links, self.count, N
        gradient = self.checked(gradient, &chain.DY, N, self.outputs)
        chain.X.data, chain.X.ld, chain.X.by_sample = NULL, 0, x is None
        if x is not None:
            x = self.checked(x, &chain.X, N, self.features)
        chain.in_slices = chain.X.by_sample or self.count > 1
        chain.tape = NULL if tape is None else address(tape)
        chain.Y.data, chain.Y.ld = NULL, 0
        if self.reads_outputs:
            y = self.checked(y, &samples, N, self.outputs)
            if samples.by_sample:
                y = y.t().contiguous().t()
                samples.data, samples.ld = address(y), N
            chain.Y.data, chain.Y.ld = samples.data, samples.ld
        self.take(links, values, None, needs_x)
        cdef bint own = self.reads_outputs or chain.DY.by_sample
        cdef int64_t rows = self.between + (self.outputs if own else 0)
        deltas, dx, dW, db = None, None, [None] * self.count, [None] * self.count
        if rows:
            deltas = gradient.new_empty(rows * self.pitch(N, chain.in_slices))
            chain.deltas = address(deltas)
        chain.DX.data, chain.DX.ld = NULL, 0
        if needs_x:
            dx = self.batch(gradient, N, self.features, &chain.DX)
        for i in range(self.count):
            if needs_values[i]:
                dW[i] = gradient.new_empty(links[i].W.nnz)
                links[i].dW = address(dW[i])
            if needs_biases[i]:
                db[i] = gradient.new_empty(links[i].W.rows)
                links[i].db = address(db[i])
        with nogil:
            kernel.chain_backward(&chain, threads())
        return dx, dW, db, deltas

    def between_layers(self, tape, Py_ssize_t N, bint has_inputs, Py_ssize_t i):
        """Return a copy of what a tape has of the inputs of product i, (N, features), features first in memory.

        has_inputs : whether the tape begins with the inputs of the first product
        """
        cdef Py_ssize_t j, row = self.features if has_inputs else 0
        cdef Py_ssize_t rows = self.between + row
        for j in range(i - 1):
            row += self.matrices[j].rows
        return self.unsliced(tape, N, rows, row if i > 0 else 0, self.matrices[i].columns)

    cdef object unsliced(self, object memory, Py_ssize_t N, Py_ssize_t rows, Py_ssize_t row, Py_ssize_t features):
        """A copy of a matrix of all slices."""
        cdef nerva_matrix whole
        cdef int64_t s, first, n, ld, count = nerva_slice_count(N)
        copied = self.batch(memory, N, features, &whole)
        for s in range(count):
            first, n = nerva_slice_first(N, s, count), nerva_slice_first(N, s + 1, count)
            n -= first
            ld = nerva_row_stride(n, self.size)
            at = rows * nerva_strides(N, s, count, self.size) + row * ld + memory.storage_offset()
            copied[first:first + n].copy_(memory.as_strided((n, features), (1, ld), at))
        return copied
