/* SReLU, the S-shaped rectified linear unit (Jin et al. 2016), and the gradients of its four parameters. */
#include "parallel.h"
#include "shares.h"
#include "storage.h"

/* The parameters of one row. */
typedef struct {
    V left, left_slope, right, right_slope;
} thresholds;

/* `parameters` are t_l, a_l, t_r, a_r, each `count` long: 1, or one per row. */
INLINE thresholds thresholds_of(const R *parameters, int64_t count, int64_t k) {
    const R *own = parameters + (count > 1 ? k : 0);
    return (thresholds){vset(own[0]), vset(own[count]), vset(own[2 * count]), vset(own[3 * count])};
}

/* `below` for z <= t_l; else `between` for z < t_r; else `beyond`. */
INLINE V vselect_piece(const thresholds *at, V z, V below, V between, V beyond) {
    return vselect_greater(at->right, z, vselect_greater(z, at->left, between, below),
                           vselect_greater(z, at->left, beyond, below));
}

void NAME(srelu_share)(int64_t K, int64_t N, nerva_matrix Z, const void *parameters, int64_t count, nerva_matrix Y,
                       int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    for (int64_t k = rows.first; k < rows.last; k++) {
        const S *z = (const S *)Z.data + k * Z.ld;
        S *y = (S *)Y.data + k * Y.ld;
        const thresholds at = thresholds_of(parameters, count, k);
        for (int64_t n = 0; n < N; n += L) {
            const M lanes = vfirst(N - n < L ? N - n : L);
            const V x = sload_first(lanes, z + n);
            sstore_first(lanes, y + n,
                         vselect_piece(&at, x, vfma(at.left_slope, vsub(x, at.left), at.left), x,
                                       vfma(at.right_slope, vsub(x, at.right), at.right)));
        }
    }
}

void NAME(srelu)(int64_t K, int64_t N, nerva_matrix Z, const void *parameters, int64_t count, int threads,
                 nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(srelu_share)(K, N, Z, parameters, count, Y, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(srelu_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Z, const void *parameters,
                                int64_t count, nerva_matrix DZ, void *Db, void *by_row, int add, int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    const V one = vset(1);
    for (int64_t k = rows.first; k < rows.last; k++) {
        const S *dy = (const S *)DY.data + k * DY.ld, *z = (const S *)Z.data + k * Z.ld;
        S *dz = (S *)DZ.data + k * DZ.ld;
        const thresholds at = thresholds_of(parameters, count, k);
        V all = vzero(), left = vzero(), left_slope = vzero(), right = vzero(), right_slope = vzero();
        for (int64_t n = 0; n < N; n += L) {
            const M lanes = vfirst(N - n < L ? N - n : L);
            const V d = sload_first(lanes, dy + n), x = sload_first(lanes, z + n);
            const V below = vselect_piece(&at, x, d, vzero(), vzero());
            const V beyond = vselect_piece(&at, x, vzero(), vzero(), d);
            const V out = vselect_piece(&at, x, vmul(at.left_slope, d), d, vmul(at.right_slope, d));
            left = vadd(left, below);
            left_slope = vfma(below, vsub(x, at.left), left_slope);
            right = vadd(right, beyond);
            right_slope = vfma(beyond, vsub(x, at.right), right_slope);
            all = vadd(all, out);
            sstore_first(lanes, dz + n, out);
        }
        const V apart[4] = {vmul(vsub(one, at.left_slope), left), left_slope,
                            vmul(vsub(one, at.right_slope), right), right_slope};
        R parts[L];
        V sums[L];
        for (int i = 0; i < L; i++) sums[i] = i < 4 ? apart[i & 3] : all;
        vstore(parts, vsums(sums));
        for (int i = 0; i < 4; i++) ((R *)by_row)[i * K + k] = (add ? ((R *)by_row)[i * K + k] : 0) + parts[i];
        if (Db) ((R *)Db)[k] = (add ? ((R *)Db)[k] : 0) + (L > 4 ? parts[L - 1] : vsum(all));
    }
}

void NAME(srelu_sum_rows)(int64_t K, const void *by_row, void *gradient, int add) {
    for (int i = 0; i < 4; i++) {
        double sum = 0;
        for (int64_t k = 0; k < K; k++) sum += (double)((const R *)by_row)[i * K + k];
        ((R *)gradient)[i] = (add ? ((R *)gradient)[i] : 0) + (R)sum;
    }
}

void NAME(srelu_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Z, const void *parameters, int64_t count,
                          int threads, nerva_matrix DZ, void *gradient, void *rows_gradient) {
    const nerva_team team = nerva_team_begin(threads, K * N);
    void *const by_row = count > 1 || K == 1 ? gradient : rows_gradient;
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(srelu_backward_share)(K, N, DY, Z, parameters, count, DZ, 0, by_row, 0, omp_get_thread_num(),
                                   omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
    if (by_row != gradient) NAME(srelu_sum_rows)(K, by_row, gradient, 0);
}
