/* Batch normalization in a compiled network: the statistics of the slices become those of the batch. Every thread adds
 * them in the order of the slices, into a copy of its own: one barrier, and the same bits for any number of threads. */
#include "plan.h"

/* Means and variances by the moments of the slices (Chan, Golub & LeVeque 1979, pairwise); one thread updates the
 * running ones. */
static void combine_moments(const nerva_plan *plan, const nerva_operation *of, int thread) {
    R *const mean = statistic(of, plan->totals[thread], 0), *const inverse = statistic(of, plan->totals[thread], 1);
    const V pace = vset((R)of->momentum), part = vset(1 / (R)plan->N);
    for (int64_t k = 0; k < of->rows; k += L) {
        const M lanes = vfirst(of->rows - k < L ? of->rows - k : L);
        V middle = vzero(), squares = vzero();
        for (int64_t s = 0; s < plan->slice_count; s++) {
            const R before = (R)plan->columns[s], own = (R)(plan->columns[s + 1] - plan->columns[s]), all = before + own;
            const V off = vsub(vload(statistic(of, plan->partials[s], 0) + k), middle);
            middle = vfma(off, vset(own / all), middle);
            squares = vadd(squares, vfma(vmul(off, off), vset(before * (own / all)),
                                         vload(statistic(of, plan->partials[s], 1) + k)));
        }
        vstore_first(lanes, mean + k, middle);
        vstore_first(lanes, inverse + k,
                     vdiv(vset(1), vsqrt(vadd(vmul(squares, part), vset((R)of->epsilon)))));
        if (thread) continue;
        R *const running_mean = (R *)of->running_mean + k, *const running_variance = (R *)of->running_variance + k;
        const V old_mean = vload_first(lanes, running_mean), old_variance = vload_first(lanes, running_variance);
        const V variance = vmul(squares, vset(1 / (R)(plan->N - 1)));
        vstore_first(lanes, running_mean, vfma(pace, vsub(middle, old_mean), old_mean));
        vstore_first(lanes, running_variance, vfma(pace, vsub(variance, old_variance), old_variance));
    }
}

/* The means over the batch of d and of d x^. */
static void combine_gradients(const nerva_plan *plan, const nerva_operation *of, int thread) {
    const V part = vset(1 / (R)plan->N);
    for (int which = 2; which < 4; which++)
        for (int64_t k = 0; k < of->rows; k += L) {
            V sum = vzero();
            for (int64_t s = 0; s < plan->slice_count; s++)
                sum = vadd(sum, vload(statistic(of, plan->partials[s], which) + k));
            vstore(statistic(of, plan->totals[thread], which) + k, vmul(sum, part));
        }
}

void NAME(plan_combine)(const nerva_plan *plan, const nerva_operation *of, int forward, int thread) {
    if (forward) combine_moments(plan, of, thread);
    else combine_gradients(plan, of, thread);
}

/* In evaluation, the statistics are the running ones. */
void NAME(plan_use_running)(const nerva_plan *plan, int thread) {
    for (int64_t i = 0; i < plan->count; i++) {
        const nerva_operation *of = &plan->operations[i];
        if (of->kind != NERVA_NORMALIZATION) continue;
        const R *const running_mean = of->running_mean, *const running_variance = of->running_variance;
        for (int64_t k = 0; k < of->rows; k += L) {
            const M lanes = vfirst(of->rows - k < L ? of->rows - k : L);
            vstore_first(lanes, statistic(of, plan->totals[thread], 0) + k, vload_first(lanes, running_mean + k));
            const V variance = vadd(vload_first(lanes, running_variance + k), vset((R)of->epsilon));
            vstore_first(lanes, statistic(of, plan->totals[thread], 1) + k, vdiv(vset(1), vsqrt(variance)));
        }
    }
}
