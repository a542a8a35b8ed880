/* The products of a layer whose activations and deltas are bfloat16; weights and sums are float32. What is multiplied
 * by a weight is widened in registers: even samples of a cache line by a shift, odd ones by a mask, so that a vector has
 * every other sample. Products of deltas and activations are added up by vdpbf16ps, 32 samples an instruction. */
#include "activations.h"
#include "gradient_sink.h"
#include "parallel.h"
#include "shares.h"
#include "storage.h"

/* Vectors of a row of samples, and cache lines, which have two each. */
enum { WIDEST = NERVA_WIDEST, PAIR = 2 * L, LINES = WIDEST / 2 };

/* The non-zeros of a row from which on two sums by turns pay, in spite of the branch that is harder to predict. */
enum { LONG = 8 };

INLINE __m512i load_line(const S *p) { return _mm512_loadu_si512(p); }

/* The vectors of a row: two of a cache line, even and odd samples; a last half line is one, of samples in order. What
 * is computed from the padding is not used. */
INLINE void load_row(const int WIDTH, const S *x, V row[WIDEST]) {
#pragma GCC unroll 8
    for (int t = 0; t + 1 < WIDTH; t += 2) {
        const __m512i line = load_line(x + t * L);
        row[t] = _mm512_castsi512_ps(_mm512_slli_epi32(line, 16));
        row[t + 1] = _mm512_castsi512_ps(_mm512_and_si512(line, _mm512_set1_epi32((int)0xFFFF0000)));
    }
    if (WIDTH % 2) row[WIDTH - 1] = sload(x + (WIDTH - 1) * L);
}

INLINE void store_row(const int WIDTH, const V row[WIDEST], S *y) {
    static const uint16_t in_order[PAIR] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i order = _mm512_loadu_si512(in_order);
    for (int t = 0; t + 1 < WIDTH; t += 2)
        _mm512_storeu_si512(y + t * L,
                            _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(row[t + 1], row[t])));
    if (WIDTH % 2) sstore(y + (WIDTH - 1) * L, row[WIDTH - 1]);
}

/* The same without rounding, to N float32 and no more. */
INLINE void store_wide(const int WIDTH, const V row[WIDEST], int64_t N, R *y) {
    static const int32_t low[L] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
    const __m512i first = _mm512_loadu_si512(low), second = _mm512_add_epi32(first, _mm512_set1_epi32(L / 2));
    for (int t = 0; t < WIDTH; t++) {
        const int paired = t % 2 || t + 1 < WIDTH, even = t - t % 2;
        const V x = paired ? _mm512_permutex2var_ps(row[even], t % 2 ? second : first, row[even + 1]) : row[t];
        const int64_t rest = N - t * L;
        vstore_first(vfirst(rest < L ? rest : L), y + t * L, x);
    }
}

INLINE R sum_of(V a) { return _mm512_reduce_add_ps(a); }

/* The epilogue of a row of sums. */
typedef struct {
    int activation, wide, add;
    V alpha;
    int64_t N, ld;
    M last[2]; /* the samples of the last two vectors; of the last alone where the width is odd */
    const R *bias;
    const S *outputs;
    R *row_sums;
} finish;

INLINE finish finish_of(const nerva_epilogue *of, int64_t N) {
    const int64_t width = (N + L - 1) / L, rest = N - (width - 1) / 2 * PAIR;
    finish to = {of->activation, of->wide, of->add, vset((R)of->alpha), N, of->outputs.ld, {0, 0},
                 of->bias, of->outputs.data, of->row_sums};
    to.last[0] = vfirst((rest + 1) / 2);
    to.last[1] = vfirst(width % 2 ? rest : rest / 2);
    return to;
}

