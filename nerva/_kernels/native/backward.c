/* The backward pass of a sparse layer in one parallel region: threads wait for each other twice, not every kernel. */
#include "parallel.h"
#include "shares.h"

void NAME(backward)(const nerva_backward *layer, int threads) {
    const nerva_csr *W = layer->W;
    const int64_t N = layer->N;
    const int with_input = layer->DX.data != 0;
    check_csr(W);
    if (with_input) check_csr(layer->transposed);
    const nerva_team team = nerva_team_begin(threads, (W->nnz + W->rows) * N);
    const int by_batch = with_input && NAME(spmm_by_batch)(layer->transposed, N, team.size);
    const int through = with_input && layer->through;
    nerva_epilogue epilogue = {.activation = NERVA_IDENTITY};
    /* The backward pass of the activation below: fused with the product, or after it where that has no whole rows. */
    const int apart = by_batch || N == 0;
    if (through && !apart)
        epilogue = (nerva_epilogue){layer->below_activation, layer->below_alpha, 0, layer->X,
                                    layer->below_bias_gradient, 0};
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const int thread = omp_get_thread_num(), size = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        if (!layer->delta) {
            NAME(activation_backward_share)(W->rows, N, layer->DY, layer->Y, layer->activation, layer->alpha,
                                            layer->DZ, layer->bias_gradient, 0, thread, size);
#pragma omp barrier
        }
        if (with_input)
            NAME(spmm_share)(layer->transposed, layer->DZ, N, &epilogue, layer->DX, by_batch, thread, size);
        if (with_input && (layer->update || apart)) {
            /* All threads must have read W for DX before any of them updates it. */
#pragma omp barrier
        }
        if (through && apart)
            NAME(activation_backward_share)(W->cols, N, layer->DX, layer->X, layer->below_activation,
                                            layer->below_alpha, layer->DX, layer->below_bias_gradient, 0, thread, size);
        NAME(sddmm_share)(W, layer->DZ, layer->X, N, layer->gradient, layer->update, layer->values, layer->velocity,
                          layer->second, 0, thread, size);
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
    if (layer->update && N == 0) /* an empty sum is still a gradient: zero */
        NAME(update)(W->nnz, layer->gradient, layer->update, 1, layer->velocity, layer->second, layer->values);
    if (layer->update && layer->bias)
        NAME(update)(W->rows, layer->bias_gradient, layer->bias_update, 1, layer->bias_velocity, layer->bias_second,
                     layer->bias);
}
