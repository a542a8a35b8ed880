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

/* Any number of features of `count` samples, element by element. Returns whether one is not finite, as R. */
INLINE int transpose(const int BYTES, const int TYPE, const void *source, int64_t stride, const int64_t *rows,
                     int count, nerva_range features, const float *scale, const float *shift, void *out, int64_t ld) {
    int broken = 0;
    for (int64_t d = features.first; d < features.last; d++) {
        const R factor = scale ? scale[d] : 1, offset = shift ? shift[d] : 0;
        for (int i = 0; i < count; i++) {
            const R x = element(TYPE, source, rows[i] * stride + d);
            if (TYPE != NERVA_UINT8) broken |= x - x != 0;
            put(BYTES, out, d * ld + i, x * factor + offset);
        }
    }
    return broken;
}

#ifdef NERVA_REAL_F32
/* L features of a sample of float32 or float64. */
INLINE V load_features(const int TYPE, const void *sample, int64_t d) {
    if (TYPE == NERVA_FLOAT32) return vload((const float *)sample + d);
    const double *x = (const double *)sample + d;
#ifdef NERVA_AVX512
    const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(x)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(x + L / 2));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#else
    return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(x + L / 2)), _mm256_cvtpd_ps(_mm256_loadu_pd(x)));
#endif
}

/* Transpose L x L numbers: first within the quarters of 4 x 4 that a 128-bit lane of 4 rows has, then the quarters. */
INLINE void transpose_square(V a[L]) {
    V b[L];
    for (int i = 0; i < L; i += 2) {
        b[i] = OP(unpacklo)(a[i], a[i + 1]);
        b[i + 1] = OP(unpackhi)(a[i], a[i + 1]);
    }
    for (int i = 0; i < L; i += 4)
        for (int k = 0; k < 2; k++) {
            a[i + 2 * k] = OP(shuffle)(b[i + k], b[i + 2 + k], 0x44);
            a[i + 2 * k + 1] = OP(shuffle)(b[i + k], b[i + 2 + k], 0xEE);
        }
#ifdef NERVA_AVX512
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 2; k++) { /* halves of the columns: an immediate must be a constant */
            const V left = k ? _mm512_shuffle_f32x4(a[i], a[4 + i], 0xEE) : _mm512_shuffle_f32x4(a[i], a[4 + i], 0x44);
            const V right = k ? _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0xEE)
                              : _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0x44);
            b[8 * k + i] = _mm512_shuffle_f32x4(left, right, 0x88);
            b[8 * k + 4 + i] = _mm512_shuffle_f32x4(left, right, 0xDD);
        }
    }
#else
    for (int i = 0; i < 4; i++) {
        b[i] = _mm256_permute2f128_ps(a[i], a[4 + i], 0x20);
        b[4 + i] = _mm256_permute2f128_ps(a[i], a[4 + i], 0x31);
    }
#endif
    for (int i = 0; i < L; i++) a[i] = b[i];
}

/* Whether a lane is NaN. */
INLINE int is_nan(V a) {
#ifdef NERVA_AVX512
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
#else
    return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0;
#endif
}

/* Features d to d + L - 1 of `count` <= L samples of float32 or float64, scaled and shifted; all of `samples` are read.
 * `products` become NaN where a number read is not finite. */
INLINE void transpose_floats(const int TYPE, const void *const samples[L], int count, int64_t d, const float *scale,
                             const float *shift, S *out, int64_t ld, V *products) {
    V a[L];
    for (int i = 0; i < L; i++) {
        a[i] = load_features(TYPE, samples[i], d);
        *products = vfma(a[i], vzero(), *products);
    }
    transpose_square(a);
    for (int i = 0; i < L; i++) {
        const V x = vfma(a[i], vset(scale ? scale[d + i] : 1), vset(shift ? shift[d + i] : 0));
        S *to = out + (d + i) * ld;
        if (count == L) sstore(to, x);
        else sstore_first(vfirst(count), to, x);
    }
}
#endif

#endif
