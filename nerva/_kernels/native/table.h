/* The native kernels: a table of functions for each instruction set and number type.
 *
 * Every matrix of activations is (features, batch), row-major, unit stride along the batch, `ld` elements from row to
 * row. The number type is float or double; pointers to it are void, so that one table type serves both. Arguments are
 * trusted: the Cython modules check them first. Inputs are const, outputs come last. No kernel allocates, and results
 * do not depend on the number of threads: each output element is computed by one thread, in one order of summation.
 */
#ifndef NERVA_TABLE_H
#define NERVA_TABLE_H

#include <stdint.h>

enum nerva_activation {
    NERVA_IDENTITY = 0,
    NERVA_RELU = 1,
    NERVA_LEAKY_RELU = 2, /* slope `alpha` below zero */
    NERVA_TANH = 3,
    NERVA_SIGMOID = 4,
    /* The derivatives of these are computed from Z, not from Y: they cannot be fused with a product. */
    NERVA_GELU = 5,
    NERVA_GELU_TANH = 6,
    NERVA_SILU = 7,
    NERVA_ALL_RELU = 8, /* slope `alpha`, of any sign, below zero */
    NERVA_TRELU = 9,    /* z where it is not below `alpha`, else 0 */
};

enum nerva_source { NERVA_UINT8 = 0, NERVA_FLOAT32 = 1, NERVA_FLOAT64 = 2 };

/* A CSR matrix. Where `permutation` is not NULL, the value of position j is values[permutation[j]]: so the transpose
 * of a matrix uses the matrix's own values. */
typedef struct {
    int64_t rows, cols, nnz;
    const int32_t *indptr, *indices, *permutation;
    const void *values;
} nerva_csr;

/* A matrix (features, batch): `ld` elements from one row to the next. */
typedef struct {
    void *data;
    int64_t ld;
} nerva_matrix;

/* How an image is moved: pixel (y, x) becomes pixel (y + down, x + right) of the image padded by reflection, without
 * repeating the outermost pixels; with flip, the row is then reversed. |down| < height and |right| < width. */
typedef struct {
    int32_t down, right, flip;
} nerva_move;

/* Images of (channels, height, width), and a move for each. */
typedef struct {
    int64_t height, width;
    const nerva_move *moves;
} nerva_images;

/* One step of an optimizer on a weight w with gradient g, d = g + decay w, v its velocity and s its second moment:
 *   NERVA_SGD       w -= rate d
 *   NERVA_MOMENTUM  v = momentum v + d;  w -= rate v
 *   NERVA_NESTEROV  v = momentum v + d;  w -= rate (d + momentum v)
 *   NERVA_RMSPROP   s = second s + (1 - second) d^2;  q = d / (sqrt(s) + epsilon);  w -= rate q,
 *                   or with momentum v = momentum v + q;  w -= rate v
 *   NERVA_ADAM      v = momentum v + (1 - momentum) d;  s = second s + (1 - second) d^2;
 *                   w -= rate v / (root sqrt(s) + epsilon), where rate and root hold the corrections of the moments
 *   NERVA_ADAMW     the same with d = g, after w -= shrink w
 *   NERVA_LION      w -= rate sign(momentum v + (1 - momentum) g) + shrink w;  v = second v + (1 - second) g
 * Where clip > 0, g is first clipped to +-clip. */
enum nerva_rule {
    NERVA_SGD = 0,
    NERVA_MOMENTUM = 1,
    NERVA_NESTEROV = 2,
    NERVA_RMSPROP = 3,
    NERVA_ADAM = 4,
    NERVA_ADAMW = 5,
    NERVA_LION = 6,
};

typedef struct {
    int rule;
    double rate, momentum, decay, second, epsilon, root, shrink, clip;
} nerva_update;

/* The ages of the weights of a vector, where they differ: in step t that of a weight is t - born, the steps that its
 * moments have seen. Adam then corrects them for each weight by the age's pair of `corrections`, 1 / (1 - momentum^age)
 * and 1 / sqrt(1 - second^age), of which the last, of age `oldest`, is that of all ages behind, too; `rate` is the learning
 * rate. Where `born` is NULL all weights have the age t, and `rate` and `root` of the update hold the corrections. */
typedef struct {
    const int32_t *born;
    const void *corrections;
    int32_t t, oldest;
    double rate;
} nerva_ages;

/* DropConnect masks a vector of weights as a matrix with rows of this length. The squares of gradients are added up in
 * blocks of this length, for their norm. */
