/* Dropout: each element is kept with probability 1 - rate, else set to zero. A counter-based generator decides from a
 * key and the element's position alone: so no mask is stored, since the backward pass computes it again, and results
 * do not depend on the number of threads. */
#include "activations.h"
#include "parallel.h"

/* A 64-bit hash: the finalizer of SplitMix64 (Steele, Lea & Flood 2014). */
INLINE uint64_t mix64(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* L numbers of 32 bits; and L as wide as R, used as masks. */
typedef uint32_t U __attribute__((vector_size(4 * L)));
typedef int32_t narrow __attribute__((vector_size(4 * L)));
#ifdef NERVA_REAL_F32
typedef int32_t wide __attribute__((vector_size(sizeof(V))));
#else
typedef int64_t wide __attribute__((vector_size(sizeof(V))));
#endif

/* A 32-bit hash: a bijection by xor-shifts and two multiplications, where flipping a bit of x flips about half of the
 * result's. The constants are Wellons's (2018), found by a search for the least bias. */
INLINE U mix32(U x) {
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

/* The generator of a row: element n is kept, and scaled, where its random number mix32(start + n stride) is at most
 * `threshold`. As in SplitMix, each row has its own start and odd stride. */
typedef struct {
    U start;
    uint32_t stride, threshold;
    V scale;
} generator;

INLINE generator generator_of(uint64_t key, int64_t row, double rate) {
    const uint64_t kept = (uint64_t)((1 - rate) * 4294967296.0); /* of 2^32 random numbers */
    const uint64_t own = mix64(key + UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(row + 1));
    uint32_t stride = (uint32_t)(own >> 32) | 1;
    if (__builtin_popcount(stride ^ stride >> 1) < 12) stride ^= 0xAAAAAAAAu; /* too regular */
    U start;
    for (uint32_t i = 0; i < L; i++) start[i] = (uint32_t)own + i * stride;
    return (generator){start, stride, kept ? (uint32_t)(kept - 1) : 0, vset((R)(1 / (1 - rate)))};
}

/* The elements x at n, n + 1, ... after dropout. A bitwise mask: a dropped infinity or NaN must become 0. */
INLINE V masked(const generator *row, uint32_t n, V x) {
    const narrow keep = mix32(row->start + n * row->stride) <= row->threshold;
    return (V)((wide)vmul(row->scale, x) & __builtin_convertvector(keep, wide));
}

void NAME(dropout)(int64_t K, int64_t N, nerva_matrix X, uint64_t key, int64_t first_row, double rate, int threads,
                nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, 1, omp_get_thread_num(), omp_get_num_threads());
        for (int64_t k = rows.first; k < rows.last; k++) {
            const R *x = (const R *)X.data + k * X.ld;
            R *y = (R *)Y.data + k * Y.ld;
            const generator own = generator_of(key, first_row + k, rate);
            for (int64_t n = 0; n < N; n += L) {
                const M lanes = vfirst(N - n < L ? N - n : L);
                vstore_first(lanes, y + n, masked(&own, (uint32_t)n, vload_first(lanes, x + n)));
            }
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(dropout_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, uint64_t key, double rate,
                         int activation, double alpha, int threads, nerva_matrix DZ, void *Db) {
    const nerva_team team = nerva_team_begin(threads, K * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const nerva_range rows = share(K, 1, omp_get_thread_num(), omp_get_num_threads());
        const V slope = vset((R)alpha);
        for (int64_t k = rows.first; k < rows.last; k++) {
            const R *dy = (const R *)DY.data + k * DY.ld, *y = (const R *)Y.data + k * Y.ld;
            R *dz = (R *)DZ.data + k * DZ.ld;
            const generator own = generator_of(key, k, rate);
            V total = vzero();
#define ROW(ACTIVATION) \
    for (int64_t n = 0; n < N; n += L) { \
        const M lanes = vfirst(N - n < L ? N - n : L); \
        const V d = activate_backward(ACTIVATION, masked(&own, (uint32_t)n, vload_first(lanes, dy + n)), \
                                      vload_first(lanes, y + n), slope); \
        total = vadd(total, d); \
        vstore_first(lanes, dz + n, d); \
    }
            NERVA_WITH_FUSED_ACTIVATION(activation, ROW)
#undef ROW
            if (Db) ((R *)Db)[k] = vsum(total);
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
