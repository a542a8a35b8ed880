"""CSR: the one owner of a sparse weight matrix, of its transposed companion and of its MKL handles."""

import threading
from operator import index

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from .isa cimport nerva_csr
from .mkl cimport (
    MKL_INT, SPARSE_INDEX_BASE_ZERO, SPARSE_LAYOUT_ROW_MAJOR, SPARSE_MATRIX_TYPE_GENERAL,
    SPARSE_OPERATION_NON_TRANSPOSE,
    check, matrix_descr, mkl_sparse_d_create_csr, mkl_sparse_d_update_values, mkl_sparse_destroy, mkl_sparse_optimize,
    mkl_sparse_s_create_csr, mkl_sparse_s_update_values, mkl_sparse_set_mm_hint, sparse_matrix_t,
)

from .memory import empty_vector

cnp.import_array()

LARGEST = 2**31 - 1


def _owned(array, dtype):
    """An aligned copy whose length is at least 1 in memory, so that there is always an address to hand out."""
    copy = empty_vector(max(len(array), 1), dtype)
    copy[:1] = 0
    copy = copy[: len(array)]
    copy[:] = array
    return copy


def _freeze(array):
    array.base.flags.writeable = False
    array.flags.writeable = False


def _integers(array, name):
    array = np.asarray(array)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; it must be a vector")
    if array.size == 0:
        return array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}; it must be integers")
    if array.min() < 0 or array.max() > LARGEST:
        raise ValueError(f"{name} holds {array.min()} to {array.max()}; it must be within 0 to {LARGEST}")
    return array


def _check_pattern(cnp.ndarray own_indptr, cnp.ndarray own_indices, Py_ssize_t columns):
    cdef const int32_t *indptr = <int32_t *> cnp.PyArray_DATA(own_indptr)
    cdef const int32_t *indices = <int32_t *> cnp.PyArray_DATA(own_indices)
    cdef Py_ssize_t rows = len(own_indptr) - 1, nnz = len(own_indices), row, j
    for row in range(rows):
        if indptr[row + 1] < indptr[row] or indptr[row + 1] > nnz:
            raise ValueError(f"indptr[{row + 1}] is {indptr[row + 1]} after {indptr[row]}; "
                             f"it must ascend to nnz = {nnz}")
        for j in range(indptr[row], indptr[row + 1]):
            if indices[j] >= columns:
                raise ValueError(f"indices[{j}] is {indices[j]}; it must be below D = {columns}")
            if j > indptr[row] and indices[j] <= indices[j - 1]:
                raise ValueError(f"indices[{j}] is {indices[j]} after {indices[j - 1]} in row {row}; "
                                 "a row must ascend strictly")


