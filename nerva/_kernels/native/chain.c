/* Sparse products one after another, forward and backward, in one parallel region each: for a framework that keeps the
 * parameters, and calls for a pass of some layers.
 *
 * Slices of the batch pass through all products, so that what one writes is still near when the next reads it. Each
 * thread takes slices of its own where they are enough, else all share the rows of each. Gradients of parameters come
 * last, and are added up slice by slice. */
#include "chain.h"
#include "parallel.h"
#include "shares.h"

enum { ROWS_AT_ONCE = 128 }; /* samples gathered in a call */

/* A slice of the batch, and those who work on it: this thread, and how many there are. */
typedef struct {
    const nerva_chain *chain;
    int64_t first, n, ld, start; /* its samples, its row stride, and the sum of the strides of the slices before */
    int thread, size;
} slice;

INLINE int64_t slice_count(const nerva_chain *chain) { return chain->in_slices ? nerva_slice_count(chain->N) : 1; }

INLINE slice slice_at(const nerva_chain *chain, int64_t s, int thread, int size) {
    const int64_t count = slice_count(chain), first = nerva_slice_first(chain->N, s, count);
    const int64_t n = nerva_slice_first(chain->N, s + 1, count) - first;
    return (slice){chain, first, n, nerva_row_stride(n, sizeof(R)), nerva_strides(chain->N, s, count, sizeof(R)),
                   thread, size};
}

INLINE void wait(const slice *own) {
    if (own->size > 1) {
#pragma omp barrier
    }
}

INLINE nerva_matrix matrix_at(const slice *own, void *memory, int64_t rows, int64_t row) {
    return (nerva_matrix){(R *)memory + rows * own->start + row * own->ld, own->ld};
}

INLINE nerva_matrix columns_of(const slice *own, nerva_matrix A) {
    return (nerva_matrix){(R *)A.data + own->first, A.ld};
}

/* The rows of the outputs of the first `count` products. */
INLINE int64_t rows_before(const nerva_chain *chain, int64_t count) {
    int64_t rows = 0;
    for (int64_t i = 0; i < count; i++) rows += chain->links[i].W.rows;
    return rows;
}

/* The inputs of product i: on the tape, or the batch that the chain was given. */
static nerva_matrix inputs(const slice *own, int64_t i) {
    const nerva_chain *chain = own->chain;
    const int64_t gathered = chain->X.by_sample ? chain->links[0].W.cols : 0;
    if (i == 0 && !gathered) return columns_of(own, (nerva_matrix){chain->X.data, chain->X.ld});
    return matrix_at(own, chain->tape, gathered + rows_before(chain, chain->count - 1),
                     i ? gathered + rows_before(chain, i - 1) : 0);
}

/* Whether the gradient by the sums of the last product has memory of its own, and is not DY as it was given. */
INLINE int keeps_last(const nerva_chain *chain) {
    return chain->DY.by_sample || chain->links[chain->count - 1].activation != NERVA_IDENTITY;
}

/* The gradient by the sums of product i. */
static nerva_matrix delta(const slice *own, int64_t i) {
    const nerva_chain *chain = own->chain;
    if (i == chain->count - 1 && !keeps_last(chain))
        return columns_of(own, (nerva_matrix){chain->DY.data, chain->DY.ld});
    return matrix_at(own, chain->deltas, rows_before(chain, chain->count - !keeps_last(chain)), rows_before(chain, i));
}

/* out = the samples of the slice, transposed. */
static void gather(const slice *own, nerva_samples samples, int64_t features, nerva_matrix out) {
    int64_t rows[ROWS_AT_ONCE];
    for (int64_t i = 0; i < ROWS_AT_ONCE; i++) rows[i] = i;
    for (int64_t n = 0; n < own->n; n += ROWS_AT_ONCE) {
        const int64_t some = own->n - n < ROWS_AT_ONCE ? own->n - n : ROWS_AT_ONCE;
        NAME(gather_share)(sizeof(R) == 4 ? NERVA_FLOAT32 : NERVA_FLOAT64,
                           (const R *)samples.data + (own->first + n) * samples.ld, samples.ld, rows, 0, some, features,
                           0, 0, (nerva_matrix){(R *)out.data + n, out.ld}, own->thread, own->size);
    }
    wait(own);
}

static void forward_slice(const slice *own) {
    const nerva_chain *chain = own->chain;
    nerva_matrix X = inputs(own, 0);
    if (chain->X.by_sample) gather(own, chain->X, chain->links[0].W.cols, X);
    for (int64_t i = 0; i < chain->count; i++) {
        const nerva_link *of = &chain->links[i];
        const nerva_epilogue epilogue = {.activation = of->activation, .alpha = of->alpha, .bias = of->bias};
        const nerva_matrix Y = i < chain->count - 1 ? inputs(own, i + 1) : columns_of(own, chain->Y);
        NAME(spmm_share)(&of->W, X, own->n, &epilogue, Y, NAME(spmm_by_batch)(&of->W, own->n, own->size), own->thread,
                         own->size);
        if (i < chain->count - 1) wait(own);
        X = Y;
    }
}

