"""Rewiring a pattern: weights dropped and grown, and the positions without weights.

A flat position is row x D + column, an int64. Empty positions, those without a weight, are ranked in that order.
"""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange
from libc.limits cimport INT_MAX, LLONG_MAX
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from .arrays cimport as_array, real_type, vector
from .csr cimport CSR
from .isa cimport nerva_csr
from .mkl cimport threads

from .memory import empty_vector

cnp.import_array()

cdef enum:
    GRAIN = 1 << 15  # weights that are worth a thread


def flat_positions(CSR W not None):
    """Return the flat position of each weight: int64 of shape (nnz,), ascending."""
    cdef cnp.ndarray flat = empty_vector(W.nnz, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(flat)
    cdef Py_ssize_t row, j
    with nogil:
        for row in range(W.rows):
            for j in range(W.direct.indptr[row], W.direct.indptr[row + 1]):
                to[j] = <int64_t> row * W.columns + W.direct.indices[j]
    return flat


cdef const int64_t *ascending(object array, str name, int64_t end) except NULL:
    """The data of a vector of int64 that ascends strictly within 0 to end - 1."""
    cdef Py_ssize_t n = as_array(array, name).size, i
    cdef const int64_t *entries = <int64_t *> vector(array, name, cnp.NPY_INT64, n)
    cdef bint valid = n == 0 or 0 <= entries[0] and entries[n - 1] < end
    with nogil:
        for i in range(1, n):
            valid &= entries[i - 1] < entries[i]
    if valid:
        return entries
    for i in range(n):
        if not 0 <= entries[i] < end:
            raise ValueError(f"{name}[{i}] is {entries[i]}; it must be within 0 to {end - 1}")
        if i and entries[i] <= entries[i - 1]:
            raise ValueError(f"{name}[{i}] is {entries[i]} after {entries[i - 1]}; they must ascend strictly")
    return entries


def empty_positions(CSR W not None, ranks):
    """Return the flat positions of the empty positions `ranks`, both int64 and ascending, in O(len(ranks) + nnz)."""
    cdef int64_t empties = <int64_t> W.rows * W.columns - W.nnz
    cdef const int64_t *rank = ascending(ranks, "ranks", empties)
    cdef Py_ssize_t count = len(ranks), i = 0, row = 0, j = 0
    cdef cnp.ndarray positions = empty_vector(count, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(positions)
    with nogil:
        for i in range(count):
            # The number of empty positions before weight j: its position less the j weights before it.
            while j < W.nnz:
                while j >= W.direct.indptr[row + 1]:
                    row += 1
                if <int64_t> row * W.columns + W.direct.indices[j] - j > rank[i]:
                    break
                j += 1
            to[i] = rank[i] + j
    return positions


cdef Py_ssize_t before(const int64_t *ascending, Py_ssize_t n, int64_t end) noexcept nogil:
    """The number of n ascending integers that are below `end`."""
    cdef Py_ssize_t low = 0, middle
    while low < n:
        middle = (low + n) // 2
        if ascending[middle] < end:
            low = middle + 1
        else:
            n = middle
    return low


cdef int64_t merge_rows(const nerva_csr *W, Py_ssize_t top, Py_ssize_t bottom, const int64_t *out, Py_ssize_t drops,
                        const int64_t *new, Py_ssize_t growths, int32_t *start, int32_t *index,
                        int64_t *source) noexcept nogil:
    """`merge` for rows `top` to `bottom` - 1. Returns a position that is both kept and grown, or -1."""
    cdef Py_ssize_t d = before(out, drops, W.indptr[top]), g = before(new, growths, top * W.cols)
    cdef Py_ssize_t n = W.indptr[top] - d + g, row, j
    cdef int64_t first, position
    for row in range(top, bottom):
        first = row * W.cols
        for j in range(W.indptr[row], W.indptr[row + 1]):
            if d < drops and out[d] == j:
                d += 1
                continue
            position = first + W.indices[j]
            while g < growths and new[g] < position:
                index[n], source[n] = <int32_t> (new[g] - first), -1
                g += 1
                n += 1
            if g < growths and new[g] == position:
                return position
            index[n], source[n] = <int32_t> (position - first), j
            n += 1
        while g < growths and new[g] < first + W.cols:
            index[n], source[n] = <int32_t> (new[g] - first), -1
            g += 1
            n += 1
        start[row + 1] = <int32_t> n
    return -1


def merge(CSR W not None, dropped, grown):
    """Return W's pattern without the weights `dropped` and with weights at `grown`, and the source of each weight.

    dropped: indices of weights, within 0 to nnz - 1; grown: flat positions; both int64, strictly ascending. Empty
    positions may be grown, and those of weights that are dropped.

    Returns (indptr, indices, source): int32 (K + 1,), int32 (n,) and int64 (n,), where source[i] is the index that
    weight i had in W, or -1 where it is grown. O(nnz + n + K).

    Raises ValueError where a grown position has a weight that is kept, or there would be over 2**31 - 1 weights.
    """
    cdef const int64_t *out = ascending(dropped, "dropped", W.nnz)
    cdef const int64_t *new = ascending(grown, "grown", <int64_t> W.rows * W.columns)
    cdef Py_ssize_t drops = len(dropped), growths = len(grown)
    if W.nnz - drops + growths > INT_MAX:
        raise ValueError(f"{W.nnz - drops + growths} weights; a layer holds at most {INT_MAX}")
    cdef cnp.ndarray indptr = empty_vector(W.rows + 1, np.int32)
    cdef cnp.ndarray indices = empty_vector(W.nnz - drops + growths, np.int32)
    cdef cnp.ndarray source = empty_vector(W.nnz - drops + growths, np.int64)
    cdef int team = max(1, min(threads(), W.nnz // GRAIN)), i
    # Each thread takes rows with about as many weights as the others'.
    cuts = np.searchsorted(W._indptr, np.arange(team + 1) * (W.nnz / team))
    cuts[0], cuts[team] = 0, W.rows
    cdef cnp.ndarray rows = np.ascontiguousarray(cuts, np.int64), twice = np.full(team, -1)
    cdef int64_t *cut = <int64_t *> cnp.PyArray_DATA(rows)
    cdef int64_t *wrong = <int64_t *> cnp.PyArray_DATA(twice)
    cdef int32_t *start = <int32_t *> cnp.PyArray_DATA(indptr)
    cdef int32_t *index = <int32_t *> cnp.PyArray_DATA(indices)
    cdef int64_t *origin = <int64_t *> cnp.PyArray_DATA(source)
    start[0] = 0
    for i in prange(team, nogil=True, num_threads=team, schedule="static", chunksize=1):
        wrong[i] = merge_rows(&W.direct, cut[i], cut[i + 1], out, drops, new, growths, start, index, origin)
    if twice.max() >= 0:
        raise ValueError(f"grown holds position {twice[twice >= 0].min()}, where a weight is kept")
    return indptr, indices, source


def rewire(CSR W not None, dropped, grown, first):
    """Set W to the pattern that `merge` returns, and return its source.

    Weights that are kept keep their values, grown ones have `first`, of shape () or (len(grown),), which the caller has
    checked. Raises ValueError as `merge` does, before anything is changed.
    """
    indptr, indices, source = merge(W, dropped, grown)
    values = moved(W._values, source)
    if np.any(first):
        values[source < 0] = first
    W.adopt(indptr, indices, values)
    return source


def moved(values, source, first=0):
    """Return an aligned vector whose element i is values[source[i]], or `first` where source[i] is -1.

    values: float32, float64 or int32 (n,), one for each weight before `merge`; source: int64, of `merge`.
    """
    cdef int typenum = cnp.PyArray_TYPE(as_array(values, "values"))
    if typenum != cnp.NPY_INT32:
        typenum = real_type(values, "values")
    cdef Py_ssize_t n = values.size, size = len(source), i
    cdef void *data = vector(values, "values", typenum, n)
    cdef const int64_t *origin = <int64_t *> vector(source, "source", cnp.NPY_INT64, size)
    cdef cnp.ndarray result = empty_vector(max(size, 1), values.dtype)
    cdef void *to = cnp.PyArray_DATA(result)
    cdef double fresh = first
    cdef int32_t counted = <int32_t> fresh
    cdef int team = max(1, min(threads(), size // GRAIN))
    if size and not -1 <= source.min() <= source.max() < n:
        raise ValueError(f"source is from {source.min()} to {source.max()}; it must be within -1 to {n - 1}")
    if typenum == cnp.NPY_FLOAT32:
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            (<float *> to)[i] = (<float *> data)[origin[i]] if origin[i] >= 0 else <float> fresh
    elif typenum == cnp.NPY_FLOAT64:
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            (<double *> to)[i] = (<double *> data)[origin[i]] if origin[i] >= 0 else fresh
    else:
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            (<int32_t *> to)[i] = (<int32_t *> data)[origin[i]] if origin[i] >= 0 else counted
    return result[:size]


def mark(bits, positions):
    """Set bit p % 8 of bits[p // 8] for each position p, and return how many were not set before.

    bits: uint8; positions: int64, strictly ascending within 0 to 8 len(bits) - 1.
    """
    cdef Py_ssize_t size = as_array(bits, "bits").size, n, i, new = 0
    cdef unsigned char *to = <unsigned char *> vector(bits, "bits", cnp.NPY_UINT8, size, True)
    cdef const int64_t *where = ascending(positions, "positions", 8 * size)
    cdef unsigned char bit
    n = len(positions)
    with nogil:
        for i in range(n):
            bit = 1 << (where[i] & 7)
            new += (to[where[i] >> 3] & bit) == 0
            to[where[i] >> 3] |= bit
    return new


def union(first, second):
    """Return the union of two vectors of int64 that ascend strictly from 0: ascending, without duplicates."""
    cdef const int64_t *a = ascending(first, "first", LLONG_MAX)
    cdef const int64_t *b = ascending(second, "second", LLONG_MAX)
    cdef Py_ssize_t n = len(first), m = len(second), i = 0, j = 0, count = 0
    cdef cnp.ndarray both = empty_vector(n + m, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(both)
    cdef int64_t x, y
    with nogil:
        while i < n and j < m:  # without unpredictable branches
            x, y = a[i], b[j]
            to[count] = x if x < y else y
            i += x <= y
            j += y <= x
            count += 1
        memcpy(to + count, a + i, (n - i) * sizeof(int64_t))
        count += n - i
        memcpy(to + count, b + j, (m - j) * sizeof(int64_t))
        count += m - j
    return both[:count] if 8 * count > 7 * (n + m) else both[:count].copy()
