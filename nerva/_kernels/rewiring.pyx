"""Rewiring: the positions outside a pattern, the largest gradients among them, and patterns made from kept and grown.

A flat position is row x D + column, an int64. Empty positions, those without a weight, are counted in that order.
"""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from .arrays cimport as_array, matrix, real_type, vector
from .csr cimport CSR
from .dense cimport multiply
from .isa cimport kernels, nerva_csr, nerva_matrix, nerva_table
from .mkl cimport CblasNoTrans, CblasTrans, MKL_Set_Num_Threads_Local, threads

from .memory import empty_vector

cnp.import_array()

LARGEST = 2**31 - 1
ANYWHERE = 2**63 - 1

cdef enum:
    GRAIN = 1 << 15  # weights that are worth a thread


cdef const int64_t *check_tiles(CSR W, object tiles) except NULL:
    """The data of (first row, end row, first column, end column) of each tile, int64 of shape (T, 4)."""
    cdef cnp.ndarray ranges = as_array(tiles, "tiles")
    cdef Py_ssize_t count = len(tiles) if ranges.ndim == 2 else -1
    if count < 0 or ranges.dtype != np.int64 or tiles.shape[1] != 4 or not ranges.flags.c_contiguous:
        raise ValueError(f"tiles is {ranges.dtype} of shape {tiles.shape}; it must be contiguous int64 (T, 4)")
    cdef const int64_t *tile = <int64_t *> cnp.PyArray_DATA(ranges)
    cdef Py_ssize_t i
    for i in range(count):
        if not 0 <= tile[4 * i] < tile[4 * i + 1] <= W.rows:
            raise ValueError(f"tiles[{i}] is {tiles[i]}; its rows must be a range within 0 to K = {W.rows}")
        if not 0 <= tile[4 * i + 2] < tile[4 * i + 3] <= W.columns:
            raise ValueError(f"tiles[{i}] is {tiles[i]}; its columns must be a range within 0 to D = {W.columns}")
    return tile


cdef void compute_tile(int typenum, const int64_t *tile, nerva_matrix dz, nerva_matrix x, Py_ssize_t N,
                       void *out) noexcept nogil:
    """DZ X' on the tile, by this thread alone: so the bits do not depend on how many there are."""
    cdef Py_ssize_t item = 4 if typenum == cnp.NPY_FLOAT32 else 8
    cdef nerva_matrix result
    dz.data = <char *> dz.data + tile[0] * dz.ld * item
    x.data = <char *> x.data + tile[2] * x.ld * item
    result.data, result.ld = out, tile[3] - tile[2]
    cdef int before = MKL_Set_Num_Threads_Local(1)
    multiply(typenum, CblasNoTrans, CblasTrans, tile[1] - tile[0], tile[3] - tile[2], N, 1.0, dz, x, 0.0, result)
    MKL_Set_Num_Threads_Local(before)


