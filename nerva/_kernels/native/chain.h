/* A chain of products, and the slices of its batch, which depend on the batch alone. Read by C and Cython. */
#ifndef NERVA_CHAIN_H
#define NERVA_CHAIN_H

#include "table.h"

/* A product of a chain, Y = f(W X + b), and where the gradients of W's values and of b go. `bias`, `dW` and `db` may be
 * NULL. `transposed`, with the same values, is read where a gradient passes on to X. */
typedef struct {
    nerva_csr W, transposed;
    const void *bias;
    int activation;
    double alpha;
    void *dW, *db;
} nerva_link;

/* A batch (features, N) as all matrices here, or with `by_sample` one of (N, features): `ld` elements from one sample to
 * the next. */
typedef struct {
    void *data;
    int64_t ld;
    int by_sample;
} nerva_samples;

/* Products one after another, and what passes between them, in slices of the batch: a matrix of `rows` begins in slice s
 * at rows x start_s, where start_s is the sum of the strides of the slices before, and all matrices of a slice lie one
 * behind the other. `tape` holds X, where it is by sample, and the outputs of all products but the last; `deltas` the
 * gradients by the outputs of the same products, and by those of the last where DY is not read in place. In the backward
 * pass, Y is read where the last activation is not the identity. */
struct nerva_chain {
    const nerva_link *links;
    int64_t count, N;
    int in_slices; /* else the whole batch is one slice */
    nerva_samples X, DY;
    nerva_matrix Y, DX; /* DX.data may be NULL */
    void *tape, *deltas;
};

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
