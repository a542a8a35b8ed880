/* Y = f(W X + b): a row of W times a tile of the batch, whose sums stay in registers over the row's non-zeros. */
#include "activations.h"
#include "blocks.h"
#include "parallel.h"
#include "shares.h"

/* Vectors in a tile: as many sums as fit the registers beside a weight and a row of X. */
enum { WIDEST = NERVA_WIDEST };

/* For blocks of columns: the vectors of X per row and block that pay for its start, and rows to prefetch ahead. */
enum { LEAST = 112 * 64 / sizeof(V), AHEAD = 2 };

/* The epilogue of a row of sums: nerva_epilogue for one part of the batch. */
typedef struct {
    int activation, first_part;
    V alpha;
    M last; /* the mask of a row's last vector */
    const R *bias, *outputs;
    int64_t ld;
    R *row_sums;
    int add;
} finish;

INLINE void start(const int WIDTH, const finish *to, int64_t r, V sums[WIDEST]) {
    const V b = to->bias ? vset(to->bias[r]) : vzero();
    for (int t = 0; t < WIDTH; t++) sums[t] = b;
}

INLINE void store(const int WIDTH, const V sums[WIDEST], M last, R *y) {
    for (int t = 0; t < WIDTH - 1; t++) vstore(y + t * L, sums[t]);
    vstore_first(last, y + (WIDTH - 1) * L, sums[WIDTH - 1]);
}

INLINE void end(const int WIDTH, const finish *to, int64_t r, V sums[WIDEST], R *y) {
    if (!to->outputs) {
#define FORWARD(ACTIVATION) \
    for (int t = 0; t < WIDTH; t++) sums[t] = activate(ACTIVATION, sums[t], to->alpha)
        NERVA_WITH_FUSED_ACTIVATION(to->activation, FORWARD)
#undef FORWARD
    } else {
        const R *out = to->outputs + r * to->ld;
        V total = vzero();
        sums[WIDTH - 1] = vkeep_first(to->last, sums[WIDTH - 1]);
#define BACKWARD(ACTIVATION) \
    for (int t = 0; t < WIDTH - 1; t++) \
        sums[t] = activate_backward(ACTIVATION, sums[t], vload(out + t * L), to->alpha); \
    sums[WIDTH - 1] = \
        activate_backward(ACTIVATION, sums[WIDTH - 1], vload_first(to->last, out + (WIDTH - 1) * L), to->alpha)
        NERVA_WITH_FUSED_ACTIVATION(to->activation, BACKWARD)
#undef BACKWARD
        for (int t = 0; t < WIDTH; t++) total = vadd(total, sums[t]);
        if (to->row_sums) to->row_sums[r] = (to->first_part && !to->add ? 0 : to->row_sums[r]) + vsum(total);
    }
    store(WIDTH, sums, to->last, y);
}

/* sums += the weight of position j times its row of X. */
INLINE void add_product(const int WIDTH, const int HALVED, const int PERMUTED, const nerva_csr *W, const R *X,
                        int64_t ldx, M last, int64_t j, V sums[WIDEST]) {
    const V w = vset(((const R *)W->values)[PERMUTED ? W->permutation[j] : j]);
    const R *x = X + (int64_t)W->indices[j] * ldx;
#pragma GCC unroll 8
    for (int t = 0; t < WIDTH - 1; t++) sums[t] = vfma(w, vload(x + t * L), sums[t]);
    const R *rest = x + (WIDTH - 1) * L;
    sums[WIDTH - 1] = HALVED ? vfma_half(w, last, rest, sums[WIDTH - 1])
                             : vfma(w, vload_first(last, rest), sums[WIDTH - 1]);
}

/* Whether position j is one of a row's, and with BLOCKED of a block of columns before `limit`. Without the hint gcc
 * moves the body out of the loop, and spills its pointers. */
INLINE int is_within(const int BLOCKED, const nerva_csr *W, int64_t j, int64_t end, int64_t limit) {
    return __builtin_expect(j < end && (!BLOCKED || W->indices[j] < limit), 1);
}

