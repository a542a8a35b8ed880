/* Vectors V of L numbers of the build's type R, and their operations, on the build's instruction set. */
#ifndef NERVA_SIMD_H
#define NERVA_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define NERVA_PASTE2(a, b) a##b
#define NERVA_PASTE(a, b) NERVA_PASTE2(a, b)
#define NAME(name) NERVA_PASTE(nerva_##name, NERVA_SUFFIX)

/* The function for matrices of R: the build's own, or in the build for bfloat16, which has matrices of both, that of the
 * build for float32. */
#ifdef NERVA_BFLOAT16
#define WIDE(name) NERVA_PASTE(nerva_##name, _avx512_f32)
#else
#define WIDE(name) NAME(name)
#endif

#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32)
typedef float R;
typedef __m512 V;
typedef __mmask16 M;
enum { L = 16 };
#define OP(name) _mm512_##name##_ps
#elif defined(NERVA_AVX512)
typedef double R;
typedef __m512d V;
typedef __mmask8 M;
enum { L = 8 };
#define OP(name) _mm512_##name##_pd
#elif defined(NERVA_REAL_F32)
typedef float R;
typedef __m256 V;
typedef __m256i M;
enum { L = 8 };
#define OP(name) _mm256_##name##_ps
#else
typedef double R;
typedef __m256d V;
typedef __m256i M;
enum { L = 4 };
#define OP(name) _mm256_##name##_pd
#endif

INLINE V vzero(void) { return OP(setzero)(); }
INLINE V vset(R x) { return OP(set1)(x); }
INLINE V vload(const R *p) { return OP(loadu)(p); }
INLINE void vstore(R *p, V a) { OP(storeu)(p, a); }
INLINE V vadd(V a, V b) { return OP(add)(a, b); }
INLINE V vsub(V a, V b) { return OP(sub)(a, b); }
INLINE V vmul(V a, V b) { return OP(mul)(a, b); }
INLINE V vdiv(V a, V b) { return OP(div)(a, b); }
INLINE V vsqrt(V a) { return OP(sqrt)(a); }
/* As in C's a > b ? a : b, the second operand where either is NaN: a NaN in b is kept. */
INLINE V vmax(V a, V b) { return OP(max)(a, b); }
INLINE V vmin(V a, V b) { return OP(min)(a, b); }
INLINE V vfma(V a, V b, V c) { return OP(fmadd)(a, b, c); }
INLINE V vfnma(V a, V b, V c) { return OP(fnmadd)(a, b, c); }

#ifdef NERVA_AVX512

