"""Scores of the positions without a weight by the local communities between their output and their input."""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t
from libc.string cimport memset

from .arrays cimport matrix
from .csr cimport CSR
from .isa cimport nerva_csr, nerva_matrix
from .mkl cimport threads

cnp.import_array()

cdef enum:
    GRAIN = 1 << 14  # scores for each thread at least
    FEW = 4  # times as many inputs as paths: then a list of those that are reached is faster than a pass over all


cdef struct workspace:
    int32_t *shared    # (K,) how many inputs an output shares with the one of the row; 0 between rows
    int32_t *outputs   # (K,) those with `shared` > 0
    double *worth      # (K,) of each of `outputs`
    int32_t *common    # (D,) how many outputs an input shares with another one; 0 between inputs
    int32_t *inputs    # (D,) those with `common` > 0
    double *through    # (D,) the sum of the worths of these outputs


cdef Py_ssize_t outputs_of(const nerva_csr *W, const nerva_csr *T, Py_ssize_t u, const double *inner,
                           const double *outer, workspace at) noexcept nogil:
    """Find the outputs that share an input with u, and the worth of each; return their number."""
    cdef Py_ssize_t a, b, i, found = 0
    cdef int32_t x, y
    for a in range(W.indptr[u], W.indptr[u + 1]):
        x = W.indices[a]
        for b in range(T.indptr[x], T.indptr[x + 1]):
            y = T.indices[b]
            if at.shared[y] == 0:
                at.outputs[found] = y
                found += 1
            at.shared[y] += 1
    for i in range(found):
        y = at.outputs[i]
        at.worth[y] = inner[at.shared[y]] * outer[W.indptr[y + 1] - W.indptr[y] - at.shared[y]]
        at.shared[y] = 0
    return found


cdef void add_many(const nerva_csr *W, const nerva_csr *T, int32_t x, bint by_paths, const double *inner,
                   const double *outer, workspace at, double *score) noexcept nogil:
    """Add what lies beyond input x to the scores of all inputs, by a pass over all of them."""
    cdef Py_ssize_t D = W.cols, b, c, v, d = T.indptr[x + 1] - T.indptr[x]
    cdef int32_t y
    cdef double worth
    memset(at.common, 0, D * sizeof(int32_t))
    if not by_paths:
        for b in range(T.indptr[x], T.indptr[x + 1]):
            y = T.indices[b]
            for c in range(W.indptr[y], W.indptr[y + 1]):
                at.common[W.indices[c]] += 1
        for v in range(D):
            score[v] += inner[at.common[v]] * outer[d - at.common[v]]
    else:
        memset(at.through, 0, D * sizeof(double))
        for b in range(T.indptr[x], T.indptr[x + 1]):
            y = T.indices[b]
            worth = at.worth[y]
            for c in range(W.indptr[y], W.indptr[y + 1]):
                at.common[W.indices[c]] += 1
                at.through[W.indices[c]] += worth
        for v in range(D):
            score[v] += inner[at.common[v]] * outer[d - at.common[v]] * at.through[v]
    memset(at.common, 0, D * sizeof(int32_t))


cdef void add_few(const nerva_csr *W, const nerva_csr *T, int32_t x, bint by_paths, const double *inner,
                  const double *outer, workspace at, double *score) noexcept nogil:
    """Do so by a list of the inputs that are reached, where these are few."""
    cdef Py_ssize_t b, c, i, reached = 0, d = T.indptr[x + 1] - T.indptr[x]
    cdef int32_t y, v
    for b in range(T.indptr[x], T.indptr[x + 1]):
        y = T.indices[b]
        for c in range(W.indptr[y], W.indptr[y + 1]):
            v = W.indices[c]
            if at.common[v] == 0:
                at.inputs[reached] = v
                reached += 1
                at.through[v] = 0.0
            at.common[v] += 1
            at.through[v] += at.worth[y]
    for i in range(reached):
        v = at.inputs[i]
        score[v] += inner[at.common[v]] * outer[d - at.common[v]] * (at.through[v] if by_paths else 1.0)
        at.common[v] = 0


