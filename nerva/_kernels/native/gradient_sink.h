/* Where the sums of a weight gradient go. */
#ifndef NERVA_GRADIENT_SINK_H
#define NERVA_GRADIENT_SINK_H

#include "simd.h"
#include "table.h"
#include "update_rules.h"

/* Where a sum of products goes: to g, added to what is there if `add`; or, with an update, into the step of w. */
typedef struct {
    R *g, *w;
    weight_state state;
    int add, update;
    vector_update how;
} sink;

/* One to g, or into the step of a vector of parameters, unless that is NULL; `add` and `update` are left to be set. */
INLINE sink sink_of(void *g, const nerva_plan_parameter *stepped) {
    sink to = {.g = g};
    if (!stepped) return to;
    to.w = stepped->values;
    to.state = state_of(stepped);
    to.how = prepare_update(stepped);
    return to;
}

INLINE void drain(const sink *to, int64_t j, M lanes, V total) {
    if (to->add) total = vadd(total, vload_first(lanes, to->g + j));
    if (to->update) step(&to->how, lanes, total, to->w + j, state_at(to->state, j));
    else vstore_first(lanes, to->g + j, total);
}

/* The row of position j: the last one that starts at or before it. */
static inline int64_t row_of(const nerva_csr *W, int64_t j) {
    int64_t low = 0, high = W->rows;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (W->indptr[middle] <= j) low = middle;
        else high = middle;
    }
    return low;
}

#endif
