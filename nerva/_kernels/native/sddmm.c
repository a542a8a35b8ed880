/* G[j] = sum_n DY[row(j), n] X[col(j), n]: the weight gradient on the pattern of W, one dot product per non-zero. */
#include "blocks.h"
#include "parallel.h"
#include "shares.h"
#include "gradient_sink.h"

/* Vectors of a row of DY that stay in registers while rows of X are read. */
#ifdef NERVA_AVX512
enum { WIDEST = 8 };
#else
enum { WIDEST = 4 };
#endif

/* For blocks of columns: the vectors of X per row and block that pay for its start, and rows to prefetch ahead. */
enum { LEAST = 112 * 64 / sizeof(V), AHEAD = 1 };

/* The sums of positions j to j + COUNT - 1: dot products of d, WIDTH vectors of which the last has `last` lanes, with a
 * row of X each. COUNT is a power of two up to L; the lanes of all are summed together. */
INLINE void dots(const int WIDTH, const int HALVED, const int COUNT, const V d[WIDEST], const int32_t *indices,
                 const R *X, int64_t ldx, M last, int64_t j, const sink *to) {
    V sums[L];
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; i++) {
        const R *x = X + (int64_t)indices[j + i] * ldx;
        const R *rest = x + (WIDTH - 1) * L;
        V sum = HALVED ? vmul_half(d[WIDTH - 1], last, rest) : vmul(d[WIDTH - 1], vload_first(last, rest));
#pragma GCC unroll 8
        for (int t = 0; t < WIDTH - 1; t++) sum = vfma(d[t], vload(x + t * L), sum);
        sums[i] = sum;
    }
    /* Repeats cost nothing: the compiler eliminates common subexpressions. */
#pragma GCC unroll 16
    for (int i = COUNT; i < L; i++) sums[i] = sums[i % COUNT];
    drain(to, j, vfirst(COUNT), vsums(sums));
}

/* The next sums of a row, from position j to at most `end`, as many as go together; returns the next position. */
INLINE int64_t some_dots(const int WIDTH, const int HALVED, const V d[WIDEST], const nerva_csr *W, const R *X,
                         int64_t ldx, M last, int64_t j, int64_t end, const sink *to) {
    if (j + L <= end) {
        dots(WIDTH, HALVED, L, d, W->indices, X, ldx, last, j, to);
        return j + L;
    }
    const int64_t rest = end - j;
#define SOME(COUNT) \
    if (COUNT < L && rest & COUNT) { \
        dots(WIDTH, HALVED, COUNT < L ? COUNT : L, d, W->indices, X, ldx, last, j, to); \
        j += COUNT; \
    }
    SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
    return j;
}

INLINE void load_row(const int WIDTH, const R *dy, M last, V d[WIDEST]) {
#pragma GCC unroll 8
    for (int t = 0; t < WIDTH - 1; t++) d[t] = vload(dy + t * L);
    d[WIDTH - 1] = vload_first(last, dy + (WIDTH - 1) * L);
}

/* The positions [own.first, own.last), the first of which lies in row r, over WIDTH vectors of the batch. */
INLINE void tile(const int WIDTH, const int HALVED, const nerva_csr *W, const R *DY, int64_t lddy, const R *X, int64_t ldx, M last,
                 nerva_range own, int64_t r, const sink *to) {
    for (int64_t j = own.first; j < own.last; r++) {
        V d[WIDEST];
        load_row(WIDTH, DY + r * lddy, last, d);
        const int64_t end = W->indptr[r + 1] < own.last ? W->indptr[r + 1] : own.last;
        while (j < end) j = some_dots(WIDTH, HALVED, d, W, X, ldx, last, j, end, to);
    }
}

/* The same, a block of columns at a time. Dot products that are summed together may lie beyond the block. */
INLINE void blocked_tile(const int WIDTH, const int HALVED, const nerva_csr *W, const R *DY, int64_t lddy, const R *X,
                         int64_t ldx, M last, nerva_range own, int64_t r, const sink *to, nerva_blocks blocks) {
    int32_t next[NERVA_CHUNK]; /* the next position of each row */
    for (int64_t top = r, bottom; top < W->rows && W->indptr[top] < own.last; top = bottom) {
        for (bottom = top; bottom < top + NERVA_CHUNK && bottom < W->rows && W->indptr[bottom] < own.last; bottom++)
            next[bottom - top] = (int32_t)(W->indptr[bottom] > own.first ? W->indptr[bottom] : own.first);
        for (int64_t start = 0; start < W->cols; start += blocks.columns) {
            for (int64_t row = top; row < bottom; row++) {
                int64_t j = next[row - top];
                const int64_t end = W->indptr[row + 1] < own.last ? W->indptr[row + 1] : own.last;
                if (j >= end || W->indices[j] >= start + blocks.columns) continue;
                if (row + AHEAD < bottom) {
                    const int32_t soon = next[row + AHEAD - top];
                    prefetch(W->indices + soon, blocks.run, sizeof(int32_t));
                    if (to->update) {
                        prefetch(to->w + soon, blocks.run, sizeof(R));
                        const weight_state state = state_at(to->state, soon);
                        if (state.v) prefetch(state.v, blocks.run, sizeof(R));
                        if (state.s) prefetch(state.s, blocks.run, sizeof(R));
                        if (state.born) prefetch(state.born, blocks.run, sizeof(int32_t));
                    }
                }
                V d[WIDEST];
                load_row(WIDTH, DY + row * lddy, last, d);
                do j = some_dots(WIDTH, HALVED, d, W, X, ldx, last, j, end, to);
                while (j < end && W->indices[j] < start + blocks.columns);
                next[row - top] = (int32_t)j;
            }
        }
    }
}

