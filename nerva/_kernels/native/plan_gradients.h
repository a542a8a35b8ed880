/* The gradients of a vector of parameters of a compiled network, as the slices left them. */
#ifndef NERVA_PLAN_GRADIENTS_H
#define NERVA_PLAN_GRADIENTS_H

#include "masks.h"
#include "plan.h"

/* They are the sums of `count` sources, masked where weights were dropped. */
typedef struct {
    const nerva_plan_parameter *of;
    const R *const *sources;
    int64_t count, masked_row; /* the row that `mask` is of, -1 for none */
    generator mask;
} gradient_reader;

INLINE gradient_reader reader_of(const nerva_plan_parameter *of, const R *const sources[], int64_t count) {
    return (gradient_reader){.of = of, .sources = sources, .count = count, .masked_row = -1};
}

/* The gradients at i, a multiple of L, and behind. */
INLINE V gradients_at(gradient_reader *reader, int64_t i) {
    V sum = vload(reader->sources[0] + i);
    for (int64_t g = 1; g < reader->count; g++) sum = vadd(sum, vload(reader->sources[g] + i));
    const nerva_plan_parameter *of = reader->of;
    if (!of->masked) return sum;
    /* The gradient of a vector begins at a multiple of L, so that no vector has parts of two rows. */
    const int64_t j = i - of->gradient, row = j / NERVA_MASKED_ROW;
    if (row != reader->masked_row) reader->mask = generator_of(of->key, row, of->rate);
    reader->masked_row = row;
    return masked(&reader->mask, (uint32_t)(j % NERVA_MASKED_ROW), sum);
}

/* The gradients of `of` that lie within a range. */
INLINE nerva_range gradients_within(const nerva_plan_parameter *of, nerva_range range) {
    const int64_t end = of->gradient + of->size;
    return (nerva_range){range.first > of->gradient ? range.first : of->gradient, range.last < end ? range.last : end};
}

#endif
