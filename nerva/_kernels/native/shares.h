/* One thread's share of a kernel, for kernels that join several in one parallel region. */
#ifndef NERVA_SHARES_H
#define NERVA_SHARES_H

#include "simd.h"
#include "table.h"

/* The epilogue of a product W X: Y = f(W X + bias). Or, given `outputs` = f(Z), Y = (W X) f'(Z) and its row sums; those
 * need whole rows, so the batch must not be shared among the threads then. `bias` and `row_sums` may be NULL. */
typedef struct {
    int activation;
    double alpha;
    const void *bias;
    nerva_matrix outputs;
    void *row_sums;
    int add; /* to the row sums that are there */
    int wide; /* Y is of R, in the build for bfloat16 too */
} nerva_epilogue;

/* Whether a compiled network keeps inputs of uint8 as bytes: where byte_products.c is part of the build. */
#if defined(NERVA_AVX512) && defined(NERVA_REAL_F32) && !defined(NERVA_BFLOAT16)
#define NERVA_BYTE_INPUTS 1
#else
#define NERVA_BYTE_INPUTS 0
#endif

/* Inputs (features, batch) that stay the bytes x of their source, and stand for scale x + shift, float32 (features,).
 * A row, in the order of byte_products.c, is a cache line for up to 64 samples, two for up to 128: `ld` bytes. */
enum { NERVA_BYTE_LINE = 64 };
typedef struct {
    uint8_t *data;
    int64_t ld;
    const float *scale, *shift;
} nerva_bytes;

void NAME(spmm_share)(const nerva_csr *W, nerva_matrix X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y,
                      int by_batch, int thread, int team);
int NAME(spmm_by_batch)(const nerva_csr *W, int64_t N, int threads);

void NAME(sddmm_share)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, void *G,
                       const nerva_plan_parameter *stepped, int add, int thread, int team);

/* The product without the epilogue's `outputs`. Threads share the features to gather, the rows of W and the sums. */
void NAME(gather_bytes)(const void *source, int64_t stride, const int64_t *rows, const nerva_images *images, int64_t N,
                        int64_t D, nerva_bytes X, int thread, int team);
void NAME(spmm_bytes)(const nerva_csr *W, nerva_bytes X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y,
                      int thread, int team);
void NAME(sddmm_bytes)(const nerva_csr *W, nerva_matrix DY, nerva_bytes X, int64_t N, void *G,
                       const nerva_plan_parameter *stepped, int add, int thread, int team);

#ifdef NERVA_BFLOAT16
/* spmm_share and sddmm_share for inputs X that stand for scale x + shift, float32 (features,); at most 128 samples. */
void NAME(spmm_scaled_share)(const nerva_csr *W, nerva_matrix X, int64_t N, const float *scale, const float *shift,
                             const nerva_epilogue *epilogue, nerva_matrix Y, int thread, int team);
void NAME(sddmm_scaled_share)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, const float *scale,
                              const float *shift, void *G, const nerva_plan_parameter *stepped, int add,
                              int thread, int team);

/* Y = X of R, (K, N), rounded to bfloat16. */
void NAME(round_share)(int64_t K, int64_t N, nerva_matrix X, nerva_matrix Y, int thread, int team);
#endif

void NAME(activation_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation,
                                     double alpha, nerva_matrix DZ, void *Db, int add, int thread, int team);

void NAME(activation_share)(int64_t K, int64_t N, nerva_matrix Z, int activation, double alpha, nerva_matrix Y,
                            int thread, int team);

/* Threads share the samples. */
void NAME(softmax_share)(int64_t C, int64_t N, nerva_matrix Z, int logarithm, nerva_matrix Y, int thread, int team);
void NAME(softmax_backward_share)(int64_t C, int64_t N, nerva_matrix DY, nerva_matrix Y, int logarithm, nerva_matrix DZ,
                                  int thread, int team);

void NAME(srelu_share)(int64_t K, int64_t N, nerva_matrix Z, const void *parameters, int64_t count, nerva_matrix Y,
                       int thread, int team);

/* `by_row` is (4, K): the gradients of the parameters by row, which srelu_sum_rows adds up where all rows share them. */
void NAME(srelu_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Z, const void *parameters,
                                int64_t count, nerva_matrix DZ, void *Db, void *by_row, int add, int thread, int team);
void NAME(srelu_sum_rows)(int64_t K, const void *by_row, void *gradient, int add);

/* Of a part of the batch, which begins at `first_column`. With `dropped`, Y is what dropout made of f(Z), not f(Z): so
 * it may be for the identity and the ReLU family, whose derivative depends on the sign alone. */
void NAME(dropout_share)(int64_t K, int64_t N, nerva_matrix X, uint64_t key, int64_t first_row, int64_t first_column,
                         double rate, nerva_matrix Y, int thread, int team);
void NAME(dropout_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, uint64_t key,
                                  int64_t first_column, double rate, int activation, double alpha, int dropped,
                                  nerva_matrix DZ, void *Db, int add, int thread, int team);

/* Batch normalization of a slice: the mean of each row and its sum of squares about it; Y by the statistics of the
 * batch; in the backward pass, d = dy f'(y) in place of D and its row sums, also those of d x^; then DX in place of d, by
 * the means of both over the batch. */
void NAME(slice_moments)(int64_t K, int64_t N, nerva_matrix X, void *mean, void *squares);
void NAME(slice_normalize)(int64_t K, int64_t N, nerva_matrix X, const void *gamma, const void *beta, const void *mean,
                           const void *inverse, int activation, double alpha, nerva_matrix Y);
void NAME(slice_gradient_sums)(int64_t K, int64_t N, nerva_matrix D, nerva_matrix Y, nerva_matrix X, const void *mean,
                               const void *inverse, int activation, double alpha, void *sums, void *dots);
void NAME(slice_input_gradients)(int64_t K, int64_t N, nerva_matrix D, nerva_matrix X, const void *gamma,
                                 const void *mean, const void *inverse, const void *d_mean, const void *dot_mean);

/* Returns what `gather` of the table does, for the features of this share. */
int NAME(gather_share)(int source_type, const void *source, int64_t stride, const int64_t *rows,
                       const nerva_images *images, int64_t N, int64_t D, const float *scale, const float *shift,
                       nerva_matrix out, int thread, int team);

/* Bytes as they are, of N samples, a multiple of GROUP of transpose.h, in rows of N. */
void NAME(gather_unscaled)(const uint8_t *source, int64_t stride, const int64_t *rows, const nerva_images *images,
                           int64_t D, uint8_t *bytes, int64_t N, int thread, int team);

int64_t NAME(softmax_cross_entropy)(int64_t C, int64_t N, nerva_matrix Z, const int64_t *labels, double scale,
                                    nerva_matrix DZ, double *per_sample);

#endif