/* The gradient by the inputs of product i, or with i > 0 by the sums of the product before. */
static void input_gradient(const slice *own, int64_t i, nerva_matrix D, nerva_matrix DX) {
    const nerva_link *of = &own->chain->links[i], *below = i ? of - 1 : 0;
    const int by_batch = NAME(spmm_by_batch)(&of->transposed, own->n, own->size);
    const int fused = below && below->activation != NERVA_IDENTITY && !by_batch;
    nerva_epilogue epilogue = {.activation = NERVA_IDENTITY};
    if (fused)
        epilogue = (nerva_epilogue){.activation = below->activation, .alpha = below->alpha, .outputs = inputs(own, i)};
    NAME(spmm_share)(&of->transposed, D, own->n, &epilogue, DX, by_batch, own->thread, own->size);
    if (!below || fused || below->activation == NERVA_IDENTITY) return;
    wait(own);
    NAME(activation_backward_share)(below->W.rows, own->n, DX, inputs(own, i), below->activation, below->alpha, DX, 0, 0,
                                    own->thread, own->size);
}

/* The first product by whose sums a gradient is wanted. */
static int64_t first_wanted(const nerva_chain *chain) {
    int64_t i = 0;
    if (!chain->DX.data)
        while (i < chain->count - 1 && !chain->links[i].dW && !chain->links[i].db) i++;
    return i;
}

static void backward_slice(const slice *own) {
    const nerva_chain *chain = own->chain;
    const int64_t first = first_wanted(chain), last = chain->count - 1;
    const nerva_link *top = &chain->links[last];
    nerva_matrix D = delta(own, last);
    if (chain->DY.by_sample) gather(own, chain->DY, top->W.rows, D);
    if (top->activation != NERVA_IDENTITY) {
        const nerva_matrix DY = {chain->DY.data, chain->DY.ld};
        NAME(activation_backward_share)(top->W.rows, own->n, chain->DY.by_sample ? D : columns_of(own, DY),
                                        columns_of(own, chain->Y), top->activation, top->alpha, D, 0, 0, own->thread,
                                        own->size);
        wait(own);
    }
    for (int64_t i = last; i > first; i--) {
        const nerva_matrix DX = delta(own, i - 1);
        input_gradient(own, i, D, DX);
        wait(own);
        D = DX;
    }
    if (chain->DX.data) input_gradient(own, 0, D, columns_of(own, chain->DX));
}

/* This thread's share of the gradients of the parameters of product i. */
static void parameter_gradients(const nerva_chain *chain, int64_t i, int thread, int team) {
    const nerva_link *of = &chain->links[i];
    for (int64_t s = 0; s < slice_count(chain); s++) {
        const slice own = slice_at(chain, s, thread, team);
        const nerva_matrix D = delta(&own, i);
        if (of->db)
            NAME(activation_backward_share)(of->W.rows, own.n, D, D, NERVA_IDENTITY, 0, D, of->db, s > 0, thread, team);
        if (of->dW) NAME(sddmm_share)(&of->W, D, inputs(&own, i), own.n, of->dW, 0, s > 0, thread, team);
    }
}

/* All slices, this thread's own or its share of each. */
static void pass_slices(const nerva_chain *chain, void (*pass)(const slice *), int thread, int team) {
    const int64_t count = slice_count(chain);
    const int apart = team > 1 && (count % team == 0 || count >= 4 * team);
    const nerva_range some = apart ? share(count, 1, thread, team) : (nerva_range){0, count};
    for (int64_t s = some.first; s < some.last; s++) {
        const slice own = slice_at(chain, s, apart ? 0 : thread, apart ? 1 : team);
        pass(&own);
    }
}

static nerva_team begin(const nerva_chain *chain, int threads) {
    int64_t work = chain->X.by_sample ? chain->links[0].W.cols : 0;
    for (int64_t i = 0; i < chain->count; i++) {
        check_csr(&chain->links[i].W);
        work += chain->links[i].W.nnz + chain->links[i].W.rows;
    }
    return nerva_team_begin(threads, work * chain->N);
}

void NAME(chain_forward)(const nerva_chain *chain, int threads) {
    const nerva_team team = begin(chain, threads);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        pass_slices(chain, forward_slice, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(chain_backward)(const nerva_chain *chain, int threads) {
    const nerva_team team = begin(chain, threads);
    const int waits = chain->count > 1 || keeps_last(chain);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const int thread = omp_get_thread_num(), size = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        pass_slices(chain, backward_slice, thread, size);
        if (waits && size > 1) {
#pragma omp barrier
        }
        for (int64_t i = chain->count - 1; i >= first_wanted(chain); i--) parameter_gradients(chain, i, thread, size);
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
