/* Batch normalization (Ioffe & Szegedy 2015): a row is a feature, normalized while it is in the cache. */
#include "activations.h"
#include "parallel.h"
#include "shares.h"
#include "storage.h"

/* Rows are processed in groups of L, so that the lanes of their sums are added together (see vsums) and statistics are
 * vectors. The results of a row do not depend on the other rows of its group. */
typedef struct {
    R center[L], scale[L];
} statistics;

/* BODY(whole, lanes) for each vector of a row: whole vectors, then the rest under a mask. `whole` is a constant. */
#define EACH(BODY) \
    do { \
        int64_t n = 0; \
        for (; n + L <= N; n += L) BODY(1, vfirst(L)) \
        if (n < N) BODY(0, vfirst(N - n)) \
    } while (0)

INLINE V take(int whole, M lanes, const S *from) { return whole ? sload(from) : sload_first(lanes, from); }

INLINE void put(int whole, M lanes, S *to, V v) {
    if (whole) sstore(to, v);
    else sstore_first(lanes, to, v);
}

/* The mean and the variance of each row less `from` of that row. */
INLINE void moments(int64_t rows, int64_t N, const S *x, int64_t ldx, const R from[L], V *mean, V *variance) {
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

/* The mean of each row, and 1 / sqrt(variance + epsilon). The moments are about the row's first element, since those
 * about zero would cancel where the mean is large; and again, about the mean, where that element is an outlier: more
 * than four standard deviations from the mean. */
INLINE statistics of_batch(int64_t rows, int64_t N, const S *x, int64_t ldx, V epsilon, V *mean, V *variance) {
    statistics own;
    V rest;
    for (int64_t i = 0; i < L; i++) own.center[i] = i < rows ? widened(x[i * ldx]) : 0;
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

/* Update running statistics: running += momentum (now - running). */
INLINE void move(R *running, M lanes, V now, V momentum) {
    const V before = vload_first(lanes, running);
    vstore_first(lanes, running, vfma(momentum, vsub(now, before), before));
}

/* `count` rows of Y from those of X: f(gamma (x - center) scale + beta). With `ahead`, the rows after them are next. */
INLINE void normalize(int64_t count, int64_t N, const S *x, int64_t ldx, const statistics *own, const R *gamma,
                      const R *beta, int activation, V slope, int64_t ahead, S *to, int64_t ldy) {
    for (int64_t i = 0; i < count; i++) {
        S *y = to + i * ldy;
        if (i < ahead)
            for (int64_t n = 0; n < N; n += 64 / (int64_t)sizeof(S)) __builtin_prefetch(y + L * ldy + n, 1);
        const V from = vset(own->center[i]), factor = vset(own->scale[i] * gamma[i]);
        const V shift = vset(beta[i]);
#define BODY(whole, part) \
    { \
        const V z = vfma(factor, vsub(take(whole, part, x + i * ldx + n), from), shift); \
        put(whole, part, y + n, activate(function, z, slope)); \
    }
#define ROW(ACTIVATION) \
    { \
        enum { function = ACTIVATION }; \
        EACH(BODY); \
    }
        NERVA_WITH_FUSED_ACTIVATION(activation, ROW)
#undef ROW
#undef BODY
    }
}

void NAME(batch_norm)(int64_t K, int64_t N, nerva_matrix X, const void *gamma, const void *beta, double epsilon,
                      double momentum, int activation, double alpha, int threads, nerva_matrix Y, void *mean,
                      void *inverse, void *running_mean, void *running_variance) {
    const nerva_team team = nerva_team_begin(threads, 2 * K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, L, omp_get_thread_num(), omp_get_num_threads());
        const V slope = vset((R)alpha), least = vset((R)epsilon), pace = vset((R)momentum);
        for (int64_t k = rows.first; k < rows.last; k += L) {
            const int64_t count = rows.last - k < L ? rows.last - k : L;
            const M lanes = vfirst(count);
            const S *x = (const S *)X.data + k * X.ld;
            statistics own;
            if (mean) {
                V middle, variance;
                own = of_batch(count, N, x, X.ld, least, &middle, &variance);
                vstore_first(lanes, (R *)mean + k, middle);
                vstore_first(lanes, (R *)inverse + k, vload(own.scale));
                move((R *)running_mean + k, lanes, middle, pace);
                move((R *)running_variance + k, lanes, vmul(variance, vset((R)N / (R)(N - 1))), pace);
            } else {
                vstore(own.center, vload_first(lanes, (R *)running_mean + k));
                vstore(own.scale, vdiv(vset(1), vsqrt(vadd(vload_first(lanes, (R *)running_variance + k), least))));
            }
            normalize(count, N, x, X.ld, &own, (const R *)gamma + k, (const R *)beta + k, activation, slope,
                      rows.last - k - L, (S *)Y.data + k * Y.ld, Y.ld);
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

/* What the backward pass of `count` rows from row k on reads and writes. */
typedef struct {
    int64_t N;
    nerva_matrix DY, Y, X, DX;
    const R *gamma, *mean, *inverse;
    int activation;
    V alpha;
} backward_arguments;

#define ROW_OF(matrix, k) ((S *)(matrix).data + (k) * (matrix).ld)

/* d = dy f'(y), written to DX if there is one, and of each row its vectors of partial sums of d and of d x^. */
INLINE void sum_gradients(const backward_arguments *of, int64_t k, int64_t count, V sums[L], V dots[L]) {
    const int64_t N = of->N;
    const V slope = of->alpha;
    /* In place there is nothing to write where f is the identity. */
    const int written = of->DX.data && !(of->activation == NERVA_IDENTITY && of->DX.data == of->DY.data);
    for (int64_t i = 0; i < count; i++) {
        const S *dy = ROW_OF(of->DY, k + i), *y = ROW_OF(of->Y, k + i), *x = ROW_OF(of->X, k + i);
        S *dx = of->DX.data ? ROW_OF(of->DX, k + i) : 0;
        const V mean = vset(of->mean[k + i]), inverse = vset(of->inverse[k + i]);
        V sum = vzero(), dot = vzero();
#define BODY(whole, part) \
    { \
        const V d = activate_backward(function, take(whole, part, dy + n), take(whole, part, y + n), slope); \
        sum = vadd(sum, d); \
        dot = vfma(d, vmul(inverse, vsub(take(whole, part, x + n), mean)), dot); \
        if (written) put(whole, part, dx + n, d); \
    }
#define ROW(ACTIVATION) \
    { \
        enum { function = ACTIVATION }; \
        EACH(BODY); \
    }
        NERVA_WITH_FUSED_ACTIVATION(of->activation, ROW)
#undef ROW
#undef BODY
        sums[i] = sum;
        dots[i] = dot;
    }
}

/* DX = gamma inverse (d - mean of d - x^ mean of d x^), where DX holds d. */
INLINE void input_gradients(const backward_arguments *of, int64_t k, int64_t count, const R d_mean[L],
                            const R dot_mean[L]) {
    const int64_t N = of->N;
    for (int64_t i = 0; i < count; i++) {
        const S *x = ROW_OF(of->X, k + i);
        S *dx = ROW_OF(of->DX, k + i);
        const V mean = vset(of->mean[k + i]), scale = vset(of->inverse[k + i] * of->gamma[k + i]);
        const V level = vset(d_mean[i]), slope = vset(dot_mean[i] * of->inverse[k + i]);
#define BODY(whole, part) \
    { \
        const V d = vsub(take(whole, part, dx + n), level), off = vsub(take(whole, part, x + n), mean); \
        put(whole, part, dx + n, vmul(scale, vfnma(off, slope, d))); \
    }
        EACH(BODY);
#undef BODY
    }
}

void NAME(batch_norm_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, nerva_matrix X, const void *gamma,
                               const void *mean, const void *inverse, int activation, double alpha, int threads,
                               nerva_matrix DX, void *Dgamma, void *Dbeta) {
    const nerva_team team = nerva_team_begin(threads, 2 * K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, L, omp_get_thread_num(), omp_get_num_threads());
        const V part = vset(1 / (R)N);
        const backward_arguments of = {N, DY, Y, X, DX, gamma, mean, inverse, activation, vset((R)alpha)};
        for (int64_t k = rows.first; k < rows.last; k += L) {
            const int64_t count = rows.last - k < L ? rows.last - k : L;
            const M lanes = vfirst(count);
            V sum_lanes[L], dot_lanes[L];
            for (int i = 0; i < L; i++) sum_lanes[i] = dot_lanes[i] = vzero();
            sum_gradients(&of, k, count, sum_lanes, dot_lanes);
            R d_mean[L], dot_mean[L];
            const V sums = vsums(sum_lanes), dots = vsums(dot_lanes);
            vstore_first(lanes, (R *)Dbeta + k, sums);
            vstore_first(lanes, (R *)Dgamma + k, dots);
            vstore(d_mean, vmul(sums, part));
            vstore(dot_mean, vmul(dots, part));
            if (DX.data) input_gradients(&of, k, count, d_mean, dot_mean);
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

/* ---- of a slice of the batch, whose statistics are those of the whole batch */

void NAME(slice_moments)(int64_t K, int64_t N, nerva_matrix X, void *mean, void *squares) {
    for (int64_t k = 0; k < K; k += L) {
        const int64_t count = K - k < L ? K - k : L;
        const M lanes = vfirst(count);
        V middle, variance;
        of_batch(count, N, (const S *)X.data + k * X.ld, X.ld, vset(1), &middle, &variance);
        vstore_first(lanes, (R *)mean + k, middle);
        vstore_first(lanes, (R *)squares + k, vmul(variance, vset((R)N)));
    }
}

void NAME(slice_normalize)(int64_t K, int64_t N, nerva_matrix X, const void *gamma, const void *beta, const void *mean,
                           const void *inverse, int activation, double alpha, nerva_matrix Y) {
    for (int64_t k = 0; k < K; k += L) {
        const int64_t count = K - k < L ? K - k : L;
        const M lanes = vfirst(count);
        statistics own;
        vstore(own.center, vload_first(lanes, (const R *)mean + k));
        vstore(own.scale, vload_first(lanes, (const R *)inverse + k));
        normalize(count, N, (const S *)X.data + k * X.ld, X.ld, &own, (const R *)gamma + k, (const R *)beta + k,
                  activation, vset((R)alpha), 0, (S *)Y.data + k * Y.ld, Y.ld);
    }
}

void NAME(slice_gradient_sums)(int64_t K, int64_t N, nerva_matrix D, nerva_matrix Y, nerva_matrix X, const void *mean,
                               const void *inverse, int activation, double alpha, void *sums, void *dots) {
    const backward_arguments of = {N, D, Y, X, D, 0, mean, inverse, activation, vset((R)alpha)};
    for (int64_t k = 0; k < K; k += L) {
        const int64_t count = K - k < L ? K - k : L;
        const M lanes = vfirst(count);
        V sum_lanes[L], dot_lanes[L];
        for (int i = 0; i < L; i++) sum_lanes[i] = dot_lanes[i] = vzero();
        sum_gradients(&of, k, count, sum_lanes, dot_lanes);
        vstore_first(lanes, (R *)sums + k, vsums(sum_lanes));
        vstore_first(lanes, (R *)dots + k, vsums(dot_lanes));
    }
}

void NAME(slice_input_gradients)(int64_t K, int64_t N, nerva_matrix D, nerva_matrix X, const void *gamma,
                                 const void *mean, const void *inverse, const void *d_mean, const void *dot_mean) {
    const backward_arguments of = {N, D, D, X, D, gamma, mean, inverse, NERVA_IDENTITY, vzero()};
    for (int64_t k = 0; k < K; k += L) {
        const int64_t count = K - k < L ? K - k : L;
        R level[L], slope[L];
        vstore(level, vload_first(vfirst(count), (const R *)d_mean + k));
        vstore(slope, vload_first(vfirst(count), (const R *)dot_mean + k));
        input_gradients(&of, k, count, level, slope);
    }
}
