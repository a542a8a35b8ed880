"""SparseBatch: a mini-batch of sparse samples."""

import threading
from operator import index

import numpy as np

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t

from .arrays cimport as_array, vector
from .isa cimport nerva_csr

from .memory import empty_batch, empty_vector

cnp.import_array()

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
    """A mini-batch of sparse samples, the input of a network's first layer: a matrix (D, N) stored as its entries.

    Its memory is reused for the next batch.

    Parameters
    ----------
    features : D, 1 to 2**31 - 1
    dtype : float32 or float64, of the entries
    samples, entries : how many to allocate memory for; more is allocated when needed

    `gather` fills it; `from_scipy` converts a matrix. Raises TypeError for a wrong dtype, ValueError for sizes out of
    range.
    """

    def __init__(self, features, dtype, samples=0, entries=0):
        if self.lock is not None:
            raise RuntimeError("a SparseBatch is made once; make another one, or gather other samples into it")
        dtype = np.dtype(dtype)
        if dtype != np.float32 and dtype != np.float64:
            raise TypeError(f"dtype is {dtype}; it must be float32 or float64")
        for name, value, least in (("features", features, 1), ("samples", samples, 0), ("entries", entries, 0)):
            if not least <= index(value) <= INT_MAX:
                raise ValueError(f"{name} is {value}; it must be within {least} to {INT_MAX}")
        self.features, self.batch, self.nnz, self.dtype = features, 0, 0, np.dtype(dtype.type)
        self.typenum = self.dtype.num
        self.lock = threading.Lock()
        self.allocate(samples, entries)
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

    cdef int allocate(self, Py_ssize_t samples, Py_ssize_t entries) except -1:
        """Empty the batch, with memory for so many samples and entries."""
        self.batch = self.nnz = 0
        self._is_transposed = False
        if self._indptr is None or len(self._indptr) < samples + 1:
            self._indptr = empty_vector(samples + 1, np.int32)
        if self._indices is None or len(self._indices) < entries:
            self._values = empty_vector(max(entries, 1), self.dtype)
            self._indices = empty_vector(max(entries, 1), np.int32)
        self.direct = nerva_csr(0, self.features, 0, <int32_t *> cnp.PyArray_DATA(self._indptr),
                                <int32_t *> cnp.PyArray_DATA(self._indices), NULL, cnp.PyArray_DATA(self._values))
        return 0

    def gather(self, indptr, indices, values, rows):
        """Set the batch to samples `rows` of data in compressed sparse row format, in this order.

        Shapes: indptr int64 (samples + 1,), sample i has entries indptr[i] to indptr[i + 1] - 1; indices int32 or int64
        and values uint8, float32 or float64, both (entries,); rows int64 (N,). A sample's features may be unsorted, and
        duplicates add up. Raises ValueError, before anything is changed, where rows, indptr or indices (of these
        samples) are out of range.
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
        if total > INT_MAX or N > INT_MAX:
            raise ValueError(f"rows holds {N} samples of {total} entries; a batch has at most {INT_MAX} of each")
        with nogil:
            if wide:
                bad = out_of_range(<const int64_t *> feature, start, row, N, self.features)
            else:
                bad = out_of_range(<const int32_t *> feature, start, row, N, self.features)
        if bad >= 0:
            raise ValueError(f"indices[{bad}] is {indices[bad]}; it must be within 0 to {self.features - 1}")
        with self.lock:
            self.allocate(N, total)
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

    cdef const int32_t *transpose(self) except NULL:
        """Set `transposed`, the entries by feature, unless it is set; return the feature of each of its rows.

        The lock is held.
        """
        if self._is_transposed:
            return <int32_t *> cnp.PyArray_DATA(self._features)
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
                count = transpose_entries(&self.direct, <float *> self.direct.values, rows_of, features, starts,
                                          samples, <float *> by_feature)
            else:
                count = transpose_entries(&self.direct, <double *> self.direct.values, rows_of, features, starts,
                                          samples, <double *> by_feature)
        self.transposed = nerva_csr(count, self.batch, self.nnz, starts, samples, NULL, by_feature)
        self._is_transposed = True
        return features

    @classmethod
    def from_scipy(cls, X, dtype=np.float32):
        """Return all samples of a SciPy sparse matrix or array (samples, features)."""
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
    """The first entry of these samples whose feature is out of range, or -1."""
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


cdef Py_ssize_t transpose_entries(const nerva_csr *X, const real *values, int32_t *rows_of, int32_t *features,
                                  int32_t *starts, int32_t *samples, real *by_feature) noexcept nogil:
    """Order the entries by feature, those of a feature by sample; return how many features occur.

    `rows_of` is -1 for every feature, before and after: resetting those that occur costs less than clearing it.
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
    # Each start has advanced to the next one's value.
    for u in range(count, 0, -1):
        starts[u] = starts[u - 1]
    starts[0] = 0
    for u in range(count):
        rows_of[features[u]] = -1
    return count
