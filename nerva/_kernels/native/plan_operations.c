/* The operations of a compiled network on one slice of the batch, forward and backward. */
#include "plan.h"

#if NERVA_BYTE_INPUTS || defined(NERVA_BFLOAT16)
/* Whether operation `of` is a product that reads the bytes of the source. */
INLINE int reads_bytes(const nerva_plan *plan, const nerva_operation *of) {
    return plan->source_type == NERVA_UINT8 && of == plan->operations && of->kind == NERVA_PRODUCT;
}
#endif
#if NERVA_BYTE_INPUTS
INLINE nerva_bytes bytes_of(const nerva_plan *plan, nerva_matrix X) {
    return (nerva_bytes){X.data, plan->scale, plan->shift};
}
#endif

nerva_matrix NAME(plan_gather)(const nerva_slice *slice) {
    const nerva_plan *plan = slice->plan;
    const nerva_matrix X = at(slice, 0);
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
        NAME(gather_bytes)(plan->source, plan->stride, rows, images, slice->n, plan->features, bytes_of(plan, X));
        return X;
    }
#endif
    NAME(gather_share)(plan->source_type, plan->source, plan->stride, rows, images, slice->n, plan->features,
                       scale, shift, X, 0, 1);
    return X;
}

static void product(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y) {
    const nerva_epilogue epilogue = {.activation = of->activation, .alpha = of->alpha,
                                     .bias = of->bias ? of->bias->values : 0, .wide = of->wide};
#ifdef NERVA_BFLOAT16
    if (reads_bytes(slice->plan, of)) {
        NAME(spmm_scaled_share)(of->W, X, slice->n, slice->plan->scale, slice->plan->shift, &epilogue, Y, 0, 1);
        return;
    }
#elif NERVA_BYTE_INPUTS
    if (reads_bytes(slice->plan, of)) {
        NAME(spmm_bytes)(of->W, bytes_of(slice->plan, X), slice->n, &epilogue, Y);
        return;
    }
#endif
    NAME(spmm_share)(of->W, X, slice->n, &epilogue, Y, 0, 0, 1);
}

/* The gradient of the weights of a product, set, or added to what is there. */
static void weight_gradient(const nerva_slice *slice, const nerva_operation *of, nerva_matrix D, nerva_matrix X) {
    R *const G = slice->gradients + of->weight->gradient;
#ifdef NERVA_BFLOAT16
    if (reads_bytes(slice->plan, of)) {
        NAME(sddmm_scaled_share)(of->W, D, X, slice->n, slice->plan->scale, slice->plan->shift, G, slice->add, 0, 1);
        return;
    }
#elif NERVA_BYTE_INPUTS
    if (reads_bytes(slice->plan, of)) {
        NAME(sddmm_bytes)(of->W, D, bytes_of(slice->plan, X), slice->n, G, slice->add);
        return;
    }
#endif
    NAME(sddmm_share)(of->W, D, X, slice->n, G, 0, 0, 0, 0, slice->add, 0, 1);
}

void NAME(plan_forward_operation)(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, nerva_matrix Y) {
    const int64_t K = of->rows, n = slice->n;
#ifdef NERVA_BFLOAT16
    if (of->wide && of->kind != NERVA_PRODUCT) {
        WIDE(plan_forward_operation)(slice, of, X, Y);
        return;
    }
#endif
    switch (of->kind) {
    case NERVA_PRODUCT: product(slice, of, X, Y); break;
    case NERVA_ELEMENTWISE: NAME(activation_share)(K, n, X, of->activation, of->alpha, Y, 0, 1); break;
    case NERVA_TRAINED: NAME(srelu_share)(K, n, X, of->weight->values, of->weight->size / 4, Y, 0, 1); break;
    case NERVA_DROPOUT:
        if (of->rate > 0 || X.data != Y.data)
            NAME(dropout_share)(K, n, X, of->key, 0, slice->first, of->rate, Y, 0, 1);
        break;
    }
}

void NAME(plan_loss)(const nerva_slice *slice) {
    const nerva_plan *plan = slice->plan;
    const nerva_operation *last = &plan->operations[plan->count - 1];
    int64_t labels[WIDEST_SLICE];
    for (int64_t i = 0; i < slice->n; i++) labels[i] = plan->labels[plan->rows[slice->first + i]];
    plan->correct[slice->number] =
        WIDE(softmax_cross_entropy)(last->rows, slice->n, at(slice, last->output), labels, 1.0 / plan->N,
                                    at(slice, last->delta), plan->per_sample + slice->first);
}

