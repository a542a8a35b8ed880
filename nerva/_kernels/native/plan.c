/* A whole network in one parallel region. Each thread takes slices of the batch, from gathering to gradients, so that
 * activations never leave the core that computed them. Only gradients and weights cross between cores, and are streamed
 * past the caches: a store to a line that another core has read waits for that core. Gradients go to a mailbox for each
 * group of slices; after a barrier they are added in the order of the groups, and each thread updates a share of the
 * weights. Slices and groups depend on the batch alone, and so do the bits of the result. */
#include <time.h>

#include "parallel.h"
#include "shares.h"
#include "update_rules.h"

enum { WIDEST_SLICE = 64, MOST_GROUPS = 8, LINE = 64 / sizeof(R) };

/* Whether the kernels take a slice in one part: then g + (sum of a slice) is rounded as a sum that begins with g. */
#ifdef NERVA_AVX512
enum { ONE_PART = 1 };
#else
enum { ONE_PART = 0 };
#endif

/* The phases of `nanoseconds`: one for gathering, one for each layer forward, and so on. */
INLINE int64_t forward_phase(int64_t l) { return 1 + l; }
INLINE int64_t loss_phase(const nerva_plan *plan) { return 1 + plan->layer_count; }
INLINE int64_t backward_phase(const nerva_plan *plan, int64_t l) { return 2 + plan->layer_count + l; }
INLINE int64_t update_phase(const nerva_plan *plan) { return 2 + 2 * plan->layer_count; }

/* The time since the last phase ended, added to this one; `clock` is NULL where nothing is timed. */
typedef struct {
    int64_t *nanoseconds, since;
} stopwatch;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

INLINE void lap(stopwatch *watch, int64_t phase) {
    if (!watch->nanoseconds) return;
    const int64_t time = now();
    watch->nanoseconds[phase] += time - watch->since;
    watch->since = time;
}

INLINE nerva_matrix at(R *arena, int64_t offset, int64_t ld) { return (nerva_matrix){arena + offset, ld}; }

/* Numbers from row to row in an arena, for n samples: whole vectors. */
INLINE int64_t row_size(int64_t n) { return (n + L - 1) / L * L; }

#if NERVA_BYTE_INPUTS
INLINE int of_bytes(const nerva_plan *plan) { return plan->source_type == NERVA_UINT8; }
INLINE nerva_bytes bytes(const nerva_plan *plan, nerva_matrix X) {
    return (nerva_bytes){X.data, plan->scale, plan->shift};
}
#endif

/* The inputs of the first layer: numbers, or bytes, which `forward` and `weight_gradient` know how to read. */
static nerva_matrix gather_slice(const nerva_plan *plan, int64_t first, int64_t n, R *arena) {
    const nerva_matrix X = at(arena, plan->inputs, row_size(n));
    nerva_images moved;
    const nerva_images *images = plan->images ? &moved : 0;
    if (images) moved = *plan->images, moved.moves += first;
#if NERVA_BYTE_INPUTS
    if (of_bytes(plan)) {
        NAME(gather_bytes)(plan->source, plan->stride, plan->rows + first, images, n, plan->features, bytes(plan, X));
        return X;
    }
#endif
    NAME(gather_share)(plan->source_type, plan->source, plan->stride, plan->rows + first, images, n, plan->features,
                       plan->scale, plan->shift, X, 0, 1);
    return X;
}

/* The outputs Y of layer l for n samples; X are its inputs. */
static nerva_matrix forward(const nerva_plan *plan, int64_t l, nerva_matrix X, int64_t n, nerva_matrix Y) {
    const nerva_plan_layer *layer = &plan->layers[l];
    const nerva_epilogue epilogue = {.activation = layer->activation, .alpha = layer->alpha, .bias = layer->bias};
#if NERVA_BYTE_INPUTS
    if (l == 0 && of_bytes(plan)) {
        NAME(spmm_bytes)(layer->W, bytes(plan, X), n, &epilogue, Y);
        return Y;
    }
#endif
    NAME(spmm_share)(layer->W, X, n, &epilogue, Y, 0, 0, 1);
    return Y;
}

