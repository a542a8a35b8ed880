/* The operations of a compiled network on one slice of the batch, forward and backward. */
#include <string.h>

#include "plan.h"

#if NERVA_BYTE_INPUTS || defined(NERVA_BFLOAT16)
/* From how many samples on the bytes of a source of uint8 are read: rows of them are made for whole slices. In bfloat16,
 * which holds them exactly, they always are. */
enum { LEAST_BYTES = NERVA_BYTE_INPUTS ? WIDEST_SLICE / 2 + 1 : 1 };

/* Whether operation `of` is a product that reads the bytes of the source, and scales and shifts them itself. */
INLINE int reads_bytes(const nerva_plan *plan, const nerva_operation *of) {
    return plan->source_type == NERVA_UINT8 && of == plan->operations && of->kind == NERVA_PRODUCT
           && plan->N >= LEAST_BYTES;
}
#endif
#if NERVA_BYTE_INPUTS
INLINE nerva_bytes bytes_of(const nerva_slice *slice, nerva_matrix X) {
    const int64_t ld = slice->n > NERVA_BYTE_LINE ? 2 * NERVA_BYTE_LINE : NERVA_BYTE_LINE;
    return (nerva_bytes){X.data, ld, slice->plan->scale, slice->plan->shift};
}
#endif

void NAME(plan_gather)(const nerva_slice *slice, nerva_matrix X) {
    const nerva_plan *plan = slice->plan;
    if (plan->sparse) return; /* the first product reads the samples where they lie */
    const int64_t *rows = plan->rows + slice->first;
    nerva_images moved;
    const nerva_images *images = plan->images ? &moved : 0;
    if (images) moved = *plan->images, moved.moves += slice->first;
    const float *scale = plan->scale, *shift = plan->shift;
#ifdef NERVA_BFLOAT16
    /* Bytes are exact in bfloat16, what they stand for is not. */
    if (reads_bytes(plan, plan->operations)) scale = shift = 0;
#endif
#if NERVA_BYTE_INPUTS
    if (reads_bytes(plan, plan->operations)) {
        NAME(gather_bytes)(plan->source, plan->stride, rows, images, slice->n, plan->features, bytes_of(slice, X),
                           slice->crew.thread, slice->crew.size);
        return;
    }
#endif
    if (NAME(gather_share)(plan->source_type, plan->source, plan->stride, rows, images, slice->n, plan->features,
                           scale, shift, X, slice->crew.thread, slice->crew.size)
        && plan->broken)
        __atomic_store_n(plan->broken, 1, __ATOMIC_RELAXED);
}

static void product(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y) {
    const nerva_epilogue epilogue = {.activation = of->activation, .alpha = of->alpha,
                                     .bias = of->bias ? of->bias->values : 0, .wide = of->wide};
    const nerva_crew *crew = &slice->crew;
    if (reads_sparse(slice->plan, of)) {
        NAME(plan_sparse_product)(slice, of, Y);
        return;
    }
#ifdef NERVA_BFLOAT16
    if (reads_bytes(slice->plan, of)) {
        NAME(spmm_scaled_share)(of->W, X, slice->n, slice->plan->scale, slice->plan->shift, &epilogue, Y, crew->thread,
                                crew->size);
        return;
    }
#elif NERVA_BYTE_INPUTS
    if (reads_bytes(slice->plan, of)) {
        NAME(spmm_bytes)(of->W, bytes_of(slice, X), slice->n, &epilogue, Y, crew->thread, crew->size);
        return;
    }
#endif
    NAME(spmm_share)(of->W, X, slice->n, &epilogue, Y, NAME(spmm_by_batch)(of->W, slice->n, crew->size), crew->thread,
                     crew->size);
}

/* The gradient of the weights of a product, set, or added to what is there; or the step by it, once it is complete. */
static void weight_gradient(const nerva_slice *slice, const nerva_operation *of, nerva_matrix D, nerva_matrix X) {
    const nerva_plan_parameter *weight = of->weight;
    R *const G = slice->gradients + weight->gradient;
    const nerva_plan_parameter *stepped = slice->complete && weight->fused ? weight : 0;
    if (reads_sparse(slice->plan, of)) {
        NAME(plan_sparse_gradient)(slice, of, D);
        return;
    }
#ifdef NERVA_BFLOAT16
    if (reads_bytes(slice->plan, of)) {
        NAME(sddmm_scaled_share)(of->W, D, X, slice->n, slice->plan->scale, slice->plan->shift, G, stepped,
                                 slice->add, slice->crew.thread, slice->crew.size);
        return;
    }
#elif NERVA_BYTE_INPUTS
    if (reads_bytes(slice->plan, of)) {
        NAME(sddmm_bytes)(of->W, D, bytes_of(slice, X), slice->n, G, stepped, slice->add, slice->crew.thread,
                          slice->crew.size);
        return;
    }
#endif
    NAME(sddmm_share)(of->W, D, X, slice->n, G, stepped, slice->add, slice->crew.thread, slice->crew.size);
}