/* The sums of ROWS rows from r on, one or two, from positions `at` to their end or to `limit`. Two take turns: the sums
 * of one would wait for its last product. A loop over the rows would keep the sums in memory. */
INLINE void add_rows(const int WIDTH, const int HALVED, const int PERMUTED, const int BLOCKED, const int ROWS,
                     const nerva_csr *W, const R *X, int64_t ldx, M last, int64_t r, int64_t limit, int64_t at[2],
                     V sums[2][WIDEST]) {
    const int64_t ends[2] = {W->indptr[r + 1], W->indptr[r + ROWS]};
    int64_t i = at[0], j = at[1];
    if (ROWS == 2)
        for (; __builtin_expect(is_within(BLOCKED, W, i, ends[0], limit) && is_within(BLOCKED, W, j, ends[1], limit), 1);
             i++, j++) {
            add_product(WIDTH, HALVED, PERMUTED, W, X, ldx, last, i, sums[0]);
            add_product(WIDTH, HALVED, PERMUTED, W, X, ldx, last, j, sums[1]);
        }
    for (; is_within(BLOCKED, W, i, ends[0], limit); i++)
        add_product(WIDTH, HALVED, PERMUTED, W, X, ldx, last, i, sums[0]);
    if (ROWS == 2)
        for (; is_within(BLOCKED, W, j, ends[1], limit); j++)
            add_product(WIDTH, HALVED, PERMUTED, W, X, ldx, last, j, sums[1]);
    at[0] = i, at[1] = j;
}

/* CALL(ROWS, r) for all rows from `first` to before `end`, two by two where the sums of both fit the registers. */
#define NERVA_BY_PAIRS(WIDTH, first, end, CALL) \
    do { \
        int64_t r = first; \
        if (WIDTH <= WIDEST / 2) \
            for (; r + 2 <= end; r += 2) CALL(2, r); \
        for (; r < end; r++) CALL(1, r); \
    } while (0)

/* ROWS rows of Y from r on: WIDTH vectors from Y on, by those from X on. */
INLINE void tile_rows(const int WIDTH, const int HALVED, const int PERMUTED, const int ROWS, const nerva_csr *W,
                      const R *X, int64_t ldx, R *Y, int64_t ldy, const finish *to, int64_t r) {
    V sums[2][WIDEST];
    int64_t at[2] = {W->indptr[r], W->indptr[r + ROWS - 1]};
    start(WIDTH, to, r, sums[0]);
    if (ROWS == 2) start(WIDTH, to, r + 1, sums[1]);
    add_rows(WIDTH, HALVED, PERMUTED, 0, ROWS, W, X, ldx, to->last, r, 0, at, sums);
    end(WIDTH, to, r, sums[0], Y + r * ldy);
    if (ROWS == 2) end(WIDTH, to, r + 1, sums[1], Y + (r + 1) * ldy);
}

INLINE void tile(const int WIDTH, const int HALVED, const int PERMUTED, const nerva_csr *W, const R *X, int64_t ldx,
                 R *Y, int64_t ldy, const finish *to, nerva_range rows) {
#define ROWS_OF_TILE(ROWS, r) tile_rows(WIDTH, HALVED, PERMUTED, ROWS, W, X, ldx, Y, ldy, to, r)
    NERVA_BY_PAIRS(WIDTH, rows.first, rows.last, ROWS_OF_TILE);
#undef ROWS_OF_TILE
}

/* A batch of one with contiguous features: scalars in four alternating sums, which is faster than gathering vectors. */
INLINE void single(const int PERMUTED, const nerva_csr *W, const R *x, R *Y, int64_t ldy, const finish *to,
                   nerva_range rows) {
    const R *values = W->values;
    for (int64_t r = rows.first; r < rows.last; r++) {
        R sums[4] = {to->bias ? to->bias[r] : 0};
        int64_t j = W->indptr[r];
        const int64_t row_end = W->indptr[r + 1];
#define TERM(j) values[PERMUTED ? W->permutation[j] : j] * x[W->indices[j]]
        for (; j + 4 <= row_end; j += 4)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) sums[i] += TERM(j + i);
        for (; j < row_end; j++) sums[0] += TERM(j);
#undef TERM
        V total[WIDEST] = {vset((sums[0] + sums[1]) + (sums[2] + sums[3]))};
        end(1, to, r, total, Y + r * ldy);
    }
}

