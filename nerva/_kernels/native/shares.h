/* What one thread of a team does of a kernel, for the kernels that join several in one parallel region. */
#ifndef NERVA_SHARES_H
#define NERVA_SHARES_H

#include "simd.h"
#include "table.h"

void NAME(spmm_share)(const nerva_csr *W, nerva_matrix X, int64_t N, const void *bias, int activation, double alpha,
                      nerva_matrix Y, int by_batch, int thread, int team);
int NAME(spmm_by_batch)(const nerva_csr *W, int64_t N, int threads);

void NAME(sddmm_share)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, void *G,
                       const nerva_update *update, void *values, void *velocity, int thread, int team);

void NAME(activation_backward_share)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation,
                                     double alpha, nerva_matrix DZ, void *Db, int thread, int team);

void NAME(update)(int64_t n, const void *gradient, const nerva_update *update, int threads, void *velocity,
                  void *weights);

#endif
