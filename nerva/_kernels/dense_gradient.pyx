"""The largest entries of a dense gradient outside a pattern: candidates for growth, tile by tile."""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t

from .arrays cimport as_array, matrix
from .csr cimport CSR
from .dense cimport multiply
from .isa cimport kernels, nerva_matrix, nerva_table
from .mkl cimport CblasNoTrans, CblasTrans, MKL_Set_Num_Threads_Local, threads

cnp.import_array()


cdef const int64_t *check_tiles(CSR W, object tiles) except NULL:
    """The data of (first row, end row, first column, end column) of each tile, int64 of shape (T, 4), within W."""
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
    """DZ X' on the tile, by MKL on one thread: with several, its bits would depend on their number."""
    cdef Py_ssize_t item = 4 if typenum == cnp.NPY_FLOAT32 else 8
    cdef nerva_matrix result
    dz.data = <char *> dz.data + tile[0] * dz.ld * item
    x.data = <char *> x.data + tile[2] * x.ld * item
    result.data, result.ld = out, tile[3] - tile[2]
    cdef int before = MKL_Set_Num_Threads_Local(1)
    multiply(typenum, CblasNoTrans, CblasTrans, tile[1] - tile[0], tile[3] - tile[2], N, 1.0, dz, x, 0.0, result)
    MKL_Set_Num_Threads_Local(before)


def candidates(CSR W not None, DZ, X, tiles, double threshold, int64_t tied, *, work, scores, positions):
    """Find the largest entries of the dense gradient G = DZ X' outside W's pattern, on some tiles, one thread each.

    Of tile t, rows tiles[t, 0] to tiles[t, 1] - 1 and columns tiles[t, 2] to tiles[t, 3] - 1, writes |G| to scores[t]
    and flat positions, ascending, to positions[t], of the entries with |G| > threshold, or |G| = threshold at a
    position below `tied`, and returns their number for each tile, int64 (T,). NaN is never among them. Each thread
    computes its tiles in its row of `work`, where the last one remains, row after row, NaN on the pattern.

    Shapes: DZ (K, N), N >= 1, X (D, N), tiles int64 (T, 4); work has a row for each thread, scores and positions
    (int64) have T rows or more, and each row has the size of the largest tile.
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
    needed = (work, "work", min(count, 1)), (scores, "scores", count), (positions, "positions", count)
    for array, name, rows in needed:
        if len(array) < rows or array.shape[1] < largest:
            raise ValueError(f"{name} has shape {array.shape}; it must hold {rows} tiles of {largest} elements")
    if N < 1:
        raise ValueError("DZ has no samples")
    if max(N, dz.ld, x.ld) > INT_MAX:
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
