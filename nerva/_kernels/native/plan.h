/* What the files of the compiled network share: a slice of the batch on its way through the operations. */
#ifndef NERVA_PLAN_H
#define NERVA_PLAN_H

#include "crew.h"
#include "parallel.h"
#include "shares.h"

/* As in slices.py: the most samples of a slice, and groups of slices. */
enum { WIDEST_SLICE = 128, MOST_GROUPS = 8, LINE = 64 / sizeof(R) };

typedef struct {
    const nerva_plan *plan;
    int64_t number, first, n, ld; /* its number, its first sample, its samples, and elements from row to row */
    R *arena, *scratch, *gradients;
    int add;      /* to the gradients that are there */
    int complete; /* whether the gradients of the batch are complete with this slice, so that weights take a step */
    R *totals;    /* the statistics of the batch, this thread's copy */
    nerva_crew crew;
} nerva_slice;

/* Slice `number`, in an arena, for a thread of the team and its crew. */
INLINE nerva_slice slice_of(const nerva_plan *plan, int64_t number, int64_t arena, int thread, nerva_crew crew,
                            R *gradients, int add) {
    const int64_t first = plan->columns[number], n = plan->columns[number + 1] - first;
    const int complete = plan->group_count == 1 && number == plan->slice_count - 1;
    R *const memory = plan->arenas[arena];
    return (nerva_slice){.plan = plan, .number = number, .first = first, .n = n, .ld = plan->strides[number],
                         .arena = memory + plan->scratch, .scratch = memory, .gradients = gradients, .add = add,
                         .complete = complete, .totals = plan->waits ? plan->totals[thread] : 0, .crew = crew};
}

/* The matrix that begins at a row of the arena. */
INLINE nerva_matrix at(const nerva_slice *slice, int64_t row) {
    return (nerva_matrix){slice->arena + row * slice->ld, slice->ld};
}

/* The inputs of operation i: what the one before wrote. */
INLINE nerva_matrix inputs_of(const nerva_slice *slice, int64_t i) {
    return at(slice, i ? slice->plan->operations[i - 1].output : 0);
}

/* This thread's share of `count` rows, in multiples of a vector; and a matrix from a row on. */
INLINE nerva_range own_rows(const nerva_slice *slice, int64_t count) {
    return share(count, L, slice->crew.thread, slice->crew.size);
}
INLINE nerva_matrix from_row(nerva_matrix A, int64_t row) {
    return (nerva_matrix){(R *)A.data + row * A.ld, A.ld};
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
void NAME(plan_slice_moments)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X);
void NAME(plan_normalize)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y);
void NAME(plan_normalization_backward)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X,
                                       nerva_matrix D);
void NAME(plan_statistics_backward)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X,
                                    nerva_matrix D);

void NAME(plan_mask_weights)(const nerva_plan *plan, int thread, int team);
void NAME(plan_post)(const void *from, void *to, nerva_range posted, nerva_range kept);
void NAME(plan_update)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count, int stream);

#endif