/* The mask of the first `count` lanes, 0 <= count <= L. */
INLINE M vfirst(int64_t count) { return (M)((1u << count) - 1u); }
INLINE V vload_first(M mask, const R *p) { return OP(maskz_loadu)(mask, p); }
INLINE void vstore_first(M mask, R *p, V a) { OP(mask_storeu)(p, mask, a); }
INLINE V vkeep_first(M mask, V a) { return OP(maskz_mov)(mask, a); }
/* a where x > y, else b. */
#ifdef NERVA_REAL_F32
INLINE V vselect_greater(V x, V y, V a, V b) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_GT_OQ), b, a); }
#else
INLINE V vselect_greater(V x, V y, V a, V b) { return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(x, y, _CMP_GT_OQ), b, a); }
#endif
INLINE V vround(V a) { return OP(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* a * 2^n for integral n. */
INLINE V vscale(V a, V n) { return OP(scalef)(a, n); }

#else

#ifdef NERVA_REAL_F32
INLINE M vfirst(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#else
INLINE M vfirst(int64_t count) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif
INLINE V vload_first(M mask, const R *p) { return OP(maskload)(p, mask); }
INLINE void vstore_first(M mask, R *p, V a) { OP(maskstore)(p, mask, a); }
#ifdef NERVA_REAL_F32
INLINE V vkeep_first(M mask, V a) { return _mm256_and_ps(_mm256_castsi256_ps(mask), a); }
#else
INLINE V vkeep_first(M mask, V a) { return _mm256_and_pd(_mm256_castsi256_pd(mask), a); }
#endif
INLINE V vselect_greater(V x, V y, V a, V b) { return OP(blendv)(b, a, OP(cmp)(x, y, _CMP_GT_OQ)); }
INLINE V vround(V a) { return OP(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#ifdef NERVA_REAL_F32
INLINE V vscale(V a, V n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
#else
INLINE V vscale(V a, V n) {
    __m256i exponent = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n)), _mm256_set1_epi64x(1023));
    return _mm256_mul_pd(a, _mm256_castsi256_pd(_mm256_slli_epi64(exponent, 52)));
}
#endif

#endif
/* A last vector of at most L / 2 numbers is loaded and multiplied as half of one: half the bytes from the cache. */
#ifdef NERVA_AVX512
enum { HALVES = 1 };
#ifdef NERVA_REAL_F32
#define HALF(name) _mm256_##name##_ps
#define LOWER _mm512_castps512_ps256
#define ZERO_EXTENDED _mm512_zextps256_ps512
#else
#define HALF(name) _mm256_##name##_pd
#define LOWER _mm512_castpd512_pd256
#define ZERO_EXTENDED _mm512_zextpd256_pd512
#endif
INLINE V vfma_half(V a, M mask, const R *p, V c) {
    return ZERO_EXTENDED(HALF(fmadd)(LOWER(a), HALF(maskz_loadu)((__mmask8)mask, p), LOWER(c)));
}
INLINE V vmul_half(V a, M mask, const R *p) {
    return ZERO_EXTENDED(HALF(mul)(LOWER(a), HALF(maskz_loadu)((__mmask8)mask, p)));
}
#else
enum { HALVES = 0 };
INLINE V vfma_half(V a, M mask, const R *p, V c) { return vfma(a, vload_first(mask, p), c); }
INLINE V vmul_half(V a, M mask, const R *p) { return vmul(a, vload_first(mask, p)); }
#endif
/* Lane i is x[index[i]] for i < count, else zero; 0 <= count <= L. Indices from `count` on are not read. */
INLINE V vgather_first(int64_t count, const R *x, const int32_t *index) {
#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32)
    const M mask = vfirst(count);
    return _mm512_mask_i32gather_ps(vzero(), mask, _mm512_maskz_loadu_epi32(mask, index), x, 4);
#elif defined(NERVA_AVX512)
    const M mask = vfirst(count);
    return _mm512_mask_i32gather_pd(vzero(), mask, _mm256_maskz_loadu_epi32(mask, index), x, 8);
#else
    R lanes[L];
    for (int64_t i = 0; i < L; i++) lanes[i] = i < count ? x[index[i]] : 0;
    return vload(lanes);
#endif
}

/* J is L integers of 32 bits. Lane i of vages is t - born[i], from 0 to `most`; lanes outside the mask are not read. */
#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32)
typedef __m512i J;
#define INT(name) _mm512_##name
INLINE J vload_integers(M mask, const int32_t *p) { return _mm512_maskz_loadu_epi32(mask, p); }
#elif defined(NERVA_AVX512)
typedef __m256i J;
#define INT(name) _mm256_##name
INLINE J vload_integers(M mask, const int32_t *p) { return _mm256_maskz_loadu_epi32(mask, p); }
#elif defined(NERVA_REAL_F32)
typedef __m256i J;
#define INT(name) _mm256_##name
INLINE J vload_integers(M mask, const int32_t *p) { return _mm256_maskload_epi32(p, mask); }
#else
typedef __m128i J;
#define INT(name) _mm_##name
INLINE J vload_integers(M mask, const int32_t *p) {
    const __m256i halves = _mm256_permutevar8x32_epi32(mask, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    return _mm_maskload_epi32(p, _mm256_castsi256_si128(halves));
}
#endif
INLINE J vages(M mask, const int32_t *born, int32_t t, int32_t most) {
    const J age = INT(sub_epi32)(INT(set1_epi32)(t), vload_integers(mask, born));
    return INT(min_epi32)(INT(max_epi32)(age, INT(set1_epi32)(0)), INT(set1_epi32)(most));
}
/* Lane i of `first` and `second` is pairs[2 index[i]] and the number behind it: in float a load for both. */
INLINE void vlookup_pairs(const R *pairs, J index, V *first, V *second) {
#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32)
    const J evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const V low = _mm512_castsi512_ps(_mm512_i32gather_epi64(_mm512_castsi512_si256(index), pairs, 8));
    const V high = _mm512_castsi512_ps(_mm512_i32gather_epi64(_mm512_extracti64x4_epi64(index, 1), pairs, 8));
    *first = _mm512_permutex2var_ps(low, evens, high);
    *second = _mm512_permutex2var_ps(low, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), high);
#elif defined(NERVA_AVX512)
    const J at = _mm256_add_epi32(index, index);
    *first = _mm512_i32gather_pd(at, pairs, 8);
    *second = _mm512_i32gather_pd(at, pairs + 1, 8);
#elif defined(NERVA_REAL_F32)
    const long long *whole = (const long long *)pairs;
    const V low = _mm256_castsi256_ps(_mm256_i32gather_epi64(whole, _mm256_castsi256_si128(index), 8));
    const V high = _mm256_castsi256_ps(_mm256_i32gather_epi64(whole, _mm256_extracti128_si256(index, 1), 8));
    const __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88));
    const __m256d odds = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xDD));
    *first = _mm256_castpd_ps(_mm256_permute4x64_pd(evens, 0xD8));
    *second = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, 0xD8));
