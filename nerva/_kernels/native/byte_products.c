/* The products of a layer of float32 whose inputs are bytes x that stand for scale x + shift; with AVX-512 alone, since
 * converting 8 of them at once is no faster than reading them as floats. A row of 64 samples is one cache line, and is
 * converted in registers. Scale and shift are applied to the few numbers that stay in registers, not to the inputs:
 * w (scale x + shift) = (w scale) x + w shift, and d (scale x + shift) = scale (d x) + shift d. */
#include "activations.h"
#include "gradient_sink.h"
#include "parallel.h"
#include "shares.h"

/* Vectors of samples in a cache line, and of the widest row. */
enum { IN_LINE = NERVA_BYTE_LINE / L, WIDEST = 2 * IN_LINE };

/* Kept in a register from gcc, which would load it for each operation. */
INLINE __m512i load_line(const uint8_t *line) {
    __m512i lanes = _mm512_loadu_si512(line);
    __asm__("" : "+v"(lanes));
    return lanes;
}

/* The samples of vectors 0 to WIDTH - 1 of a row. Lane i of a line has those of vector t in byte t, so that one or two
 * operations convert them; vectors 1 and 2 come as multiples of 256 and 65536, which are exact. */
INLINE void load_row(const int WIDTH, const uint8_t *row, V x[WIDEST]) {
    __m512i lanes = load_line(row);
#pragma GCC unroll 8
    for (int t = 0; t < WIDTH; t++) {
        if (t == IN_LINE) lanes = load_line(row + NERVA_BYTE_LINE);
        const __m512i byte = _mm512_set1_epi32(255 << t % IN_LINE * 8);
        x[t] = _mm512_cvtepi32_ps(t % IN_LINE == 3 ? _mm512_srli_epi32(lanes, 24) : _mm512_and_si512(lanes, byte));
    }
}

/* What vector t of a row is to be multiplied by. */
static const R units[WIDEST] = {1, 0x1p-8f, 0x1p-16f, 1, 1, 0x1p-8f, 0x1p-16f, 1};

/* The sample whose byte is at position i of a row. */
INLINE int64_t sample_at(int64_t i) {
    return i / NERVA_BYTE_LINE * NERVA_BYTE_LINE + i % IN_LINE * L + i % NERVA_BYTE_LINE / IN_LINE;
}

void NAME(gather_bytes)(const void *source, int64_t stride, const int64_t *rows, const nerva_images *images, int64_t N,
                        int64_t D, nerva_bytes X, int thread, int team) {
    int64_t ordered[2 * NERVA_BYTE_LINE];
    nerva_move moves[2 * NERVA_BYTE_LINE];
    nerva_images moved;
    for (int64_t i = 0; i < X.ld; i++) {
        const int64_t n = sample_at(i) < N ? sample_at(i) : N - 1; /* the padding can be any sample */
        ordered[i] = rows[n];
        if (images) moves[i] = images->moves[n];
    }
    if (images) moved = (nerva_images){images->height, images->width, moves};
    NAME(gather_unscaled)(source, stride, ordered, images ? &moved : 0, D, X.data, X.ld, thread, team);
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
    load_row(WIDTH, X->data + column * (WIDTH > IN_LINE ? X->ld : NERVA_BYTE_LINE), x);
#pragma GCC unroll 8
    for (int t = 0; t < WIDTH; t++) sums[t] = vfma(scaled, x[t], sums[t]);
}

/* Some rows of Y = f(W X + b). With rows of one line, two sums take turns: one would wait for its last product. */
INLINE void forward(const int WIDTH, const nerva_csr *W, const nerva_bytes X, const finish to, R *Y, int64_t ldy,
                    nerva_range own) {
    const R *values = W->values;
    const int32_t *indptr = W->indptr, *indices = W->indices;
    Y += own.first * ldy;
    for (int64_t r = own.first; r < own.last; r++, Y += ldy) {
        V sums[WIDEST], others[WIDEST], shifts = to.bias ? vset(to.bias[r]) : vzero(), other_shifts = vzero();
#pragma GCC unroll 8
        for (int t = 0; t < WIDTH; t++) sums[t] = others[t] = vzero();
        int64_t j = indptr[r];
        const int64_t end = indptr[r + 1];
        for (; j + 2 <= end; j += 2) {
            add_product(WIDTH, values + j, &X, indices[j], sums, &shifts);
            if (WIDTH > IN_LINE) add_product(WIDTH, values + j + 1, &X, indices[j + 1], sums, &other_shifts);
            else add_product(WIDTH, values + j + 1, &X, indices[j + 1], others, &other_shifts);
        }
        if (j < end) add_product(WIDTH, values + j, &X, indices[j], sums, &shifts);
        shifts = vadd(shifts, other_shifts);
#pragma GCC unroll 8
        for (int t = 0; t < WIDTH; t++) sums[t] = vfma(vadd(sums[t], others[t]), vset(units[t]), shifts);
#define FORWARD(ACTIVATION) \
    _Pragma("GCC unroll 8") for (int t = 0; t < WIDTH; t++) sums[t] = activate(ACTIVATION, sums[t], to.alpha)
        NERVA_WITH_FUSED_ACTIVATION(to.activation, FORWARD)
#undef FORWARD
#pragma GCC unroll 8
        for (int t = 0; t < WIDTH - 1; t++) vstore(Y + t * L, sums[t]);
        vstore_first(to.last, Y + (WIDTH - 1) * L, sums[WIDTH - 1]);
    }
}

/* A row of DY in the units of rows of X, and the sum of its vectors, both times 65536 so that nothing small is lost. */
typedef struct {
    V d[WIDEST], total;
} deltas;

