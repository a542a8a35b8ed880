"""The largest of many numbers, found by counting their digits: O(n), however many are wanted."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from .arrays cimport real_type, vector

from .memory import empty_vector

cnp.import_array()

cdef enum:
    DIGIT = 11  # bits of a number that are counted at a time

ctypedef fused bits:
    uint32_t
    uint64_t

ctypedef fused real:
    float
    double

cdef int64_t ANYWHERE = 2**63 - 1


cdef inline bits ordered(bits number) noexcept nogil:
    """An integer for each floating-point number, given by its bits; they ascend together, NaN beyond all."""
    cdef bits sign = <bits> 1 << (8 * sizeof(bits) - 1)
    return number ^ (sign if number < sign else ~<bits> 0)


cdef Py_ssize_t digit_of(const Py_ssize_t *counts, Py_ssize_t *k) noexcept nogil:
    """The digit of the k-th largest, and k among those that have it."""
    cdef Py_ssize_t digit = (1 << DIGIT) - 1
    while counts[digit] < k[0]:
        k[0] -= counts[digit]
        digit -= 1
    return digit


cdef bits kth(const bits *numbers, Py_ssize_t n, Py_ssize_t k, bits *room) noexcept nogil:
    """The bits of the k-th largest of n floating-point numbers, k from 1. There is space for n in `room`."""
    cdef Py_ssize_t counts[1 << DIGIT]
    cdef Py_ssize_t i, digit, size = 0
    cdef bits key, prefix, ones = (1 << DIGIT) - 1
    cdef int shift = 8 * sizeof(bits) - DIGIT, width
    memset(counts, 0, sizeof(counts))
    for i in range(n):
        counts[ordered(numbers[i]) >> shift] += 1
    digit = digit_of(counts, &k)
    prefix = <bits> digit << shift
    for i in range(n):  # those of this digit, without a branch
        key = ordered(numbers[i])
        room[size] = key
        size += (key >> shift) == <bits> digit
    while shift > 0:
        width = min(<int> DIGIT, shift)
        shift -= width
        ones = (<bits> 1 << width) - 1
        memset(counts, 0, sizeof(counts))
        for i in range(size):
            counts[(room[i] >> shift) & ones] += 1
        digit = digit_of(counts, &k)
        prefix |= <bits> digit << shift
        n = size
        size = 0
        for i in range(n):
            key = room[i]
            room[size] = key
            size += ((key >> shift) & ones) == <bits> digit
    return prefix ^ (<bits> 1 << (8 * sizeof(bits) - 1) if prefix >> (8 * sizeof(bits) - 1) else ~<bits> 0)


cdef Py_ssize_t choose(const real *numbers, Py_ssize_t n, real least, const int64_t *positions, int64_t bound,
                       Py_ssize_t count, int64_t *to) noexcept nogil:
    """Write where the numbers above `least` are, and those equal to it at a position up to `bound`; one more, at most,
    than `count`, which is what is left where there are others."""
    cdef Py_ssize_t i, found = 0
    for i in range(n):
        to[found] = i
        found += (numbers[i] > least) | ((numbers[i] == least) & ((positions[i] if positions else i) <= bound))
        if found > count:
            break
    return found


def largest(numbers, Py_ssize_t count, positions=None):
    """Return where the `count` largest of a float32 or float64 vector are, int64, ascending.

    Of equal ones, those at the lowest `positions` are taken, int64 and all different; the first ones without. Raises
    ValueError where `count` is not within 0 to their number, or a number that matters is NaN.
    """
    cdef int typenum = real_type(numbers, "numbers")
    cdef Py_ssize_t n = numbers.size
    cdef void *data = vector(numbers, "numbers", typenum, n)
    cdef const int64_t *places = NULL
    if positions is not None:
        places = <const int64_t *> vector(positions, "positions", cnp.NPY_INT64, n)
    if not 0 <= count <= n:
        raise ValueError(f"count is {count}; there are {n} numbers")
    if count == n:
        return np.arange(n)
    if count == 0:
        return np.empty(0, np.int64)
    cdef uint32_t short_bits
    cdef uint64_t long_bits
    cdef float short_least = 0
    cdef double long_least
    cdef cnp.ndarray room = empty_vector(n + 1, numbers.dtype)
    if typenum == cnp.NPY_FLOAT32:
        with nogil:
            short_bits = kth[uint32_t](<const uint32_t *> data, n, count, <uint32_t *> cnp.PyArray_DATA(room))
        short_least = (<float *> &short_bits)[0]
        long_least = short_least
    else:
        with nogil:
            long_bits = kth[uint64_t](<const uint64_t *> data, n, count, <uint64_t *> cnp.PyArray_DATA(room))
        long_least = (<double *> &long_bits)[0]
    cdef int64_t bound = ANYWHERE
    equal = np.flatnonzero(numbers == long_least)
    cdef Py_ssize_t wanted = count - np.count_nonzero(numbers > long_least), found
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
        raise ValueError("numbers holds NaN")
    return chosen[:count]
