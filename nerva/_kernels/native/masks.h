/* The masks of dropout: whether an element is kept is a function of a key and its position alone. */
#ifndef NERVA_MASKS_H
#define NERVA_MASKS_H

#include "simd.h"

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

#endif