#else
    const J at = _mm_add_epi32(index, index);
    *first = _mm256_i32gather_pd(pairs, at, 8);
    *second = _mm256_i32gather_pd(pairs + 1, at, 8);
#endif
}

/* a where x > 0, else b. */
INLINE V vselect_positive(V x, V a, V b) { return vselect_greater(x, vzero(), a, b); }

/* The sums of L vectors, as one vector: lane i of the result is the sum of the lanes of a[i]. Lanes are added in the
 * same order for every i, so that the sum of a vector does not depend on its position in the group. */
INLINE V vsums(const V a[L]) {
#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32)
    V e[4];
    for (int i = 0; i < 4; i++) {
        const V ab = vadd(_mm512_unpacklo_ps(a[4 * i], a[4 * i + 1]), _mm512_unpackhi_ps(a[4 * i], a[4 * i + 1]));
        const V cd = vadd(_mm512_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]), _mm512_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
        e[i] = vadd(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    }
    const V f = vadd(_mm512_shuffle_f32x4(e[0], e[1], 0x88), _mm512_shuffle_f32x4(e[0], e[1], 0xDD));
    const V g = vadd(_mm512_shuffle_f32x4(e[2], e[3], 0x88), _mm512_shuffle_f32x4(e[2], e[3], 0xDD));
    return vadd(_mm512_shuffle_f32x4(f, g, 0x88), _mm512_shuffle_f32x4(f, g, 0xDD));
#elif defined(NERVA_AVX512)
    V e[4];
    for (int i = 0; i < 4; i++)
        e[i] = vadd(_mm512_unpacklo_pd(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_pd(a[2 * i], a[2 * i + 1]));
    const V f = vadd(_mm512_shuffle_f64x2(e[0], e[1], 0x88), _mm512_shuffle_f64x2(e[0], e[1], 0xDD));
    const V g = vadd(_mm512_shuffle_f64x2(e[2], e[3], 0x88), _mm512_shuffle_f64x2(e[2], e[3], 0xDD));
    return vadd(_mm512_shuffle_f64x2(f, g, 0x88), _mm512_shuffle_f64x2(f, g, 0xDD));
#elif defined(NERVA_REAL_F32)
    V e[2];
    for (int i = 0; i < 2; i++) {
        const V ab = vadd(_mm256_unpacklo_ps(a[4 * i], a[4 * i + 1]), _mm256_unpackhi_ps(a[4 * i], a[4 * i + 1]));
        const V cd = vadd(_mm256_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]), _mm256_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
        e[i] = vadd(_mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))),
                    _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))));
    }
    return vadd(_mm256_permute2f128_ps(e[0], e[1], 0x20), _mm256_permute2f128_ps(e[0], e[1], 0x31));
