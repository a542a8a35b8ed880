/* This build's kernels, as a table. */
#include "simd.h"
#include "table.h"

void NAME(spmm)(const nerva_csr *, nerva_matrix, int64_t, const void *, int, double, int, nerva_matrix);
void NAME(sddmm)(const nerva_csr *, nerva_matrix, nerva_matrix, int64_t, int, void *);
void NAME(bias_activation)(int64_t, int64_t, const void *, int, double, int, nerva_matrix);
void NAME(activation_backward)(int64_t, int64_t, nerva_matrix, nerva_matrix, int, double, int, nerva_matrix, void *);
void NAME(activation)(int64_t, int64_t, nerva_matrix, int, double, int, nerva_matrix);
void NAME(srelu)(int64_t, int64_t, nerva_matrix, const void *, int64_t, int, nerva_matrix);
void NAME(srelu_backward)(int64_t, int64_t, nerva_matrix, nerva_matrix, const void *, int64_t, int, nerva_matrix,
                          void *, void *);
void NAME(softmax)(int64_t, int64_t, nerva_matrix, int, int, nerva_matrix);
void NAME(softmax_backward)(int64_t, int64_t, nerva_matrix, nerva_matrix, int, int, nerva_matrix);
void NAME(batch_norm)(int64_t, int64_t, nerva_matrix, const void *, const void *, double, double, int, double, int,
                      nerva_matrix, void *, void *, void *, void *);
void NAME(batch_norm_backward)(int64_t, int64_t, nerva_matrix, nerva_matrix, nerva_matrix, const void *, const void *,
                               const void *, int, double, int, nerva_matrix, void *, void *);
void NAME(dropout)(int64_t, int64_t, nerva_matrix, uint64_t, int64_t, double, int, nerva_matrix);
int64_t NAME(softmax_cross_entropy)(int64_t, int64_t, nerva_matrix, const int64_t *, double, nerva_matrix, double *);
void NAME(update)(const nerva_plan_parameter *, const void *, int);
int NAME(gather)(int, const void *, int64_t, const int64_t *, const nerva_images *, int64_t, int64_t, const float *,
                 const float *, int, nerva_matrix);
void NAME(sparse_input_spmm)(const nerva_csr *, const nerva_csr *, const void *, int, double, int, nerva_matrix);
void NAME(sparse_input_gemm)(int64_t, nerva_matrix, const nerva_csr *, const void *, int, double, int, nerva_matrix);
void NAME(sparse_input_sddmm)(const nerva_csr *, const nerva_csr *, const int32_t *, nerva_matrix, int, void *);
void NAME(sparse_input_outer)(int64_t, int64_t, const nerva_csr *, const int32_t *, nerva_matrix, int, nerva_matrix);
int64_t NAME(candidates)(const nerva_csr *, int64_t, int64_t, int64_t, int64_t, void *, double, int64_t, void *,
                         int64_t *);

void NAME(plan_step)(const nerva_plan *, int);
void NAME(plan_forward)(const nerva_plan *, int, nerva_matrix);
void NAME(chain_forward)(const nerva_chain *, int);
void NAME(chain_backward)(const nerva_chain *, int);

#ifdef NERVA_BFLOAT16
const nerva_table NAME(table) = {
    .isa = "avx512_bf16",
    .widest_batch = 8 * L,
    .plan_step = NAME(plan_step),
    .plan_forward = NAME(plan_forward),
};
#else
const nerva_table NAME(table) = {
    .plan_step = NAME(plan_step),
    .plan_forward = NAME(plan_forward),
#ifdef NERVA_AVX512
    .isa = "avx512",
    .widest_batch = 8 * L,
#else
    .isa = "avx2",
    .widest_batch = 4 * L,
#endif
    .spmm = NAME(spmm),
    .sddmm = NAME(sddmm),
    .bias_activation = NAME(bias_activation),
    .activation_backward = NAME(activation_backward),
    .activation = NAME(activation),
    .srelu = NAME(srelu),
    .srelu_backward = NAME(srelu_backward),
    .softmax = NAME(softmax),
    .softmax_backward = NAME(softmax_backward),
    .batch_norm = NAME(batch_norm),
    .batch_norm_backward = NAME(batch_norm_backward),
    .dropout = NAME(dropout),
    .softmax_cross_entropy = NAME(softmax_cross_entropy),
    .update = NAME(update),
    .gather = NAME(gather),
    .sparse_input_spmm = NAME(sparse_input_spmm),
    .sparse_input_gemm = NAME(sparse_input_gemm),
    .sparse_input_sddmm = NAME(sparse_input_sddmm),
    .sparse_input_outer = NAME(sparse_input_outer),
    .candidates = NAME(candidates),
    .chain_forward = NAME(chain_forward),
    .chain_backward = NAME(chain_backward),
};
#endif