cdef class CSR:
    """A sparse matrix W of shape (K, D) in compressed sparse rows.

    Parameters
    ----------
    shape : (K, D), each 1 to 2**31 - 1
    indptr : integers of shape (K + 1,); row k holds positions indptr[k] to indptr[k + 1] - 1
    indices : integers of shape (nnz,), the column of each position, strictly ascending within a row
    values : float32 or float64 of shape (nnz,)

    The arrays are copied into aligned memory. `values` may be written in place at any time: every product sees the
    values of that moment, MKL's too. The pattern (`indptr`, `indices`) is read-only; `replace`
    sets another.

    Raises TypeError for a wrong dtype, ValueError for anything that is not a CSR matrix with sorted rows.
    """

    def __init__(self, shape, indptr, indices, values):
        if self._indptr is not None:
            raise RuntimeError("a CSR is made once; make another one, or write to its values")
        try:
            rows, columns = (index(n) for n in shape)
        except (TypeError, ValueError):
            raise ValueError(f"shape is {shape!r}; it must be a pair of integers (K, D)") from None
        if not (1 <= rows <= LARGEST and 1 <= columns <= LARGEST):
            raise ValueError(f"shape is {(rows, columns)}; both must be within 1 to {LARGEST}")
        values = np.asarray(values)
        if values.dtype not in (np.float32, np.float64):
            raise TypeError(f"values has dtype {values.dtype}; it must be float32 or float64")
        indptr, indices = _integers(indptr, "indptr"), _integers(indices, "indices")
        if len(indptr) != rows + 1:
            raise ValueError(f"indptr has length {len(indptr)}; it must be K + 1 = {rows + 1}")
        if values.shape != indices.shape:
            raise ValueError(f"values has shape {values.shape}, indices {indices.shape}; they must be equal")
        if indptr[0] != 0 or indptr[rows] != len(indices):
            raise ValueError(f"indptr runs from {indptr[0]} to {indptr[rows]}; it must run from 0 to {len(indices)}")
        own_indptr, own_indices = _owned(indptr, np.int32), _owned(indices, np.int32)
        _check_pattern(own_indptr, own_indices, columns)
        self.rows, self.columns, self.nnz = rows, columns, len(indices)
        self.dtype = np.dtype(values.dtype.type)
        self.typenum = self.dtype.num
        self.lock = threading.Lock()
        self._indptr, self._indices = own_indptr, own_indices
        self._values = _owned(values, self.dtype)
        _freeze(self._indptr)
        _freeze(self._indices)
        self.direct = nerva_csr(self.rows, self.columns, self.nnz, <int32_t *> cnp.PyArray_DATA(self._indptr),
                                <int32_t *> cnp.PyArray_DATA(self._indices), NULL, cnp.PyArray_DATA(self._values))

    def __dealloc__(self):
        if self._handle != NULL:
            mkl_sparse_destroy(self._handle)
        if self._transposed_handle != NULL:
            mkl_sparse_destroy(self._transposed_handle)

    # ---- what it holds

    @property
    def shape(self):
        """(K, D): outputs, inputs."""
        return (self.rows, self.columns)

    @property
    def density(self):
        """The fraction of the K x D weights that exist."""
        return <double> self.nnz / (<double> self.rows * self.columns)

    @property
    def indptr(self):
        """Where each row starts: int32 of shape (K + 1,), read-only."""
        return self._indptr[:]

    @property
    def indices(self):
        """The column of each weight: int32 of shape (nnz,), read-only."""
        return self._indices[:]

    @property
    def values(self):
        """The weights: shape (nnz,), to be read and written in place."""
        return self._values[:]

    @values.setter
    def values(self, values):
        values = np.asarray(values)
        if values.shape != ((<object> self._values).shape):
            raise ValueError(f"values has shape {values.shape}; it must be ({self.nnz},)")
        if not np.can_cast(values.dtype, self.dtype, "same_kind"):
            raise TypeError(f"values has dtype {values.dtype}; it must be real numbers")
        self._values[:] = values

    @property
    def nbytes(self):
        """The bytes of all arrays held: pattern, values and, once they were needed, companion and dense block."""
        arrays = (self._indptr, self._indices, self._values, self._transposed_indptr, self._transposed_indices,
                  self._permutation, self._transposed_values, self._block)
        return sum(array.nbytes for array in arrays if array is not None)

    def __repr__(self):
        return f"<CSR {self.rows} x {self.columns}, {self.nnz} weights (density {self.density:.4g}), {self.dtype}>"

    def __len__(self):
        return self.rows

    # ---- the transposed companion

    cdef nerva_csr *companion(self) except NULL:
        """The pattern of the transpose, whose values are ours through a permutation; made when first asked for."""
        if self._permutation is None:
            with self.lock:
                self._build_companion()
        return &self.transposed

    cdef int _build_companion(self) except -1:
        """Make the companion unless it is there; the lock is held."""
        if self._permutation is not None:
            return 0
        if self._original is not None:
            self._original.companion()
            self._transposed_indptr = self._original._transposed_indptr
            self._transposed_indices = self._original._transposed_indices
            self.transposed = self._original.transposed
            self.transposed.values = cnp.PyArray_DATA(self._values)
            self._permutation = self._original._permutation
            return 0
        cdef cnp.ndarray indptr = _owned(np.zeros(self.columns + 1, np.int32), np.int32)
        cdef cnp.ndarray indices = empty_vector(max(self.nnz, 1), np.int32)
        cdef cnp.ndarray permutation = empty_vector(max(self.nnz, 1), np.int32)
        cdef int32_t *start = <int32_t *> cnp.PyArray_DATA(indptr)
        cdef int32_t *to_indices = <int32_t *> cnp.PyArray_DATA(indices)
        cdef int32_t *to_permutation = <int32_t *> cnp.PyArray_DATA(permutation)
        cdef const int32_t *from_indptr = self.direct.indptr
        cdef const int32_t *from_indices = self.direct.indices
        cdef Py_ssize_t row, column, j
        cdef int32_t to
        with nogil:
            for j in range(self.nnz):
                start[from_indices[j] + 1] += 1
            for column in range(self.columns):
                start[column + 1] += start[column]
            for row in range(self.rows):
                for j in range(from_indptr[row], from_indptr[row + 1]):
                    to = start[from_indices[j]]
                    start[from_indices[j]] += 1
                    to_indices[to] = <int32_t> row
                    to_permutation[to] = <int32_t> j
            # Each start has moved on to the next one's place.
            for column in range(self.columns, 0, -1):
                start[column] = start[column - 1]
            start[0] = 0
        self.transposed = nerva_csr(self.columns, self.rows, self.nnz, start, to_indices, to_permutation,
                                    cnp.PyArray_DATA(self._values))
        self._transposed_indptr, self._transposed_indices = indptr, indices[: self.nnz]
        self._permutation = permutation[: self.nnz]  # last: whoever sees it finds the rest in place
        return 0

    # ---- MKL

    cdef void *block(self, Py_ssize_t size) except NULL:
        """Memory for `size` numbers, taken once; the lock is held. Raises MemoryError where it cannot be had."""
        if self._block is None or len(self._block) < size:
            self._block = empty_vector(size, self.dtype)
        return cnp.PyArray_DATA(self._block)

    cdef sparse_matrix_t create_handle(self, cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values,
                                       Py_ssize_t rows, Py_ssize_t columns) except NULL:
        """An MKL handle that reads the given arrays live."""
        cdef sparse_matrix_t handle = NULL
        cdef MKL_INT *start = <MKL_INT *> cnp.PyArray_DATA(indptr)
        cdef MKL_INT *column = <MKL_INT *> cnp.PyArray_DATA(indices)
        if self.typenum == cnp.NPY_FLOAT32:
            check(mkl_sparse_s_create_csr(&handle, SPARSE_INDEX_BASE_ZERO, <int32_t> rows, <int32_t> columns, start,
                                          start + 1, column, <float *> cnp.PyArray_DATA(values)),
                  "mkl_sparse_s_create_csr")
        else:
            check(mkl_sparse_d_create_csr(&handle, SPARSE_INDEX_BASE_ZERO, <int32_t> rows, <int32_t> columns, start,
                                          start + 1, column, <double *> cnp.PyArray_DATA(values)),
                  "mkl_sparse_d_create_csr")
        if self._expected_calls:
            self._optimize_handle(<size_t> handle)
        return handle

    def _optimize_handle(self, size_t address):
        cdef sparse_matrix_t handle = <sparse_matrix_t> address
        cdef matrix_descr general = matrix_descr(SPARSE_MATRIX_TYPE_GENERAL, 0, 0)
        check(mkl_sparse_set_mm_hint(handle, SPARSE_OPERATION_NON_TRANSPOSE, general, SPARSE_LAYOUT_ROW_MAJOR,
                                     <int32_t> self._expected_columns, <int32_t> self._expected_calls),
              "mkl_sparse_set_mm_hint")
        check(mkl_sparse_optimize(handle), "mkl_sparse_optimize")

    cdef int update_handle(self, sparse_matrix_t handle, cnp.ndarray values) except -1:
        """Tell an optimized handle, which may hold a copy of the values, what they are now."""
        if self.typenum == cnp.NPY_FLOAT32:
            check(mkl_sparse_s_update_values(handle, <int32_t> self.nnz, NULL, NULL,
                                             <float *> cnp.PyArray_DATA(values)), "mkl_sparse_s_update_values")
        else:
            check(mkl_sparse_d_update_values(handle, <int32_t> self.nnz, NULL, NULL,
                                             <double *> cnp.PyArray_DATA(values)), "mkl_sparse_d_update_values")
        return 0

    cdef sparse_matrix_t handle(self, bint transposed) except NULL:
        """The persistent handle of W or of its transpose, showing the values of this moment; the lock is held.

        A plain handle reads our values live. One that went through mkl_sparse_optimize may read a copy, so it is
        updated before each use: the values can be written behind our back, and O(nnz) is little beside a product.
        """
        if not transposed:
            if self._handle == NULL:
                self._handle = self.create_handle(self._indptr, self._indices, self._values, self.rows, self.columns)
            if self._expected_calls and self.nnz:
                self.update_handle(self._handle, self._values)
            return self._handle
        self._build_companion()
        if self._transposed_values is None:
            self._transposed_values = _owned(np.zeros(self.nnz, self.dtype), self.dtype)
        self._gather_transposed_values()
        if self._transposed_handle == NULL:
            self._transposed_handle = self.create_handle(self._transposed_indptr, self._transposed_indices,
                                                         self._transposed_values, self.columns, self.rows)
        if self._expected_calls and self.nnz:
            self.update_handle(self._transposed_handle, self._transposed_values)
        return self._transposed_handle

    def _gather_transposed_values(self):
        np.take(self._values, self._permutation, out=self._transposed_values, mode="clip")

    def optimize(self, columns, calls=1000):
        """Let MKL analyse the pattern for `calls` products with `columns` columns each (mkl_sparse_optimize).

        Memory for MKL's own copy is taken; products with backend "mkl" may become faster. Values may still be
        written in place. Raises ValueError where `columns` or `calls` is below 1.
        """
        if not 1 <= columns <= LARGEST:
            raise ValueError(f"columns is {columns}; it must be within 1 to {LARGEST}")
        if not 1 <= calls <= LARGEST:
            raise ValueError(f"calls is {calls}; it must be within 1 to {LARGEST}")
        with self.lock:
            self._expected_columns, self._expected_calls = columns, calls
            for handle in (<size_t> self._handle, <size_t> self._transposed_handle):
                if handle:
                    self._optimize_handle(handle)

    # ---- another pattern

    def replace(self, indptr, indices, values):
        """Take another pattern of the same shape, and its values; companion and MKL handles are made anew when needed.

        Arguments as for a new CSR, whose checks they pass before anything is changed. Where their number is that of the
        weights before, they are written where those were: what `indptr`, `indices` and `values` returned sees them.
        Otherwise the memory is new, and arrays returned before keep the old matrix.
        """
        cdef CSR other = CSR(self.shape, indptr, indices, values)
        if other.typenum != self.typenum:
            raise TypeError(f"values has dtype {other.dtype}; it must be {self.dtype}")
        self.adopt(other._indptr, other._indices, other._values)

    cdef int adopt(self, cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values) except -1:
        """Take a pattern and values that are right, in arrays that nobody else writes to."""
        cdef Py_ssize_t nnz = len(indices)
        with self.lock:
            if nnz == self.nnz:
                memcpy(<void *> self.direct.indptr, cnp.PyArray_DATA(indptr), (self.rows + 1) * sizeof(int32_t))
                memcpy(<void *> self.direct.indices, cnp.PyArray_DATA(indices), nnz * sizeof(int32_t))
                self._values[:] = values
                self._indptr, self._indices = self._indptr[:], self._indices[:]  # no twin's any more
            else:
                _freeze(indptr)
                _freeze(indices)
                self._indptr, self._indices, self._values, self.nnz = indptr, indices, values, nnz
                self.direct = nerva_csr(self.rows, self.columns, nnz, <int32_t *> cnp.PyArray_DATA(indptr),
                                        <int32_t *> cnp.PyArray_DATA(indices), NULL, cnp.PyArray_DATA(values))
            if self._handle != NULL:
                mkl_sparse_destroy(self._handle)
                self._handle = NULL
            if self._transposed_handle != NULL:
                mkl_sparse_destroy(self._transposed_handle)
                self._transposed_handle = NULL
            self._permutation = self._transposed_indptr = self._transposed_indices = self._transposed_values = None

    # ---- from and to others

    @classmethod
    def from_dense(cls, array, double threshold=0.0):
        """Return the CSR of the numbers of a float32 or float64 array (K, D) beyond the threshold, |x| > threshold."""
        array = np.asarray(array)
        if array.ndim != 2:
            raise ValueError(f"array has shape {array.shape}; it must be (K, D)")
        if not threshold >= 0:
            raise ValueError(f"threshold is {threshold}; it must not be negative")
        # With NaN on the side of what is kept: it is refused below.
        rows, indices = np.nonzero(array if threshold == 0 else ~(np.abs(array) <= threshold))
        indptr = np.zeros(array.shape[0] + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=array.shape[0]), out=indptr[1:])
        return cls(array.shape, indptr, indices, array[rows, indices])

    @classmethod
    def from_scipy(cls, matrix):
        """Return the CSR of any SciPy sparse matrix or array; duplicates are summed, stored zeros are kept."""
        if not hasattr(matrix, "tocsr"):
            raise TypeError(f"matrix is {type(matrix).__name__}; it must be a SciPy sparse matrix or array")
        matrix = matrix.tocsr(copy=True)
        matrix.check_format(full_check=True)  # raises ValueError: SciPy itself would run off a broken one
        matrix.sum_duplicates()
        return cls(matrix.shape, matrix.indptr, matrix.indices, matrix.data)

    def to_dense(self):
        """Return an array of shape (K, D), zero where there is no weight."""
        dense = np.zeros(self.shape, self.dtype)
        dense[np.repeat(np.arange(self.rows), np.diff(self._indptr)), self._indices] = self._values
        return dense

    def to_scipy(self):
        """Return a scipy.sparse.csr_array with copies of the arrays; ImportError without SciPy (extra 'scipy')."""
        try:
            from scipy.sparse import csr_array
        except ImportError:
            raise ImportError("to_scipy needs SciPy: pip install 'nerva-sparse[scipy]'") from None
        return csr_array((np.array(self._values), np.array(self._indices), np.array(self._indptr)), shape=self.shape)

    def copy(self):
        """Return a CSR with copies of the arrays."""
        return CSR(self.shape, self._indptr, self._indices, self._values)

    def twin(self):
        """Return a CSR that shares the arrays of the pattern and of the companion, with values of its own, all zero."""
        cdef CSR other = CSR.__new__(CSR)
        other.rows, other.columns, other.nnz = self.rows, self.columns, self.nnz
        other.dtype, other.typenum, other.lock = self.dtype, self.typenum, threading.Lock()
        other._indptr, other._indices, other._original = self._indptr, self._indices, self
        other._values = _owned(np.zeros(self.nnz, self.dtype), self.dtype)
        other.direct = self.direct
        other.direct.values = cnp.PyArray_DATA(other._values)
        return other

    def is_twin_of(self, CSR other not None):
        """Whether this matrix was made by `other.twin()`, and both still have one pattern."""
        return self._original is other and self._indices is other._indices and self._indptr is other._indptr

    def __reduce__(self):
        return CSR, (self.shape, np.array(self._indptr), np.array(self._indices), np.array(self._values))