enum { NERVA_MASKED_ROW = 1024, NERVA_NORM_BLOCK = 1024 };

/* A vector of parameters of a compiled network. Its gradients begin at `gradient` in a vector of those of all. With a
 * `rate`, its values are dropped into `masked` by the mask of a key before the step, and so are their gradients. Those
 * that are `fused` take their step where the last slice completes their gradient, without another pass over both. */
typedef struct {
    void *values, *velocity, *second, *masked;
    int64_t size, gradient;
    int fused;
    const nerva_update *update;
    nerva_ages ages;
    uint64_t key;
    double rate;
} nerva_plan_parameter;

enum nerva_operation_kind {
    NERVA_PRODUCT = 0,     /* Y = f(W X + b) */
    NERVA_ELEMENTWISE = 1, /* Y = f(X), for every activation */
    NERVA_TRAINED = 2,     /* Y = f(X), an SReLU */
    NERVA_DROPOUT = 3,
    /* Batch normalization is two operations, with a barrier between them, forward and backward: NERVA_STATISTICS, whose
     * Y is X in place, and NERVA_NORMALIZATION right above it, Y = f(gamma (X - mean) inverse + beta). */
    NERVA_STATISTICS = 4,
    NERVA_NORMALIZATION = 5,
    NERVA_SOFTMAX = 6, /* over the features of each sample */
    NERVA_LOG_SOFTMAX = 7,
};

/* An operation of a compiled network on a slice of the batch. In the arena of a slice, Y (rows, batch) begins at row
 * `output`, and the gradient by Y at row `delta`; what is never needed at the same time may lie in the same memory. */
typedef struct {
    int kind, activation; /* f */
    /* The operation above also differentiates f, and adds up the bias gradient: it leaves the gradient by f's input. */
    int settled;
    /* In bfloat16: Y, and what is at `delta`, are of float32, each row in the memory of two. So it is from the last
     * product on; the gradient by its sums is rounded, to `rounded`. */
    int wide;
    double alpha;
    int64_t rows, output, delta, rounded;
    const nerva_csr *W, *transposed;                /* of a product; `transposed` may be NULL where DX is not needed */
    const nerva_plan_parameter *weight, *bias;      /* of a product; gamma, beta; `weight` of an SReLU; or NULL */
    uint64_t key;                                   /* of dropout in this step */
    double rate;
    int64_t statistics; /* of a normalization: where its four vectors begin in the memory for statistics */
    double epsilon, momentum;
    void *running_mean, *running_variance;
} nerva_operation;

/* What a call does of a step: all of it; or, where the loss is computed elsewhere, the forward pass up to the outputs,
 * and later the backward pass from the gradient by them on, and the update. */
enum nerva_pass { NERVA_WHOLE_STEP = 0, NERVA_FORWARD_PASS = 1, NERVA_BACKWARD_PASS = 2 };

/* A network and a mini-batch of N samples, in slices of the batch: slice s has the samples columns[s] to
 * columns[s + 1] - 1. Slices are in groups, whose gradients go to one buffer: group g has the slices groups[g] to
 * groups[g + 1] - 1. The threads that share a slice, a crew, have an arena for its activations, or if the network
 * `keeps` them until all slices have come so far, each slice has. In it the inputs begin at row 0: numbers, or the bytes
 * of a source of uint8, which a first operation that is a product of float32 may read; it applies `scale` and `shift`
 * then, which must not be NULL with uint8. Unless `again` is negative, they are gathered again for the last stage of
 * the backward pass, to this row of the arena. No operation before `first_trained` has parameters, so that none of
 * them needs a gradient. */
