/* The norm of all gradients of a compiled network, down to which they are scaled where it is larger than `clip_norm`. Sums
 * are in double, of blocks, and added in their order, so that they do not depend on the number of threads. */
#include <math.h>

#include "plan_gradients.h"

/* Set the sums of squares of the blocks that begin within `own`, which begins with one. */
void NAME(plan_add_squares)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count) {
    for (int64_t first = own.first; first < own.last; first += NERVA_NORM_BLOCK) {
        const nerva_range block = {first, first + NERVA_NORM_BLOCK};
        double sums[L] = {0}, total = 0;
        for (int64_t p = 0; p < plan->parameter_count; p++) {
            const nerva_range within = gradients_within(&plan->parameters[p], block);
            gradient_reader reader = reader_of(&plan->parameters[p], sources, count);
            for (int64_t i = within.first; i < within.last; i += L) {
                R g[L];
                vstore(g, gradients_at(&reader, i));
                for (int l = 0; l < L && i + l < within.last; l++) sums[l] += (double)g[l] * (double)g[l];
            }
        }
        for (int l = 0; l < L; l++) total += sums[l];
        plan->norms[first / NERVA_NORM_BLOCK] = total;
    }
}

/* By what the gradients are multiplied: 1 where their norm is small enough, NaN where it is NaN. */
R NAME(plan_clip_factor)(const nerva_plan *plan) {
    double total = 0;
    for (int64_t first = 0; first < plan->updated_size; first += NERVA_NORM_BLOCK)
        total += plan->norms[first / NERVA_NORM_BLOCK];
    const double norm = sqrt(total);
    return norm <= plan->clip_norm ? 1 : (R)(plan->clip_norm / (norm + 1e-6));
}
