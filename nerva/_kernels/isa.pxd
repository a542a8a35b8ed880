"""The C interface of the native kernels, and the table of the instruction set in use."""

from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "table.h" nogil:
    ctypedef struct nerva_csr:
        int64_t rows, cols, nnz
        const int32_t *indptr
        const int32_t *indices
        const int32_t *permutation
        const void *values

    ctypedef struct nerva_matrix:
        void *data
        int64_t ld

    ctypedef struct nerva_move:
        int32_t down, right, flip

    ctypedef struct nerva_images:
        int64_t height, width
        const nerva_move *moves

    enum nerva_activation:
        NERVA_IDENTITY, NERVA_RELU, NERVA_LEAKY_RELU, NERVA_TANH, NERVA_SIGMOID
        NERVA_GELU, NERVA_GELU_TANH, NERVA_SILU, NERVA_ALL_RELU, NERVA_TRELU

    enum nerva_source:
        NERVA_UINT8, NERVA_FLOAT32, NERVA_FLOAT64

    enum nerva_rule:
        NERVA_SGD, NERVA_MOMENTUM, NERVA_NESTEROV, NERVA_RMSPROP, NERVA_ADAM, NERVA_ADAMW, NERVA_LION

    ctypedef struct nerva_update:
        int rule
        double rate, momentum, decay, second, epsilon, root, shrink, clip

    ctypedef struct nerva_ages:
        const int32_t *born
        const void *corrections
        int32_t t, oldest
        double rate

    enum:
        NERVA_MASKED_ROW, NERVA_NORM_BLOCK

    ctypedef struct nerva_plan_parameter:
        void *values
        void *velocity
        void *second
        void *masked
        int64_t size, gradient
        bint fused
        const nerva_update *update
        nerva_ages ages
        uint64_t key
        double rate

    enum nerva_operation_kind:
        NERVA_PRODUCT, NERVA_ELEMENTWISE, NERVA_TRAINED, NERVA_DROPOUT, NERVA_STATISTICS, NERVA_NORMALIZATION
        NERVA_SOFTMAX, NERVA_LOG_SOFTMAX

    ctypedef struct nerva_operation:
        int kind, activation, settled, wide
        double alpha
        int64_t rows, output, delta, rounded
        const nerva_csr *W
        const nerva_csr *transposed
        const nerva_plan_parameter *weight
        const nerva_plan_parameter *bias
        uint64_t key
        double rate
        int64_t statistics
        double epsilon, momentum
        void *running_mean
        void *running_variance

    enum nerva_pass:
        NERVA_WHOLE_STEP, NERVA_FORWARD_PASS, NERVA_BACKWARD_PASS

    ctypedef struct nerva_plan:
        int64_t N, count, first_trained, parameter_count, slice_count, group_count, again
        int64_t gradient_size, updated_size
        const nerva_operation *operations
        const nerva_plan_parameter *parameters
        bint masks, waits, keeps
        int passes
        nerva_matrix outputs
        int64_t scratch
        const int64_t *columns
        const int64_t *groups
        const int64_t *strides
        void **arenas
        void **gradients
        void **partials
        void **totals
        void **mailboxes
        int source_type
        const void *source
        int64_t stride, features
        const int64_t *rows
        const nerva_images *images
        const float *scale
        const float *shift
        const nerva_csr *sparse
        void **sums
        const int64_t *labels
        double *per_sample
        int64_t *correct
        double clip_norm
        double *norms
        int *broken
        int64_t *nanoseconds

    ctypedef struct nerva_table:
        const char *isa
        int64_t widest_batch
        void (*spmm)(const nerva_csr *W, nerva_matrix X, int64_t N, const void *bias, int activation, double alpha,
                     int threads, nerva_matrix Y) noexcept nogil
        void (*sddmm)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, int threads,
                      void *G) noexcept nogil
        void (*bias_activation)(int64_t K, int64_t N, const void *bias, int activation, double alpha, int threads,
                                nerva_matrix Y) noexcept nogil
        void (*activation_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation,
                                    double alpha, int threads, nerva_matrix DZ, void *Db) noexcept nogil
        void (*activation)(int64_t K, int64_t N, nerva_matrix Z, int activation, double alpha, int threads,
                           nerva_matrix Y) noexcept nogil
        void (*srelu)(int64_t K, int64_t N, nerva_matrix Z, const void *parameters, int64_t count, int threads,
                      nerva_matrix Y) noexcept nogil
        void (*srelu_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Z, const void *parameters,
                               int64_t count, int threads, nerva_matrix DZ, void *gradient,
                               void *rows_gradient) noexcept nogil
        void (*softmax)(int64_t C, int64_t N, nerva_matrix Z, int logarithm, int threads,
                        nerva_matrix Y) noexcept nogil
        void (*softmax_backward)(int64_t C, int64_t N, nerva_matrix DY, nerva_matrix Y, int logarithm, int threads,
                                 nerva_matrix DZ) noexcept nogil
        void (*batch_norm)(int64_t K, int64_t N, nerva_matrix X, const void *gamma, const void *beta, double epsilon,
                           double momentum, int activation, double alpha, int threads, nerva_matrix Y, void *mean,
                           void *inverse, void *running_mean, void *running_variance) noexcept nogil
        void (*batch_norm_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, nerva_matrix X,
                                    const void *gamma, const void *mean, const void *inverse, int activation,
                                    double alpha, int threads, nerva_matrix DX, void *Dgamma,
                                    void *Dbeta) noexcept nogil
        void (*dropout)(int64_t K, int64_t N, nerva_matrix X, uint64_t key, int64_t first_row, double rate,
                        int threads, nerva_matrix Y) noexcept nogil
        int64_t (*softmax_cross_entropy)(int64_t C, int64_t N, nerva_matrix Z, const int64_t *labels, double scale,
                                         nerva_matrix DZ, double *per_sample) noexcept nogil
        void (*update)(const nerva_plan_parameter *of, const void *gradient, int threads) noexcept nogil
        int (*gather)(int source_type, const void *source, int64_t stride, const int64_t *rows,
                      const nerva_images *images, int64_t N, int64_t D, const float *scale, const float *shift,
                      int threads, nerva_matrix out) noexcept nogil
        void (*sparse_input_spmm)(const nerva_csr *columns, const nerva_csr *X, const void *bias, int activation,
                                  double alpha, int threads, nerva_matrix Y) noexcept nogil
        void (*sparse_input_gemm)(int64_t K, nerva_matrix W, const nerva_csr *X, const void *bias, int activation,
                                  double alpha, int threads, nerva_matrix Y) noexcept nogil
        void (*sparse_input_sddmm)(const nerva_csr *columns, const nerva_csr *transposed, const int32_t *features,
                                   nerva_matrix DZ, int threads, void *G) noexcept nogil
        void (*sparse_input_outer)(int64_t K, int64_t D, const nerva_csr *transposed, const int32_t *features,
                                   nerva_matrix DZ, int threads, nerva_matrix G) noexcept nogil
        int64_t (*candidates)(const nerva_csr *W, int64_t row, int64_t rows, int64_t column, int64_t columns,
                              void *tile, double threshold, int64_t tied, void *scores,
                              int64_t *positions) noexcept nogil
        void (*plan_step)(const nerva_plan *plan, int threads) noexcept nogil
        void (*plan_forward)(const nerva_plan *plan, int threads, nerva_matrix Y) noexcept nogil
        void (*chain_forward)(const void *chain, int threads) noexcept nogil
        void (*chain_backward)(const void *chain, int threads) noexcept nogil

    const nerva_table nerva_table_avx2_f32, nerva_table_avx2_f64, nerva_table_avx512_f32, nerva_table_avx512_f64
    const nerva_table nerva_table_avx512_bf16


cdef const nerva_table *kernels(int typenum) noexcept
cdef const nerva_table *bfloat16_kernels() except NULL
