/* A mini-batch from the rows of a data set: gathered, scaled and turned from (samples, features) into (features,
 * batch) in one pass. */
#include "parallel.h"

/* Samples and features turned at once; features of one cache line of bytes; lines of each sample fetched ahead: rows of
 * a large data set lie far apart, where the processor's own prefetcher does not look. */
enum { GROUP = 16, LINE = 64, AHEAD = 2 };

#ifdef NERVA_REAL_F32
/* GROUP features of `count` <= GROUP samples of uint8, turned in registers; samples past `count` must be readable. */
INLINE void turn_bytes(const uint8_t *const samples[GROUP], int64_t d, int count, const float *scale,
                       const float *shift, R *out, int64_t ld) {
    __m128i a[GROUP], b[GROUP];
    for (int i = 0; i < GROUP; i++) a[i] = _mm_loadu_si128((const __m128i *)(samples[i] + d));
    /* Four rounds of interleaving row i with row i + 8 turn the 16 x 16 bytes. */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < GROUP / 2; i++) {
            b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + GROUP / 2]);
            b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + GROUP / 2]);
        }
        for (int i = 0; i < GROUP / 2; i++) {
            a[2 * i] = _mm_unpacklo_epi8(b[i], b[i + GROUP / 2]);
            a[2 * i + 1] = _mm_unpackhi_epi8(b[i], b[i + GROUP / 2]);
        }
    }
    const M lanes = vfirst(count < L ? count : L);
    for (int i = 0; i < GROUP; i++) {
        const V factor = vset(scale ? scale[d + i] : 1), offset = vset(shift ? shift[d + i] : 0);
#ifdef NERVA_AVX512
        vstore_first(lanes, out + i * ld, vfma(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(a[i])), factor, offset));
#else
        const __m128i upper = _mm_srli_si128(a[i], 8);
        vstore_first(lanes, out + i * ld, vfma(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(a[i])), factor, offset));
        if (count > L)
            vstore_first(vfirst(count - L), out + i * ld + L,
                         vfma(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(upper)), factor, offset));
#endif
    }
}
#endif

/* Any number of features of `count` samples, one by one. */
INLINE void turn(const int TYPE, const void *source, int64_t stride, const int64_t *rows, int count,
                 nerva_range features, const float *scale, const float *shift, R *out, int64_t ld) {
    for (int64_t d = features.first; d < features.last; d++) {
        const R factor = scale ? scale[d] : 1, offset = shift ? shift[d] : 0;
        for (int i = 0; i < count; i++) {
            const int64_t at = rows[i] * stride + d;
            const R x = TYPE == NERVA_UINT8     ? (R)((const uint8_t *)source)[at]
                        : TYPE == NERVA_FLOAT32 ? (R)((const float *)source)[at]
                                                : (R)((const double *)source)[at];
            out[d * ld + i] = x * factor + offset;
        }
    }
}

void NAME(gather)(int source_type, const void *source, int64_t stride, const int64_t *rows, int64_t N, int64_t D,
                  const float *scale, const float *shift, int threads, nerva_matrix out) {
    const int64_t size = source_type == NERVA_UINT8 ? 1 : source_type == NERVA_FLOAT32 ? 4 : 8;
    const int64_t step = LINE / size; /* features in a cache line */
    threads = useful_threads(threads, N * D);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
        const nerva_range own = share(D, LINE, thread, team);
        for (int64_t first = own.first; first < own.last; first += step) {
            const int64_t last = first + step < own.last ? first + step : own.last;
            for (int64_t n = 0; n < N; n += GROUP) {
                const int count = N - n < GROUP ? (int)(N - n) : GROUP;
                R *to = (R *)out.data + n;
                nerva_range rest = {first, last};
                const uint8_t *samples[GROUP];
                for (int i = 0; i < GROUP; i++) {
                    samples[i] = (const uint8_t *)source + rows[n + (i < count ? i : 0)] * stride * size;
                    if (i < count) _mm_prefetch((const char *)samples[i] + first * size + AHEAD * LINE, _MM_HINT_T0);
                }
#ifdef NERVA_REAL_F32
                if (source_type == NERVA_UINT8)
                    for (; rest.first + GROUP <= last; rest.first += GROUP)
                        turn_bytes(samples, rest.first, count, scale, shift, to + rest.first * out.ld, out.ld);
#endif
#define TURN(TYPE) turn(TYPE, source, stride, rows + n, count, rest, scale, shift, to, out.ld)
                switch (source_type) {
                case NERVA_UINT8: TURN(NERVA_UINT8); break;
                case NERVA_FLOAT32: TURN(NERVA_FLOAT32); break;
                default: TURN(NERVA_FLOAT64); break;
                }
#undef TURN
            }
        }
    }
}