cdef void score_row(const nerva_csr *W, const nerva_csr *T, Py_ssize_t u, bint by_paths, const double *inner,
                    const double *outer, workspace at, double *score) noexcept nogil:
    """Write the scores of row u."""
    cdef Py_ssize_t a, b, found, paths
    cdef int32_t x, y
    memset(score, 0, W.cols * sizeof(double))
    found = outputs_of(W, T, u, inner, outer, at)
    if not by_paths:
        for a in range(found):
            y = at.outputs[a]
            for b in range(W.indptr[y], W.indptr[y + 1]):
                score[W.indices[b]] += at.worth[y]
    for a in range(W.indptr[u], W.indptr[u + 1]):
        x = W.indices[a]
        paths = 0
        for b in range(T.indptr[x], T.indptr[x + 1]):
            paths += W.indptr[T.indices[b] + 1] - W.indptr[T.indices[b]]
        if FEW * paths < W.cols:
            add_few(W, T, x, by_paths, inner, outer, at, score)
        else:
            add_many(W, T, x, by_paths, inner, outer, at, score)
    for a in range(W.indptr[u], W.indptr[u + 1]):
        score[W.indices[a]] = 0.0


def community_scores(CSR W not None, Py_ssize_t first, Py_ssize_t end, *, bint by_paths, inner, outer, out):
    """Write the scores of rows first to end - 1 of W, (end - first, D), to `out`; 0 where W has a weight.

    Between output u and input v are the paths u - x - y - v of weights: x an input of u, y another output of x that has
    the input v. All such x and y are the local community of (u, v). Of the d weights of such a node, c lead into the
    community: it is worth inner[c] outer[d - c]. A score is the sum of the nodes' worths, or with `by_paths` that of
    the products over the two nodes of each path. It takes O(number of paths from these rows), and memory O(K + D) for
    each thread.

    inner and outer: float64 (max(K, D) + 1,), both 0 at 0: every node of a community leads into it, and, where the
    position has no weight, out of it or to u or v.
    """
    if not 0 <= first <= end <= W.rows:
        raise ValueError(f"first and end are {first} and {end}; they must be a range within 0 to K = {W.rows}")
    cdef Py_ssize_t most = max(W.rows, W.columns) + 1, i, own
    for array, name in ((inner, "inner"), (outer, "outer")):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != (most,):
            raise ValueError(f"{name} must be float64 of shape ({most},)")
        if array[0] != 0.0:
            raise ValueError(f"{name}[0] is {array[0]}; it must be 0")
    cdef cnp.ndarray of_inner = np.ascontiguousarray(inner), of_outer = np.ascontiguousarray(outer)
    cdef const double *within = <const double *> cnp.PyArray_DATA(of_inner)
    cdef const double *without = <const double *> cnp.PyArray_DATA(of_outer)
    cdef nerva_matrix scores = matrix(out, "out", cnp.NPY_FLOAT64, end - first, W.columns, True)
    cdef const nerva_csr *T = W.companion()
    cdef int team = max(min(threads(), (end - first) * W.columns // GRAIN, end - first), 1)
    # Whole cache lines for each thread, so that no two write to the same one.
    cdef Py_ssize_t size = (most + 15) // 16 * 16
    cdef cnp.ndarray whole = np.zeros((team, 4, size), np.int32), real = np.zeros((team, 2, size))
    cdef int32_t *counts = <int32_t *> cnp.PyArray_DATA(whole)
    cdef double *values = <double *> cnp.PyArray_DATA(real)
    for i in prange(end - first, nogil=True, num_threads=team, schedule="dynamic", chunksize=1):
        own = threadid()
        score_row(&W.direct, T, first + i, by_paths, within, without,
                  workspace(counts + 4 * own * size, counts + (4 * own + 1) * size, values + 2 * own * size,
                            counts + (4 * own + 2) * size, counts + (4 * own + 3) * size,
                            values + (2 * own + 1) * size),
                  <double *> scores.data + i * scores.ld)
