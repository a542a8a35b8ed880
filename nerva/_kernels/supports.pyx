"""Where the weights are: supports drawn uniformly, in time and memory that depend on their number alone."""

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport exp, floor, log
from libc.stdint cimport int32_t, int64_t
from numpy.random cimport bitgen_t

from .memory import empty_vector

cnp.import_array()

LARGEST = 2**31 - 1


cdef inline double uniform(bitgen_t *random) noexcept nogil:
    """A number in (0, 1]: the logarithm of it exists."""
    return 1.0 - random.next_double(random.state)


cdef void sample_sorted(int64_t population, int64_t count, bitgen_t *random, int64_t columns, int32_t *lengths,
                        int32_t *indices) noexcept nogil:
    """Choose `count` of `population` positions, each set as likely as any other, in ascending order.

    J. S. Vitter, An efficient algorithm for sequential random sampling, ACM TOMS 13(1), 1987: algorithm D draws the
    gap to the next position in O(1) expected, and algorithm A walks where the sample is dense. Position p counts for
    lengths[p // columns] and leaves p % columns in `indices`.
    """
    cdef int64_t n = count, N = population, position = -1, gap, limit, t, at = 0
    cdef double v = 1.0, x, u, y1, y2, top, bottom, quotient, ones
    cdef bint drawn = False  # whether v is the n-th root of a uniform number: algorithm D leaves the next one behind
    while n > 0:
        if not drawn:
            v = exp(log(uniform(random)) / n)
            drawn = True
        if n == 1:
            gap = <int64_t> floor(N * (1.0 - v))
            if gap >= N:
                gap = N - 1
        elif 13 * n >= N:
            # Algorithm A: pass over the next position with the probability that it is not in the sample.
            u = uniform(random)
            top = <double> (N - n)
            bottom = <double> N
            quotient = top / bottom
            gap = 0
            while quotient > u:
                gap += 1
                top -= 1
                bottom -= 1
                quotient *= top / bottom
            drawn = False
        else:
            ones = <double> (N - n + 1)
            while True:
                # A gap from a continuous law close to the right one ...
                while True:
                    x = N * (1.0 - v)
                    gap = <int64_t> floor(x)
                    if gap < ones:
                        break
                    v = exp(log(uniform(random)) / n)
                # ... accepted by a cheap test almost always, or else by the exact one.
                y1 = exp(log(uniform(random) * N / ones) / (n - 1))
                v = y1 * (1.0 - x / N) * (ones / (ones - gap))
                if v <= 1.0:
                    break
                y2 = 1.0
                top = <double> (N - 1)
                if n - 1 > gap:
                    bottom = <double> (N - n)
                    limit = N - gap
                else:
                    bottom = <double> (N - gap - 1)
                    limit = N - n + 1
                t = N - 1
                while t >= limit:
                    y2 *= top / bottom
                    top -= 1
                    bottom -= 1
                    t -= 1
                if N / (N - x) >= y1 * exp(log(y2) / (n - 1)):
                    v = exp(log(uniform(random)) / (n - 1))
                    break
                v = exp(log(uniform(random)) / n)
        position += gap + 1
        lengths[position // columns] += 1
        indices[at] = <int32_t> (position % columns)
        at += 1
        N -= gap + 1
        n -= 1


def draw_support(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t count, rng):
    """Draw the positions of `count` weights uniformly from rows x columns, without replacement.

    Returns (indptr, indices): int32 of shapes (rows + 1,) and (count,), rows sorted. Takes O(count + rows) time and no
    memory beside the result. `rng` is a numpy.random.Generator.

    Raises ValueError where `count` is not within 0 to rows x columns, or over 2**31 - 1.
    """
    if not (1 <= rows <= LARGEST and 1 <= columns <= LARGEST):
        raise ValueError(f"the shape is {(rows, columns)}; both must be within 1 to {LARGEST}")
    cdef int64_t population = <int64_t> rows * <int64_t> columns
    if not 0 <= count <= population:
        raise ValueError(f"count is {count}; {rows} x {columns} has 0 to {population} positions")
    if count > LARGEST:
        raise ValueError(f"count is {count}; a layer holds at most {LARGEST} weights")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {type(rng).__name__}; it must be a numpy.random.Generator")
    cdef cnp.ndarray indptr = empty_vector(rows + 1, np.int32)
    cdef cnp.ndarray indices = empty_vector(max(count, 1), np.int32)
    cdef int32_t *lengths = <int32_t *> cnp.PyArray_DATA(indptr) + 1
    cdef int32_t *to = <int32_t *> cnp.PyArray_DATA(indices)
    cdef bitgen_t *random = <bitgen_t *> PyCapsule_GetPointer(rng.bit_generator.capsule, "BitGenerator")
    indptr[:] = 0
    with rng.bit_generator.lock, nogil:
        sample_sorted(population, count, random, columns, lengths, to)
    np.cumsum(indptr, out=indptr)
    return indptr, indices[:count]
