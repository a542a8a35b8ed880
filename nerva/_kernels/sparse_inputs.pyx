"""Mini-batches of sparse samples, and a linear layer's products with them."""

import threading
from operator import index

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t

from .arrays cimport apart, as_array, check_activation, matrix, vector
from .arrays cimport row as one_row
from .csr cimport CSR
from .isa cimport kernels, nerva_csr, nerva_matrix, nerva_table
from .mkl cimport threads

from .memory import empty_batch, empty_vector

cnp.import_array()

cdef Py_ssize_t LARGEST = 2**31 - 1

ctypedef fused place:
    int32_t
    int64_t

ctypedef fused number:
    uint8_t
    float
    double

ctypedef fused real:
    float
    double


cdef class SparseBatch:
    """Some samples of sparse data, as the first layer of a network takes them: a matrix (D, N) of entries alone.

    Its memory is used again for the next batch.

    Parameters
    ----------
    features : D, 1 to 2**31 - 1
    dtype : float32 or float64, of the entries
    samples, entries : how many to make room for; more room is made when it is needed

    `gather` fills it, `from_scipy` makes a full one. Raises TypeError for a wrong dtype, ValueError for a number out of
    range.
    """

    cdef readonly Py_ssize_t features, batch, nnz
    cdef readonly object dtype
    cdef object lock  # held while the entries are read or written
    cdef int typenum
    cdef bint _turned
    cdef cnp.ndarray _indptr, _indices, _values  # by sample: a matrix (N, D)
    cdef cnp.ndarray _rows_of, _features, _starts, _samples, _by_feature  # by feature: (features that occur, N)
    cdef nerva_csr direct, transposed

    def __init__(self, features, dtype, samples=0, entries=0):
        if self.lock is not None:
            raise RuntimeError("a SparseBatch is made once; make another one, or gather other samples into it")
        dtype = np.dtype(dtype)
        if dtype != np.float32 and dtype != np.float64:
            raise TypeError(f"dtype is {dtype}; it must be float32 or float64")
        for name, value, least in (("features", features, 1), ("samples", samples, 0), ("entries", entries, 0)):
            if not least <= index(value) <= LARGEST:
                raise ValueError(f"{name} is {value}; it must be within {least} to {LARGEST}")
        self.features, self.batch, self.nnz, self.dtype = features, 0, 0, np.dtype(dtype.type)
        self.typenum = self.dtype.num
        self.lock = threading.Lock()
        self.make_room(samples, entries)
        (<int32_t *> self.direct.indptr)[0] = 0

    @property
    def shape(self):
        """(D, N): features, samples."""
        return (self.features, self.batch)

    @property
    def nbytes(self):
        """The bytes held."""
        arrays = (self._indptr, self._indices, self._values, self._rows_of, self._features, self._starts, self._samples,
                  self._by_feature)
        return sum(array.nbytes for array in arrays if array is not None)

    def to_dense(self):
        """Return the samples as an array (D, N), aligned as batches are."""
        dense = empty_batch(self.features, self.batch, self.dtype)
        with self.lock:
            dense[:] = 0
            samples = np.repeat(np.arange(self.batch), np.diff(self._indptr[:self.batch + 1]))
            np.add.at(dense, (self._indices[:self.nnz], samples), self._values[:self.nnz])
        return dense

    def __repr__(self):
        return f"<SparseBatch {self.features} x {self.batch}, {self.nnz} entries, {self.dtype}>"

    cdef int make_room(self, Py_ssize_t samples, Py_ssize_t entries) except -1:
        """Hold nothing, and have room for so many samples and entries."""
        self.batch = self.nnz = 0
        self._turned = False
        if self._indptr is None or len(self._indptr) < samples + 1:
            self._indptr = empty_vector(samples + 1, np.int32)
        if self._indices is None or len(self._indices) < entries:
            self._values = empty_vector(max(entries, 1), self.dtype)
            self._indices = empty_vector(max(entries, 1), np.int32)
        self.direct = nerva_csr(0, self.features, 0, <int32_t *> cnp.PyArray_DATA(self._indptr),
                                <int32_t *> cnp.PyArray_DATA(self._indices), NULL, cnp.PyArray_DATA(self._values))
        return 0

    def gather(self, indptr, indices, values, rows):
        """Hold samples `rows` of data in compressed sparse rows, in this order, in place of what was held.

        Shapes: indptr int64 (samples + 1,), sample i has entries indptr[i] to indptr[i + 1] - 1; indices int32 or int64
        and values uint8, float32 or float64, both (entries,); rows int64 (N,). The features of a sample may stand in
        any order, and repeatedly: then their values add up. Raises ValueError, before anything is changed, where rows,
        indptr or indices (of these samples) leave their range.
        """
        cdef Py_ssize_t N = as_array(rows, "rows").size, count = as_array(indptr, "indptr").size - 1
        cdef Py_ssize_t entries = as_array(indices, "indices").size, n, total = 0
        cdef const int64_t *row = <int64_t *> vector(rows, "rows", cnp.NPY_INT64, N)
        cdef const int64_t *start = <int64_t *> vector(indptr, "indptr", cnp.NPY_INT64, count + 1)
        cdef int source = cnp.PyArray_TYPE(as_array(values, "values"))
        cdef bint wide = cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(indices), cnp.NPY_INT64)
        cdef const void *feature = vector(indices, "indices", cnp.NPY_INT64 if wide else cnp.NPY_INT32, entries)
        if source != cnp.NPY_UINT8 and source != cnp.NPY_FLOAT32 and source != cnp.NPY_FLOAT64:
            raise TypeError(f"values has dtype {values.dtype}; it must be uint8, float32 or float64")
        cdef const void *value = vector(values, "values", source, entries)
        cdef Py_ssize_t bad
        cdef int32_t *to
        cdef void *numbers
        for n in range(N):
            if not 0 <= row[n] < count:
                raise ValueError(f"rows[{n}] is {row[n]}; it must be within 0 to {count - 1}")
            if not 0 <= start[row[n]] <= start[row[n] + 1] <= entries:
                raise ValueError(f"indptr[{row[n] + 1}] is {start[row[n] + 1]} after {start[row[n]]}; it must ascend "
                                 f"from 0 to at most {entries}")
            total += start[row[n] + 1] - start[row[n]]
        if total > LARGEST or N > LARGEST:
            raise ValueError(f"rows holds {N} samples of {total} entries; a batch has at most {LARGEST} of each")
        with nogil:
            if wide:
                bad = out_of_range(<const int64_t *> feature, start, row, N, self.features)
            else:
                bad = out_of_range(<const int32_t *> feature, start, row, N, self.features)
        if bad >= 0:
            raise ValueError(f"indices[{bad}] is {indices[bad]}; it must be within 0 to {self.features - 1}")
        with self.lock:
            self.make_room(N, total)
            to, numbers = <int32_t *> self.direct.indices, <void *> self.direct.values
            with nogil:
                copy_starts(start, row, N, <int32_t *> self.direct.indptr)
                if wide:
                    copy_entries(<const int64_t *> feature, start, row, N, to)
                else:
                    copy_entries(<const int32_t *> feature, start, row, N, to)
                if source == cnp.NPY_UINT8:
                    copy_values(<const uint8_t *> value, start, row, N, self.typenum, numbers)
                elif source == cnp.NPY_FLOAT32:
                    copy_values(<const float *> value, start, row, N, self.typenum, numbers)
                else:
                    copy_values(<const double *> value, start, row, N, self.typenum, numbers)
            self.batch = self.direct.rows = N
            self.nnz = self.direct.nnz = total

    cdef int turn(self) except -1:
        """Order the entries by feature, unless they are; the lock is held."""
        if self._turned:
            return 0
        cdef Py_ssize_t room = min(len(self._indices), self.features)
        if self._rows_of is None:
            self._rows_of = empty_vector(self.features, np.int32)
            self._rows_of[:] = -1
        if self._features is None or len(self._features) < room:
            self._features, self._starts = empty_vector(room, np.int32), empty_vector(room + 1, np.int32)
        if self._samples is None or len(self._samples) < len(self._indices):
            self._samples = empty_vector(len(self._indices), np.int32)
            self._by_feature = empty_vector(len(self._indices), self.dtype)
        cdef int32_t *rows_of = <int32_t *> cnp.PyArray_DATA(self._rows_of)
        cdef int32_t *features = <int32_t *> cnp.PyArray_DATA(self._features)
        cdef int32_t *starts = <int32_t *> cnp.PyArray_DATA(self._starts)
        cdef int32_t *samples = <int32_t *> cnp.PyArray_DATA(self._samples)
        cdef void *by_feature = cnp.PyArray_DATA(self._by_feature)
        cdef Py_ssize_t count
        with nogil:
            if self.typenum == cnp.NPY_FLOAT32:
                count = turn_entries(&self.direct, <float *> self.direct.values, rows_of, features, starts, samples,
                                     <float *> by_feature)
            else:
                count = turn_entries(&self.direct, <double *> self.direct.values, rows_of, features, starts, samples,
                                     <double *> by_feature)
        self.transposed = nerva_csr(count, self.batch, self.nnz, starts, samples, NULL, by_feature)
        self._turned = True
        return 0

    @classmethod
    def from_scipy(cls, X, dtype=np.float32):
        """Return all samples of a SciPy sparse matrix or array (samples, features), a sample a row."""
        if not hasattr(X, "tocsr"):
            raise TypeError(f"X is {type(X).__name__}; it must be a SciPy sparse matrix or array")
        X = X.tocsr()
        values = X.data if X.data.dtype in (np.uint8, np.float32, np.float64) else X.data.astype(dtype)
        batch = cls(X.shape[1], dtype)
        batch.gather(X.indptr.astype(np.int64), X.indices, values, np.arange(len(X.indptr) - 1))
        return batch

    def __reduce__(self):
        held = self._indptr[: self.batch + 1], self._indices[: self.nnz], self._values[: self.nnz]
        return SparseBatch, (self.features, self.dtype), tuple(np.array(array) for array in held)

    def __setstate__(self, held):
        indptr, indices, values = held
        self.gather(indptr.astype(np.int64), indices, values, np.arange(len(indptr) - 1))