/* Prefetch the weights of a row's next block, `run` of them from position j on. */
INLINE void prefetch_weights(const int PERMUTED, const nerva_csr *W, int64_t j, int64_t run) {
    prefetch(W->indices + j, run, sizeof(int32_t));
    if (PERMUTED) prefetch(W->permutation + j, run, sizeof(int32_t));
    else prefetch((const R *)W->values + j, run, sizeof(R));
}

/* The sums of a row before and after a block of columns, which is the first or the last of W or not: meanwhile they are
 * kept in Y. */
INLINE void start_block(const int WIDTH, const finish *to, int64_t r, int first, const R *y, V sums[WIDEST]) {
    if (first) start(WIDTH, to, r, sums);
    else {
#pragma GCC unroll 8
        for (int t = 0; t < WIDTH - 1; t++) sums[t] = vload(y + t * L);
        sums[WIDTH - 1] = vload_first(to->last, y + (WIDTH - 1) * L);
    }
}
INLINE void end_block(const int WIDTH, const finish *to, int64_t r, int last, V sums[WIDEST], R *y) {
    if (last) end(WIDTH, to, r, sums, y);
    else store(WIDTH, sums, to->last, y);
}

/* As tile_rows, but for columns `own` of W, and from the positions `next` of rows r, r + 1 and so on, of which there are
 * `count`. */
INLINE void block_rows(const int WIDTH, const int HALVED, const int PERMUTED, const int ROWS, const nerva_csr *W,
                       const R *X, int64_t ldx, R *Y, int64_t ldy, const finish *to, int64_t r, nerva_range own,
                       int64_t run, int32_t *next, int64_t count) {
    const int first = own.first == 0, last = own.last >= W->cols;
    R *y = Y + r * ldy;
    V sums[2][WIDEST];
    int64_t at[2] = {next[0], next[ROWS - 1]};
    if (AHEAD < count) prefetch_weights(PERMUTED, W, next[AHEAD], run);
    if (ROWS == 2 && AHEAD + 1 < count) prefetch_weights(PERMUTED, W, next[AHEAD + 1], run);
    start_block(WIDTH, to, r, first, y, sums[0]);
    if (ROWS == 2) start_block(WIDTH, to, r + 1, first, y + ldy, sums[1]);
    add_rows(WIDTH, HALVED, PERMUTED, 1, ROWS, W, X, ldx, to->last, r, own.last, at, sums);
    next[0] = (int32_t)at[0];
    if (ROWS == 2) next[1] = (int32_t)at[1];
    end_block(WIDTH, to, r, last, sums[0], y);
    if (ROWS == 2) end_block(WIDTH, to, r + 1, last, sums[1], y + ldy);
}

/* As `tile`, to the last bit, but a block of columns at a time. */
INLINE void blocked_tile(const int WIDTH, const int HALVED, const int PERMUTED, const nerva_csr *W, const R *X,
                         int64_t ldx, R *Y, int64_t ldy, const finish *to, nerva_range rows, nerva_blocks blocks) {
    int32_t next[NERVA_CHUNK]; /* the next position of each row */
    for (int64_t top = rows.first; top < rows.last; top += NERVA_CHUNK) {
        const int64_t bottom = top + NERVA_CHUNK < rows.last ? top + NERVA_CHUNK : rows.last;
        for (int64_t r = top; r < bottom; r++) next[r - top] = W->indptr[r];
        for (int64_t first = 0; first < W->cols; first += blocks.columns) {
            const nerva_range own = {first, first + blocks.columns};
#define ROWS_OF_BLOCK(ROWS, r) \
    block_rows(WIDTH, HALVED, PERMUTED, ROWS, W, X, ldx, Y, ldy, to, r, own, blocks.run, next + (r - top), bottom - r)
            NERVA_BY_PAIRS(WIDTH, top, bottom, ROWS_OF_BLOCK);
#undef ROWS_OF_BLOCK
        }
    }
}

