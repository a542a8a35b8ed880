/* Slices of a batch of a chain: they depend on the batch alone. Read by C and Cython. */
#ifndef NERVA_SLICES_H
#define NERVA_SLICES_H

#include <stdint.h>

/* Slices begin at multiples of UNIT samples and have at most WIDEST_SAMPLES; a batch of more than HALVED has two: the
 * features of a slice then stay in a cache that those of all samples would leave. As in slices.py. */
enum { NERVA_UNIT = 8, NERVA_WIDEST_SAMPLES = 64, NERVA_HALVED = 48 };

static inline int64_t nerva_slice_count(int64_t N) {
    const int64_t count = (N + NERVA_WIDEST_SAMPLES - 1) / NERVA_WIDEST_SAMPLES;
    return N > NERVA_HALVED && count < 2 ? 2 : count;
}

/* The first sample of slice s of `count`; that behind the last one is N. */
static inline int64_t nerva_slice_first(int64_t N, int64_t s, int64_t count) {
    const int64_t first = (N + NERVA_UNIT - 1) / NERVA_UNIT * s / count * NERVA_UNIT;
    return first < N ? first : N;
}

/* Elements from row to row of a matrix (features, n): whole cache lines, and not a multiple of 1024 bytes, whose rows
 * would compete for the same few sets of a cache. The features of a single sample are contiguous. */
static inline int64_t nerva_row_stride(int64_t n, int64_t size) {
    const int64_t line = 64 / size, padded = (n + line - 1) / line * line;
    return n == 1 ? 1 : padded * size % 1024 ? padded : padded + line;
}

/* The sum of the strides of the first `end` of `count` slices. */
static inline int64_t nerva_strides(int64_t N, int64_t end, int64_t count, int64_t size) {
    int64_t sum = 0;
    for (int64_t s = 0; s < end; s++)
        sum += nerva_row_stride(nerva_slice_first(N, s + 1, count) - nerva_slice_first(N, s, count), size);
    return sum;
}

#endif
