/* What the files of the compiled network share: a slice of the batch on its way through the operations. */
#ifndef NERVA_PLAN_H
#define NERVA_PLAN_H

#include "crew.h"
#include "parallel.h"
#include "shares.h"
#include "storage.h"

/* As in slices.py: the most samples of a slice, and groups of slices. */
enum { WIDEST_SLICE = 128, MOST_GROUPS = 8, LINE = 64 / sizeof(R) };

typedef struct {
    const nerva_plan *plan;
    int64_t number, first, n, ld; /* its number, its first sample, its samples, and elements from row to row */
    int64_t pitch;                /* bytes of a row of the arena: those of S, in a slice of bfloat16 for both builds */
    char *arena;
    R *scratch, *gradients;
    int add;      /* to the gradients that are there */
    int complete; /* whether the gradients of the batch are complete with this slice, so that weights take a step */
    R *totals;    /* the statistics of the batch, this thread's copy */
    R *sums;      /* of a product with a sparse sample, this thread's */
    nerva_crew crew;
} nerva_slice;

/* Slice `number`, in an arena, for a thread of the team and its crew. */
INLINE nerva_slice slice_of(const nerva_plan *plan, int64_t number, int64_t arena, int thread, nerva_crew crew,
                            R *gradients, int add) {
    const int64_t first = plan->columns[number], n = plan->columns[number + 1] - first, ld = plan->strides[number];
    const int complete = plan->group_count == 1 && number == plan->slice_count - 1;
    R *const memory = plan->arenas[arena];
    return (nerva_slice){.plan = plan, .number = number, .first = first, .n = n, .ld = ld, .pitch = ld * sizeof(S),
                         .arena = (char *)(memory + plan->scratch), .scratch = memory, .gradients = gradients,
                         .add = add, .complete = complete, .totals = plan->waits ? plan->totals[thread] : 0,
                         .sums = plan->sparse ? plan->sums[thread] : 0, .crew = crew};
}

/* The matrix that begins at a row of the arena. */
INLINE nerva_matrix at(const nerva_slice *slice, int64_t row) {
    return (nerva_matrix){slice->arena + row * slice->pitch, slice->ld};
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
    return (nerva_matrix){(S *)A.data + row * A.ld, A.ld};
}

/* The vectors of a normalization in the memory for statistics. Of a slice: mean, sum of squares about it, sums of d and
 * of d x^; of the batch: mean, inverse, means of d and of d x^. */
INLINE R *statistic(const nerva_operation *of, void *memory, int which) {
    return (R *)memory + of->statistics + which * ((of->rows + LINE - 1) / LINE * LINE);
}

void NAME(plan_sparse_product)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix Y);
void NAME(plan_sparse_gradient)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix D);

/* Whether operation `of` is the product that reads sparse samples. */
INLINE int reads_sparse(const nerva_plan *plan, const nerva_operation *of) {
    return plan->sparse && of == plan->operations;
}

void NAME(plan_gather)(const nerva_slice *slice, nerva_matrix X);
void NAME(plan_forward_operation)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y);
void NAME(plan_loss)(const nerva_slice *slice);
void NAME(plan_exchange)(const nerva_slice *slice);
void NAME(plan_backward_operation)(const nerva_slice *slice, int64_t i);

void NAME(plan_combine)(const nerva_plan *plan, const nerva_operation *of, int forward, int thread);
void NAME(plan_recall_moments)(const nerva_plan *plan, int thread);
void NAME(plan_use_running)(const nerva_plan *plan, int thread);
void NAME(plan_slice_moments)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X);
void NAME(plan_normalize)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y);
void NAME(plan_normalization_backward)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X,
                                       nerva_matrix D);
void NAME(plan_statistics_backward)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X,
                                    nerva_matrix D);

void WIDE(plan_mask_weights)(const nerva_plan *plan, int thread, int team);
void WIDE(plan_post)(const void *from, void *to, nerva_range posted, nerva_range kept);
void WIDE(plan_add_squares)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count);
R WIDE(plan_clip_factor)(const nerva_plan *plan);
void WIDE(plan_update)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count, R factor,
                       int stream);

#ifdef NERVA_BFLOAT16
/* What the build for float32 does of the operations above the last product, on slices of this build. */
void WIDE(plan_forward_operation)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y);
void WIDE(plan_backward_operation)(const nerva_slice *slice, int64_t i);
void WIDE(activation_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation,
                                     double alpha, nerva_matrix DZ, void *Db, int add, int thread, int team);
int64_t WIDE(softmax_cross_entropy)(int64_t C, int64_t N, nerva_matrix Z, const int64_t *labels, double scale,
                                    nerva_matrix DZ, double *per_sample);
#endif

#endif
