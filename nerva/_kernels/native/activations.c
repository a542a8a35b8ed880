/* Bias and activation, forward and backward. */
#include "activations.h"
#include "parallel.h"
#include "shares.h"
#include "storage.h"

void NAME(bias_activation)(int64_t K, int64_t N, const void *bias, int activation, double alpha, int threads,
                           nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const int thread = omp_get_thread_num(), size = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, 1, thread, size);
        const V slope = vset((R)alpha);
        for (int64_t k = rows.first; k < rows.last; k++) {
            S *y = (S *)Y.data + k * Y.ld;
            const V b = vset(bias ? ((const R *)bias)[k] : 0);
#define ROW(ACTIVATION) \
    for (int64_t n = 0; n < N; n += L) { \
        const M lanes = vfirst(N - n < L ? N - n : L); \
        sstore_first(lanes, y + n, activate(ACTIVATION, vadd(sload_first(lanes, y + n), b), slope)); \
    }
            NERVA_WITH_FUSED_ACTIVATION(activation, ROW)
#undef ROW
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(activation_share)(int64_t K, int64_t N, nerva_matrix Z, int activation, double alpha, nerva_matrix Y,
                            int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    const V slope = vset((R)alpha);
    for (int64_t k = rows.first; k < rows.last; k++) {
        const S *z = (const S *)Z.data + k * Z.ld;
        S *y = (S *)Y.data + k * Y.ld;
#define ROW(ACTIVATION) \
    for (int64_t n = 0; n < N; n += L) { \
        const M lanes = vfirst(N - n < L ? N - n : L); \
        sstore_first(lanes, y + n, activate(ACTIVATION, sload_first(lanes, z + n), slope)); \
    }
        NERVA_WITH_ANY_ACTIVATION(activation, ROW)
#undef ROW
    }
}

void NAME(activation)(int64_t K, int64_t N, nerva_matrix Z, int activation, double alpha, int threads, nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(activation_share)(K, N, Z, activation, alpha, Y, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

/* Some vectors of a row; returns the sum of the gradients in each lane. Only the last vector is masked: masked stores
 * are slow on AMD, even of all lanes. */
INLINE V backward_row(const int ACTIVATION, const S *dy, const S *y, nerva_range vectors, int64_t N, V slope,
                      int in_place, S *dz) {
    const int64_t whole = N / L;
    V sums = vzero();
    for (int64_t v = vectors.first; v < vectors.last && v < whole; v++) {
        const V d = activate_backward(ACTIVATION, sload(dy + v * L), sload(y + v * L), slope);
        sums = vadd(sums, d);
        if (!in_place) sstore(dz + v * L, d);
    }
    if (vectors.last > whole) {
        const M rest = vfirst(N - whole * L);
        dy += whole * L, y += whole * L, dz += whole * L;
        const V d = activate_backward(ACTIVATION, sload_first(rest, dy), sload_first(rest, y), slope);
        sums = vadd(sums, d);
        if (!in_place) sstore_first(rest, dz, d);
    }
    return sums;
}

void NAME(activation_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation,
                                     double alpha, nerva_matrix DZ, void *Db, int add, int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    const int64_t vectors = (N + L - 1) / L, parts = batch_parts(vectors);
    const V slope = vset((R)alpha);
    const int in_place = activation == NERVA_IDENTITY && DZ.data == DY.data;
    for (int64_t k = rows.first; k < rows.last; k += L) { /* in groups of rows, whose lanes are added up together */
        const int count = rows.last - k < L ? (int)(rows.last - k) : L;
        /* In the order in which a product adds up the row sums of its epilogue. */
        V totals = Db && add ? vload_first(vfirst(count), (R *)Db + k) : vzero();
        for (int64_t part = 0; part < parts; part++) {
            const nerva_range own_part = batch_part(vectors, part);
            V sums[L];
            for (int i = count; i < L; i++) sums[i] = vzero();
#define ROWS(ACTIVATION) \
    for (int64_t i = 0; i < count; i++) \
        sums[i] = backward_row(ACTIVATION, (const S *)DY.data + (k + i) * DY.ld, (const S *)Y.data + (k + i) * Y.ld, \
                               own_part, N, slope, in_place, (S *)DZ.data + (k + i) * DZ.ld);
            NERVA_WITH_ANY_ACTIVATION(activation, ROWS)
#undef ROWS
            if (Db) totals = vadd(totals, vsums(sums));
        }
        if (Db) vstore_first(vfirst(count), (R *)Db + k, totals);
    }
}

void NAME(activation_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation, double alpha,
                               int threads, nerva_matrix DZ, void *Db) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(activation_backward_share)(K, N, DY, Y, activation, alpha, DZ, Db, 0, omp_get_thread_num(),
                                        omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
