/* The first product of a compiled network on sparse samples, (N, D), a row per sample, unsorted, and duplicates add up: at
 * the cost of the non-zeros of a slice times the weights of their features. A sample's outputs, or the gradients by them,
 * lie side by side meanwhile. The threads of a crew share the samples forward, and the features backward. */
#include <string.h>

#include "activations.h"
#include "plan.h"

/* How many entries ahead a column of W is prefetched. */
enum { AHEAD = 4 };

INLINE void prefetch_column(const nerva_csr *columns, int64_t d) {
    const int64_t j = columns->indptr[d];
    _mm_prefetch((const char *)(columns->indices + j), _MM_HINT_T0);
    _mm_prefetch((const char *)(columns->permutation + j), _MM_HINT_T0);
}

/* y = f(y) for a sample's `count` outputs, and what lies behind them in the last vector. */
INLINE void activate_outputs(int activation, V slope, int64_t count, R *y) {
#define ROW(ACTIVATION) \
    for (int64_t k = 0; k < count; k += L) vstore(y + k, activate(ACTIVATION, vload(y + k), slope));
    NERVA_WITH_FUSED_ACTIVATION(activation, ROW)
#undef ROW
}

void NAME(plan_sparse_product)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix Y) {
    const nerva_csr *X = slice->plan->sparse, *columns = of->transposed;
    const nerva_range own = own_rows(slice, slice->n);
    const int64_t K = of->rows, end = X->indptr[slice->first + own.last];
    const R *weights = columns->values, *entries = X->values;
    R *const sums = slice->sums;
    for (int64_t n = own.first; n < own.last; n++) {
        if (of->bias) memcpy(sums, of->bias->values, K * sizeof(R));
        else memset(sums, 0, K * sizeof(R));
        for (int64_t e = X->indptr[slice->first + n]; e < X->indptr[slice->first + n + 1]; e++) {
            if (e + AHEAD < end) prefetch_column(columns, X->indices[e + AHEAD]);
            const R x = entries[e];
            const int64_t d = X->indices[e];
            for (int64_t j = columns->indptr[d]; j < columns->indptr[d + 1]; j++)
                sums[columns->indices[j]] += x * weights[columns->permutation[j]];
        }
        if (of->activation != NERVA_IDENTITY) activate_outputs(of->activation, vset((R)of->alpha), K, sums);
        if (of->wide)
            for (int64_t k = 0; k < K; k++) ((R *)Y.data)[k * Y.ld + n] = sums[k];
        else
            for (int64_t k = 0; k < K; k++) ((S *)Y.data)[k * Y.ld + n] = narrowed(sums[k]);
    }
}

/* The gradient of the weights, set, or added to what is there: of features that do not occur it is 0. */
void NAME(plan_sparse_gradient)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix D) {
    const nerva_csr *X = slice->plan->sparse, *columns = of->transposed;
    const nerva_crew *crew = &slice->crew;
    const R *entries = X->values;
    R *const G = slice->gradients + of->weight->gradient, *const deltas = slice->sums;
    if (!slice->add) {
        const nerva_range own = share(columns->nnz, LINE, crew->thread, crew->size);
        memset(G + own.first, 0, (own.last - own.first) * sizeof(R));
        crew_wait(crew);
    }
    const nerva_range features = share_rows(columns, crew->thread, crew->size);
    const int64_t end = X->indptr[slice->first + slice->n];
    for (int64_t n = 0; n < slice->n; n++) {
        for (int64_t k = 0; k < of->rows; k++) deltas[k] = widened(((const S *)D.data)[k * D.ld + n]);
        for (int64_t e = X->indptr[slice->first + n]; e < X->indptr[slice->first + n + 1]; e++) {
            if (e + AHEAD < end) prefetch_column(columns, X->indices[e + AHEAD]);
            const R x = entries[e];
            const int64_t d = X->indices[e];
            if (d < features.first || d >= features.last) continue;
            for (int64_t j = columns->indptr[d]; j < columns->indptr[d + 1]; j++)
                G[columns->permutation[j]] += x * deltas[columns->indices[j]];
        }
    }
}
