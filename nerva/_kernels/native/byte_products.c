/* The products of a layer of float32 whose inputs are bytes x that stand for scale x + shift; with AVX-512 alone, since
 * converting 8 of them at once is no faster than reading them as floats. A row of 64 samples is one cache line, and is
 * converted in registers. Scale and shift are applied to the few numbers that stay in registers, not to
 * the inputs: w (scale x + shift) = (w scale) x + w shift, and d (scale x + shift) = scale (d x) + shift d. */
#include "activations.h"
#include "parallel.h"
#include "shares.h"

/* Vectors of samples whose sums, in two sets, stay in registers. */
enum { WIDEST = NERVA_BYTE_ROW / L };

INLINE V load(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
INLINE V load_half(const uint8_t *p) {
    return ZERO_EXTENDED(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))));
}

/* Vector t of WIDTH of a row. The last, with HALVED, has at most L / 2 samples. Vectors are not masked: what is computed
 * from the padding is finite, and is not used. */
INLINE V load_at(const int WIDTH, const int HALVED, const uint8_t *x, int t) {
    return HALVED && t == WIDTH - 1 ? load_half(x + t * L) : load(x + t * L);
}

/* The same number in all lanes. Kept from gcc, which would multiply it as a scalar and then copy it, in two steps. */
INLINE V spread(const R *x) {
    V a = vset(*x);
    __asm__("" : "+x"(a));
    return a;
}

/* Where the sums of a row of W end up. */
typedef struct {
    int activation;
    V alpha;
    M last; /* the mask of a row's last vector */
    const R *bias;
} finish;

/* sums += the weight w times a row of X, but for w times its shift, which is added to `shifts`. */
INLINE void add_product(const int WIDTH, const int HALVED, const R *w, const nerva_bytes *X, int64_t column,
                        V sums[WIDEST], V *shifts) {
    const V weight = spread(w), scaled = vmul(weight, vset(X->scale[column]));
    const uint8_t *x = X->data + column * NERVA_BYTE_ROW;
    *shifts = vfma(weight, vset(X->shift[column]), *shifts);
#pragma GCC unroll 4
    for (int t = 0; t < WIDTH; t++) sums[t] = vfma(scaled, load_at(WIDTH, HALVED, x, t), sums[t]);
}

/* Y = f(W X + b): two sums by turns, each of which would wait for its last product. */
INLINE void forward(const int WIDTH, const int HALVED, const nerva_csr *W, const nerva_bytes X, const finish to, R *Y,
                    int64_t ldy) {
    const R *values = W->values;
    const int32_t *indptr = W->indptr, *indices = W->indices;
    const int64_t rows = W->rows;
    for (int64_t r = 0; r < rows; r++, Y += ldy) {
        V sums[WIDEST], others[WIDEST], shifts = to.bias ? vset(to.bias[r]) : vzero(), other_shifts = vzero();
        for (int t = 0; t < WIDTH; t++) sums[t] = others[t] = vzero();
        int64_t j = indptr[r];
        const int64_t end = indptr[r + 1];
        for (; j + 2 <= end; j += 2) {
            add_product(WIDTH, HALVED, values + j, &X, indices[j], sums, &shifts);
            add_product(WIDTH, HALVED, values + j + 1, &X, indices[j + 1], others, &other_shifts);
        }
        if (j < end) add_product(WIDTH, HALVED, values + j, &X, indices[j], sums, &shifts);
        shifts = vadd(shifts, other_shifts);
        for (int t = 0; t < WIDTH; t++) sums[t] = vadd(vadd(sums[t], others[t]), shifts);
#define FORWARD(ACTIVATION) \
    for (int t = 0; t < WIDTH; t++) sums[t] = activate(ACTIVATION, sums[t], to.alpha)
        NERVA_WITH_FUSED_ACTIVATION(to.activation, FORWARD)
#undef FORWARD
        for (int t = 0; t < WIDTH - 1; t++) vstore(Y + t * L, sums[t]);
        vstore_first(to.last, Y + (WIDTH - 1) * L, sums[WIDTH - 1]);
    }
}

/* A row of DY, the sum of its vectors, and the mask of the last. */
typedef struct {
    V d[WIDEST], total;
    M last;
} deltas;

INLINE void load_deltas(const int WIDTH, const R *dy, deltas *row) {
    for (int t = 0; t < WIDTH - 1; t++) row->d[t] = vload(dy + t * L);
    row->d[WIDTH - 1] = vload_first(row->last, dy + (WIDTH - 1) * L);
    row->total = row->d[0];
    for (int t = 1; t < WIDTH; t++) row->total = vadd(row->total, row->d[t]);
}

