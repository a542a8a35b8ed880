/* What kernels share among the threads of a team: ranges of ranges.h, parts of a batch, and checks of a matrix. */
#ifndef NERVA_PARALLEL_H
#define NERVA_PARALLEL_H

#include "ranges.h"
#include "simd.h"
#include "team.h"

/* Inside another parallel region OpenMP gives fewer threads than the team's size: kernels ask how many there are. */
int omp_get_thread_num(void);
int omp_get_num_threads(void);

/* The most vectors of a batch that a kernel processes at once, and range number `part` of them. The ranges depend on
 * the size of the batch alone, so that all kernels add over it in the same order and agree to the last bit. */
enum { NERVA_WIDEST = 8 };

INLINE int64_t batch_parts(int64_t vectors) { return (vectors + NERVA_WIDEST - 1) / NERVA_WIDEST; }

INLINE nerva_range batch_part(int64_t vectors, int64_t part) {
    const int64_t parts = batch_parts(vectors);
    return (nerva_range){vectors * part / parts, vectors * (part + 1) / parts};
}

/* With -Dchecks=true: abort where the indices of a matrix would make a kernel read or write out of bounds. */
#ifdef NERVA_CHECKS
#include <stdio.h>
#include <stdlib.h>
static inline void check_csr(const nerva_csr *W) {
    int wrong = W->indptr[0] != 0 || W->indptr[W->rows] != W->nnz;
    for (int64_t r = 0; r < W->rows; r++) wrong |= W->indptr[r] > W->indptr[r + 1];
    for (int64_t j = 0; j < W->nnz && !wrong; j++)
        wrong |= W->indices[j] < 0 || W->indices[j] >= W->cols
                 || (W->permutation && (W->permutation[j] < 0 || W->permutation[j] >= W->nnz));
    if (wrong) {
        fprintf(stderr, "nerva: a kernel was given a broken CSR matrix\n");
        abort();
    }
}
#else
INLINE void check_csr(const nerva_csr *W) { (void)W; }
#endif

/* Whether sharing whole rows would give one thread over 20 % more than its part, as a heavy row does. */
INLINE int rows_are_skewed(const nerva_csr *W, int threads) {
    const int64_t cost = W->nnz + NERVA_ROW_COST * W->rows;
    for (int thread = 0; thread < threads; thread++) {
        const nerva_range rows = share_rows(W, thread, threads);
        const int64_t own = W->indptr[rows.last] - W->indptr[rows.first] + NERVA_ROW_COST * (rows.last - rows.first);
        if (own * threads * 5 > cost * 6) return 1;
    }
    return 0;
}

#endif