def candidates(CSR W not None, DZ, X, tiles, double threshold, int64_t tied, work, scores, positions):
    """Find where the dense gradient G = DZ X' is large outside W's pattern, on some tiles of it, a thread on each.

    Of tile t, rows tiles[t, 0] to tiles[t, 1] - 1 and columns tiles[t, 2] to tiles[t, 3] - 1, writes |G| to scores[t]
    and flat positions, ascending, to positions[t], of those with |G| > threshold, or |G| = threshold at a position
    below `tied`, and returns how many there are for each tile, int64 (T,). A NaN is none. Each thread has a row of
    `work`, and leaves the last tile it computed there, row after row, NaN on the pattern.

    Shapes: DZ (K, N), N >= 1, X (D, N), tiles int64 (T, 4); work has a row for each thread, scores and positions
    (int64) T rows or more, all with room for a whole tile.
    """
    cdef nerva_matrix dz = matrix(DZ, "DZ", W.typenum, W.rows, -1)
    cdef Py_ssize_t N = DZ.shape[1], i
    cdef nerva_matrix x = matrix(X, "X", W.typenum, W.columns, N)
    cdef const int64_t *tile = check_tiles(W, tiles)
    cdef int count = len(tiles), typenum = W.typenum
    cdef nerva_matrix out = matrix(work, "work", typenum, -1, -1, True)
    cdef nerva_matrix score = matrix(scores, "scores", typenum, -1, -1, True)
    cdef nerva_matrix position = matrix(positions, "positions", cnp.NPY_INT64, -1, -1, True)
    cdef const nerva_table *kernel = kernels(typenum)
    cdef Py_ssize_t item = 4 if typenum == cnp.NPY_FLOAT32 else 8
    largest = max(((b - a) * (d - c) for a, b, c, d in tiles.tolist()), default=0)
    rooms = (work, "work", min(count, 1)), (scores, "scores", count), (positions, "positions", count)
    for array, name, rows in rooms:
        if len(array) < rows or array.shape[1] < largest:
            raise ValueError(f"{name} has shape {array.shape}; it must hold {rows} tiles of {largest} numbers")
    if N < 1:
        raise ValueError("DZ has no samples")
    if max(N, dz.ld, x.ld) > LARGEST:
        raise ValueError(f"a batch of {N} is too large for 32-bit BLAS")
    if threshold != threshold:
        raise ValueError("threshold is NaN")
    cdef cnp.ndarray found = np.zeros(count, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(found)
    cdef int team = max(min(count, threads(), len(work)), 1)
    cdef char *own
    for i in prange(count, nogil=True, num_threads=team, schedule="dynamic", chunksize=1):
        own = <char *> out.data + threadid() * out.ld * item
        compute_tile(typenum, tile + 4 * i, dz, x, N, own)
        to[i] = kernel.candidates(&W.direct, tile[4 * i], tile[4 * i + 1] - tile[4 * i], tile[4 * i + 2],
                                  tile[4 * i + 3] - tile[4 * i + 2], own, threshold, tied,
                                  <char *> score.data + i * score.ld * item,
                                  <int64_t *> position.data + i * position.ld)
    return found


def flat_positions(CSR W not None):
    """Return the flat position of each weight, int64 of shape (nnz,), ascending."""
    cdef cnp.ndarray flat = empty_vector(W.nnz, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(flat)
    cdef Py_ssize_t row, j
    with nogil:
        for row in range(W.rows):
            for j in range(W.direct.indptr[row], W.direct.indptr[row + 1]):
                to[j] = <int64_t> row * W.columns + W.direct.indices[j]
    return flat


cdef const int64_t *ascending(object array, str name, int64_t end) except NULL:
    """The data of a vector of int64 that ascend strictly from 0 to end - 1."""
    cdef Py_ssize_t n = as_array(array, name).size, i
    cdef const int64_t *numbers = <int64_t *> vector(array, name, cnp.NPY_INT64, n)
    cdef bint right = n == 0 or 0 <= numbers[0] and numbers[n - 1] < end
    with nogil:
        for i in range(1, n):
            right &= numbers[i - 1] < numbers[i]
    if right:
        return numbers
    for i in range(n):
        if not 0 <= numbers[i] < end:
            raise ValueError(f"{name}[{i}] is {numbers[i]}; it must be within 0 to {end - 1}")
        if i and numbers[i] <= numbers[i - 1]:
            raise ValueError(f"{name}[{i}] is {numbers[i]} after {numbers[i - 1]}; they must ascend strictly")
    return numbers


def empty_positions(CSR W not None, ranks):
    """Return the flat positions of the empty positions numbered `ranks`, both int64 and ascending; O(k + nnz)."""
    cdef int64_t empties = <int64_t> W.rows * W.columns - W.nnz
    cdef const int64_t *rank = ascending(ranks, "ranks", empties)
    cdef Py_ssize_t count = len(ranks), i = 0, row = 0, j = 0
    cdef cnp.ndarray positions = empty_vector(count, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(positions)
    with nogil:
        for i in range(count):
            # Weight j stands behind so many empty positions: its own position less the weights before it.
            while j < W.nnz:
                while j >= W.direct.indptr[row + 1]:
                    row += 1
                if <int64_t> row * W.columns + W.direct.indices[j] - j > rank[i]:
                    break
                j += 1
            to[i] = rank[i] + j
    return positions


cdef Py_ssize_t before(const int64_t *ascending, Py_ssize_t n, int64_t end) noexcept nogil:
    """How many of n ascending numbers are below `end`."""
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
    """What `merge` writes of rows `top` to `bottom` - 1; returns a position that is kept and grown, or -1."""
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
    """Return W's pattern without the weights `dropped` and with the positions `grown`, and where each comes from.

    dropped: numbers of weights within 0 to nnz - 1; grown: flat positions; both int64, strictly ascending. A position
    may be grown where there was no weight, or where it is dropped.

    Returns (indptr, indices, source): int32 (K + 1,), int32 (n,) and int64 (n,), where source[i] is the number that
    weight i had before, or -1 where it is grown. O(nnz + n + K).

    Raises ValueError where a grown position is kept already, or there would be more than 2**31 - 1 weights.
    """
    cdef const int64_t *out = ascending(dropped, "dropped", W.nnz)
    cdef const int64_t *new = ascending(grown, "grown", <int64_t> W.rows * W.columns)
    cdef Py_ssize_t drops = len(dropped), growths = len(grown)
    if W.nnz - drops + growths > LARGEST:
        raise ValueError(f"{W.nnz - drops + growths} weights; a layer holds at most {LARGEST}")
    cdef cnp.ndarray indptr = empty_vector(W.rows + 1, np.int32)
    cdef cnp.ndarray indices = empty_vector(W.nnz - drops + growths, np.int32)
    cdef cnp.ndarray source = empty_vector(W.nnz - drops + growths, np.int64)
    cdef int team = max(1, min(threads(), W.nnz // GRAIN)), i
    cuts = np.searchsorted(W._indptr, np.arange(team + 1) * (W.nnz / team))  # rows, shared by their weights
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
    """Take the pattern that `merge` gives, and return its source; values move along, new ones are `first`.

    first: numbers of shape () or (len(grown),), which are to be checked before. Raises ValueError as `merge` does,
    before anything is changed.
    """
    indptr, indices, source = merge(W, dropped, grown)
    values = moved(W._values, source)
    if np.any(first):
        values[source < 0] = first
    W.adopt(indptr, indices, values)
    return source


def moved(numbers, source):
    """Return a vector whose number i is numbers[source[i]], or 0 where source[i] is -1; aligned.

    numbers: float32 or float64 (n,); source: int64 of `merge`, -1 to n - 1, where what is not -1 ascends strictly.
    """
    cdef int typenum = real_type(numbers, "numbers")
    cdef Py_ssize_t n = numbers.size, size = len(source), i
    cdef void *data = vector(numbers, "numbers", typenum, n)
    cdef const int64_t *origin = <int64_t *> vector(source, "source", cnp.NPY_INT64, size)
    cdef cnp.ndarray result = empty_vector(max(size, 1), numbers.dtype)
    cdef void *to = cnp.PyArray_DATA(result)
    cdef int team = max(1, min(threads(), size // GRAIN))
    if size and not -1 <= source.min() <= source.max() < n:
        raise ValueError(f"source is from {source.min()} to {source.max()}; it must be within -1 to {n - 1}")
    if typenum == cnp.NPY_FLOAT32:
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            (<float *> to)[i] = (<float *> data)[origin[i]] if origin[i] >= 0 else 0
    else:
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            (<double *> to)[i] = (<double *> data)[origin[i]] if origin[i] >= 0 else 0
    return result[:size]


def mark(bits, positions):
    """Set bit p % 8 of bits[p // 8] for each of some positions, and return how many were not set. O(their number).

    bits: uint8; positions: int64, ascending strictly within 0 to 8 len(bits) - 1.
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
    """Return what is in either of two vectors of int64 that ascend strictly from 0: ascending, each once. O(n)."""
    cdef const int64_t *a = ascending(first, "first", ANYWHERE)
    cdef const int64_t *b = ascending(second, "second", ANYWHERE)
    cdef Py_ssize_t n = len(first), m = len(second), i = 0, j = 0, count = 0
    cdef cnp.ndarray both = empty_vector(n + m, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(both)
    cdef int64_t x, y
    with nogil:
        while i < n and j < m:  # without a branch that could be guessed wrong
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
