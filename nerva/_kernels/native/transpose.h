/* Samples transposed from (samples, features) to (features, batch), scaled and shifted, in registers or one by one. */
#ifndef NERVA_TRANSPOSE_H
#define NERVA_TRANSPOSE_H

#include "parallel.h"
#include "storage.h"

/* Samples and features transposed at once. */
enum { GROUP = 16 };

#ifdef NERVA_REAL_F32
/* GROUP features of `count` <= GROUP samples of uint8, transposed in registers: row i of `a` is sample i. With BYTES,
 * all GROUP are stored as they are; else those that count, scaled and shifted. */
INLINE void transpose_bytes(const int BYTES, __m128i a[GROUP], int count, const float *scale, const float *shift,
                            void *output, int64_t ld) {
    __m128i b[GROUP];
    /* Four rounds of interleaving row i with row i + 8 transpose 16 x 16 bytes. */
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
    if (BYTES) {
        for (int i = 0; i < GROUP; i++) _mm_storeu_si128((__m128i *)((uint8_t *)output + i * ld), a[i]);
        return;
    }
    S *out = output;
#ifdef NERVA_BFLOAT16
    if (!scale && !shift) { /* rows are padded: what lies behind the samples that count may be written */
        for (int i = 0; i < GROUP; i++) sstore(out + i * ld, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(a[i])));
        return;
    }
#endif
    const M lanes = vfirst(count < L ? count : L);
    for (int i = 0; i < GROUP; i++) {
        const V factor = vset(scale ? scale[i] : 1), offset = vset(shift ? shift[i] : 0);
#ifdef NERVA_AVX512
        sstore_first(lanes, out + i * ld, vfma(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(a[i])), factor, offset));
#else
        const V low = vfma(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(a[i])), factor, offset);
        const __m128i upper = _mm_srli_si128(a[i], 8);
        const V high = vfma(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(upper)), factor, offset);
        if (count == GROUP) { /* masked stores are slow on AMD, even of all lanes */
            sstore(out + i * ld, low);
            sstore(out + i * ld + L, high);
        } else {
            sstore_first(lanes, out + i * ld, low);
            if (count > L) sstore_first(vfirst(count - L), out + i * ld + L, high);
        }
#endif
    }
}
#endif

INLINE R element(const int TYPE, const void *source, int64_t at) {
    return TYPE == NERVA_UINT8     ? (R)((const uint8_t *)source)[at]
           : TYPE == NERVA_FLOAT32 ? (R)((const float *)source)[at]
                                   : (R)((const double *)source)[at];
}

/* The element of an output of `BYTES` or of S. */
INLINE void put(const int BYTES, void *out, int64_t at, R x) {
    if (BYTES) ((uint8_t *)out)[at] = (uint8_t)x;
    else ((S *)out)[at] = narrowed(x);
}

/* Any number of features of `count` samples, element by element. */
INLINE void transpose(const int BYTES, const int TYPE, const void *source, int64_t stride, const int64_t *rows,
                      int count, nerva_range features, const float *scale, const float *shift, void *out, int64_t ld) {
    for (int64_t d = features.first; d < features.last; d++) {
        const R factor = scale ? scale[d] : 1, offset = shift ? shift[d] : 0;
        for (int i = 0; i < count; i++)
            put(BYTES, out, d * ld + i, element(TYPE, source, rows[i] * stride + d) * factor + offset);
    }
}

#ifdef NERVA_REAL_F32
/* EIGHT features of EIGHT samples of float32, scaled, shifted and transposed in registers; sample i is at from[i]. */
enum { EIGHT = 8 };

INLINE void transpose_floats(const float *source, const int64_t from[EIGHT], const float *scale, const float *shift,
                             S *out, int64_t ld) {
    __m256 a[EIGHT], b[EIGHT];
    for (int i = 0; i < EIGHT; i++) a[i] = _mm256_loadu_ps(source + from[i]);
    for (int i = 0; i < EIGHT; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < EIGHT; i += 4)
        for (int k = 0; k < 2; k++) {
            a[i + 2 * k] = _mm256_shuffle_ps(b[i + k], b[i + 2 + k], 0x44);
            a[i + 2 * k + 1] = _mm256_shuffle_ps(b[i + k], b[i + 2 + k], 0xEE);
        }
    for (int i = 0; i < EIGHT; i++) {
        const __m256 x = _mm256_permute2f128_ps(a[i % 4], a[i % 4 + 4], i < 4 ? 0x20 : 0x31);
        const __m256 factor = _mm256_set1_ps(scale ? scale[i] : 1), offset = _mm256_set1_ps(shift ? shift[i] : 0);
        sstore_half(out + i * ld, _mm256_fmadd_ps(x, factor, offset));
    }
}
#endif

#endif
