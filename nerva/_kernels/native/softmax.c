/* Softmax and log-softmax over the features of each sample, forward and backward: over the columns of a matrix, a
 * vector of columns at a time. Threads share the columns. */
#include "parallel.h"

/* log x for x > 0, in each lane. */
INLINE V vlog(V x) {
    R lanes[L];
    vstore(lanes, x);
    for (int i = 0; i < L; i++) lanes[i] = (R)__builtin_log((double)lanes[i]);
    return vload(lanes);
}

/* y = e^(z - m) / sum, or (z - m) - log sum, with m the maximum of the column: no z overflows. */
INLINE void forward(const int LOG, int64_t C, M lanes, const R *z, int64_t ldz, R *y, int64_t ldy) {
    V top = vload_first(lanes, z), total = vzero();
    for (int64_t c = 1; c < C; c++) top = vmax(top, vload_first(lanes, z + c * ldz));
    for (int64_t c = 0; c < C; c++) {
        const V less = vsub(vload_first(lanes, z + c * ldz), top), e = vexp(less);
        vstore_first(lanes, y + c * ldy, LOG ? less : e);
        total = vadd(total, e);
    }
    if (LOG) total = vlog(total);
    for (int64_t c = 0; c < C; c++) {
        const V v = vload_first(lanes, y + c * ldy);
        vstore_first(lanes, y + c * ldy, LOG ? vsub(v, total) : vdiv(v, total));
    }
}

/* dz = y (dy - sum(dy y)), or dy - e^y sum(dy). */
INLINE void backward(const int LOG, int64_t C, M lanes, const R *dy, int64_t lddy, const R *y, int64_t ldy, R *dz,
                     int64_t lddz) {
    V total = vzero();
    for (int64_t c = 0; c < C; c++) {
        const V d = vload_first(lanes, dy + c * lddy);
        total = LOG ? vadd(total, d) : vfma(d, vload_first(lanes, y + c * ldy), total);
    }
    for (int64_t c = 0; c < C; c++) {
        const V d = vload_first(lanes, dy + c * lddy), v = vload_first(lanes, y + c * ldy);
        vstore_first(lanes, dz + c * lddz, LOG ? vfnma(vexp(v), total, d) : vmul(v, vsub(d, total)));
    }
}

#define EACH_COLUMN(CALL)                                            \
    const nerva_team team = nerva_team_begin(threads, C * N);            \
    _Pragma("omp parallel num_threads(team.size) if (team.size > 1)") \
    {                                                                \
        const unsigned mode = flush_subnormals();                    \
        const nerva_range own = share(N, L, omp_get_thread_num(), omp_get_num_threads()); \
        for (int64_t n = own.first; n < own.last; n += L) {          \
            const M lanes = vfirst(own.last - n < L ? own.last - n : L); \
            CALL;                                                    \
        }                                                            \
        _mm_setcsr(mode);                                            \
    }                                                                \
    nerva_team_end(team);

void NAME(softmax)(int64_t C, int64_t N, nerva_matrix Z, int logarithm, int threads, nerva_matrix Y) {
    const R *z = Z.data;
    R *y = Y.data;
    EACH_COLUMN(if (logarithm) forward(1, C, lanes, z + n, Z.ld, y + n, Y.ld);
                else forward(0, C, lanes, z + n, Z.ld, y + n, Y.ld))
}

void NAME(softmax_backward)(int64_t C, int64_t N, nerva_matrix DY, nerva_matrix Y, int logarithm, int threads,
                                   nerva_matrix DZ) {
    const R *dy = DY.data, *y = Y.data;
    R *dz = DZ.data;
    EACH_COLUMN(if (logarithm) backward(1, C, lanes, dy + n, DY.ld, y + n, Y.ld, dz + n, DZ.ld);
                else backward(0, C, lanes, dy + n, DY.ld, y + n, Y.ld, dz + n, DZ.ld))
}
