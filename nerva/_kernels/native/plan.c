/* A whole network in one parallel region. Each thread takes slices of the batch, from gathering to gradients, so that
 * activations never leave the core that computed them. Only gradients and weights cross between cores, and are streamed
 * past the caches: a store to a line that another core has read waits for that core. Gradients go to a mailbox for each
 * group of slices; after a barrier they are added in the order of the groups, and each thread updates a share of the
 * weights. Slices and groups depend on the batch alone, and so do the bits of the result. */
#include <time.h>

#include "plan.h"

enum { MOST_GROUPS = 8 };

/* Whether the kernels take a slice in one part: then g + (sum of a slice) is rounded as a sum that begins with g. */
#ifdef NERVA_AVX512
enum { ONE_PART = 1 };
#else
enum { ONE_PART = 0 };
#endif

/* The time since the last phase ended, added to this one; `nanoseconds` is NULL where nothing is timed. */
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

/* The stages of a step: operations 0 to count - 1 forward, the loss, and operations backward from the last one to
 * `first_trained`. Their phases in `nanoseconds` follow that of gathering. */
INLINE int64_t stage_count(const nerva_plan *plan) { return 2 * plan->count + 1 - plan->first_trained; }
INLINE int64_t update_phase(const nerva_plan *plan) { return 2 * plan->count + 2; }

static void train_slice(const nerva_slice *slice, stopwatch *watch) {
    const nerva_plan *plan = slice->plan;
    NAME(plan_gather)(slice);
    lap(watch, 0);
    for (int64_t stage = 0; stage < stage_count(plan); stage++) {
        const nerva_operation *of = &plan->operations[stage];
        if (stage < plan->count)
            NAME(plan_forward_operation)(slice, of, inputs_of(slice, stage), at(slice, of->output));
        else if (stage == plan->count) NAME(plan_loss)(slice);
        else NAME(plan_backward_operation)(slice, 2 * plan->count - stage);
        lap(watch, 1 + stage);
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
    if (plan->masks) {
        WIDE(plan_mask_weights)(plan, thread, team);
#pragma omp barrier
    }
    for (int64_t g = groups.first; g < groups.last; g++) {
        R *G = team > 1 ? plan->gradients[thread] : plan->mailboxes[onward ? 0 : g];
        for (int64_t s = plan->groups[g]; s < plan->groups[g + 1]; s++) {
            const int add = (onward && g > 0) || s > plan->groups[g];
            const nerva_slice slice = slice_of(plan, s, plan->arenas[thread], G, add);
            train_slice(&slice, &watch);
        }
        if (team > 1)
            WIDE(plan_post)(G, plan->mailboxes[g], plan->gradient_size, g == groups.last - 1 ? own : none);
    }
    _mm_sfence(); /* streamed stores are not ordered by the barrier */
#pragma omp barrier
    for (int64_t g = 0; g < plan->group_count; g++)
        sources[g] = team > 1 && g == groups.last - 1 ? plan->gradients[thread] : plan->mailboxes[g];
    WIDE(plan_update)(plan, own, sources, onward ? 1 : plan->group_count, team > 1);
    _mm_sfence();
    lap(&watch, update_phase(plan));
}

static int64_t work_of(const nerva_plan *plan) {
    int64_t work = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        const nerva_operation *of = &plan->operations[i];
        work += of->rows + (of->kind == NERVA_PRODUCT ? of->W->nnz : 0);
    }
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

/* Nothing is dropped when a network is evaluated. */
INLINE int is_evaluated(const nerva_operation *of) { return of->kind != NERVA_DROPOUT; }

void NAME(plan_forward)(const nerva_plan *plan, int threads, nerva_matrix Y) {
    const int most = threads < plan->slice_count ? threads : (int)plan->slice_count;
    const nerva_team team = nerva_team_begin(most, work_of(plan));
    int64_t last = plan->count - 1;
    while (!is_evaluated(&plan->operations[last])) last--;
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        const int thread = omp_get_thread_num();
        const nerva_range slices = share(plan->slice_count, 1, thread, omp_get_num_threads());
        for (int64_t s = slices.first; s < slices.last; s++) {
            const nerva_slice slice = slice_of(plan, s, plan->arenas[thread], 0, 0);
            const nerva_matrix outputs = {(R *)Y.data + slice.first, Y.ld};
            nerva_matrix X = NAME(plan_gather)(&slice);
            for (int64_t i = 0; i <= last; i++) {
                const nerva_operation *of = &plan->operations[i];
                if (!is_evaluated(of)) continue;
                const nerva_matrix to = i < last ? at(&slice, of->output) : outputs;
                NAME(plan_forward_operation)(&slice, of, X, to);
                X = to;
            }
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