/* The dot products of a row of DY with COUNT rows of X, a power of two up to L; the lanes of all are summed together. */
INLINE void dots(const int WIDTH, const int HALVED, const int COUNT, const deltas *row, const int32_t *indices,
                 const nerva_bytes *X, R *g, int add) {
    V sums[L];
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; i++) {
        const int64_t column = indices[i];
        const uint8_t *x = X->data + column * NERVA_BYTE_ROW;
        V sum = vmul(row->d[WIDTH - 1], load_at(WIDTH, HALVED, x, WIDTH - 1));
#pragma GCC unroll 4
        for (int t = 0; t < WIDTH - 1; t++) sum = vfma(row->d[t], load_at(WIDTH, HALVED, x, t), sum);
        sums[i] = vfma(row->total, vset(X->shift[column]), vmul(sum, vset(X->scale[column])));
    }
    /* Repeats cost nothing: the compiler eliminates common subexpressions. */
#pragma GCC unroll 16
    for (int i = COUNT; i < L; i++) sums[i] = sums[i % COUNT];
    const M lanes = vfirst(COUNT);
    const V sum = vsums(sums);
    vstore_first(lanes, g, add ? vadd(sum, vload_first(lanes, g)) : sum);
}

/* G[j] = sum_n DY[row(j), n] X[col(j), n], or with `add` added to what is there. */
INLINE void gradient(const int WIDTH, const int HALVED, const nerva_csr *W, const R *DY, int64_t lddy, M last,
                     const nerva_bytes X, R *G, int add) {
    const int32_t *indptr = W->indptr, *indices = W->indices;
    const int64_t rows = W->rows;
    for (int64_t r = 0; r < rows; r++, DY += lddy) {
        int64_t j = indptr[r];
        const int64_t end = indptr[r + 1];
        deltas row = {.last = last};
        load_deltas(WIDTH, DY, &row);
        for (; j + L <= end; j += L) dots(WIDTH, HALVED, L, &row, indices + j, &X, G + j, add);
        const int64_t rest = end - j;
#define SOME(COUNT) \
    if (rest & COUNT) { \
        dots(WIDTH, HALVED, COUNT, &row, indices + j, &X, G + j, add); \
        j += COUNT; \
    }
        SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
    }
}

/* Not inlined: one copy for each width, with the loop over rows inside. */
#define TILE(WIDTH, HALVED, SUFFIX) \
    static __attribute__((noinline)) void forward##WIDTH##SUFFIX(const nerva_csr *W, const nerva_bytes *X, \
                                                                 const finish *to, R *Y, int64_t ldy) { \
        forward(WIDTH, HALVED, W, *X, *to, Y, ldy); \
    } \
    static __attribute__((noinline)) void gradient##WIDTH##SUFFIX(const nerva_csr *W, const R *DY, int64_t lddy, M last, \
                                                                  const nerva_bytes *X, R *G, int add) { \
        gradient(WIDTH, HALVED, W, DY, lddy, last, *X, G, add); \
    }
TILE(1, 0, ) TILE(2, 0, ) TILE(3, 0, ) TILE(4, 0, )
TILE(1, 1, _half) TILE(2, 1, _half) TILE(3, 1, _half) TILE(4, 1, _half)

typedef void forward_tile(const nerva_csr *, const nerva_bytes *, const finish *, R *, int64_t);
typedef void gradient_tile(const nerva_csr *, const R *, int64_t, M, const nerva_bytes *, R *, int);
static forward_tile *const forward_tiles[2][WIDEST + 1] = {
    {0, forward1, forward2, forward3, forward4},
    {0, forward1_half, forward2_half, forward3_half, forward4_half},
};
static gradient_tile *const gradient_tiles[2][WIDEST + 1] = {
    {0, gradient1, gradient2, gradient3, gradient4},
    {0, gradient1_half, gradient2_half, gradient3_half, gradient4_half},
};

/* The vectors of N samples, how many of the last count, and whether they are at most half of it. */
INLINE int64_t width_of(int64_t N) { return (N + L - 1) / L; }
INLINE int64_t rest_of(int64_t N) { return N - (width_of(N) - 1) * L; }
INLINE int is_halved(int64_t N) { return rest_of(N) <= L / 2; }

void NAME(spmm_bytes)(const nerva_csr *W, nerva_bytes X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y) {
    const finish to = {epilogue->activation, vset((R)epilogue->alpha), vfirst(rest_of(N)), epilogue->bias};
    forward_tiles[is_halved(N)][width_of(N)](W, &X, &to, Y.data, Y.ld);
}

void NAME(sddmm_bytes)(const nerva_csr *W, nerva_matrix DY, nerva_bytes X, int64_t N, void *G, int add) {
    gradient_tiles[is_halved(N)][width_of(N)](W, DY.data, DY.ld, vfirst(rest_of(N)), &X, G, add);
}
