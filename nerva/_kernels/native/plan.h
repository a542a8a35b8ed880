/* What the files of the compiled network share: a slice of the batch on its way through the operations. */
#ifndef NERVA_PLAN_H
#define NERVA_PLAN_H

#include "parallel.h"
#include "shares.h"
#include "storage.h"

enum { WIDEST_SLICE = 64, LINE = 64 / sizeof(R) };

/* Rows of a slice are whole vectors, of bfloat16 whole cache lines. */
enum { ROW_UNIT = sizeof(S) < sizeof(R) ? 2 * L : L };

typedef struct {
    const nerva_plan *plan;
    int64_t number, first, n, ld; /* its number, its first sample, its samples, and elements from row to row */
    char *arena;
    R *gradients;
    int add; /* to the gradients that are there */
} nerva_slice;

INLINE nerva_slice slice_of(const nerva_plan *plan, int64_t number, char *arena, R *gradients, int add) {
    const int64_t first = plan->columns[number], n = plan->columns[number + 1] - first;
    return (nerva_slice){plan, number, first, n, (n + ROW_UNIT - 1) / ROW_UNIT * ROW_UNIT, arena, gradients, add};
}

INLINE nerva_matrix at(const nerva_slice *slice, int64_t offset) {
    return (nerva_matrix){slice->arena + offset, slice->ld};
}

/* The inputs of operation i: what the one before wrote. */
INLINE nerva_matrix inputs_of(const nerva_slice *slice, int64_t i) {
    return at(slice, i ? slice->plan->operations[i - 1].output : 0);
}

nerva_matrix NAME(plan_gather)(const nerva_slice *slice);
void NAME(plan_forward_operation)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y);
void NAME(plan_loss)(const nerva_slice *slice);
void NAME(plan_backward_operation)(const nerva_slice *slice, int64_t i);

void WIDE(plan_mask_weights)(const nerva_plan *plan, int thread, int team);
void WIDE(plan_post)(const void *from, void *to, int64_t count, nerva_range kept);
void WIDE(plan_update)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count, int stream);

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
