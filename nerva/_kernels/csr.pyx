"""CSR: a sparse weight matrix, with its transposed companion and its MKL handles."""

import threading
from operator import index

import numpy as np

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from .isa cimport nerva_csr
from .mkl cimport mkl_sparse_destroy, sparse_matrix_t
from .mkl_handles cimport create_handle, optimize_handle, update_handle
from .pattern cimport check_pattern, freeze, integers, owned, transpose

from .conversion import csr_to_dense, csr_to_scipy, dense_to_csr, scipy_to_csr
from .memory import empty_vector

cnp.import_array()


cdef class CSR:
    """A sparse matrix W of shape (K, D) in compressed sparse row format, with sorted rows.

    Parameters
    ----------
    shape : (K, D), each 1 to 2**31 - 1
    indptr : integers of shape (K + 1,); row k holds positions indptr[k] to indptr[k + 1] - 1
    indices : integers of shape (nnz,), the column of each position, strictly ascending within a row
    values : float32 or float64 of shape (nnz,)

    The arrays are copied into aligned memory. `values` may be written in place at any time: every product uses the
    current values, MKL's products included. The pattern (`indptr`, `indices`) is read-only; `replace` sets another.

    Raises TypeError for a wrong dtype, ValueError for anything that is not a CSR matrix with sorted rows.
    """

    def __init__(self, shape, indptr, indices, values):
        if self._indptr is not None:
            raise RuntimeError("a CSR is made once; make another one, or write to its values")
        try:
            rows, columns = (index(n) for n in shape)
        except (TypeError, ValueError):
            raise ValueError(f"shape is {shape!r}; it must be a pair of integers (K, D)") from None
        if not (1 <= rows <= INT_MAX and 1 <= columns <= INT_MAX):
            raise ValueError(f"shape is {(rows, columns)}; both must be within 1 to {INT_MAX}")
        values = np.asarray(values)
        if values.dtype not in (np.float32, np.float64):
            raise TypeError(f"values has dtype {values.dtype}; it must be float32 or float64")
        indptr, indices = integers(indptr, "indptr"), integers(indices, "indices")
        if len(indptr) != rows + 1:
            raise ValueError(f"indptr has length {len(indptr)}; it must be K + 1 = {rows + 1}")
        if values.shape != indices.shape:
            raise ValueError(f"values has shape {values.shape}, indices {indices.shape}; they must be equal")
        if indptr[0] != 0 or indptr[rows] != len(indices):
            raise ValueError(f"indptr runs from {indptr[0]} to {indptr[rows]}; it must run from 0 to {len(indices)}")
        own_indptr, own_indices = owned(indptr, np.int32), owned(indices, np.int32)
        check_pattern(own_indptr, own_indices, columns)
        self.rows, self.columns, self.nnz = rows, columns, len(indices)
        self.dtype = np.dtype(values.dtype.type)
        self.typenum = self.dtype.num
        self.lock = threading.Lock()
        self._indptr, self._indices = own_indptr, own_indices
        self._values = owned(values, self.dtype)
        freeze(self._indptr)
        freeze(self._indices)
        self.direct = nerva_csr(self.rows, self.columns, self.nnz, <int32_t *> cnp.PyArray_DATA(self._indptr),
                                <int32_t *> cnp.PyArray_DATA(self._indices), NULL, cnp.PyArray_DATA(self._values))

    def __dealloc__(self):
        self._destroy_handles()

    # ---- its arrays

    @property
    def shape(self):
        """(K, D): outputs, inputs."""
        return (self.rows, self.columns)

    @property
    def density(self):
        """The fraction nnz / (K D) of weights that exist."""
        return <double> self.nnz / (<double> self.rows * self.columns)

    @property
    def indptr(self):
        """The first position of each row, and nnz: int32 of shape (K + 1,), read-only."""
        return self._indptr[:]

    @property
    def indices(self):
        """The column of each weight: int32 of shape (nnz,), read-only."""
        return self._indices[:]

    @property
    def values(self):
        """The weights: shape (nnz,), which may be written in place."""
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
        """The bytes of all arrays held: pattern, values and, once they have been used, companion and dense block."""
        arrays = (self._indptr, self._indices, self._values, self._transposed_indptr, self._transposed_indices,
                  self._permutation, self._transposed_values, self._block)
        return sum(array.nbytes for array in arrays if array is not None)

    def __repr__(self):
        return f"<CSR {self.rows} x {self.columns}, {self.nnz} weights (density {self.density:.4g}), {self.dtype}>"

    def __len__(self):
        return self.rows

    # ---- the transposed companion

    cdef nerva_csr *companion(self) except NULL:
        """The transpose, which uses W's values through a permutation; built at its first use."""
        if self._permutation is None:
            with self.lock:
                self._build_companion()
        return &self.transposed

    cdef int _build_companion(self) except -1:
        """Build the companion unless it exists; the lock is held."""
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
        cdef cnp.ndarray indptr, indices, permutation
        indptr, indices, permutation = transpose(&self.direct)
        self.transposed = nerva_csr(self.columns, self.rows, self.nnz, <int32_t *> cnp.PyArray_DATA(indptr),
                                    <int32_t *> cnp.PyArray_DATA(indices), <int32_t *> cnp.PyArray_DATA(permutation),
                                    cnp.PyArray_DATA(self._values))
        self._transposed_indptr, self._transposed_indices = indptr, indices
        # Last: `companion` reads it without the lock, and must find all the rest set.
        self._permutation = permutation
        return 0

    # ---- MKL

    cdef void *block(self, Py_ssize_t size) except NULL:
        """Memory for `size` elements, allocated once; the lock is held. May raise MemoryError."""
        if self._block is None or len(self._block) < size:
            self._block = empty_vector(size, self.dtype)
        return cnp.PyArray_DATA(self._block)

    cdef sparse_matrix_t handle(self, bint transposed) except NULL:
        """The persistent handle of W or of its transpose, with the current values; the lock is held."""
        if not transposed:
            self._refresh(&self._handle, self._indptr, self._indices, self._values, self.columns)
            return self._handle
        self._build_companion()
        if self._transposed_values is None:
            self._transposed_values = owned(np.zeros(self.nnz, self.dtype), self.dtype)
        np.take(self._values, self._permutation, out=self._transposed_values, mode="clip")
        self._refresh(&self._transposed_handle, self._transposed_indptr, self._transposed_indices,
                      self._transposed_values, self.rows)
        return self._transposed_handle

    cdef int _refresh(self, sparse_matrix_t *handle, cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values,
                      Py_ssize_t columns) except -1:
        """Create the handle unless it exists, and update the values of an optimized one.

        A plain handle reads the values live. An optimized one may read a copy, and the values may be written in place
        unnoticed: so they are updated before each use, which is cheap beside a product.
        """
        if handle[0] == NULL:
            handle[0] = create_handle(indptr, indices, values, columns)
            if self._expected_calls:
                optimize_handle(handle[0], self._expected_columns, self._expected_calls)
        if self._expected_calls and self.nnz:
            update_handle(handle[0], values)
        return 0

    cdef void _destroy_handles(self) noexcept:
        if self._handle != NULL:
            mkl_sparse_destroy(self._handle)
            self._handle = NULL
        if self._transposed_handle != NULL:
            mkl_sparse_destroy(self._transposed_handle)
            self._transposed_handle = NULL

    def optimize(self, columns, calls=1000):
        """Let MKL optimize for `calls` products with `columns` columns each (mkl_sparse_optimize).

        Products with backend "mkl" may become faster, and MKL allocates its own copy of the matrix. Values may still
        be written in place. Raises ValueError where `columns` or `calls` is not within 1 to 2**31 - 1.
        """
        if not 1 <= columns <= INT_MAX:
            raise ValueError(f"columns is {columns}; it must be within 1 to {INT_MAX}")
        if not 1 <= calls <= INT_MAX:
            raise ValueError(f"calls is {calls}; it must be within 1 to {INT_MAX}")
        with self.lock:
            self._expected_columns, self._expected_calls = columns, calls
            if self._handle != NULL:
                optimize_handle(self._handle, columns, calls)
            if self._transposed_handle != NULL:
                optimize_handle(self._transposed_handle, columns, calls)

    # ---- another pattern

    def replace(self, indptr, indices, values):
        """Set another pattern of the same shape, and its values; companion and MKL handles are rebuilt when needed.

        Arguments as for a new CSR, checked before anything is changed. Where nnz stays the same, the arrays are written
        in place, so those that `indptr`, `indices` and `values` returned earlier change too. Otherwise the memory is
        new, and earlier arrays keep the old matrix.
        """
        cdef CSR other = CSR(self.shape, indptr, indices, values)
        if other.typenum != self.typenum:
            raise TypeError(f"values has dtype {other.dtype}; it must be {self.dtype}")
        self.adopt(other._indptr, other._indices, other._values)

    cdef int adopt(self, cnp.ndarray indptr, cnp.ndarray indices, cnp.ndarray values) except -1:
        """Set a pattern and values that are valid, in aligned arrays that nothing else writes to."""
        cdef Py_ssize_t nnz = len(indices)
        with self.lock:
            if nnz == self.nnz:
                memcpy(<void *> self.direct.indptr, cnp.PyArray_DATA(indptr), (self.rows + 1) * sizeof(int32_t))
                memcpy(<void *> self.direct.indices, cnp.PyArray_DATA(indices), nnz * sizeof(int32_t))
                self._values[:] = values
                # New objects: `is_twin_of` must find that a twin no longer has this pattern.
                self._indptr, self._indices = self._indptr[:], self._indices[:]
            else:
                freeze(indptr)
                freeze(indices)
                self._indptr, self._indices, self._values, self.nnz = indptr, indices, values, nnz
                self.direct = nerva_csr(self.rows, self.columns, nnz, <int32_t *> cnp.PyArray_DATA(indptr),
                                        <int32_t *> cnp.PyArray_DATA(indices), NULL, cnp.PyArray_DATA(values))
            self._destroy_handles()
            self._permutation = self._transposed_indptr = self._transposed_indices = self._transposed_values = None

    # ---- conversion

    @classmethod
    def from_dense(cls, array, double threshold=0.0):
        """Return the CSR of the elements |x| > threshold of a float32 or float64 array (K, D)."""
        return cls(*dense_to_csr(array, threshold))

    @classmethod
    def from_scipy(cls, matrix):
        """Return the CSR of any SciPy sparse matrix or array; duplicates are summed, stored zeros are kept."""
        return cls(*scipy_to_csr(matrix))

    def to_dense(self):
        """Return a dense array of shape (K, D)."""
        return csr_to_dense(self.shape, self._indptr, self._indices, self._values)

    def to_scipy(self):
        """Return a scipy.sparse.csr_array with copies of the arrays; ImportError without SciPy (extra 'scipy')."""
        return csr_to_scipy(self.shape, self._indptr, self._indices, self._values)

    def copy(self):
        """Return a CSR with copies of the arrays."""
        return CSR(self.shape, self._indptr, self._indices, self._values)

    def twin(self):
        """Return a CSR that shares the memory of the pattern and of the companion, with its own values, all zero."""
        cdef CSR other = CSR.__new__(CSR)
        other.rows, other.columns, other.nnz = self.rows, self.columns, self.nnz
        other.dtype, other.typenum, other.lock = self.dtype, self.typenum, threading.Lock()
        other._indptr, other._indices, other._original = self._indptr, self._indices, self
        other._values = owned(np.zeros(self.nnz, self.dtype), self.dtype)
        other.direct = self.direct
        other.direct.values = cnp.PyArray_DATA(other._values)
        return other

    def is_twin_of(self, CSR other not None):
        """Whether this matrix was made by `other.twin()`, and both still have one pattern."""
        return self._original is other and self._indices is other._indices and self._indptr is other._indptr

    def __reduce__(self):
        return CSR, (self.shape, np.array(self._indptr), np.array(self._indices), np.array(self._values))