INLINE void end(const int WIDTH, const finish *to, int64_t r, V sums[WIDEST], void *Y, int64_t ldy) {
    if (to->outputs) {
        V out[WIDEST], total = vzero();
        load_row(WIDTH, to->outputs + r * to->ld, out);
#define BACKWARD(ACTIVATION) \
    for (int t = 0; t < WIDTH; t++) sums[t] = activate_backward(ACTIVATION, sums[t], out[t], to->alpha)
        NERVA_WITH_FUSED_ACTIVATION(to->activation, BACKWARD)
#undef BACKWARD
        for (int t = 0; t < WIDTH; t++) {
            const int masked = t == WIDTH - 1 || (WIDTH % 2 == 0 && t == WIDTH - 2);
            total = vadd(total, masked ? vkeep_first(to->last[t == WIDTH - 1], sums[t]) : sums[t]);
        }
        if (to->row_sums) to->row_sums[r] = (to->add ? to->row_sums[r] : 0) + sum_of(total);
    } else {
#define FORWARD(ACTIVATION) \
    for (int t = 0; t < WIDTH; t++) sums[t] = activate(ACTIVATION, sums[t], to->alpha)
        NERVA_WITH_FUSED_ACTIVATION(to->activation, FORWARD)
#undef FORWARD
    }
    if (to->wide) store_wide(WIDTH, sums, to->N, (R *)Y + r * ldy);
    else store_row(WIDTH, sums, (S *)Y + r * ldy);
}

/* The inputs X of a product; with `scale` and `shift` they stand for scale x + shift. */
typedef struct {
    const S *data;
    int64_t ld;
    const float *scale, *shift;
} inputs;

/* sums += the weight of position j times its row of X; what is due to the shift is added to `shifts` instead. */
INLINE void add_product(const int WIDTH, const int PERMUTED, const int SCALED, const nerva_csr *W, const inputs *X,
                        int64_t j, V sums[WIDEST], V *shifts) {
    V w = vset(((const R *)W->values)[PERMUTED ? W->permutation[j] : j]), x[WIDEST];
    __asm__("" : "+x"(w)); /* kept from gcc, which would multiply it as a scalar and then copy it, in two steps */
    const int64_t column = W->indices[j];
    if (SCALED) {
        *shifts = vfma(w, vset(X->shift[column]), *shifts);
        w = vmul(w, vset(X->scale[column]));
    }
    load_row(WIDTH, X->data + column * X->ld, x);
#pragma GCC unroll 8
    for (int t = 0; t < WIDTH; t++) sums[t] = vfma(w, x[t], sums[t]);
}

/* The rows of Y = f(W X + b): two sums by turns, each of which would wait for its last product. */
INLINE void product(const int WIDTH, const int PERMUTED, const int SCALED, const nerva_csr *W, const inputs *X,
                    const finish *to, nerva_matrix Y, nerva_range rows) {
    for (int64_t r = rows.first; r < rows.last; r++) {
        V sums[WIDEST], others[WIDEST], shifts = to->bias ? vset(to->bias[r]) : vzero(), other_shifts = vzero();
        for (int t = 0; t < WIDTH; t++) sums[t] = others[t] = vzero();
        int64_t j = W->indptr[r];
        const int64_t row_end = W->indptr[r + 1];
        if (row_end - j >= LONG) {
            for (; j + 2 <= row_end; j += 2) {
                add_product(WIDTH, PERMUTED, SCALED, W, X, j, sums, &shifts);
                add_product(WIDTH, PERMUTED, SCALED, W, X, j + 1, others, &other_shifts);
            }
            if (SCALED) shifts = vadd(shifts, other_shifts);
            for (int t = 0; t < WIDTH; t++) sums[t] = vadd(sums[t], others[t]);
        }
        for (; j < row_end; j++) add_product(WIDTH, PERMUTED, SCALED, W, X, j, sums, &shifts);
        for (int t = 0; t < WIDTH; t++) sums[t] = vadd(sums[t], shifts);
        end(WIDTH, to, r, sums, Y.data, Y.ld);
    }
}