void NAME(plan_forward_operation)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y) {
    const int64_t K = of->rows, n = slice->n;
    const int thread = slice->crew.thread, size = slice->crew.size;
#ifdef NERVA_BFLOAT16
    if (of->wide && of->kind != NERVA_PRODUCT) {
        WIDE(plan_forward_operation)(slice, of, X, Y);
        return;
    }
#endif
    switch (of->kind) {
    case NERVA_PRODUCT: product(slice, of, X, Y); break;
    case NERVA_ELEMENTWISE: NAME(activation_share)(K, n, X, of->activation, of->alpha, Y, thread, size); break;
    case NERVA_TRAINED:
        NAME(srelu_share)(K, n, X, of->weight->values, of->weight->size / 4, Y, thread, size);
        break;
    case NERVA_DROPOUT:
        if (of->rate > 0 || X.data != Y.data)
            NAME(dropout_share)(K, n, X, of->key, 0, slice->first, of->rate, Y, thread, size);
        break;
    case NERVA_STATISTICS: NAME(plan_slice_moments)(slice, of + 1, X); break;
    case NERVA_NORMALIZATION: NAME(plan_normalize)(slice, of, X, Y); break;
    case NERVA_SOFTMAX:
    case NERVA_LOG_SOFTMAX: NAME(softmax_share)(K, n, X, of->kind == NERVA_LOG_SOFTMAX, Y, thread, size); break;
    }
}

/* Each thread of the crew has some samples. */
void NAME(plan_loss)(const nerva_slice *slice) {
    const nerva_plan *plan = slice->plan;
    const nerva_operation *last = &plan->operations[plan->count - 1];
    const nerva_range own = own_rows(slice, slice->n);
    const nerva_matrix Z = at(slice, last->output), D = at(slice, last->delta);
    const int64_t first = slice->first + own.first, n = own.last - own.first;
    const int64_t correct = WIDE(softmax_cross_entropy)(
        last->rows, n, (nerva_matrix){(R *)Z.data + own.first, Z.ld}, plan->labels + first, 1.0 / plan->N,
        (nerva_matrix){(R *)D.data + own.first, D.ld}, plan->per_sample + first);
    __atomic_fetch_add(&plan->correct[slice->number], correct, __ATOMIC_RELAXED);
}

/* Where the loss is computed elsewhere: hand out the outputs of the slice, or take in the gradient by them. */
void NAME(plan_exchange)(const nerva_slice *slice) {
    const nerva_plan *plan = slice->plan;
    const nerva_operation *last = &plan->operations[plan->count - 1];
    const int forward = plan->passes == NERVA_FORWARD_PASS;
    const nerva_matrix own = at(slice, forward ? last->output : last->delta), whole = plan->outputs;
    const nerva_range rows = own_rows(slice, last->rows);
    for (int64_t k = rows.first; k < rows.last; k++) {
        R *const here = (R *)own.data + k * own.ld, *const there = (R *)whole.data + k * whole.ld + slice->first;
        memcpy(forward ? there : here, forward ? here : there, slice->n * sizeof(R));
    }
}

/* Where the gradient of the bias of an operation is, NULL where it has none. */
INLINE R *bias_gradient(const nerva_slice *slice, const nerva_operation *of) {
    return of->kind == NERVA_PRODUCT && of->bias ? slice->gradients + of->bias->gradient : 0;
}

/* The gradient by the sums of a product, before its activation, which is differentiated here unless it has been. */
static nerva_matrix product_delta(const nerva_slice *slice, const nerva_operation *of) {
    const nerva_matrix D = at(slice, of->delta), Y = at(slice, of->output);
    const nerva_crew *crew = &slice->crew;
#ifdef NERVA_BFLOAT16
    if (of->wide) { /* a thread rounds the rows that it differentiated */
        const nerva_matrix narrow = at(slice, of->rounded);
        if (!of->settled)
            WIDE(activation_backward_share)(of->rows, slice->n, D, Y, of->activation, of->alpha, D,
                                            bias_gradient(slice, of), slice->add, crew->thread, crew->size);
        NAME(round_share)(of->rows, slice->n, D, narrow, crew->thread, crew->size);
        crew_wait(crew);
        return narrow;
    }
#endif
    if (!of->settled) {
        NAME(activation_backward_share)(of->rows, slice->n, D, Y, of->activation, of->alpha, D,
                                        bias_gradient(slice, of), slice->add, crew->thread, crew->size);
        crew_wait(crew);
    }
    return D;
}