/* The gradient of the weights of layer l, set, or with `add` added to G. */
static void weight_gradient(const nerva_plan *plan, int64_t l, nerva_matrix D, nerva_matrix X, int64_t n, R *G,
                            int add) {
    const nerva_plan_layer *layer = &plan->layers[l];
#if NERVA_BYTE_INPUTS
    if (l == 0 && of_bytes(plan)) {
        NAME(sddmm_bytes)(layer->W, D, bytes(plan, X), n, G + layer->gradient, add);
        return;
    }
#endif
    NAME(sddmm_share)(layer->W, D, X, n, G + layer->gradient, 0, 0, 0, 0, add, 0, 1);
}

/* The gradient of the loss by Z of the last layer, whose outputs are Y, and that of its bias. */
static nerva_matrix loss_gradient(const nerva_plan *plan, int64_t s, nerva_matrix Y, R *arena, R *G, int add) {
    const nerva_plan_layer *last = &plan->layers[plan->layer_count - 1];
    const int64_t first = plan->columns[s], n = plan->columns[s + 1] - first;
    const nerva_matrix D = at(arena, plan->deltas[0], row_size(n));
    int64_t labels[WIDEST_SLICE];
    for (int64_t i = 0; i < n; i++) labels[i] = plan->labels[plan->rows[first + i]];
    plan->correct[s] =
        NAME(softmax_cross_entropy)(last->W->rows, n, Y, labels, 1.0 / plan->N, D, plan->per_sample + first);
    NAME(activation_backward_share)(last->W->rows, n, D, Y, last->activation, last->alpha, D,
                                    last->bias ? G + last->bias_gradient : 0, add, 0, 1);
    return D;
}

/* All of slice s; its gradients are set, or with `add` added to those in G. */
static void train_slice(const nerva_plan *plan, int64_t s, R *arena, R *G, int add, stopwatch *watch) {
    const int64_t first = plan->columns[s], n = plan->columns[s + 1] - first, ld = row_size(n);
    const int64_t top = plan->layer_count - 1;
    nerva_matrix X = gather_slice(plan, first, n, arena);
    lap(watch, 0);
    for (int64_t l = 0; l <= top; l++) {
        X = forward(plan, l, X, n, at(arena, plan->outputs[l], ld));
        lap(watch, forward_phase(l));
    }
    nerva_matrix D = loss_gradient(plan, s, X, arena, G, add);
    lap(watch, loss_phase(plan));
    for (int64_t l = top; l >= 0; l--) {
        const nerva_plan_layer *layer = &plan->layers[l], *below = layer - 1;
        const nerva_matrix inputs = at(arena, l ? plan->outputs[l - 1] : plan->inputs, ld);
        weight_gradient(plan, l, D, inputs, n, G, add);
        if (l > 0) {
            const nerva_epilogue epilogue = {.activation = below->activation, .alpha = below->alpha, .outputs = inputs,
                                             .row_sums = below->bias ? G + below->bias_gradient : 0, .add = add};
            const nerva_matrix DX = at(arena, plan->deltas[(top - l + 1) % 2], ld);
            NAME(spmm_share)(layer->transposed, D, n, &epilogue, DX, 0, 0, 1);
            D = DX;
        }
        lap(watch, backward_phase(plan, l));
    }
}

/* Streams to the mailbox what other threads will read: all but the range `kept`. */
static void post(const R *from, R *to, int64_t count, nerva_range kept) {
    for (int64_t i = 0; i < count; i += L) {
        if (i == kept.first) i = kept.last;
        if (i >= count) break;
        OP(stream)(to + i, vload(from + i));
    }
}

/* A vector of parameters, whose gradients begin at `start`. */
typedef struct {
    R *w, *v, *s;
    int64_t start, size;
    const nerva_update *update;
} parameters;

