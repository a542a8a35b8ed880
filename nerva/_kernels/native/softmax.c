/* Softmax and log-softmax over the features of each sample, forward and backward: over the columns of a matrix, a
 * vector of columns at a time. Threads share the columns. */
#include "parallel.h"
#include "shares.h"
#include "storage.h"

/* log x for x > 0, in each lane. */
INLINE V vlog(V x) {
    R lanes[L];
    vstore(lanes, x);
    for (int i = 0; i < L; i++) lanes[i] = (R)__builtin_log((double)lanes[i]);
    return vload(lanes);
}

/* y = e^(z - m) / sum, or (z - m) - log sum, with m the maximum of the column: no z overflows. */
INLINE void forward(const int LOG, int64_t C, M lanes, const S *z, int64_t ldz, S *y, int64_t ldy) {
    V top = sload_first(lanes, z), total = vzero();
    for (int64_t c = 1; c < C; c++) top = vmax(top, sload_first(lanes, z + c * ldz));
    for (int64_t c = 0; c < C; c++) {
        const V less = vsub(sload_first(lanes, z + c * ldz), top), e = vexp(less);
        sstore_first(lanes, y + c * ldy, LOG ? less : e);
        total = vadd(total, e);
    }
    if (LOG) total = vlog(total);
    for (int64_t c = 0; c < C; c++) {
        const V v = sload_first(lanes, y + c * ldy);
        sstore_first(lanes, y + c * ldy, LOG ? vsub(v, total) : vdiv(v, total));
    }
}

/* dz = y (dy - sum(dy y)), or dy - e^y sum(dy). */
INLINE void backward(const int LOG, int64_t C, M lanes, const S *dy, int64_t lddy, const S *y, int64_t ldy, S *dz,
                     int64_t lddz) {
    V total = vzero();
    for (int64_t c = 0; c < C; c++) {
        const V d = sload_first(lanes, dy + c * lddy);
        total = LOG ? vadd(total, d) : vfma(d, sload_first(lanes, y + c * ldy), total);
    }
    for (int64_t c = 0; c < C; c++) {
        const V d = sload_first(lanes, dy + c * lddy), v = sload_first(lanes, y + c * ldy);
        sstore_first(lanes, dz + c * lddz, LOG ? vfnma(vexp(v), total, d) : vmul(v, vsub(d, total)));
    }
}

void NAME(softmax_share)(int64_t C, int64_t N, nerva_matrix Z, int logarithm, nerva_matrix Y, int thread, int team) {
    const nerva_range own = share(N, L, thread, team);
    for (int64_t n = own.first; n < own.last; n += L) {
        const M lanes = vfirst(own.last - n < L ? own.last - n : L);
        const S *z = (const S *)Z.data + n;
        S *y = (S *)Y.data + n;
        if (logarithm) forward(1, C, lanes, z, Z.ld, y, Y.ld);
        else forward(0, C, lanes, z, Z.ld, y, Y.ld);
    }
}

void NAME(softmax_backward_share)(int64_t C, int64_t N, nerva_matrix DY, nerva_matrix Y, int logarithm, nerva_matrix DZ,
                                  int thread, int team) {
    const nerva_range own = share(N, L, thread, team);
    for (int64_t n = own.first; n < own.last; n += L) {
        const M lanes = vfirst(own.last - n < L ? own.last - n : L);
        const S *dy = (const S *)DY.data + n, *y = (const S *)Y.data + n;
        S *dz = (S *)DZ.data + n;
        if (logarithm) backward(1, C, lanes, dy, DY.ld, y, Y.ld, dz, DZ.ld);
        else backward(0, C, lanes, dy, DY.ld, y, Y.ld, dz, DZ.ld);
    }
}

void NAME(softmax)(int64_t C, int64_t N, nerva_matrix Z, int logarithm, int threads, nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, C * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(softmax_share)(C, N, Z, logarithm, Y, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(softmax_backward)(int64_t C, int64_t N, nerva_matrix DY, nerva_matrix Y, int logarithm, int threads,
                            nerva_matrix DZ) {
    const nerva_team team = nerva_team_begin(threads, C * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(softmax_backward_share)(C, N, DY, Y, logarithm, DZ, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