typedef struct {
    int64_t N, count, first_trained, parameter_count, slice_count, group_count, again;
    int64_t gradient_size, updated_size; /* of a vector of gradients; `fused` parameters lie behind `updated_size` */
    const nerva_operation *operations;
    const nerva_plan_parameter *parameters;
    int masks, waits;       /* whether weights are dropped in this step; whether there is batch normalization */
    int keeps;              /* whether each slice has an arena: where it `waits`, or for a step in two passes */
    int passes;             /* a nerva_pass */
    nerva_matrix outputs;   /* (K, N), of a step in two passes: set by the first; the gradient by them for the second */
    int64_t scratch;        /* numbers at the front of an arena: five of each row, before row 0 */
    const int64_t *columns, *groups, *strides; /* strides: of each slice, elements from row to row */
    void *const *arenas, *const *gradients; /* one of each for each crew */
    void *const *partials, *const *totals;  /* statistics of each slice, and of the batch for each thread */
    void *const *mailboxes;                 /* a vector of gradients for each group, read by all threads */
    int source_type;                        /* the samples: source[rows[n]], scaled and moved as by `gather` */
    const void *source;
    int64_t stride, features;
    const int64_t *rows;
    const nerva_images *images;
    const float *scale, *shift;
    const nerva_csr *sparse; /* or the samples of the batch themselves, (N, D), read by the first operation, a product */
    void *const *sums;       /* of that product, a vector of its outputs for each thread */
    const int64_t *labels; /* of the samples of the batch */
    double *per_sample;    /* (N,), the loss of each sample */
    int64_t *correct;      /* of each slice, to which the number of correct predictions is added */
    double clip_norm; /* the largest norm of all gradients together, by which they are scaled down; 0 does not */
    double *norms;    /* then the sums of their squares in blocks of NERVA_NORM_BLOCK, and no parameter is `fused` */
    int *broken; /* set to 1 where a value of a sample is not finite, and plan_step then updates nothing; or NULL */
    /* Of the first thread: gather, forward by operation, loss, backward by operation from the last on, update; or
     * NULL. */
    int64_t *nanoseconds;
} nerva_plan;