/* The update of those whose gradients, the sums of `count` sources, lie within `own`. */
static void update_within(const parameters *p, nerva_range own, const R *const sources[], int64_t count, int stream) {
    const int64_t first = own.first > p->start ? own.first : p->start;
    const int64_t last = own.last < p->start + p->size ? own.last : p->start + p->size;
    if (!p->w || first >= last) return;
    const vector_update how = prepare_update(p->update);
    for (int64_t i = first; i < last; i += L) {
        const M lanes = vfirst(last - i < L ? last - i : L);
        const int64_t j = i - p->start;
        V sum = vload(sources[0] + i);
        for (int64_t g = 1; g < count; g++) sum = vadd(sum, vload(sources[g] + i));
        const V x = updated(&how, lanes, sum, vload_first(lanes, p->w + j), p->v ? p->v + j : 0, p->s ? p->s + j : 0);
        if (stream && i + L <= last) OP(stream)(p->w + j, x);
        else vstore_first(lanes, p->w + j, x);
    }
}

static void update_share(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count, int stream) {
    for (int64_t l = 0; l < plan->layer_count; l++) {
        const nerva_plan_layer *layer = &plan->layers[l];
        const parameters weights = {layer->values, layer->velocity, layer->second, layer->gradient, layer->W->nnz,
                                    layer->update};
        const parameters bias = {layer->bias, layer->bias_velocity, layer->bias_second, layer->bias_gradient,
                                 layer->W->rows, layer->bias_update};
        update_within(&weights, own, sources, count, stream);
        update_within(&bias, own, sources, count, stream);
    }
}

/* What a thread does of a step. */
static void step_share(const nerva_plan *plan, int thread, int team) {
    /* Where groups are single slices, one thread adds them all in one buffer: the order of additions is the same. */
    const int onward = ONE_PART && team == 1 && plan->slice_count == plan->group_count;
    const nerva_range groups = share(plan->group_count, 1, thread, team);
    const nerva_range own = share(plan->gradient_size, LINE, thread, team);
    const nerva_range none = {plan->gradient_size, plan->gradient_size};
    const R *sources[MOST_GROUPS];
    stopwatch watch = {thread ? 0 : plan->nanoseconds, plan->nanoseconds ? now() : 0};
    for (int64_t g = groups.first; g < groups.last; g++) {
        R *G = team > 1 ? plan->gradients[thread] : plan->mailboxes[onward ? 0 : g];
        for (int64_t s = plan->groups[g]; s < plan->groups[g + 1]; s++)
            train_slice(plan, s, plan->arenas[thread], G, (onward && g > 0) || s > plan->groups[g], &watch);
        if (team > 1) post(G, plan->mailboxes[g], plan->gradient_size, g == groups.last - 1 ? own : none);
    }
    _mm_sfence(); /* streamed stores are not ordered by the barrier */
#pragma omp barrier
    for (int64_t g = 0; g < plan->group_count; g++)
        sources[g] = team > 1 && g == groups.last - 1 ? plan->gradients[thread] : plan->mailboxes[g];
    update_share(plan, own, sources, onward ? 1 : plan->group_count, team > 1);
    _mm_sfence();
    lap(&watch, update_phase(plan));
}

static int64_t work_of(const nerva_plan *plan) {
    int64_t work = 0;
    for (int64_t l = 0; l < plan->layer_count; l++) work += plan->layers[l].W->nnz + plan->layers[l].W->rows;
    return work * plan->N;
}

void NAME(plan_step)(const nerva_plan *plan, int threads) {
    const int most = threads < plan->group_count ? threads : (int)plan->group_count;
    const nerva_team team = nerva_team_begin(most, work_of(plan));
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        step_share(plan, omp_get_thread_num(), omp_get_num_threads());
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

void NAME(plan_forward)(const nerva_plan *plan, int threads, nerva_matrix Y) {
    const int most = threads < plan->slice_count ? threads : (int)plan->slice_count;
    const nerva_team team = nerva_team_begin(most, work_of(plan));
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const int thread = omp_get_thread_num();
        const nerva_range slices = share(plan->slice_count, 1, thread, omp_get_num_threads());
        R *arena = plan->arenas[thread];
        for (int64_t s = slices.first; s < slices.last; s++) {
            const int64_t first = plan->columns[s], n = plan->columns[s + 1] - first, top = plan->layer_count - 1;
            nerva_matrix X = gather_slice(plan, first, n, arena);
            for (int64_t l = 0; l < top; l++) X = forward(plan, l, X, n, at(arena, plan->outputs[l], row_size(n)));
            forward(plan, top, X, n, at(Y.data, first, Y.ld));
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