/* The input gradient comes first: it is that of the weights before their step. */
static void product_backward(const nerva_slice *slice, const nerva_operation *of, const nerva_operation *below,
                             nerva_matrix X) {
    const nerva_matrix D = product_delta(slice, of);
    const nerva_crew *crew = &slice->crew;
    if (below) {
        const nerva_matrix DX = at(slice, below->delta);
        const int by_batch = NAME(spmm_by_batch)(of->transposed, slice->n, crew->size);
        nerva_epilogue epilogue = {.activation = NERVA_IDENTITY};
        if (below->settled && !by_batch)
            epilogue = (nerva_epilogue){.activation = below->activation, .alpha = below->alpha, .outputs = X,
                                        .row_sums = bias_gradient(slice, below), .add = slice->add};
        NAME(spmm_share)(of->transposed, D, slice->n, &epilogue, DX, by_batch, crew->thread, crew->size);
        crew_wait(crew);
        if (below->settled && by_batch) /* which leaves no thread a whole row to add up */
            NAME(activation_backward_share)(below->rows, slice->n, DX, X, below->activation, below->alpha, DX,
                                            bias_gradient(slice, below), slice->add, crew->thread, crew->size);
    }
    weight_gradient(slice, of, D, X);
}

static void srelu_backward(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, R *below_bias) {
    const nerva_matrix D = at(slice, of->delta);
    const nerva_crew *crew = &slice->crew;
    const int64_t K = of->rows, count = of->weight->size / 4;
    R *const gradient = slice->gradients + of->weight->gradient, *const by_row = slice->scratch;
    const int shared = count == 1 && K > 1;
    /* The sums by row are set, those of the bias are added to: apart. */
    R *const bias = shared && below_bias && slice->add ? by_row + 4 * K : below_bias;
    NAME(srelu_backward_share)(K, slice->n, D, X, of->weight->values, count, D, bias, shared ? by_row : gradient,
                               shared ? 0 : slice->add, crew->thread, crew->size);
    if (!shared) return;
    crew_wait(crew);
    if (crew->thread) return;
    NAME(srelu_sum_rows)(K, by_row, gradient, slice->add);
    if (bias != below_bias)
        for (int64_t k = 0; k < K; k++) below_bias[k] += bias[k];
}

void NAME(plan_backward_operation)(const nerva_slice *slice, int64_t i) {
    const nerva_operation *of = &slice->plan->operations[i];
    const nerva_operation *below = i > slice->plan->first_trained ? of - 1 : 0;
    const int64_t K = of->rows, n = slice->n;
    const int thread = slice->crew.thread, size = slice->crew.size;
    const int again = i == 0 && slice->plan->again >= 0;
    const nerva_matrix X = again ? at(slice, slice->plan->again) : inputs_of(slice, i), D = at(slice, of->delta);
    R *const below_bias = below && below->settled ? bias_gradient(slice, below) : 0;
#ifdef NERVA_BFLOAT16
    if (of->wide && of->kind != NERVA_PRODUCT) {
        WIDE(plan_backward_operation)(slice, i);
        return;
    }
#endif
    if (again) {
        NAME(plan_gather)(slice, X);
        crew_wait(&slice->crew);
    }
    switch (of->kind) {
    case NERVA_PRODUCT: product_backward(slice, of, below, X); break;
    case NERVA_ELEMENTWISE: /* from NERVA_GELU on, the derivative is computed from X */
        NAME(activation_backward_share)(K, n, D, of->activation < NERVA_GELU ? at(slice, of->output) : X,
                                        of->activation, of->alpha, D, below_bias, slice->add, thread, size);
        break;
    case NERVA_TRAINED: srelu_backward(slice, of, X, below_bias); break;
    case NERVA_DROPOUT:
        if (below->settled)
            NAME(dropout_backward_share)(K, n, D, X, of->key, slice->first, of->rate, below->activation, below->alpha,
                                         of->output == below->output, D, below_bias, slice->add, thread, size);
        else if (of->rate > 0) NAME(dropout_share)(K, n, D, of->key, 0, slice->first, of->rate, D, thread, size);
        break;
    case NERVA_STATISTICS: NAME(plan_statistics_backward)(slice, of + 1, X, D); break;
    case NERVA_NORMALIZATION: NAME(plan_normalization_backward)(slice, of, X, D); break;
    case NERVA_SOFTMAX:
    case NERVA_LOG_SOFTMAX:
        NAME(softmax_backward_share)(K, n, D, at(slice, of->output), of->kind == NERVA_LOG_SOFTMAX, D, thread, size);
        break;
    }
}