/* Not inlined: one copy for each width, with the loop over rows inside. */
#define TILE(WIDTH, HALVED, PERMUTED, SUFFIX) \
    static __attribute__((noinline)) void tile##WIDTH##SUFFIX( \
        const nerva_csr *W, const R *X, int64_t ldx, R *Y, int64_t ldy, const finish *to, nerva_range rows) { \
        const nerva_blocks blocks = choose_blocks(W, WIDTH * sizeof(V), LEAST / WIDTH); \
        if (WIDTH > 1 && blocks.columns < W->cols) \
            blocked_tile(WIDTH, HALVED, PERMUTED, W, X, ldx, Y, ldy, to, rows, blocks); \
        else tile(WIDTH, HALVED, PERMUTED, W, X, ldx, Y, ldy, to, rows); \
    }
#define TILES(WIDTH) \
    TILE(WIDTH, 0, 0, _direct) TILE(WIDTH, 0, 1, _permuted) \
    TILE(WIDTH, HALVES, 0, _half) TILE(WIDTH, HALVES, 1, _half_permuted)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)

typedef void tile_function(const nerva_csr *, const R *, int64_t, R *, int64_t, const finish *, nerva_range);
#define ROW(SUFFIX) {0, tile1##SUFFIX, tile2##SUFFIX, tile3##SUFFIX, tile4##SUFFIX, tile5##SUFFIX, tile6##SUFFIX, \
                     tile7##SUFFIX, tile8##SUFFIX}
static tile_function *const tiles[2][2][WIDEST + 1] = {
    {ROW(_direct), ROW(_permuted)},
    {ROW(_half), ROW(_half_permuted)},
};
#undef ROW

/* Whether threads share the batch instead of the rows: where rows are skewed and the batch has a vector for each. */
int NAME(spmm_by_batch)(const nerva_csr *W, int64_t N, int threads) {
    return threads > 1 && (N + L - 1) / L >= threads && rows_are_skewed(W, threads);
}

void NAME(spmm_share)(const nerva_csr *W, nerva_matrix X, int64_t N, const nerva_epilogue *epilogue, nerva_matrix Y,
                      int by_batch, int thread, int team) {
    const int64_t vectors = (N + L - 1) / L;
    const nerva_range rows = by_batch ? (nerva_range){0, W->rows} : share_rows(W, thread, team);
    const nerva_range columns = by_batch ? share(vectors, 1, thread, team) : (nerva_range){0, vectors};
    const int64_t count = columns.last - columns.first, parts = batch_parts(count);
    for (int64_t part = 0; part < parts; part++) {
        const nerva_range own = batch_part(count, part);
        const int64_t first = columns.first + own.first, last = columns.first + own.last, rest = N - (last - 1) * L;
        const R *outputs = epilogue->outputs.data;
        const finish to = {epilogue->activation, part == 0, vset((R)epilogue->alpha), vfirst(rest < L ? rest : L),
                           epilogue->bias, outputs ? outputs + first * L : 0, epilogue->outputs.ld,
                           epilogue->row_sums, epilogue->add};
        R *y = (R *)Y.data + first * L;
        if (N > 1 || X.ld != 1)
            tiles[HALVES && rest <= L / 2][W->permutation != 0][last - first](W, (const R *)X.data + first * L, X.ld, y, Y.ld, &to, rows);
        else if (W->permutation) single(1, W, X.data, y, Y.ld, &to, rows);
        else single(0, W, X.data, y, Y.ld, &to, rows);
    }
}

void NAME(spmm)(const nerva_csr *W, nerva_matrix X, int64_t N, const void *bias, int activation, double alpha,
                int threads, nerva_matrix Y) {
    check_csr(W);
    const nerva_team team = nerva_team_begin(threads, (W->nnz + W->rows) * N);
    const int by_batch = NAME(spmm_by_batch)(W, N, team.size);
    const nerva_epilogue epilogue = {.activation = activation, .alpha = alpha, .bias = bias};
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        NAME(spmm_share)(W, X, N, &epilogue, Y, by_batch, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