INLINE deltas load_deltas(const int WIDTH, const R *dy, M last) {
    deltas row;
#pragma GCC unroll 8
    for (int t = 0; t < WIDTH; t++) {
        const V d = t < WIDTH - 1 ? vload(dy + t * L) : vload_first(last, dy + t * L);
        row.total = t ? vadd(row.total, d) : d;
        row.d[t] = vmul(d, vset(units[t] * 0x1p16f));
    }
    row.total = vmul(row.total, vset(0x1p16f));
    return row;
}

/* The dot products of a row of DY with COUNT <= L rows of X, of which the first `kept` are stored; the lanes of all are
 * summed together. */
INLINE void dots(const int WIDTH, const int COUNT, const deltas *row, const int32_t *indices, const nerva_bytes *X,
                 int64_t kept, int64_t j, const sink *to) {
    V sums[L];
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; i++) {
        const int64_t column = indices[j + i];
        V x[WIDEST];
        load_row(WIDTH, X->data + column * (WIDTH > IN_LINE ? X->ld : NERVA_BYTE_LINE), x);
        V sum = vmul(row->d[0], x[0]);
#pragma GCC unroll 8
        for (int t = 1; t < WIDTH; t++) sum = vfma(row->d[t], x[t], sum);
        sums[i] = vfma(sum, vset(X->scale[column]), vmul(row->total, vset(X->shift[column])));
    }
    /* Repeats cost nothing: the compiler eliminates common subexpressions. */
#pragma GCC unroll 16
    for (int i = COUNT; i < L; i++) sums[i] = sums[i % COUNT];
    drain(to, j, vfirst(kept), vmul(vsums(sums), vset(0x1p-16f)));
}

/* G[j] = sum_n DY[row(j), n] X[col(j), n] for the positions `own`, the first of which lies in row r. */
INLINE void gradient(const int WIDTH, const nerva_csr *W, const R *DY, int64_t lddy, M last, const nerva_bytes X,
                     nerva_range own, int64_t r, const sink *to) {
    const int32_t *indptr = W->indptr, *indices = W->indices;
    DY += r * lddy;
#define SOME(COUNT, kept) dots(WIDTH, COUNT, &row, indices, &X, kept, j, to)
    for (int64_t j = own.first; j < own.last; r++, DY += lddy) {
        const int64_t end = indptr[r + 1] < own.last ? indptr[r + 1] : own.last;
        const deltas row = load_deltas(WIDTH, DY, last);
        for (; j + L <= end; j += L) SOME(L, L);
        const int64_t rest = end - j;
        if (rest > 7 && j + L <= W->nnz) {
            /* A few surplus sums, of the next row's positions, take less time than a mispredicted jump. */
            if (rest > 12) SOME(L, rest);
            else if (rest > 8) SOME(12, rest);
            else SOME(8, 8);
            j = end;
        }
        if ((end - j) & 8) { SOME(8, 8); j += 8; }
        if ((end - j) & 4) { SOME(4, 4); j += 4; }
        if ((end - j) & 2) { SOME(2, 2); j += 2; }
        if ((end - j) & 1) { SOME(1, 1); j += 1; }
    }
#undef SOME
}

/* Not inlined: one copy for each width, with the loop over rows inside. */
#define TILE(WIDTH) \
    static __attribute__((noinline)) void forward##WIDTH(const nerva_csr *W, const nerva_bytes *X, const finish *to, \
                                                         R *Y, int64_t ldy, nerva_range own) { \
        forward(WIDTH, W, *X, *to, Y, ldy, own); \
    } \
    static __attribute__((noinline)) void gradient##WIDTH(const nerva_csr *W, const R *DY, int64_t lddy, M last, \
                                                          const nerva_bytes *X, nerva_range own, int64_t r, \
                                                          const sink *to) { \
        gradient(WIDTH, W, DY, lddy, last, *X, own, r, to); \
    }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8)

typedef void forward_tile(const nerva_csr *, const nerva_bytes *, const finish *, R *, int64_t, nerva_range);
typedef void gradient_tile(const nerva_csr *, const R *, int64_t, M, const nerva_bytes *, nerva_range, int64_t,
                           const sink *);
static forward_tile *const forward_tiles[WIDEST + 1] = {0, forward1, forward2, forward3, forward4,
                                                        forward5, forward6, forward7, forward8};
static gradient_tile *const gradient_tiles[WIDEST + 1] = {0, gradient1, gradient2, gradient3, gradient4,
                                                          gradient5, gradient6, gradient7, gradient8};

/* The vectors of N samples, and the mask of the last. */
INLINE int64_t width_of(int64_t N) { return (N + L - 1) / L; }
INLINE M last_of(int64_t N) { return vfirst(N - (width_of(N) - 1) * L); }

void NAME(spmm_bytes)(const nerva_csr *W, nerva_bytes X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y,
                      int thread, int team) {
    const finish to = {epilogue->activation, vset((R)epilogue->alpha), last_of(N), epilogue->bias};
    forward_tiles[width_of(N)](W, &X, &to, Y.data, Y.ld, share_rows(W, thread, team));
}

void NAME(sddmm_bytes)(const nerva_csr *W, nerva_matrix DY, nerva_bytes X, int64_t N, void *G,
                       const nerva_plan_parameter *stepped, int add, int thread, int team) {
    const nerva_range own = share(W->nnz, 1, thread, team);
    sink to = sink_of(G, stepped);
    to.add = add;
    to.update = stepped != 0;
    gradient_tiles[width_of(N)](W, DY.data, DY.ld, last_of(N), &X, own, row_of(W, own.first), &to);
}
