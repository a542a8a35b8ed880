/* A mini-batch from the rows of a data set: gathered, scaled and transposed from (samples, features) to (features,
 * batch) in one pass. Images may be shifted and mirrored in the same pass. */
#include "shares.h"
#include "transpose.h"

/* Bytes of a cache line; lines of each sample to prefetch ahead: the rows of a large data set lie far apart, beyond the
 * reach of the hardware prefetcher. */
enum { LINE = 64, AHEAD = 2 };

#define NERVA_WITH_SOURCE(source_type, CALL) \
    switch (source_type) { \
    case NERVA_UINT8: CALL(NERVA_UINT8); break; \
    case NERVA_FLOAT32: CALL(NERVA_FLOAT32); break; \
    default: CALL(NERVA_FLOAT64); break; \
    }

/* Where element (d, n) of an output is. */
INLINE void *element_at(const int BYTES, nerva_matrix out, int64_t d, int64_t n) {
    return (char *)out.data + (d * out.ld + n) * (BYTES ? 1 : sizeof(S));
}

/* One thread's share: all samples of the features `own`. Returns whether a number is not finite. */
INLINE int gather_plain(const int BYTES, int source_type, const void *source, int64_t stride, const int64_t *rows,
                        int64_t N, nerva_range own, const float *scale, const float *shift, nerva_matrix out) {
    const int64_t size = source_type == NERVA_UINT8 ? 1 : source_type == NERVA_FLOAT32 ? 4 : 8;
    const int64_t step = LINE / size; /* features in a cache line */
    int broken = 0;
    for (int64_t first = own.first; first < own.last; first += step) {
        const int64_t last = first + step < own.last ? first + step : own.last;
        for (int64_t n = 0; n < N; n += GROUP) {
            const int count = N - n < GROUP ? (int)(N - n) : GROUP;
            nerva_range rest = {first, last};
            const uint8_t *samples[GROUP];
            for (int i = 0; i < GROUP; i++) {
                samples[i] = (const uint8_t *)source + rows[n + (i < count ? i : 0)] * stride * size;
                if (i < count) _mm_prefetch((const char *)samples[i] + first * size + AHEAD * LINE, _MM_HINT_T0);
            }
#ifdef NERVA_REAL_F32
            if (source_type == NERVA_UINT8)
                for (; rest.first + GROUP <= last; rest.first += GROUP) {
                    const int64_t d = rest.first;
                    __m128i a[GROUP];
                    for (int i = 0; i < GROUP; i++) a[i] = _mm_loadu_si128((const __m128i *)(samples[i] + d));
                    transpose_bytes(BYTES, a, count, scale ? scale + d : 0, shift ? shift + d : 0,
                                    element_at(BYTES, out, d, n), out.ld);
                }
#endif
#define TRANSPOSE(TYPE) \
    broken |= transpose(BYTES, TYPE, source, stride, rows + n, count, rest, scale, shift, \
                        element_at(BYTES, out, 0, n), out.ld)
            NERVA_WITH_SOURCE(BYTES ? NERVA_UINT8 : source_type, TRANSPOSE)
#undef TRANSPOSE
        }
    }
    return broken;
}

#ifdef NERVA_REAL_F32
/* The same for numbers, L samples at a time over all features: their rows are read as L streams. More at once would
 * evict each other, where rows are a multiple of 4096 bytes long. */
INLINE int gather_floats(const int TYPE, const void *source, int64_t stride, const int64_t *rows, int64_t N,
                         nerva_range own, const float *scale, const float *shift, nerva_matrix out) {
    const int64_t size = TYPE == NERVA_FLOAT32 ? 4 : 8;
    V products = vzero();
    for (int64_t n = 0; n < N; n += L) {
        const int count = N - n < L ? (int)(N - n) : L;
        const void *samples[L];
        for (int i = 0; i < L; i++) samples[i] = (const char *)source + rows[n + (i < count ? i : 0)] * stride * size;
        S *to = (S *)out.data + n;
        /* Vectors that are aligned in the first sample; at both ends they overlap, and the same is stored again. */
        const int64_t past = (uintptr_t)((const char *)samples[0] + own.first * size) / size % L;
        for (int64_t d = own.first, next = own.first + L - past; d < own.last; d = next, next += L) {
            if (d + L > own.last) d = own.last - L;
            for (int i = 0; i < L; i++) _mm_prefetch((const char *)samples[i] + (d + L) * size + LINE, _MM_HINT_T0);
            transpose_floats(TYPE, samples, count, d, scale, shift, to, out.ld, &products);
        }
    }
    return is_nan(products);
}
#endif

/* Images are gathered by rows of pixels, in tiles of BLOCK samples and SPAN columns: the plan of each sample's moves is
 * computed once per tile, and fits the stack. */
enum { BLOCK = 128, SPAN = LINE, CHUNKS = SPAN / GROUP };

