/* Batch normalization (Ioffe & Szegedy 2015): a row is a feature, and its statistics are made while it is in the cache. */
#include "activation.h"
#include "parallel.h"

/* As many rows as a vector has lanes go together: their sums are added across in one go (see vsums), and what is made of
 * the sums is made of all at once. A row's numbers do not depend on which rows it goes with. */
typedef struct {
    R center[L], scale[L];
} statistics;

/* The vectors of a row: whole ones, and in the end a part of one. BODY takes `whole`, known to the compiler, and `lanes`. */
#define EACH(BODY) \
    do { \
        int64_t n = 0; \
        for (; n + L <= N; n += L) BODY(1, vfirst(L)) \
        if (n < N) BODY(0, vfirst(N - n)) \
    } while (0)

INLINE V take(int whole, M lanes, const R *from) { return whole ? vload(from) : vload_first(lanes, from); }

INLINE void put(int whole, M lanes, R *to, V v) {
    if (whole) vstore(to, v);
    else vstore_first(lanes, to, v);
}

/* Of each row less a number of its own: the mean, and the mean square less the mean's square. */
INLINE void moments(int64_t rows, int64_t N, const R *x, int64_t ldx, const R from[L], V *mean, V *variance) {
    V sums[L], squares[L];
    const V part = vset(1 / (R)N);
    for (int i = 0; i < L; i++) sums[i] = squares[i] = vzero();
    for (int64_t i = 0; i < rows; i++) {
        const V start = vset(from[i]);
        V first = vzero(), second = vzero();
#define BODY(whole, lanes) \
    { \
        V off = vsub(take(whole, lanes, x + i * ldx + n), start); \
        if (!whole) off = vkeep_first(lanes, off); \
        first = vadd(first, off); \
        second = vfma(off, off, second); \
    }
        EACH(BODY);
#undef BODY
        sums[i] = first;
        squares[i] = second;
    }
    *mean = vmul(vsums(sums), part);
    *variance = vmax(vzero(), vfnma(*mean, *mean, vmul(vsums(squares), part)));
}

/* The mean of each row, and 1 / sqrt(variance + epsilon). The moments are taken about the row's first number, so a large
 * mean costs no digits; and once more, about the mean, where one of the rows starts more than four deviations from it. */
INLINE statistics of_batch(int64_t rows, int64_t N, const R *x, int64_t ldx, V epsilon, V *mean, V *variance) {
    statistics own;
    V rest;
    for (int64_t i = 0; i < L; i++) own.center[i] = i < rows ? x[i * ldx] : 0;
    moments(rows, N, x, ldx, own.center, &rest, variance);
    *mean = vadd(vload(own.center), rest);
    const V far = vselect_greater(vmul(rest, rest), vmul(vset(16), *variance), vset(1), vzero());
    if (vsum(far) > 0) {
        vstore(own.center, *mean);
        moments(rows, N, x, ldx, own.center, &rest, variance);
        *mean = vadd(*mean, rest);
    }
    vstore(own.center, *mean);
    vstore(own.scale, vdiv(vset(1), vsqrt(vadd(*variance, epsilon))));
    return own;
}

INLINE void move(R *kept, M lanes, V now, V momentum) {
    const V before = vload_first(lanes, kept);
    vstore_first(lanes, kept, vfma(momentum, vsub(now, before), before));
}

