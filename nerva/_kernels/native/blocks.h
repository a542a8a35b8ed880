/* Blocks of columns of W, one after another over many rows, so that the rows of X that a block reads stay in the
 * first-level cache. */
#ifndef NERVA_BLOCKS_H
#define NERVA_BLOCKS_H

#include "simd.h"
#include "table.h"

/* Bytes of X that stay in a 32 KiB cache beside the data that streams past; rows of W processed per block. */
enum { NERVA_NEAR = 28672, NERVA_CHUNK = 1024 };

typedef struct {
    int64_t columns; /* of a block; all of W's where blocks would not pay */
    int64_t run;     /* an estimate of a row's non-zeros in a block, from above */
} nerva_blocks;

/* Blocks for a kernel that reads `bytes` of a row of X, and whose fixed cost per row and block needs about `least`
 * non-zeros to pay. The sparser W, the wider the blocks, and the slower the cache that holds them. */
INLINE nerva_blocks choose_blocks(const nerva_csr *W, int64_t bytes, int64_t least) {
    const double density = W->nnz / ((double)W->rows * W->cols);
    int64_t columns = NERVA_NEAR / bytes;
    if (columns * density < least)
        columns = density > 0 && least / density < W->cols ? (int64_t)(least / density) : W->cols;
    if (2 * columns > W->cols) columns = W->cols;
    return (nerva_blocks){columns, (int64_t)(columns * density) + 8};
}

/* Prefetch `count` elements from `first` on. They may lie beyond the end of the array. */
INLINE void prefetch(const void *first, int64_t count, int64_t size) {
    for (int64_t at = 0; at < count * size; at += 64) _mm_prefetch((const char *)first + at, _MM_HINT_T0);
}

#endif