/* The source of position i of n, mirrored about the first and the last: -n < i < 2 n - 1. */
INLINE int64_t reflected(int64_t i, int64_t n) {
    const int64_t right = i < 0 ? -i : i;
    return right < n ? right : 2 * (n - 1) - right;
}

/* The source of column x of a moved image. */
INLINE int64_t column(const nerva_move *move, int64_t x, int64_t width) {
    return reflected((move->flip ? width - 1 - x : x) + move->right, width);
}

/* Some columns of one row of `count` moved images, element by element; the row begins at source[from[i]]. */
INLINE void transpose_moved(const int BYTES, const int TYPE, const void *source, const int64_t *from,
                            const nerva_move *moves, int count, nerva_range columns, int64_t width, const float *scale,
                            const float *shift, void *out, int64_t ld) {
    for (int64_t x = columns.first; x < columns.last; x++) {
        const R factor = scale ? scale[x] : 1, offset = shift ? shift[x] : 0;
        for (int i = 0; i < count; i++)
            put(BYTES, out, x * ld + i, element(TYPE, source, from[i] + column(&moves[i], x, width)) * factor + offset);
    }
}

#ifdef NERVA_REAL_F32
/* GROUP neighbouring columns of moved images: for each sample, the first of GROUP neighbouring columns of the source
 * that contain them, and their order. */
typedef struct {
    __m128i order[GROUP];
    int64_t first[GROUP];
} nerva_chunk;

/* Where chunk k of a span begins. The last chunk of a row overlaps the one before it, to end with the row. */
INLINE int64_t chunk_at(int64_t left, int k, int64_t width) {
    return left + (k + 1) * GROUP < width ? left + k * GROUP : width - GROUP;
}

/* The chunk that begins at column x; samples beyond `count` repeat the first. */
static void plan_chunk(const nerva_move *moves, int count, int64_t x, int64_t width, nerva_chunk *chunk) {
    for (int i = 0; i < GROUP; i++) {
        const nerva_move *move = &moves[i < count ? i : 0];
        int64_t first = width - GROUP; /* no load may pass the end of the row, which may be the end of the data */
        for (int j = 0; j < GROUP; j++) {
            const int64_t from = column(move, x + j, width);
            first = from < first ? from : first;
        }
        uint8_t order[GROUP];
        for (int j = 0; j < GROUP; j++) order[j] = (uint8_t)(column(move, x + j, width) - first);
        chunk->order[i] = _mm_loadu_si128((const __m128i *)order);
        chunk->first[i] = first;
    }
}
#endif

/* The rows of pixels `own`, counted over all channels, in some columns of at most BLOCK samples. */
INLINE void gather_tile(const int BYTES, int source_type, const void *source, int64_t stride, const int64_t *rows,
                        const nerva_move *moves, int64_t N, int64_t height, int64_t width, nerva_range columns,
                        nerva_range own, const float *scale, const float *shift, nerva_matrix out) {
    const int64_t size = source_type == NERVA_UINT8 ? 1 : source_type == NERVA_FLOAT32 ? 4 : 8;
#ifdef NERVA_REAL_F32
    const int in_chunks = source_type == NERVA_UINT8 && width >= GROUP;
    const int chunks = in_chunks ? (int)((columns.last - columns.first + GROUP - 1) / GROUP) : 0;
    nerva_chunk plan[BLOCK / GROUP][CHUNKS];
    for (int64_t n = 0; n < N; n += GROUP)
        for (int k = 0; k < chunks; k++)
            plan_chunk(moves + n, N - n < GROUP ? (int)(N - n) : GROUP, chunk_at(columns.first, k, width), width,
                       &plan[n / GROUP][k]);
#endif
    for (int64_t row = own.first; row < own.last; row++) {
        const int64_t y = row % height, channel = (row - y) * width;
        const float *factors = scale ? scale + row * width : 0, *offsets = shift ? shift + row * width : 0;
        for (int64_t n = 0; n < N; n += GROUP) {
            const int count = N - n < GROUP ? (int)(N - n) : GROUP;
            int64_t from[GROUP];
            for (int i = 0; i < GROUP; i++) {
                const int64_t j = n + (i < count ? i : 0);
                from[i] = rows[j] * stride + channel + reflected(y + moves[j].down, height) * width;
                if (i >= count) continue;
                const char *ahead = (const char *)source + AHEAD * LINE;
                for (int64_t at = columns.first * size; at < columns.last * size; at += LINE)
                    _mm_prefetch(ahead + from[i] * size + at, _MM_HINT_T0);
            }
#ifdef NERVA_REAL_F32
            for (int k = 0; k < chunks; k++) {
                const nerva_chunk *chunk = &plan[n / GROUP][k];
                const int64_t x = chunk_at(columns.first, k, width);
                __m128i a[GROUP];
                for (int i = 0; i < GROUP; i++) {
                    const uint8_t *pixels = (const uint8_t *)source + from[i] + chunk->first[i];
                    a[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)pixels), chunk->order[i]);
                }
                transpose_bytes(BYTES, a, count, factors ? factors + x : 0, offsets ? offsets + x : 0,
                                element_at(BYTES, out, row * width + x, n), out.ld);
            }
            if (in_chunks) continue;
#endif
#define TRANSPOSE(TYPE) \
    transpose_moved(BYTES, TYPE, source, from, moves + n, count, columns, width, factors, offsets, \
                    element_at(BYTES, out, row * width, n), out.ld)
            NERVA_WITH_SOURCE(BYTES ? NERVA_UINT8 : source_type, TRANSPOSE)
#undef TRANSPOSE
        }
    }
}

