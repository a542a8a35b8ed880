"""The k largest elements of a vector, by a radix selection: O(n) for any k."""

import numpy as np

cimport numpy as cnp
from libc.limits cimport LLONG_MAX
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from .arrays cimport real_type, vector

from .memory import empty_vector

cnp.import_array()

cdef enum:
    DIGIT = 11  # bits of a digit

ctypedef fused bits:
    uint32_t
    uint64_t

ctypedef fused real:
    float
    double


cdef inline bits ordered(bits value) noexcept nogil:
    """The bits of a floating-point number as an unsigned integer of the same order; NaN is beyond all numbers."""
    cdef bits sign = <bits> 1 << (8 * sizeof(bits) - 1)
    return value ^ (sign if value < sign else ~<bits> 0)


cdef Py_ssize_t digit_of(const Py_ssize_t *counts, Py_ssize_t *k) noexcept nogil:
    """The digit of the k-th largest element. Sets k to its rank among those with this digit."""
    cdef Py_ssize_t digit = (1 << DIGIT) - 1
    while counts[digit] < k[0]:
        k[0] -= counts[digit]
        digit -= 1
    return digit


cdef bits kth(const bits *values, Py_ssize_t n, Py_ssize_t k, bits *scratch) noexcept nogil:
    """The bits of the k-th largest of n floating-point values, k from 1. `scratch` has n + 1 elements."""
    cdef Py_ssize_t counts[1 << DIGIT]
    cdef Py_ssize_t i, digit, size = 0
    cdef bits key, prefix, ones = (1 << DIGIT) - 1
    cdef int shift = 8 * sizeof(bits) - DIGIT, width
    memset(counts, 0, sizeof(counts))
    for i in range(n):
        counts[ordered(values[i]) >> shift] += 1
    digit = digit_of(counts, &k)
    prefix = <bits> digit << shift
    for i in range(n):  # those with this digit, without a branch: one too many is written, and overwritten
        key = ordered(values[i])
        scratch[size] = key
        size += (key >> shift) == <bits> digit
    while shift > 0:
        width = min(<int> DIGIT, shift)
        shift -= width
        ones = (<bits> 1 << width) - 1
        memset(counts, 0, sizeof(counts))
        for i in range(size):
            counts[(scratch[i] >> shift) & ones] += 1
        digit = digit_of(counts, &k)
        prefix |= <bits> digit << shift
        n = size
        size = 0
        for i in range(n):
            key = scratch[i]
            scratch[size] = key
            size += ((key >> shift) & ones) == <bits> digit
    return prefix ^ (<bits> 1 << (8 * sizeof(bits) - 1) if prefix >> (8 * sizeof(bits) - 1) else ~<bits> 0)


cdef Py_ssize_t choose(const real *values, Py_ssize_t n, real least, const int64_t *positions, int64_t bound,
                       Py_ssize_t count, int64_t *to) noexcept nogil:
    """Write the indices of the values above `least`, and of those equal to it at a position up to `bound`.

    Returns how many there are. Stops beyond `count`, as there are more where NaN is among them: `to` has count + 1
    elements.
    """
    cdef Py_ssize_t i, found = 0
    for i in range(n):
        to[found] = i
        found += (values[i] > least) | ((values[i] == least) & ((positions[i] if positions else i) <= bound))
        if found > count:
            break
    return found


def largest(values, Py_ssize_t count, positions=None):
    """Return the indices of the `count` largest elements of a float32 or float64 vector: int64, ascending.

    Among equal elements, those with the lowest `positions` are taken, int64 without duplicates; or else the first.
    Raises ValueError where `count` is not within 0 to len(values), or NaN makes the choice undefined.
    """
    cdef int typenum = real_type(values, "values")
    cdef Py_ssize_t n = values.size
    cdef void *data = vector(values, "values", typenum, n)
    cdef const int64_t *places = NULL
    if positions is not None:
        places = <const int64_t *> vector(positions, "positions", cnp.NPY_INT64, n)
    if not 0 <= count <= n:
        raise ValueError(f"count is {count}; there are {n} values")
    if count == n:
        return np.arange(n)
    if count == 0:
        return np.empty(0, np.int64)
    cdef uint32_t short_bits
    cdef uint64_t long_bits
    cdef float short_least = 0
    cdef double long_least = 0
    cdef cnp.ndarray scratch = empty_vector(n + 1, values.dtype)
    if typenum == cnp.NPY_FLOAT32:
        with nogil:
            short_bits = kth[uint32_t](<const uint32_t *> data, n, count, <uint32_t *> cnp.PyArray_DATA(scratch))
        memcpy(&short_least, &short_bits, sizeof(float))
        long_least = short_least
    else:
        with nogil:
            long_bits = kth[uint64_t](<const uint64_t *> data, n, count, <uint64_t *> cnp.PyArray_DATA(scratch))
        memcpy(&long_least, &long_bits, sizeof(double))
    cdef int64_t bound = LLONG_MAX
    equal = np.flatnonzero(values == long_least)
    cdef Py_ssize_t wanted = count - np.count_nonzero(values > long_least), found
    if 0 < wanted < len(equal):
        bound = np.partition(equal if positions is None else positions[equal], wanted - 1)[wanted - 1]
    cdef cnp.ndarray chosen = empty_vector(count + 1, np.int64)
    cdef int64_t *to = <int64_t *> cnp.PyArray_DATA(chosen)
    with nogil:
        if typenum == cnp.NPY_FLOAT32:
            found = choose[float](<const float *> data, n, short_least, places, bound, count, to)
        else:
            found = choose[double](<const double *> data, n, long_least, places, bound, count, to)
    if found != count:
        raise ValueError("values holds NaN")
    return chosen[:count]
