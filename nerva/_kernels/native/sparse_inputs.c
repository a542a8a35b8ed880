/* A layer with sparse inputs X: W X and the gradient of W, at the cost of the non-zeros of X times the weights of their
 * * features. X is (N, D), a row per sample, unsorted, and duplicates add up; `transposed` is (features that occur, N),
 * and its row u is feature features[u]. */
#include <string.h>

#include "activations.h"
#include "parallel.h"

/* The fixed cost of a sample, in products. */
#define SAMPLE_COST 64

/* How many entries ahead a column of a sparse W is prefetched, and a weight of a dense one. */
enum { AHEAD = 4, AHEAD_DENSE = 32 };

/* Rows of a dense W that are processed together: the entries of X are read once for all of them. */
enum { TOGETHER = 4 };

/* The first sample, a multiple of L, such that those before it cost at least `target`. */
static int64_t sample_at_cost(const nerva_csr *X, int64_t target) {
    int64_t low = 0, high = (X->rows + L - 1) / L;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (X->indptr[middle * L] + SAMPLE_COST * middle * L < target) low = middle + 1;
        else high = middle;
    }
    return low * L < X->rows ? low * L : X->rows;
}

static nerva_range share_samples(const nerva_csr *X, int thread, int threads) {
    const int64_t cost = X->nnz + SAMPLE_COST * X->rows;
    return (nerva_range){thread == 0 ? 0 : sample_at_cost(X, cost * thread / threads),
                         thread == threads - 1 ? X->rows : sample_at_cost(X, cost * (thread + 1) / threads)};
}

/* y = f(y) for `count` elements. */
INLINE void activate_row(int activation, V slope, int64_t count, R *y) {
#define ROW(ACTIVATION) \
    for (int64_t n = 0; n < count; n += L) { \
        const M lanes = vfirst(count - n < L ? count - n : L); \
        vstore_first(lanes, y + n, activate(ACTIVATION, vload_first(lanes, y + n), slope)); \
    }
    NERVA_WITH_FUSED_ACTIVATION(activation, ROW)
#undef ROW
}

/* The average number of weights in a column of W, rounded up. */
static int64_t column_weights(const nerva_csr *columns) { return columns->nnz / columns->rows + 1; }

void NAME(sparse_input_spmm)(const nerva_csr *columns, const nerva_csr *X, const void *bias, int activation,
                             double alpha, int threads, nerva_matrix Y) {
    check_csr(columns);
    check_csr(X);
    const int64_t K = columns->cols;
    const nerva_team team = nerva_team_begin(threads, X->nnz * column_weights(columns) + K * X->rows);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range own = share_samples(X, omp_get_thread_num(), omp_get_num_threads());
        const R *weights = columns->values, *entries = X->values;
        for (int64_t k = 0; k < K; k++) {
            const R b = bias ? ((const R *)bias)[k] : 0;
            R *y = (R *)Y.data + k * Y.ld;
            for (int64_t n = own.first; n < own.last; n++) y[n] = b;
        }
        const int64_t end = X->indptr[own.last];
        for (int64_t n = own.first; n < own.last; n++) {
            R *y = (R *)Y.data + n;
            for (int64_t e = X->indptr[n]; e < X->indptr[n + 1]; e++) {
                if (e + AHEAD < end) {
                    const int64_t soon = columns->indptr[X->indices[e + AHEAD]];
                    _mm_prefetch((const char *)(columns->indices + soon), _MM_HINT_T0);
                    _mm_prefetch((const char *)(columns->permutation + soon), _MM_HINT_T0);
                }
                const R x = entries[e];
                const int64_t d = X->indices[e];
                for (int64_t j = columns->indptr[d]; j < columns->indptr[d + 1]; j++)
                    y[columns->indices[j] * Y.ld] += x * weights[columns->permutation[j]];
            }
        }
        if (activation != NERVA_IDENTITY)
            for (int64_t k = 0; k < K; k++)
                activate_row(activation, vset((R)alpha), own.last - own.first, (R *)Y.data + k * Y.ld + own.first);
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

/* ROWS rows of Y, from those of W and Y on. */
INLINE void rows_together(const int ROWS, const R *W, int64_t ldw, const nerva_csr *X, const R *bias, R *Y,
                          int64_t ldy) {
    const R *entries = X->values;
    for (int64_t n = 0; n < X->rows; n++) {
        R sums[TOGETHER];
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; i++) sums[i] = bias ? bias[i] : 0;
        for (int64_t e = X->indptr[n]; e < X->indptr[n + 1]; e++) {
            const R x = entries[e];
            const R *w = W + X->indices[e], *soon = W + X->indices[e + AHEAD_DENSE < X->nnz ? e + AHEAD_DENSE : e];
#pragma GCC unroll 4
            for (int i = 0; i < ROWS; i++) _mm_prefetch((const char *)(soon + i * ldw), _MM_HINT_T0);
#pragma GCC unroll 4
            for (int i = 0; i < ROWS; i++) sums[i] += x * w[i * ldw];
        }
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; i++) Y[i * ldy + n] = sums[i];
    }
}

