/* G[j] = sum_n DY[row(j), n] X[col(j), n]: the weight gradient on the pattern of W, one dot product a non-zero. */
#include "parallel.h"

/* COUNT <= L non-zeros of one row at once: the row of DY is read once for all, and the sums of the lanes are taken
 * together. */
INLINE void dots(const int COUNT, const int32_t *indices, const R *dy, const R *X, int64_t ldx, int64_t N, R *g) {
    const R *x[COUNT];
    V sums[L];
    for (int i = 0; i < L; i++) sums[i] = vzero();
    for (int i = 0; i < COUNT; i++) x[i] = X + (int64_t)indices[i] * ldx;
    int64_t n = 0;
    for (; n + L <= N; n += L) {
        const V d = vload(dy + n);
#pragma GCC unroll 16
        for (int i = 0; i < COUNT; i++) sums[i] = vfma(d, vload(x[i] + n), sums[i]);
    }
    if (n < N) {
        const M rest = vfirst(N - n);
        const V d = vload_first(rest, dy + n);
#pragma GCC unroll 16
        for (int i = 0; i < COUNT; i++) sums[i] = vfma(d, vload_first(rest, x[i] + n), sums[i]);
    }
    vstore_first(vfirst(COUNT), g, vsums(sums));
}

#define DOTS(COUNT) \
    static __attribute__((noinline)) void dots##COUNT(const int32_t *indices, const R *dy, const R *X, int64_t ldx, \
                                                      int64_t N, R *g) { \
        dots(COUNT, indices, dy, X, ldx, N, g); \
    }
DOTS(1) DOTS(2) DOTS(4)
#if !(defined(NERVA_REAL_F64) && !defined(NERVA_AVX512))
DOTS(8)
#endif
#if defined(NERVA_REAL_F32) && defined(NERVA_AVX512)
DOTS(16)
#endif

void NAME(sddmm)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, int threads, void *G) {
    threads = useful_threads(threads, W->nnz * N);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(W->nnz, 1, thread, team);
        const R *x = X.data;
        R *g = G;
        int64_t r = 0, high = W->rows; /* the row that holds position own.first: the last with indptr[r] <= it */
        while (high - r > 1) {
            const int64_t middle = (r + high) / 2;
            if (W->indptr[middle] <= own.first) r = middle;
            else high = middle;
        }
        for (int64_t j = own.first; j < own.last; r++) {
            const R *dy = (const R *)DY.data + r * DY.ld;
            const int64_t end = W->indptr[r + 1] < own.last ? W->indptr[r + 1] : own.last;
#if defined(NERVA_REAL_F32) && defined(NERVA_AVX512)
            for (; j + 16 <= end; j += 16) dots16(W->indices + j, dy, x, X.ld, N, g + j);
#endif
#if !(defined(NERVA_REAL_F64) && !defined(NERVA_AVX512))
            for (; j + 8 <= end; j += 8) dots8(W->indices + j, dy, x, X.ld, N, g + j);
#endif
            for (; j + 4 <= end; j += 4) dots4(W->indices + j, dy, x, X.ld, N, g + j);
            for (; j + 2 <= end; j += 2) dots2(W->indices + j, dy, x, X.ld, N, g + j);
            for (; j < end; j++) dots1(W->indices + j, dy, x, X.ld, N, g + j);
        }
        _mm_setcsr(mode);
    }
}