void NAME(batch_norm)(int64_t K, int64_t N, nerva_matrix X, const void *gamma, const void *beta, double epsilon,
                      double momentum, int activation, double alpha, int threads, nerva_matrix Y, void *mean,
                      void *inverse, void *running_mean, void *running_variance) {
    const nerva_team team = NAME(muster)(threads, 2 * K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, L, omp_get_thread_num(), omp_get_num_threads());
        const V slope = vset((R)alpha), least = vset((R)epsilon), pace = vset((R)momentum);
        R *const kept_mean = running_mean, *const kept_variance = running_variance;
        for (int64_t k = rows.first; k < rows.last; k += L) {
            const int64_t count = rows.last - k < L ? rows.last - k : L;
            const M lanes = vfirst(count);
            const R *x = (const R *)X.data + k * X.ld;
            statistics own;
            if (mean) {
                V middle, variance;
                own = of_batch(count, N, x, X.ld, least, &middle, &variance);
                vstore_first(lanes, (R *)mean + k, middle);
                vstore_first(lanes, (R *)inverse + k, vload(own.scale));
                move(kept_mean + k, lanes, middle, pace);
                move(kept_variance + k, lanes, vmul(variance, vset((R)N / (R)(N - 1))), pace);
            } else {
                vstore(own.center, vload_first(lanes, kept_mean + k));
                vstore(own.scale, vdiv(vset(1), vsqrt(vadd(vload_first(lanes, kept_variance + k), least))));
            }
            for (int64_t i = 0; i < count; i++) {
                R *y = (R *)Y.data + (k + i) * Y.ld;
                if (k + i + L < rows.last)
                    for (int64_t n = 0; n < N; n += 64 / (int64_t)sizeof(R)) __builtin_prefetch(y + L * Y.ld + n, 1);
                const V from = vset(own.center[i]), factor = vset(own.scale[i] * ((const R *)gamma)[k + i]);
                const V shift = vset(((const R *)beta)[k + i]);
#define BODY(whole, part) \
    { \
        const V z = vfma(factor, vsub(take(whole, part, x + i * X.ld + n), from), shift); \
        put(whole, part, y + n, activate(function, z, slope)); \
    }
#define ROW(ACTIVATION) \
    { \
        enum { function = ACTIVATION }; \
        EACH(BODY); \
    }
                NERVA_WITH_ACTIVATION(activation, ROW)
#undef ROW
#undef BODY
            }
        }
        _mm_setcsr(mode);
    }
    NAME(dismiss)(team);
}

void NAME(batch_norm_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, nerva_matrix X, const void *gamma,
                               const void *mean, const void *inverse, int activation, double alpha, int threads,
                               nerva_matrix DX, void *Dgamma, void *Dbeta) {
    const nerva_team team = NAME(muster)(threads, 2 * K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, L, omp_get_thread_num(), omp_get_num_threads());
        const V slope = vset((R)alpha), part = vset(1 / (R)N);
        const R *const means = mean, *const scales = inverse;
        const int in_place = !DX.data || (activation == NERVA_IDENTITY && DX.data == DY.data);
        for (int64_t k = rows.first; k < rows.last; k += L) {
            const int64_t count = rows.last - k < L ? rows.last - k : L;
            const M lanes = vfirst(count);
            V all[L], along[L];
            for (int i = 0; i < L; i++) all[i] = along[i] = vzero();
            /* First d = dy f'(y), left in DX, and its sums; then DX = gamma scale (d - mean of d - x^ mean of d x^). */
            for (int64_t i = 0; i < count; i++) {
                const R *dy = (const R *)DY.data + (k + i) * DY.ld, *y = (const R *)Y.data + (k + i) * Y.ld;
                const R *x = (const R *)X.data + (k + i) * X.ld;
                R *dx = DX.data ? (R *)DX.data + (k + i) * DX.ld : 0;
                const V from = vset(means[k + i]), factor = vset(scales[k + i]);
                V sum = vzero(), dot = vzero();
#define BODY(whole, part) \
    { \
        const V d = activate_backward(function, take(whole, part, dy + n), take(whole, part, y + n), slope); \
        sum = vadd(sum, d); \
        dot = vfma(d, vmul(factor, vsub(take(whole, part, x + n), from)), dot); \
        if (!in_place) put(whole, part, dx + n, d); \
    }
#define ROW(ACTIVATION) \
    { \
        enum { function = ACTIVATION }; \
        EACH(BODY); \
    }
                NERVA_WITH_ACTIVATION(activation, ROW)
#undef ROW
#undef BODY
                all[i] = sum;
                along[i] = dot;
            }
            R flat[L], tilt[L];
            const V sums = vsums(all), dots = vsums(along);
            vstore_first(lanes, (R *)Dbeta + k, sums);
            vstore_first(lanes, (R *)Dgamma + k, dots);
            vstore(flat, vmul(sums, part));
            vstore(tilt, vmul(dots, part));
            for (int64_t i = 0; i < count && DX.data; i++) {
                const R *x = (const R *)X.data + (k + i) * X.ld;
                R *dx = (R *)DX.data + (k + i) * DX.ld;
                const V from = vset(means[k + i]), outer = vset(scales[k + i] * ((const R *)gamma)[k + i]);
                const V level = vset(flat[i]), incline = vset(tilt[i] * scales[k + i]);
#define BODY(whole, part) \
    { \
        const V d = vsub(take(whole, part, dx + n), level), off = vsub(take(whole, part, x + n), from); \
        put(whole, part, dx + n, vmul(outer, vfnma(off, incline, d))); \
    }
                EACH(BODY);
#undef BODY
            }
        }
        _mm_setcsr(mode);
    }
    NAME(dismiss)(team);
}