typedef struct nerva_chain nerva_chain; /* see chain.h */
typedef struct {
    const char *isa;

    /* The widest slice of which a weight gradient is computed in one part, so that no memory for it is needed. */
    int64_t widest_batch;

    /* Y = f(W X + b), (K, N). `bias` may be NULL. */
    void (*spmm)(const nerva_csr *W, nerva_matrix X, int64_t N, const void *bias, int activation, double alpha,
                 int threads, nerva_matrix Y);

    /* G[j] = sum_n DY[row(j), n] X[col(j), n] for each stored position j of W. */
    void (*sddmm)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, int threads, void *G);

    /* Y = f(Y + b) in place, (K, N). */
    void (*bias_activation)(int64_t K, int64_t N, const void *bias, int activation, double alpha, int threads,
                            nerva_matrix Y);

    /* Y = f(Z), (K, N), for every activation. Y may be Z. */
    void (*activation)(int64_t K, int64_t N, nerva_matrix Z, int activation, double alpha, int threads, nerva_matrix Y);

    /* SReLU: y = t_l + a_l (z - t_l) for z <= t_l, else z for z < t_r, else t_r + a_r (z - t_r). `parameters` are t_l,
     * a_l, t_r, a_r, each of `count`: 1, or K, one per row. Y may be Z. */
    void (*srelu)(int64_t K, int64_t N, nerva_matrix Z, const void *parameters, int64_t count, int threads,
                  nerva_matrix Y);

    /* DZ and the gradient of the parameters, (4, count). `rows_gradient` is scratch of (4, K), needed where count is 1.
     * DZ may be DY. */
    void (*srelu_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Z, const void *parameters, int64_t count,
                           int threads, nerva_matrix DZ, void *gradient, void *rows_gradient);

    /* Softmax, or its logarithm, of each column, and the backward pass from Y. Y may be Z, DZ may be DY. */
    void (*softmax)(int64_t C, int64_t N, nerva_matrix Z, int logarithm, int threads, nerva_matrix Y);
    void (*softmax_backward)(int64_t C, int64_t N, nerva_matrix DY, nerva_matrix Y, int logarithm, int threads,
                             nerva_matrix DZ);

    /* Y = f(gamma (X - mean) inverse + beta), row by row, by the statistics of the batch, N > 1. They are written to
     * `mean` and `inverse` = 1 / sqrt(variance + epsilon), and the running ones are updated with `momentum`. With NULL
     * for `mean` and `inverse`, by the running statistics. */
    void (*batch_norm)(int64_t K, int64_t N, nerva_matrix X, const void *gamma, const void *beta, double epsilon,
                       double momentum, int activation, double alpha, int threads, nerva_matrix Y, void *mean,
                       void *inverse, void *running_mean, void *running_variance);

    /* The backward pass by the statistics of the batch. DX.data may be NULL, or DY.data. */
    void (*batch_norm_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, nerva_matrix X,
                                const void *gamma, const void *mean, const void *inverse, int activation, double alpha,
                                int threads, nerva_matrix DX, void *Dgamma, void *Dbeta);

    /* Y = X / (1 - rate) where the mask of this key keeps the element of row first_row + k, else 0; N < 2^31, and
     * 0 <= rate < 1. Y may be X. */
    void (*dropout)(int64_t K, int64_t N, nerva_matrix X, uint64_t key, int64_t first_row, double rate, int threads,
                    nerva_matrix Y);

    /* DZ = DY f'(Y) and Db[k] = sum_n DZ[k, n], where Y = f(Z); from NERVA_GELU on, Y is Z. DZ may be DY; Db may be
     * NULL. */
    void (*activation_backward)(int64_t K, int64_t N, nerva_matrix DY, nerva_matrix Y, int activation, double alpha,
                                int threads, nerva_matrix DZ, void *Db);

    /* Softmax cross-entropy of the logits Z (C, N) against labels: per_sample[n] = -log softmax(Z)[label_n, n];
     * DZ = scale (softmax(Z) - one-hot). Returns the number of correct predictions, where a prediction is the first
     * maximum of a column. */
    int64_t (*softmax_cross_entropy)(int64_t C, int64_t N, nerva_matrix Z, const int64_t *labels, double scale,
                                     nerva_matrix DZ, double *per_sample);

    /* One step of a vector of parameters; `velocity` and `second` may be NULL where the rule does not use them. */
    void (*update)(const nerva_plan_parameter *of, const void *gradient, int threads);

    /* out[d, j] = source[rows[j], d] scale[d] + shift[d] for D features of N samples; scale and shift may be NULL.
     * `stride` elements from one sample of the source to the next. With `images`, which may be NULL, sample j is moved
     * first, as images->moves[j] says; D is channels height width. Returns whether a value of the source is not
     * finite in the type of the network; 0 where images are moved. */
    int (*gather)(int source_type, const void *source, int64_t stride, const int64_t *rows,
                  const nerva_images *images, int64_t N, int64_t D, const float *scale, const float *shift,
                  int threads, nerva_matrix out);

    /* Y = f(W X + b), (K, N), where X is sparse: (N, D), a sample a row. `columns` is W's transposed companion (D, K);
     * for the dense one, W is (K, D). `bias` may be NULL. A row of X may be unsorted and have duplicates. */
    void (*sparse_input_spmm)(const nerva_csr *columns, const nerva_csr *X, const void *bias, int activation,
                              double alpha, int threads, nerva_matrix Y);
    void (*sparse_input_gemm)(int64_t K, nerva_matrix W, const nerva_csr *X, const void *bias, int activation,
                              double alpha, int threads, nerva_matrix Y);

    /* G[j] = sum_n DZ[k, n] X[n, d] for each weight j = (k, d), zero for features that do not occur; the dense one has
     * them all, G (K, D). `transposed` is (features that occur, N), and its row u is feature features[u]. */
    void (*sparse_input_sddmm)(const nerva_csr *columns, const nerva_csr *transposed, const int32_t *features,
                               nerva_matrix DZ, int threads, void *G);
    void (*sparse_input_outer)(int64_t K, int64_t D, const nerva_csr *transposed, const int32_t *features,
                               nerva_matrix DZ, int threads, nerva_matrix G);

    /* Of a dense tile (rows, columns) of a matrix in W's shape, whose first element is at (row, column): the magnitudes
     * |g| and flat positions, ascending, of the elements outside W's pattern with |g| > threshold, or |g| = threshold
     * at a position below `tied`. Returns how many. NaN is never among them. The tile is overwritten on the pattern.
     * `scores` and `positions` have room for the whole tile. */
    int64_t (*candidates)(const nerva_csr *W, int64_t row, int64_t rows, int64_t column, int64_t columns, void *tile,
                          double threshold, int64_t tied, void *scores, int64_t *positions);

    /* One training step of a whole network, or a pass of it: forward pass, softmax cross-entropy unless the loss is
     * computed elsewhere, backward pass, and an update of every parameter. */
    void (*plan_step)(const nerva_plan *plan, int threads);

    /* The outputs (K, N) of a whole network. */
    void (*plan_forward)(const nerva_plan *plan, int threads, nerva_matrix Y);
    /* Y and the tape of a chain of products; then all gradients that are wanted. */
    void (*chain_forward)(const nerva_chain *chain, int threads);
    void (*chain_backward)(const nerva_chain *chain, int threads);
} nerva_table;

extern const nerva_table nerva_table_avx2_f32, nerva_table_avx2_f64, nerva_table_avx512_f32, nerva_table_avx512_f64;

/* Of this one, `widest_batch`, plan_step and plan_forward alone: for networks of float32, whose activations and deltas
 * are stored as bfloat16. It needs AVX512_BF16. */
extern const nerva_table nerva_table_avx512_bf16;

#endif