cdef Py_ssize_t out_of_range(const place *indices, const int64_t *indptr, const int64_t *rows, Py_ssize_t N,
                             Py_ssize_t features) noexcept nogil:
    """The first position of these samples whose feature does not exist; -1 where there is none."""
    cdef Py_ssize_t n, e
    for n in range(N):
        for e in range(indptr[rows[n]], indptr[rows[n] + 1]):
            if indices[e] < 0 or indices[e] >= features:
                return e
    return -1


cdef void copy_starts(const int64_t *indptr, const int64_t *rows, Py_ssize_t N, int32_t *to) noexcept nogil:
    cdef Py_ssize_t n
    to[0] = 0
    for n in range(N):
        to[n + 1] = to[n] + <int32_t> (indptr[rows[n] + 1] - indptr[rows[n]])


cdef void copy_values(const number *source, const int64_t *indptr, const int64_t *rows, Py_ssize_t N, int typenum,
                      void *to) noexcept nogil:
    if typenum == cnp.NPY_FLOAT32:
        copy_entries(source, indptr, rows, N, <float *> to)
    else:
        copy_entries(source, indptr, rows, N, <double *> to)


ctypedef fused entry:
    uint8_t
    int32_t
    int64_t
    float
    double

ctypedef fused copied:
    int32_t
    float
    double


