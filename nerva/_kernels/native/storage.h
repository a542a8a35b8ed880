/* How activations and deltas are stored: as R, or in the build for bfloat16 as its 16 bits, from which they are widened
 * and to which they are rounded, to nearest even, in registers. */
#ifndef NERVA_STORAGE_H
#define NERVA_STORAGE_H

#include "simd.h"

#ifdef NERVA_BFLOAT16

typedef uint16_t S;

INLINE V vwidened(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
INLINE __m256i vrounded(V a) { return (__m256i)_mm512_cvtneps_pbh(a); }
INLINE V sload(const S *p) { return vwidened(_mm256_loadu_si256((const __m256i *)p)); }
INLINE V sload_first(M mask, const S *p) { return vwidened(_mm256_maskz_loadu_epi16(mask, p)); }
INLINE void sstore(S *p, V a) { _mm256_storeu_si256((__m256i *)p, vrounded(a)); }
INLINE void sstore_first(M mask, S *p, V a) { _mm256_mask_storeu_epi16(p, mask, vrounded(a)); }
INLINE S narrowed(R x) { return (S)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(x)), 0); }
INLINE R widened(S x) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)((uint32_t)x << 16)))); }

#else

typedef R S;

INLINE V sload(const S *p) { return vload(p); }
INLINE V sload_first(M mask, const S *p) { return vload_first(mask, p); }
INLINE void sstore(S *p, V a) { vstore(p, a); }
INLINE void sstore_first(M mask, S *p, V a) { vstore_first(mask, p, a); }
INLINE S narrowed(R x) { return x; }
INLINE R widened(S x) { return x; }

#endif

#endif