/* One thread's share: all samples of the rows of pixels `own`, counted over all channels. */
INLINE void gather_moved(const int BYTES, int source_type, const void *source, int64_t stride, const int64_t *rows,
                         const nerva_images *images, int64_t N, nerva_range own, const float *scale,
                         const float *shift, nerva_matrix out) {
    for (int64_t n = 0; n < N; n += BLOCK)
        for (int64_t x = 0; x < images->width; x += SPAN) {
            const nerva_range columns = {x, x + SPAN < images->width ? x + SPAN : images->width};
            const nerva_matrix to = {element_at(BYTES, out, 0, n), out.ld};
            gather_tile(BYTES, source_type, source, stride, rows + n, images->moves + n, N - n < BLOCK ? N - n : BLOCK,
                        images->height, images->width, columns, own, scale, shift, to);
        }
}

/* Not inlined into one function, in which gcc would allocate fewer registers to each. */
static __attribute__((noinline)) int plain(int source_type, const void *source, int64_t stride, const int64_t *rows,
                                           int64_t N, nerva_range own, const float *scale, const float *shift,
                                           nerva_matrix out) {
    return gather_plain(0, source_type, source, stride, rows, N, own, scale, shift, out);
}

#ifdef NERVA_REAL_F32
static __attribute__((noinline)) int floats(int source_type, const void *source, int64_t stride, const int64_t *rows,
                                            int64_t N, nerva_range own, const float *scale, const float *shift,
                                            nerva_matrix out) {
    return source_type == NERVA_FLOAT32
               ? gather_floats(NERVA_FLOAT32, source, stride, rows, N, own, scale, shift, out)
               : gather_floats(NERVA_FLOAT64, source, stride, rows, N, own, scale, shift, out);
}
#endif

static __attribute__((noinline)) void moved(int source_type, const void *source, int64_t stride, const int64_t *rows,
                                            const nerva_images *images, int64_t N, nerva_range own, const float *scale,
                                            const float *shift, nerva_matrix out) {
    gather_moved(0, source_type, source, stride, rows, images, N, own, scale, shift, out);
}

int NAME(gather_share)(int source_type, const void *source, int64_t stride, const int64_t *rows,
                       const nerva_images *images, int64_t N, int64_t D, const float *scale, const float *shift,
                       nerva_matrix out, int thread, int team) {
    if (images) {
        moved(source_type, source, stride, rows, images, N, share(D / images->width, 1, thread, team), scale, shift,
              out);
        return 0;
    }
    const nerva_range own = share(D, LINE, thread, team);
#ifdef NERVA_REAL_F32
    if (source_type != NERVA_UINT8 && N > 2 && own.last - own.first >= L)
        return floats(source_type, source, stride, rows, N, own, scale, shift, out);
#endif
    return plain(source_type, source, stride, rows, N, own, scale, shift, out);
}

#if NERVA_BYTE_INPUTS
static __attribute__((noinline)) void moved_bytes(const uint8_t *source, int64_t stride, const int64_t *rows,
                                                  const nerva_images *images, int64_t N, nerva_range own,
                                                  nerva_matrix out) {
    gather_moved(1, NERVA_UINT8, source, stride, rows, images, N, own, 0, 0, out);
}

void NAME(gather_unscaled)(const uint8_t *source, int64_t stride, const int64_t *rows, const nerva_images *images,
                           int64_t D, uint8_t *bytes, int64_t N, int thread, int team) {
    const nerva_matrix out = {bytes, N};
    if (images)
        moved_bytes(source, stride, rows, images, N, share(D / images->width, 1, thread, team), out);
    else gather_plain(1, NERVA_UINT8, source, stride, rows, N, share(D, LINE, thread, team), 0, 0, out);
}
#endif

int NAME(gather)(int source_type, const void *source, int64_t stride, const int64_t *rows,
                 const nerva_images *images, int64_t N, int64_t D, const float *scale, const float *shift, int threads,
                 nerva_matrix out) {
    const nerva_team team = nerva_team_begin(threads, N * D);
    int broken = 0;
#pragma omp parallel num_threads(team.size) if (team.size > 1) reduction(| : broken)
    broken |= NAME(gather_share)(source_type, source, stride, rows, images, N, D, scale, shift, out,
                                 omp_get_thread_num(), omp_get_num_threads());
    nerva_team_end(team);
    return broken;
}
