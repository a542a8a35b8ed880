/* What the files of the compiled network share: a slice of the batch on its way through the operations. */
#ifndef NERVA_PLAN_H
#define NERVA_PLAN_H

#include "parallel.h"
#include "shares.h"

enum { WIDEST_SLICE = 64, LINE = 64 / sizeof(R) };

typedef struct {
    const nerva_plan *plan;
    int64_t number, first, n, ld; /* its number, its first sample, its samples, and elements from row to row */
    R *arena, *gradients;
    int add;   /* to the gradients that are there */
    R *totals; /* the statistics of the batch, this thread's copy */
} nerva_slice;

INLINE nerva_slice slice_of(const nerva_plan *plan, int64_t number, int64_t arena, int thread, R *gradients, int add) {
    const int64_t first = plan->columns[number], n = plan->columns[number + 1] - first;
    R *const totals = plan->waits ? plan->totals[thread] : 0;
    return (nerva_slice){plan, number, first, n, (n + L - 1) / L * L, plan->arenas[arena], gradients, add, totals};
}

INLINE nerva_matrix at(const nerva_slice *slice, int64_t offset) {
    return (nerva_matrix){slice->arena + offset, slice->ld};
}

/* The inputs of operation i: what the one before wrote. */
INLINE nerva_matrix inputs_of(const nerva_slice *slice, int64_t i) {
    return at(slice, i ? slice->plan->operations[i - 1].output : 0);
}

/* The vectors of a normalization in the memory for statistics. Of a slice: mean, sum of squares about it, sums of d and
 * of d x^; of the batch: mean, inverse, means of d and of d x^. */
INLINE R *statistic(const nerva_operation *of, void *memory, int which) {
    return (R *)memory + of->statistics + which * ((of->rows + LINE - 1) / LINE * LINE);
}

nerva_matrix NAME(plan_gather)(const nerva_slice *slice);
void NAME(plan_forward_operation)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y);
void NAME(plan_loss)(const nerva_slice *slice);
void NAME(plan_backward_operation)(const nerva_slice *slice, int64_t i);

void NAME(plan_combine)(const nerva_plan *plan, const nerva_operation *of, int forward, int thread);
void NAME(plan_use_running)(const nerva_plan *plan, int thread);

void NAME(plan_mask_weights)(const nerva_plan *plan, int thread, int team);
void NAME(plan_post)(const void *from, void *to, int64_t count, nerva_range kept);
void NAME(plan_update)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count, int stream);

#endif
