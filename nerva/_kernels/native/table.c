/* This build's kernels, as a table. */
#include "simd.h"
#include "table.h"

void NAME(spmm)(const nerva_csr *, nerva_matrix, int64_t, const void *, int, double, int, nerva_matrix);
void NAME(sddmm)(const nerva_csr *, nerva_matrix, nerva_matrix, int64_t, int, void *);
void NAME(bias_activation)(int64_t, int64_t, const void *, int, double, int, nerva_matrix);
void NAME(activation_backward)(int64_t, int64_t, nerva_matrix, nerva_matrix, int, double, int, nerva_matrix, void *);
int64_t NAME(softmax_cross_entropy)(int64_t, int64_t, nerva_matrix, const int64_t *, double, nerva_matrix, double *);
void NAME(softmax)(int64_t, int64_t, nerva_matrix, nerva_matrix);
void NAME(backward)(const nerva_backward *, int);
void NAME(update)(int64_t, const void *, const nerva_update *, int, void *, void *);
void NAME(gather)(int, const void *, int64_t, const int64_t *, const nerva_images *, int64_t, int64_t, const float *,
                  const float *, int, nerva_matrix);
void NAME(sparse_input_spmm)(const nerva_csr *, const nerva_csr *, const void *, int, double, int, nerva_matrix);
void NAME(sparse_input_gemm)(int64_t, nerva_matrix, const nerva_csr *, const void *, int, double, int, nerva_matrix);
void NAME(sparse_input_sddmm)(const nerva_csr *, const nerva_csr *, const int32_t *, nerva_matrix, int, void *);
void NAME(sparse_input_outer)(int64_t, int64_t, const nerva_csr *, const int32_t *, nerva_matrix, int, nerva_matrix);

const nerva_table NAME(table) = {
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
    .softmax_cross_entropy = NAME(softmax_cross_entropy),
    .softmax = NAME(softmax),
    .backward = NAME(backward),
    .update = NAME(update),
    .gather = NAME(gather),
    .sparse_input_spmm = NAME(sparse_input_spmm),
    .sparse_input_gemm = NAME(sparse_input_gemm),
    .sparse_input_sddmm = NAME(sparse_input_sddmm),
    .sparse_input_outer = NAME(sparse_input_outer),
};
