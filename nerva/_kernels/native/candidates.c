/* The largest entries of a tile of the dense gradient outside the pattern of W: candidates for growth. */
#include <math.h>

#include "parallel.h"

/* Bit i is set where |x| >= t in lane i, and never where x is NaN. */
INLINE unsigned at_least(V x, V t) {
    const V size = OP(andnot)(vset((R)-0.0), x);
#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32)
    return _mm512_cmp_ps_mask(size, t, _CMP_GE_OQ);
#elif defined(NERVA_AVX512)
    return _mm512_cmp_pd_mask(size, t, _CMP_GE_OQ);
#else
    return (unsigned)OP(movemask)(OP(cmp)(size, t, _CMP_GE_OQ));
#endif
}

int64_t NAME(candidates)(const nerva_csr *W, int64_t row, int64_t rows, int64_t column, int64_t columns, void *tile,
                         double threshold, int64_t tied, void *scores, int64_t *positions) {
    const V t = vset((R)threshold);
    R *score = scores;
    int64_t found = 0;
    for (int64_t r = 0; r < rows; r++) {
        R *line = (R *)tile + r * columns;
        const int32_t *index = W->indices + W->indptr[row + r], *end = W->indices + W->indptr[row + r + 1];
        for (int64_t length = end - index; length > 0;) { /* binary search: the first index from `column` on */
            const int64_t half = length / 2;
            if (index[half] < column) index += half + 1, length -= half + 1;
            else length = half;
        }
        for (; index < end && *index < column + columns; index++) line[*index - column] = (R)NAN;
        const int64_t start = (row + r) * W->cols + column;
        for (int64_t c = 0; c < columns; c += L) {
            const int64_t left = columns - c;
            unsigned lanes = at_least(left < L ? vload_first(vfirst(left), line + c) : vload(line + c), t);
            if (left < L) lanes &= (1u << left) - 1;
            for (; lanes; lanes &= lanes - 1) {
                const int64_t i = c + __builtin_ctz(lanes);
                const R size = line[i] < 0 ? -line[i] : line[i];
                score[found] = size; /* overwritten by the next one unless it counts */
                positions[found] = start + i;
                found += size > (R)threshold || start + i < tied;
            }
        }
    }
    return found;
}
