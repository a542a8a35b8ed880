/* The products of a layer of float32 whose inputs are bytes x that stand for scale x + shift; with AVX-512 alone, since
 * converting 8 of them at once is no faster than reading them as floats. A row of 64 samples is one cache line, and is
 * converted in registers. Scale and shift are applied to the few numbers that stay in registers, not to the inputs:
 * w (scale x + shift) = (w scale) x + w shift, and d (scale x + shift) = scale (d x) + shift d. */
#include "activations.h"
#include "parallel.h"
#include "shares.h"

/* Vectors of a row. */
enum { WIDEST = NERVA_BYTE_ROW / L };

/* The samples of vectors 0 to WIDTH - 1 of a row. Lane i of the row has those of vector t in byte t, so that one or two
 * operations convert them; vectors 1 and 2 come as multiples of 256 and 65536, which are exact. */
INLINE void load_row(const int WIDTH, const uint8_t *row, V x[WIDEST]) {
    const __m512i lanes = _mm512_loadu_si512(row);
    for (int t = 0; t < WIDTH; t++)
        x[t] = _mm512_cvtepi32_ps(t == 3 ? _mm512_srli_epi32(lanes, 24)
                                         : _mm512_and_si512(lanes, _mm512_set1_epi32(255 << 8 * t)));
}

/* What vector t of a row is to be multiplied by. */
static const R units[WIDEST] = {1, 0x1p-8f, 0x1p-16f, 1};

/* The sample whose byte is at position i of a row. */
INLINE int64_t sample_at(int64_t i) { return i % WIDEST * L + i / WIDEST; }

void NAME(gather_bytes)(const void *source, int64_t stride, const int64_t *rows, const nerva_images *images, int64_t N,
                        int64_t D, nerva_bytes X) {
    int64_t ordered[NERVA_BYTE_ROW];
    nerva_move moves[NERVA_BYTE_ROW];
    nerva_images moved;
    for (int64_t i = 0; i < NERVA_BYTE_ROW; i++) {
        const int64_t n = sample_at(i) < N ? sample_at(i) : N - 1; /* the padding can be any sample */
        ordered[i] = rows[n];
        if (images) moves[i] = images->moves[n];
    }
    if (images) moved = (nerva_images){images->height, images->width, moves};
    NAME(gather_unscaled)(source, stride, ordered, images ? &moved : 0, NERVA_BYTE_ROW, D, X.data, NERVA_BYTE_ROW);
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
INLINE void add_product(const int WIDTH, const R *w, const nerva_bytes *X, int64_t column, V sums[WIDEST], V *shifts) {
    const V weight = spread(w), scaled = vmul(weight, vset(X->scale[column]));
    V x[WIDEST];
    *shifts = vfma(weight, vset(X->shift[column]), *shifts);
    load_row(WIDTH, X->data + column * NERVA_BYTE_ROW, x);
    for (int t = 0; t < WIDTH; t++) sums[t] = vfma(scaled, x[t], sums[t]);
}

/* Y = f(W X + b): two sums by turns, each of which would wait for its last product. */
INLINE void forward(const int WIDTH, const nerva_csr *W, const nerva_bytes X, const finish to, R *Y, int64_t ldy) {
    const R *values = W->values;
    const int32_t *indptr = W->indptr, *indices = W->indices;
    const int64_t rows = W->rows;
    for (int64_t r = 0; r < rows; r++, Y += ldy) {
        V sums[WIDEST], others[WIDEST], shifts = to.bias ? vset(to.bias[r]) : vzero(), other_shifts = vzero();
        for (int t = 0; t < WIDTH; t++) sums[t] = others[t] = vzero();
        int64_t j = indptr[r];
        const int64_t end = indptr[r + 1];
        for (; j + 2 <= end; j += 2) {
            add_product(WIDTH, values + j, &X, indices[j], sums, &shifts);
            add_product(WIDTH, values + j + 1, &X, indices[j + 1], others, &other_shifts);
        }
        if (j < end) add_product(WIDTH, values + j, &X, indices[j], sums, &shifts);
        shifts = vadd(shifts, other_shifts);
        for (int t = 0; t < WIDTH; t++) sums[t] = vfma(vadd(sums[t], others[t]), vset(units[t]), shifts);
#define FORWARD(ACTIVATION) \
    for (int t = 0; t < WIDTH; t++) sums[t] = activate(ACTIVATION, sums[t], to.alpha)
        NERVA_WITH_FUSED_ACTIVATION(to.activation, FORWARD)
#undef FORWARD
        for (int t = 0; t < WIDTH - 1; t++) vstore(Y + t * L, sums[t]);
        vstore_first(to.last, Y + (WIDTH - 1) * L, sums[WIDTH - 1]);
    }
}

/* A row of DY in the units of rows of X, and the sum of its vectors, both times 65536, so that nothing small is lost. */
typedef struct {
    V d[WIDEST], total;
} deltas;

INLINE deltas load_deltas(const int WIDTH, const R *dy, M last) {
    deltas row;
    for (int t = 0; t < WIDTH; t++) {
        row.d[t] = vmul(t < WIDTH - 1 ? vload(dy + t * L) : vload_first(last, dy + t * L), vset(0x1p16f));
        row.total = t ? vadd(row.total, row.d[t]) : row.d[t];
    }
    for (int t = 1; t < WIDTH; t++) row.d[t] = vmul(row.d[t], vset(units[t]));
    return row;
}

/* The dot products of a row of DY with COUNT rows of X, a power of two up to L; the lanes of all are summed together. */
INLINE void dots(const int WIDTH, const int COUNT, const deltas *row, const int32_t *indices, const nerva_bytes *X,
                 R *g, int add) {
    V sums[L];
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; i++) {
        const int64_t column = indices[i];
        V x[WIDEST];
        load_row(WIDTH, X->data + column * NERVA_BYTE_ROW, x);
        V sum = vmul(row->d[0], x[0]);
        for (int t = 1; t < WIDTH; t++) sum = vfma(row->d[t], x[t], sum);
        sums[i] = vfma(sum, vset(X->scale[column]), vmul(row->total, vset(X->shift[column])));
    }
    /* Repeats cost nothing: the compiler eliminates common subexpressions. */
#pragma GCC unroll 16
    for (int i = COUNT; i < L; i++) sums[i] = sums[i % COUNT];
    const M lanes = vfirst(COUNT);
    const V sum = vmul(vsums(sums), vset(0x1p-16f));
    vstore_first(lanes, g, add ? vadd(sum, vload_first(lanes, g)) : sum);
}