/* Where the gradient of the bias of an operation is, NULL where it has none. */
INLINE R *bias_gradient(const nerva_slice *slice, const nerva_operation *of) {
    return of->kind == NERVA_PRODUCT && of->bias ? slice->gradients + of->bias->gradient : 0;
}

/* The gradient by the sums of a product, before its activation, which is differentiated here unless it has been. */
static nerva_matrix product_delta(const nerva_slice *slice, const nerva_operation *of) {
    const nerva_matrix D = at(slice, of->delta), Y = at(slice, of->output);
#ifdef NERVA_BFLOAT16
    if (of->wide) {
        const nerva_matrix narrow = at(slice, of->rounded);
        if (!of->settled)
            WIDE(activation_backward_share)(of->rows, slice->n, D, Y, of->activation, of->alpha, D,
                                            bias_gradient(slice, of), slice->add, 0, 1);
        NAME(round_share)(of->rows, slice->n, D, narrow, 0, 1);
        return narrow;
    }
#endif
    if (!of->settled)
        NAME(activation_backward_share)(of->rows, slice->n, D, Y, of->activation, of->alpha, D,
                                        bias_gradient(slice, of), slice->add, 0, 1);
    return D;
}

static void product_backward(const nerva_slice *slice, const nerva_operation *of, const nerva_operation *below,
                             nerva_matrix X) {
    const nerva_matrix D = product_delta(slice, of);
    nerva_epilogue epilogue = {.activation = NERVA_IDENTITY};
    weight_gradient(slice, of, D, X);
    if (!below) return;
    if (below->settled)
        epilogue = (nerva_epilogue){.activation = below->activation, .alpha = below->alpha, .outputs = X,
                                    .row_sums = bias_gradient(slice, below), .add = slice->add};
    NAME(spmm_share)(of->transposed, D, slice->n, &epilogue, at(slice, below->delta), 0, 0, 1);
}

static void srelu_backward(const nerva_slice *slice, const nerva_operation *of, nerva_matrix X, R *below_bias) {
    const nerva_matrix D = at(slice, of->delta);
    const int64_t K = of->rows, count = of->weight->size / 4;
    R *const gradient = slice->gradients + of->weight->gradient, *const scratch = (R *)(slice->arena + slice->plan->scratch);
    const int shared = count == 1 && K > 1;
    if (shared && below_bias && slice->add) {
        /* The sums by row are set, those of the bias are added to: apart. */
        NAME(srelu_backward_share)(K, slice->n, D, X, of->weight->values, count, D, scratch + 4 * K, scratch, 0, 0, 1);
        for (int64_t k = 0; k < K; k++) below_bias[k] += scratch[4 * K + k];
    } else
        NAME(srelu_backward_share)(K, slice->n, D, X, of->weight->values, count, D, below_bias,
                                   shared ? scratch : gradient, shared ? 0 : slice->add, 0, 1);
    if (shared) NAME(srelu_sum_rows)(K, scratch, gradient, slice->add);
}

void NAME(plan_backward_operation)(const nerva_slice *slice, int64_t i) {
    const nerva_operation *of = &slice->plan->operations[i];
    const nerva_operation *below = i > slice->plan->first_trained ? of - 1 : 0;
    const int64_t K = of->rows, n = slice->n;
    const nerva_matrix X = inputs_of(slice, i), D = at(slice, of->delta);
    R *const below_bias = below && below->settled ? bias_gradient(slice, below) : 0;
#ifdef NERVA_BFLOAT16
    if (of->wide && of->kind != NERVA_PRODUCT) {
        WIDE(plan_backward_operation)(slice, i);
        return;
    }
#endif
    switch (of->kind) {
    case NERVA_PRODUCT: product_backward(slice, of, below, X); break;
    case NERVA_ELEMENTWISE: /* from NERVA_GELU on, the derivative is computed from X */
        NAME(activation_backward_share)(K, n, D, of->activation < NERVA_GELU ? at(slice, of->output) : X,
                                        of->activation, of->alpha, D, below_bias, slice->add, 0, 1);
        break;
    case NERVA_TRAINED: srelu_backward(slice, of, X, below_bias); break;
    case NERVA_DROPOUT:
        if (below->settled)
            NAME(dropout_backward_share)(K, n, D, X, of->key, slice->first, of->rate, below->activation, below->alpha,
                                         of->output == below->output, D, below_bias, slice->add, 0, 1);
        else if (of->rate > 0) NAME(dropout_share)(K, n, D, of->key, 0, slice->first, of->rate, D, 0, 1);
        break;
    }
}