/* A row of DY as pairs of samples, a vector of their sums, and the halves of its last line that count. */
typedef struct {
    __m512bh d[LINES];
    V total;
    __mmask32 last;
} deltas;

INLINE __m512bh load_pairs(const int WIDTH, const S *x, int line, __mmask32 last) {
    const int is_last = line == (WIDTH - 1) / 2;
    return (__m512bh)(is_last ? _mm512_maskz_loadu_epi16(last, x + line * PAIR) : load_line(x + line * PAIR));
}

/* The gradients of COUNT positions from j on, a power of two up to L, of which the first `count` are stored; the lanes
 * of all are summed together. */
INLINE void dots(const int WIDTH, const int SCALED, const int COUNT, const deltas *row, const nerva_csr *W,
                 const inputs *X, int64_t j, int64_t count, const sink *to) {
    const int32_t *indices = W->indices + j;
    V sums[L];
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; i++) {
        const S *x = X->data + indices[i] * X->ld;
        V sum = vzero();
#pragma GCC unroll 4
        for (int line = 0; line < (WIDTH + 1) / 2; line++)
            sum = _mm512_dpbf16_ps(sum, row->d[line], load_pairs(WIDTH, x, line, row->last));
        sums[i] = !SCALED ? sum : vfma(sum, vset(X->scale[indices[i]]), vmul(row->total, vset(X->shift[indices[i]])));
    }
    /* Repeats cost nothing: the compiler eliminates common subexpressions. */
#pragma GCC unroll 16
    for (int i = COUNT; i < L; i++) sums[i] = sums[i % COUNT];
    drain(to, j, vfirst(count), vsums(sums));
}

/* The positions [own.first, own.last), the first of which lies in row r. */
INLINE void gradient(const int WIDTH, const int SCALED, const nerva_csr *W, nerva_matrix DY, const inputs *X,
                     const sink *to, nerva_range own, int64_t r, __mmask32 last) {
    for (int64_t j = own.first; j < own.last; r++) {
        const S *dy = (const S *)DY.data + r * DY.ld;
        deltas row = {.last = last, .total = vzero()};
#pragma GCC unroll 4
        for (int line = 0; line < (WIDTH + 1) / 2; line++) {
            row.d[line] = load_pairs(WIDTH, dy, line, last);
            if (SCALED) row.total = _mm512_dpbf16_ps(row.total, row.d[line], (__m512bh)_mm512_set1_epi16(0x3F80));
        }
        const int64_t row_end = W->indptr[r + 1] < own.last ? W->indptr[r + 1] : own.last;
        for (; j + L <= row_end; j += L) dots(WIDTH, SCALED, L, &row, W, X, j, L, to);
        /* The rest at once, with positions of the rows below that are not stored: that is faster than power of two
         * after power of two. Behind the last position there is nothing to read. */
        const int64_t rest = row_end - j, after = W->nnz - j;
#define REST(COUNT) dots(WIDTH, SCALED, COUNT, &row, W, X, j, rest, to), j = row_end
        if (rest > 8 && after >= 16) REST(16);
        else if (rest > 4 && rest <= 8 && after >= 8) REST(8);
        else if (rest > 2 && rest <= 4 && after >= 4) REST(4);
        else if (rest == 2) REST(2);
#undef REST
        for (; j < row_end; j++) dots(WIDTH, SCALED, 1, &row, W, X, j, 1, to);
    }
}

/* Not inlined: one copy for each width, with the loop over rows inside. */
#define PRODUCT(WIDTH, PERMUTED, SCALED, SUFFIX) \
    static __attribute__((noinline)) void product##WIDTH##SUFFIX(const nerva_csr *W, const inputs *X, const finish *to, \
                                                                 nerva_matrix Y, nerva_range rows) { \
        product(WIDTH, PERMUTED, SCALED, W, X, to, Y, rows); \
    }