cdef void copy_entries(const entry *source, const int64_t *indptr, const int64_t *rows, Py_ssize_t N,
                       copied *to) noexcept nogil:
    cdef Py_ssize_t n, e
    for n in range(N):
        for e in range(indptr[rows[n]], indptr[rows[n] + 1]):
            to[0] = <copied> source[e]
            to += 1


cdef Py_ssize_t turn_entries(const nerva_csr *X, const real *values, int32_t *rows_of, int32_t *features,
                             int32_t *starts, int32_t *samples, real *by_feature) noexcept nogil:
    """Order the entries by feature, those of one feature by sample; return how many features occur.

    `rows_of` has -1 for every feature, before and after.
    """
    cdef Py_ssize_t count = 0, n, e, u
    cdef int32_t d, to
    for e in range(X.nnz):
        d = X.indices[e]
        if rows_of[d] < 0:
            rows_of[d] = <int32_t> count
            features[count] = d
            starts[count] = 0
            count += 1
        starts[rows_of[d]] += 1
    to = 0
    for u in range(count):
        to += starts[u]
        starts[u] = to - starts[u]
    for n in range(X.rows):
        for e in range(X.indptr[n], X.indptr[n + 1]):
            u = rows_of[X.indices[e]]
            to = starts[u]
            starts[u] += 1
            samples[to] = <int32_t> n
            by_feature[to] = values[e]
    # Each start has moved on to the next one's place.
    for u in range(count, 0, -1):
        starts[u] = starts[u - 1]
    starts[0] = 0
    for u in range(count):
        rows_of[features[u]] = -1
    return count