void NAME(sparse_input_gemm)(int64_t K, nerva_matrix W, const nerva_csr *X, const void *bias, int activation,
                             double alpha, int threads, nerva_matrix Y) {
    check_csr(X);
    const nerva_team team = nerva_team_begin(threads, (X->nnz + X->rows) * K);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(K, TOGETHER, omp_get_thread_num(), omp_get_num_threads());
        for (int64_t k = own.first; k < own.last;) {
            const R *w = (const R *)W.data + k * W.ld, *b = bias ? (const R *)bias + k : 0;
            R *y = (R *)Y.data + k * Y.ld;
            const int rows = k + TOGETHER <= own.last ? TOGETHER : 1;
            if (rows == TOGETHER) rows_together(TOGETHER, w, W.ld, X, b, y, Y.ld);
            else rows_together(1, w, W.ld, X, b, y, Y.ld);
            if (activation != NERVA_IDENTITY)
                for (int i = 0; i < rows; i++) activate_row(activation, vset((R)alpha), X->rows, y + i * Y.ld);
            k += rows;
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

/* sum_e x[e] dz[samples[e]], in four alternating sums. */
INLINE R sparse_dot(int64_t count, const R *x, const int32_t *samples, const R *dz) {
    if (count == 1) return x[0] * dz[samples[0]];
    R sums[4] = {0};
    int64_t e = 0;
    for (; e + 4 <= count; e += 4)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) sums[i] += x[e + i] * dz[samples[e + i]];
    for (; e < count; e++) sums[0] += x[e] * dz[samples[e]];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* The cost of the gradient of the weights of feature u. */
INLINE int64_t feature_cost(const nerva_csr *columns, const nerva_csr *transposed, const int32_t *features, int64_t u) {
    const int64_t d = features[u];
    return (transposed->indptr[u + 1] - transposed->indptr[u] + 2) * (columns->indptr[d + 1] - columns->indptr[d] + 2);
}

void NAME(sparse_input_sddmm)(const nerva_csr *columns, const nerva_csr *transposed, const int32_t *features,
                              nerva_matrix DZ, int threads, void *G) {
    check_csr(columns);
    check_csr(transposed);
    const nerva_team team = nerva_team_begin(threads, transposed->nnz * column_weights(columns) + columns->nnz / 8);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const int thread = omp_get_thread_num(), size = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(columns->nnz, 64, thread, size);
        memset((R *)G + own.first, 0, (own.last - own.first) * sizeof(R));
        int64_t total = 0, before = 0;
        for (int64_t u = 0; u < transposed->rows; u++) total += feature_cost(columns, transposed, features, u);
        const int64_t first = total * thread / size, last = total * (thread + 1) / size;
#pragma omp barrier
        for (int64_t u = 0; u < transposed->rows && before < last; u++) {
            const int mine = before >= first;
            before += feature_cost(columns, transposed, features, u);
            if (!mine) continue;
            const int64_t start = transposed->indptr[u], count = transposed->indptr[u + 1] - start, d = features[u];
            for (int64_t j = columns->indptr[d]; j < columns->indptr[d + 1]; j++)
                ((R *)G)[columns->permutation[j]] =
                    sparse_dot(count, (const R *)transposed->values + start, transposed->indices + start,
                               (const R *)DZ.data + columns->indices[j] * DZ.ld);
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(sparse_input_outer)(int64_t K, int64_t D, const nerva_csr *transposed, const int32_t *features,
                              nerva_matrix DZ, int threads, nerva_matrix G) {
    check_csr(transposed);
    const nerva_team team = nerva_team_begin(threads, K * (transposed->nnz + D / 8));
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(K, 1, omp_get_thread_num(), omp_get_num_threads());
        for (int64_t k = own.first; k < own.last; k++) {
            R *g = (R *)G.data + k * G.ld;
            const R *dz = (const R *)DZ.data + k * DZ.ld;
            memset(g, 0, D * sizeof(R));
            for (int64_t u = 0; u < transposed->rows; u++) {
                const int64_t start = transposed->indptr[u];
                g[features[u]] = sparse_dot(transposed->indptr[u + 1] - start, (const R *)transposed->values + start,
                                            transposed->indices + start, dz);
            }
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