#define GRADIENT(WIDTH, SCALED, SUFFIX) \
    static __attribute__((noinline)) void gradient##WIDTH##SUFFIX(const nerva_csr *W, nerva_matrix DY, const inputs *X, \
                                                                  const sink *to, nerva_range own, int64_t r, \
                                                                  __mmask32 last) { \
        gradient(WIDTH, SCALED, W, DY, X, to, own, r, last); \
    }
#define TILES(WIDTH) \
    PRODUCT(WIDTH, 0, 0, _direct) PRODUCT(WIDTH, 1, 0, _permuted) PRODUCT(WIDTH, 0, 1, _scaled) \
    GRADIENT(WIDTH, 0, _plain) GRADIENT(WIDTH, 1, _scaled)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)

typedef void product_function(const nerva_csr *, const inputs *, const finish *, nerva_matrix, nerva_range);
typedef void gradient_function(const nerva_csr *, nerva_matrix, const inputs *, const sink *, nerva_range,
                               int64_t, __mmask32);
#define ROW(NAME, SUFFIX) {0, NAME##1##SUFFIX, NAME##2##SUFFIX, NAME##3##SUFFIX, NAME##4##SUFFIX, \
                           NAME##5##SUFFIX, NAME##6##SUFFIX, NAME##7##SUFFIX, NAME##8##SUFFIX}
static product_function *const products[3][WIDEST + 1] = {
    ROW(product, _direct), ROW(product, _permuted), ROW(product, _scaled),
};
static gradient_function *const gradients[2][WIDEST + 1] = {ROW(gradient, _plain), ROW(gradient, _scaled)};
#undef ROW

void NAME(spmm_scaled_share)(const nerva_csr *W, nerva_matrix X, int64_t N, const float *scale, const float *shift,
                             const nerva_epilogue *epilogue, nerva_matrix Y, int thread, int team) {
    const inputs from = {X.data, X.ld, scale, shift};
    const finish to = finish_of(epilogue, N);
    products[scale ? 2 : W->permutation != 0][(N + L - 1) / L](W, &from, &to, Y, share_rows(W, thread, team));
}

void NAME(spmm_share)(const nerva_csr *W, nerva_matrix X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y,
                      int by_batch, int thread, int team) {
    (void)by_batch;
    NAME(spmm_scaled_share)(W, X, N, 0, 0, epilogue, Y, thread, team);
}

/* Threads always share the rows: they would share cache lines of a row of samples. */
int NAME(spmm_by_batch)(const nerva_csr *W, int64_t N, int threads) {
    (void)W, (void)N, (void)threads;
    return 0;
}

void NAME(sddmm_scaled_share)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, const float *scale,
                              const float *shift, void *G, const nerva_plan_parameter *stepped, int add,
                              int thread, int team) {
    const inputs from = {X.data, X.ld, scale, shift};
    sink to = sink_of(G, stepped);
    to.add = add;
    to.update = stepped != 0;
    const nerva_range own = share(W->nnz, 1, thread, team);
    const int64_t width = (N + L - 1) / L, rest = N - (width - 1) / 2 * PAIR;
    gradients[scale != 0][width](W, DY, &from, &to, own, row_of(W, own.first),
                                 (__mmask32)((UINT64_C(1) << rest) - 1));
}

void NAME(sddmm_share)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, void *G,
                       const nerva_plan_parameter *stepped, int add, int thread, int team) {
    NAME(sddmm_scaled_share)(W, DY, X, N, 0, 0, G, stepped, add, thread, team);
}

void NAME(round_share)(int64_t K, int64_t N, nerva_matrix X, nerva_matrix Y, int thread, int team) {
    const nerva_range rows = share(K, 1, thread, team);
    for (int64_t k = rows.first; k < rows.last; k++)
        for (int64_t n = 0; n < N; n += L) {
            const M lanes = vfirst(N - n < L ? N - n : L);
            sstore_first(lanes, (S *)Y.data + k * Y.ld + n, vload_first(lanes, (const R *)X.data + k * X.ld + n));
        }
}