def product(W, SparseBatch X not None, out, bias=None, int activation=0, double alpha=0.0):
    """out = f(W X + b) for a sparse X, whose every entry meets only the weights of its feature.

    Shapes: W (K, D), a CSR or an array; X (D, N), bias (K,) or None, out (K, N). `activation` is a code of
    elementwise.ACTIVATIONS, `alpha` the slope of the leaky ReLU.
    """
    cdef CSR sparse = W if isinstance(W, CSR) else None
    cdef const nerva_table *kernel = kernels(X.typenum)
    cdef nerva_csr *columns = NULL
    cdef nerva_matrix w, y
    cdef Py_ssize_t K, N
    cdef void *b
    with X.lock:
        N = X.batch
        if sparse is not None:
            check_weight(sparse, X)
            K = sparse.rows
        else:
            w = matrix(W, "W", X.typenum, -1, X.features)
            K = W.shape[0]
        y = matrix(out, "out", X.typenum, K, N, True)
        b = NULL if bias is None else vector(bias, "bias", X.typenum, K)
        check_activation(activation)
        apart(one_row(b, K), 1, K, "bias", y, K, N, "out", X.typenum)
        if N == 0:
            return
        if sparse is not None:
            columns = sparse.companion()
            with nogil:
                kernel.sparse_input_spmm(columns, &X.direct, b, activation, alpha, threads(), y)
            return
        apart(w, K, X.features, "W", y, K, N, "out", X.typenum)
        with nogil:
            kernel.sparse_input_gemm(K, w, &X.direct, b, activation, alpha, threads(), y)


def gradient(W, DZ, SparseBatch X not None, out):
    """out[j] = sum_n DZ[k, n] X[d, n] for each weight j = (k, d): zero where feature d does not occur in X.

    Shapes: W (K, D), DZ (K, N), X (D, N). out is (nnz,) where W is a CSR, (K, D) where it is an array, not read here.
    """
    cdef CSR sparse = W if isinstance(W, CSR) else None
    cdef const nerva_table *kernel = kernels(X.typenum)
    cdef nerva_csr *columns
    cdef nerva_matrix dz, g
    cdef Py_ssize_t K, N
    cdef void *flat
    with X.lock:
        N = X.batch
        dz = matrix(DZ, "DZ", X.typenum, -1 if sparse is None else sparse.rows, N)
        K = DZ.shape[0]
        if sparse is None:
            matrix(W, "W", X.typenum, K, X.features)
        else:
            check_weight(sparse, X)
            flat = vector(out, "out", X.typenum, sparse.nnz, True)
            apart(dz, K, N, "DZ", one_row(flat, sparse.nnz), 1, sparse.nnz, "out", X.typenum)
            columns = sparse.companion()
            X.turn()
            with nogil:
                kernel.sparse_input_sddmm(columns, &X.transposed, <int32_t *> cnp.PyArray_DATA(X._features), dz,
                                          threads(), flat)
            return
        g = matrix(out, "out", X.typenum, K, X.features, True)
        apart(dz, K, N, "DZ", g, K, X.features, "out", X.typenum)
        X.turn()
        with nogil:
            kernel.sparse_input_outer(K, X.features, &X.transposed, <int32_t *> cnp.PyArray_DATA(X._features), dz,
                                      threads(), g)


cdef int check_weight(CSR W, SparseBatch X) except -1:
    if W.typenum != X.typenum:
        raise TypeError(f"X has dtype {X.dtype}; it must be {W.dtype}")
    if W.columns != X.features:
        raise ValueError(f"X has shape {X.shape}; it must be ({W.columns}, any)")
    return 0


def check_batch(SparseBatch X not None, str name, dtype, Py_ssize_t features):
    """Raise TypeError or ValueError, by this name, where X has another dtype or other features."""
    if X.dtype != dtype:
        raise TypeError(f"{name} has dtype {X.dtype}; it must be {dtype}")
    if X.features != features:
        raise ValueError(f"{name} has shape {X.shape}; it must be ({features}, any)")
