"""Random supports: the positions of weights, drawn uniformly in time and memory proportional to their number."""

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.limits cimport INT_MAX
from libc.math cimport exp, floor, log
from libc.stdint cimport int32_t, int64_t
from numpy.random cimport bitgen_t

from .memory import empty_vector

cnp.import_array()


cdef inline double uniform(bitgen_t *random) noexcept nogil:
    """A random number in (0, 1]: never 0, whose logarithm is infinite."""
    return 1.0 - random.next_double(random.state)


cdef inline double root(bitgen_t *random, int64_t n) noexcept nogil:
    """The n-th root of a uniform random number."""
    return exp(log(uniform(random)) / n)


cdef int64_t walked_gap(int64_t N, int64_t n, bitgen_t *random) noexcept nogil:
    """Algorithm A: skip positions one by one, each with the probability that it is not in the sample."""
    cdef double u = uniform(random), top = <double> (N - n), bottom = <double> N, quotient = top / bottom
    cdef int64_t gap = 0
    while quotient > u:
        gap += 1
        top -= 1
        bottom -= 1
        quotient *= top / bottom
    return gap


cdef int64_t drawn_gap(int64_t N, int64_t n, double *v, bitgen_t *random) noexcept nogil:
    """Algorithm D: the gap by rejection, in O(1) expected. `v` is an n-th root, and an (n - 1)-th afterwards."""
    cdef int64_t gap, limit, t
    cdef double x, y1, y2, top, bottom, ones = <double> (N - n + 1)
    while True:
        # A gap from a continuous approximation of the distribution ...
        while True:
            x = N * (1.0 - v[0])
            gap = <int64_t> floor(x)
            if gap < ones:
                break
            v[0] = root(random, n)
        # ... accepted by a cheap test almost always, or else by the exact one.
        y1 = exp(log(uniform(random) * N / ones) / (n - 1))
        v[0] = y1 * (1.0 - x / N) * (ones / (ones - gap))
        if v[0] <= 1.0:
            return gap
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
            v[0] = root(random, n - 1)
            return gap
        v[0] = root(random, n)


cdef void sample_sorted(int64_t population, int64_t count, bitgen_t *random, int64_t columns, int32_t *lengths,
                        int32_t *indices) noexcept nogil:
    """Choose `count` of `population` positions uniformly without replacement, in ascending order.

    J. S. Vitter, An efficient algorithm for sequential random sampling, ACM TOMS 13(1), 1987: algorithm D, and
    algorithm A where the sample is dense. Position p adds 1 to lengths[p // columns] and p % columns to `indices`.
    """
    cdef int64_t n = count, N = population, position = -1, gap, at = 0
    cdef double v = 1.0
    cdef bint drawn = False  # whether v is the n-th root of a uniform random number: algorithm D leaves the next one
    while n > 0:
        if not drawn:
            v = root(random, n)
            drawn = True
        if n == 1:
            gap = <int64_t> floor(N * (1.0 - v))
            if gap >= N:  # rounded up
                gap = N - 1
        elif 13 * n >= N:
            gap = walked_gap(N, n, random)
            drawn = False
        else:
            gap = drawn_gap(N, n, &v, random)
        position += gap + 1
        lengths[position // columns] += 1
        indices[at] = <int32_t> (position % columns)
        at += 1
        N -= gap + 1
        n -= 1


def draw_support(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t count, rng):
    """Draw the positions of `count` weights uniformly from rows x columns, without replacement.

    Returns (indptr, indices): int32 of shapes (rows + 1,) and (count,), rows sorted. Takes O(count + rows) time and no
    memory besides the result. `rng` is a numpy.random.Generator.

    Raises ValueError where `count` is not within 0 to rows x columns, or over 2**31 - 1.
    """
    if not (1 <= rows <= INT_MAX and 1 <= columns <= INT_MAX):
        raise ValueError(f"the shape is {(rows, columns)}; both must be within 1 to {INT_MAX}")
    cdef int64_t population = <int64_t> rows * <int64_t> columns
    if not 0 <= count <= population:
        raise ValueError(f"count is {count}; {rows} x {columns} has 0 to {population} positions")
    if count > INT_MAX:
        raise ValueError(f"count is {count}; a layer holds at most {INT_MAX} weights")
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
