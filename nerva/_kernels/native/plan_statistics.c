/* Batch normalization in a compiled network: the statistics of the slices become those of the batch. Every thread adds
 * them in the order of the slices, into a copy of its own: one barrier, and the same bits for any number of threads. */
#include "plan.h"

/* Means and variances by the moments of the slices (Chan, Golub & LeVeque 1979, pairwise), and the running ones if they
 * shall be updated. */
static void combine_moments(const nerva_plan *plan, const nerva_operation *of, int thread, int update) {
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
        if (!update) continue;
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
    /* Of a step in two passes, the second updates the running ones: a loss that fails leaves them as they were. */
    if (forward) combine_moments(plan, of, thread, thread == 0 && plan->passes == NERVA_WHOLE_STEP);
    else combine_gradients(plan, of, thread);
}

/* The statistics of the batch once more, in a second pass, whose team may be another one. */
void NAME(plan_recall_moments)(const nerva_plan *plan, int thread) {
    for (int64_t i = 0; i < plan->count; i++)
        if (plan->operations[i].kind == NERVA_NORMALIZATION) combine_moments(plan, &plan->operations[i], thread, thread == 0);
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

/* ---- of a slice, whose rows its crew shares */

void NAME(plan_slice_moments)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X) {
    void *const own = slice->plan->partials[slice->number];
    const nerva_range rows = own_rows(slice, of->rows);
    NAME(slice_moments)(rows.last - rows.first, slice->n, from_row(X, rows.first), statistic(of, own, 0) + rows.first,
                        statistic(of, own, 1) + rows.first);
}

void NAME(plan_normalize)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y) {
    const nerva_range rows = own_rows(slice, of->rows);
    const int64_t k = rows.first;
    NAME(slice_normalize)(rows.last - k, slice->n, from_row(X, k), (R *)of->weight->values + k,
                          (R *)of->bias->values + k, statistic(of, slice->totals, 0) + k,
                          statistic(of, slice->totals, 1) + k, of->activation, of->alpha, from_row(Y, k));
}

void NAME(plan_normalization_backward)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X,
                                       nerva_matrix D) {
    void *const own = slice->plan->partials[slice->number];
    R *const sums = statistic(of, own, 2), *const dots = statistic(of, own, 3);
    const nerva_range rows = own_rows(slice, of->rows);
    const int64_t first = rows.first;
    NAME(slice_gradient_sums)(rows.last - first, slice->n, from_row(D, first), from_row(at(slice, of->output), first),
                              from_row(X, first), statistic(of, slice->totals, 0) + first,
                              statistic(of, slice->totals, 1) + first, of->settled ? NERVA_IDENTITY : of->activation,
                              of->alpha, sums + first, dots + first);
    R *const gamma = slice->gradients + of->weight->gradient, *const beta = slice->gradients + of->bias->gradient;
    for (int64_t k = first; k < rows.last; k++) {
        gamma[k] = (slice->add ? gamma[k] : 0) + dots[k];
        beta[k] = (slice->add ? beta[k] : 0) + sums[k];
    }
}

/* Of the statistics below normalization `of`. */
void NAME(plan_statistics_backward)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X,
                                    nerva_matrix D) {
    R *const totals = slice->totals;
    const nerva_range rows = own_rows(slice, of->rows);
    const int64_t k = rows.first;
    NAME(slice_input_gradients)(rows.last - k, slice->n, from_row(D, k), from_row(X, k), (R *)of->weight->values + k,
                                statistic(of, totals, 0) + k, statistic(of, totals, 1) + k,
                                statistic(of, totals, 2) + k, statistic(of, totals, 3) + k);
}