#else
    const V ab = vadd(_mm256_unpacklo_pd(a[0], a[1]), _mm256_unpackhi_pd(a[0], a[1]));
    const V cd = vadd(_mm256_unpacklo_pd(a[2], a[3]), _mm256_unpackhi_pd(a[2], a[3]));
    return vadd(_mm256_permute2f128_pd(ab, cd, 0x20), _mm256_permute2f128_pd(ab, cd, 0x31));
#endif
}

/* The sum of the lanes of one vector, in the order of vsums. */
INLINE R vsum(V a) {
    V group[L];
    for (int i = 0; i < L; i++) group[i] = i == 0 ? a : vzero();
    R sums[L];
    vstore(sums, vsums(group));
    return sums[0];
}

/* e^x, to about one unit in the last place; x is clamped to where the result is a normal number. */
INLINE V vexp(V x) {
#ifdef NERVA_REAL_F32
    static const R coefficients[] = {1.f / 5040, 1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2, 1.f, 1.f};
    x = vmax(vset(-87.f), vmin(vset(88.f), x));
    const V n = vround(vmul(x, vset(1.44269504088896341f)));
    const V r = vfnma(n, vset(-2.12194440e-4f), vfnma(n, vset(0.693359375f), x));
#else
    static const R coefficients[] = {1. / 6227020800., 1. / 479001600., 1. / 39916800., 1. / 3628800., 1. / 362880.,
                                     1. / 40320., 1. / 5040., 1. / 720., 1. / 120., 1. / 24., 1. / 6., 1. / 2., 1., 1.};
    x = vmax(vset(-708.), vmin(vset(709.), x));
    const V n = vround(vmul(x, vset(1.4426950408889634074)));
    const V r = vfnma(n, vset(1.90821492927058770002e-10), vfnma(n, vset(6.93147180369123816490e-1), x));
#endif
    V p = vset(coefficients[0]);
    for (unsigned i = 1; i < sizeof coefficients / sizeof *coefficients; i++) p = vfma(p, r, vset(coefficients[i]));
    return vscale(p, n);
}

INLINE V vsigmoid(V x) { return vdiv(vset(1), vadd(vset(1), vexp(vsub(vzero(), x)))); }

/* tanh x: x(1 + x^2 p(x^2)) near zero, where 1 - 2 / (e^2x + 1) would cancel; the latter elsewhere. */
INLINE V vtanh(V x) {
    const V square = vmul(x, x);
    /* The Taylor series of tanh x / x in x^2; its last term is below half a unit for |x| < 0.3 (float), 0.1 (double). */
    static const double series[] = {-929569. / 638512875., 21844. / 6081075., -1382. / 155925., 62. / 2835., -17. / 315.,
                                    2. / 15., -1. / 3., 1.};
    V p = vset((R)series[0]);
    for (unsigned i = 1; i < sizeof series / sizeof *series; i++) p = vfma(p, square, vset((R)series[i]));
    const V near = vmul(x, p);
    const V far = vsub(vset(1), vdiv(vset(2), vadd(vset(1), vexp(vadd(x, x)))));
    const R limit = sizeof(R) == 4 ? (R)0.09 : (R)0.0144;
    return vselect_positive(vsub(vset(limit), square), near, far);
}

/* Set flush-to-zero and denormals-are-zero for the calling thread; return the state before, to be restored. */
INLINE unsigned flush_subnormals(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
    return before;
}

#endif
