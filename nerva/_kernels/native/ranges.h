/* How work is divided among threads: contiguous ranges, which depend on sizes alone. One thread computes each output
 * element completely, so that results do not depend on the number of ranges. partition.pyx gives all of them to tests. */
#ifndef NERVA_RANGES_H
#define NERVA_RANGES_H

#include "table.h"

/* The share of `thread` of `count` items, in multiples of `unit`: [first, last). */
typedef struct {
    int64_t first, last;
} nerva_range;

static inline nerva_range share(int64_t count, int64_t unit, int thread, int threads) {
    const int64_t units = (count + unit - 1) / unit;
    const int64_t first = units * thread / threads * unit, last = units * (thread + 1) / threads * unit;
    return (nerva_range){first < count ? first : count, last < count ? last : count};
}

/* The fixed cost of a row, in non-zeros: starting and storing its outputs. */
#define NERVA_ROW_COST 4

/* The first row such that the rows before it cost at least `target`. */
static inline int64_t row_at_cost(const nerva_csr *W, int64_t target) {
    int64_t low = 0, high = W->rows;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (W->indptr[middle] + NERVA_ROW_COST * middle < target) low = middle + 1;
        else high = middle;
    }
    return low;
}

static inline nerva_range share_rows(const nerva_csr *W, int thread, int threads) {
    const int64_t cost = W->nnz + NERVA_ROW_COST * W->rows;
    return (nerva_range){thread == 0 ? 0 : row_at_cost(W, cost * thread / threads),
                         thread == threads - 1 ? W->rows : row_at_cost(W, cost * (thread + 1) / threads)};
}

#endif