/* G[j] = sum_n DY[row(j), n] X[col(j), n], or with `add` added to what is there. */
INLINE void gradient(const int WIDTH, const nerva_csr *W, const R *DY, int64_t lddy, M last, const nerva_bytes X, R *G,
                     int add) {
    const int32_t *indptr = W->indptr, *indices = W->indices;
    const int64_t rows = W->rows;
    for (int64_t r = 0; r < rows; r++, DY += lddy) {
        int64_t j = indptr[r];
        const int64_t end = indptr[r + 1];
        const deltas row = load_deltas(WIDTH, DY, last);
        for (; j + L <= end; j += L) dots(WIDTH, L, &row, indices + j, &X, G + j, add);
        const int64_t rest = end - j;
#define SOME(COUNT) \
    if (rest & COUNT) { \
        dots(WIDTH, COUNT, &row, indices + j, &X, G + j, add); \
        j += COUNT; \
    }
        SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
    }
}

/* Not inlined: one copy for each width, with the loop over rows inside. */
#define TILE(WIDTH) \
    static __attribute__((noinline)) void forward##WIDTH(const nerva_csr *W, const nerva_bytes *X, const finish *to, \
                                                         R *Y, int64_t ldy) { \
        forward(WIDTH, W, *X, *to, Y, ldy); \
    } \
    static __attribute__((noinline)) void gradient##WIDTH(const nerva_csr *W, const R *DY, int64_t lddy, M last, \
                                                          const nerva_bytes *X, R *G, int add) { \
        gradient(WIDTH, W, DY, lddy, last, *X, G, add); \
    }
TILE(1) TILE(2) TILE(3) TILE(4)

typedef void forward_tile(const nerva_csr *, const nerva_bytes *, const finish *, R *, int64_t);
typedef void gradient_tile(const nerva_csr *, const R *, int64_t, M, const nerva_bytes *, R *, int);
static forward_tile *const forward_tiles[WIDEST + 1] = {0, forward1, forward2, forward3, forward4};
static gradient_tile *const gradient_tiles[WIDEST + 1] = {0, gradient1, gradient2, gradient3, gradient4};

/* The vectors of N samples, and the mask of the last. */
INLINE int64_t width_of(int64_t N) { return (N + L - 1) / L; }
INLINE M last_of(int64_t N) { return vfirst(N - (width_of(N) - 1) * L); }

void NAME(spmm_bytes)(const nerva_csr *W, nerva_bytes X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y) {
    const finish to = {epilogue->activation, vset((R)epilogue->alpha), last_of(N), epilogue->bias};
    forward_tiles[width_of(N)](W, &X, &to, Y.data, Y.ld);
}

void NAME(sddmm_bytes)(const nerva_csr *W, nerva_matrix DY, nerva_bytes X, int64_t N, void *G, int add) {
    gradient_tiles[width_of(N)](W, DY.data, DY.ld, last_of(N), &X, G, add);
}
