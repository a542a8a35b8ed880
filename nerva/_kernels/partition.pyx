"""How work is divided among threads, computed for any number of them without starting one.

Kernels and the compiled step call the same functions of native/ranges.h and native/crew.h, each thread for itself.
"""

import numpy as np

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t

from .isa cimport nerva_csr

cnp.import_array()

cdef extern from "ranges.h" nogil:
    ctypedef struct nerva_range:
        int64_t first, last

    enum:
        NERVA_ROW_COST

    nerva_range share(int64_t count, int64_t unit, int thread, int threads)
    nerva_range share_rows(const nerva_csr *W, int thread, int threads)

cdef extern from "crew.h" nogil:
    ctypedef struct nerva_barrier:
        pass

    ctypedef struct nerva_crew:
        int number, thread, size

    nerva_crew crew_of(int crews, int thread, int team, nerva_barrier *barriers)

ROW_COST = NERVA_ROW_COST  # of a row, in non-zeros, beside its own


cdef int counted(object value, str name) except -1:
    """A count as a C int, at least 1."""
    if not 1 <= value <= INT_MAX:
        raise ValueError(f"{name} is {value}; it must be from 1 to {INT_MAX}")
    return value


def shares(count, unit, threads):
    """Return [first, last) of the items of every thread, (threads, 2), in multiples of `unit` items.

    Raises ValueError for a negative count, or a unit or number of threads below 1.
    """
    cdef int t, team = counted(threads, "threads")
    cdef int64_t n = count, size = counted(unit, "unit")
    if n < 0:
        raise ValueError(f"count is {n}; it must not be negative")
    cdef int64_t[:, ::1] found = np.empty((team, 2), np.int64)
    for t in range(team):
        own = share(n, size, t, team)
        found[t, 0], found[t, 1] = own.first, own.last
    return np.asarray(found)


def row_shares(const int32_t[::1] indptr, threads):
    """Return [first, last) of the rows of a CSR matrix that every thread computes in a product, (threads, 2).

    Raises ValueError for an empty `indptr` or a number of threads below 1.
    """
    cdef int t, team = counted(threads, "threads")
    if len(indptr) == 0:
        raise ValueError("indptr is empty; it must have length rows + 1")
    cdef nerva_csr W
    W.rows, W.nnz, W.indptr = len(indptr) - 1, indptr[len(indptr) - 1], &indptr[0]
    cdef int64_t[:, ::1] found = np.empty((team, 2), np.int64)
    for t in range(team):
        own = share_rows(&W, t, team)
        found[t, 0], found[t, 1] = own.first, own.last
    return np.asarray(found)


def crews(count, threads):
    """Return of every thread the number of its crew, its own within it, and the crew's size, (threads, 3).

    Raises ValueError unless there are 1 to `threads` crews.
    """
    cdef int t, team = counted(threads, "threads"), number = counted(count, "count")
    if number > team:
        raise ValueError(f"count is {number}, but there are {team} threads; a crew has at least one")
    cdef int64_t[:, ::1] found = np.empty((team, 3), np.int64)
    for t in range(team):
        own = crew_of(number, t, team, NULL)
        found[t, 0], found[t, 1], found[t, 2] = own.number, own.thread, own.size
    return np.asarray(found)
