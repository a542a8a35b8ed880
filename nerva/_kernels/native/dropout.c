/* Dropout: each element is kept with probability 1 - rate, else set to zero. A counter-based generator decides from a
 * key and the element's position alone: so no mask is stored, since the backward pass computes it again, and results
 * do not depend on the number of threads. */
#include "activations.h"
#include "masks.h"
#include "parallel.h"
#include "shares.h"
#include "storage.h"

void NAME(dropout_share)(int64_t K, int64_t N, nerva_matrix X, uint64_t key, int64_t first_row, int64_t first_column,
                         double rate, nerva_matrix Y, int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    for (int64_t k = rows.first; k < rows.last; k++) {
        const S *x = (const S *)X.data + k * X.ld;
        S *y = (S *)Y.data + k * Y.ld;
        const generator own = generator_of(key, first_row + k, rate);
        for (int64_t n = 0; n < N; n += L) {
            const M lanes = vfirst(N - n < L ? N - n : L);
            sstore_first(lanes, y + n, masked(&own, (uint32_t)(first_column + n), sload_first(lanes, x + n)));
        }
    }
}

void NAME(dropout)(int64_t K, int64_t N, nerva_matrix X, uint64_t key, int64_t first_row, double rate, int threads,
                   nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(dropout_share)(K, N, X, key, first_row, 0, rate, Y, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(dropout_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, uint64_t key,
                                  int64_t first_column, double rate, int activation, double alpha, int dropped,
                                  nerva_matrix DZ, void *Db, int add, int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    const V slope = vset((R)alpha);
    const int told = dropped && activation == NERVA_RELU;
    for (int64_t k = rows.first; k < rows.last; k++) {
        const S *dy = (const S *)DY.data + k * DY.ld, *y = (const S *)Y.data + k * Y.ld;
        S *dz = (S *)DZ.data + k * DZ.ld;
        const generator own = generator_of(key, k, rate);
        V total = vzero();
#define ROW(ACTIVATION) \
    for (int64_t n = 0; n < N; n += L) { \
        const M lanes = vfirst(N - n < L ? N - n : L); \
        const V given = sload_first(lanes, dy + n); \
        const V kept = told ? vmul(own.scale, given) : masked(&own, (uint32_t)(first_column + n), given); \
        const V d = activate_backward(ACTIVATION, kept, sload_first(lanes, y + n), slope); \
        total = vadd(total, d); \
        sstore_first(lanes, dz + n, d); \
    }
        NERVA_WITH_FUSED_ACTIVATION(activation, ROW)
#undef ROW
        if (Db) ((R *)Db)[k] = (add ? ((R *)Db)[k] : 0) + vsum(total);
    }
}