/* A batch of one with contiguous features: products without sums, L at a time. */
static void single(const nerva_csr *W, const R *DY, int64_t lddy, const R *x, nerva_range own, int64_t r,
                   const sink *to) {
    for (int64_t j = own.first; j < own.last; r++) {
        const R dy = DY[r * lddy];
        const int64_t end = W->indptr[r + 1] < own.last ? W->indptr[r + 1] : own.last;
        for (int64_t count; j < end; j += count) {
            count = end - j < L ? end - j : L;
            drain(to, j, vfirst(count), vmul(vset(dy), vgather_first(count, x, W->indices + j)));
        }
    }
}

#define TILE(WIDTH, HALVED, SUFFIX) \
    static __attribute__((noinline)) void tile##WIDTH##SUFFIX(const nerva_csr *W, const R *DY, int64_t lddy, const R *X, \
                                                      int64_t ldx, M last, nerva_range own, int64_t r, \
                                                      const sink *to) { \
        const nerva_blocks blocks = choose_blocks(W, WIDTH * sizeof(V), LEAST / WIDTH); \
        if (WIDTH > 1 && blocks.columns < W->cols) blocked_tile(WIDTH, HALVED, W, DY, lddy, X, ldx, last, own, r, to, blocks); \
        else tile(WIDTH, HALVED, W, DY, lddy, X, ldx, last, own, r, to); \
    }
#define TILES(WIDTH) TILE(WIDTH, 0, _whole) TILE(WIDTH, HALVES, _half)
TILES(1) TILES(2) TILES(3) TILES(4)
#ifdef NERVA_AVX512
TILES(5) TILES(6) TILES(7) TILES(8)
#endif

typedef void tile_function(const nerva_csr *, const R *, int64_t, const R *, int64_t, M, nerva_range, int64_t,
                           const sink *);
static tile_function *const tiles[2][WIDEST + 1] = {
#ifdef NERVA_AVX512
#define ROW(SUFFIX) {0, tile1##SUFFIX, tile2##SUFFIX, tile3##SUFFIX, tile4##SUFFIX, tile5##SUFFIX, tile6##SUFFIX, \
                     tile7##SUFFIX, tile8##SUFFIX}
#else
#define ROW(SUFFIX) {0, tile1##SUFFIX, tile2##SUFFIX, tile3##SUFFIX, tile4##SUFFIX}
#endif
    ROW(_whole), ROW(_half),
#undef ROW
};

void NAME(sddmm_share)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, void *G,
                       const nerva_plan_parameter *stepped, int add, int thread, int team) {
    const int64_t vectors = (N + L - 1) / L, parts = (vectors + WIDEST - 1) / WIDEST;
    const nerva_range own = share(W->nnz, 1, thread, team);
    const int64_t row = row_of(W, own.first);
    sink to = sink_of(G, stepped);
    for (int64_t part = 0; part < parts; part++) {
        const int64_t first = vectors * part / parts, end = vectors * (part + 1) / parts;
        const int64_t rest = N - (end - 1) * L;
        to.add = add || part > 0;
        to.update = stepped && part == parts - 1;
        if (N == 1 && X.ld == 1) single(W, DY.data, DY.ld, X.data, own, row, &to);
        else tiles[HALVES && rest <= L / 2][end - first](W, (const R *)DY.data + first * L, DY.ld, (const R *)X.data + first * L, X.ld,
                                vfirst(rest < L ? rest : L), own, row, &to);
    }
    if (N == 0)
        for (int64_t j = own.first; j < own.last; j++) ((R *)G)[j] = 0;
}

void NAME(sddmm)(const nerva_csr *W, nerva_matrix DY, nerva_matrix X, int64_t N, int threads, void *G) {
    check_csr(W);
    const nerva_team team = nerva_team_begin(threads, W->nnz * N);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(sddmm_share)(W, DY, X, N, G, 0, 0, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
