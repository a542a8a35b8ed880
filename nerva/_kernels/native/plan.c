/* A whole network in one parallel region. The team of threads splits into crews, as many as there are groups of slices
 * of the batch, at most one for each thread. A crew takes its slices through the whole network, from gathering to
 * gradients, and its threads share the rows of each operation.
 *
 * With many groups a crew is a single thread, whose activations never leave its core. Only gradients and weights cross
 * between cores, and are streamed past the caches: a store to a line that another core has read waits for that core.
 * Gradients go to a mailbox for each group; after a barrier they are added in the order of the groups, and each thread
 * updates a share of the weights. With one group there is one crew and one vector of gradients, and weights take their
 * step where the last slice completes their gradient.
 *
 * Slices and groups depend on the batch and the network alone, and so do the bits of the result. */
#include <time.h>

#include "plan.h"

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
 * `first_trained`. Their phases in `nanoseconds` follow that of gathering. Of two passes, the first ends and the second
 * begins with the stage of the loss, in which outputs are handed out and the gradients by them are taken in. */
INLINE int64_t stage_count(const nerva_plan *plan) { return 2 * plan->count + 1 - plan->first_trained; }
INLINE int64_t first_stage(const nerva_plan *plan) { return plan->passes == NERVA_BACKWARD_PASS ? plan->count : 0; }
INLINE int64_t end_stage(const nerva_plan *plan) {
    return plan->passes == NERVA_FORWARD_PASS ? plan->count + 1 : stage_count(plan);
}
INLINE int64_t update_phase(const nerva_plan *plan) { return 2 * plan->count + 2; }

/* The operation of a stage; that of the loss is none. */
INLINE int64_t operation_of(const nerva_plan *plan, int64_t stage) {
    return stage < plan->count ? stage : 2 * plan->count - stage;
}

INLINE int crew_count(const nerva_plan *plan, int team) {
    return team < plan->group_count ? team : (int)plan->group_count;
}

/* Whether a stage reads statistics of the whole batch, so that all slices must have passed the stages before it. */
INLINE int waits(const nerva_plan *plan, int64_t stage) {
    if (!plan->waits || stage == plan->count) return 0;
    return plan->operations[operation_of(plan, stage)].kind
           == (stage < plan->count ? NERVA_NORMALIZATION : NERVA_STATISTICS);
}

/* Whether a value of a sample was found not to be finite. Asked once all threads that may set it have been waited for, so
 * that all of them return, or none. */
INLINE int is_broken(const nerva_plan *plan) {
    return plan->broken && __atomic_load_n(plan->broken, __ATOMIC_RELAXED);
}

/* The stages [from, to) of a slice. */
static void run_stages(const nerva_slice *slice, int64_t from, int64_t to, stopwatch *watch) {
    const nerva_plan *plan = slice->plan;
    if (from == 0) {
        NAME(plan_gather)(slice, at(slice, 0));
        crew_wait(&slice->crew);
        lap(watch, 0);
        if (plan->group_count == 1 && is_broken(plan)) return; /* before a step within the backward pass */
    }
    for (int64_t stage = from; stage < to; stage++) {
        const int64_t i = operation_of(plan, stage);
        if (stage < plan->count)
            NAME(plan_forward_operation)(slice, &plan->operations[i], inputs_of(slice, i),
                                         at(slice, plan->operations[i].output));
        else if (stage > plan->count) NAME(plan_backward_operation)(slice, i);
        else if (plan->passes == NERVA_WHOLE_STEP) NAME(plan_loss)(slice);
        else NAME(plan_exchange)(slice);
        crew_wait(&slice->crew);
        lap(watch, 1 + stage);
    }
}

/* The gradients of the parameters that a thread updates. */
INLINE nerva_range own_gradients(const nerva_plan *plan, int thread, int team) {
    return share(plan->updated_size, plan->clip_norm > 0 ? NERVA_NORM_BLOCK : LINE, thread, team);
}

/* What a thread does of a step: its crew and their groups of slices, and where they add up the gradients. */
typedef struct {
    const nerva_plan *plan;
    int thread, team, crews;
    nerva_crew crew;
    /* Where groups are single slices, one thread adds them all in one buffer: the order of additions is the same, but for
     * gradients by sparse samples, which are added entry by entry. */
    int onward;
    int posts; /* whether gradients are added up in a buffer of the crew, then posted to the mailbox of the group */
    nerva_range groups, own; /* `own` are the gradients of the parameters that this thread updates */
} nerva_part;

static nerva_part part_of(const nerva_plan *plan, int thread, int team, nerva_barrier *barriers) {
    const int crews = crew_count(plan, team);
    const nerva_crew crew = crew_of(crews, thread, team, barriers);
    nerva_part part = {.plan = plan, .thread = thread, .team = team, .crews = crews, .crew = crew, .posts = crews > 1,
                       .onward = ONE_PART && team == 1 && plan->slice_count == plan->group_count && !plan->sparse,
                       .groups = share(plan->group_count, 1, crew.number, crews),
                       .own = own_gradients(plan, thread, team)};
    /* Between waits, a crew has the gradients of all its groups at once. */
    if (plan->waits && part.groups.last - part.groups.first > 1) part.posts = 0;
    return part;
}

/* Post the gradients of a group, but for those of its last group that the crew's own threads will read. */
static void post(const nerva_part *part, int64_t group) {
    const nerva_plan *plan = part->plan;
    const nerva_crew *crew = &part->crew;
    const int first = part->thread - crew->thread, last = group == part->groups.last - 1 ? first + crew->size : first;
    const nerva_range kept = {own_gradients(plan, first, part->team).first, own_gradients(plan, last, part->team).first};
    WIDE(plan_post)(plan->gradients[crew->number], plan->mailboxes[group],
                    share(plan->gradient_size, LINE, crew->thread, crew->size), kept);
}

static void train_groups(const nerva_part *part, int64_t from, int64_t to, stopwatch *watch) {
    const nerva_plan *plan = part->plan;
    for (int64_t g = part->groups.first; g < part->groups.last; g++) {
        R *G = part->posts ? plan->gradients[part->crew.number] : plan->mailboxes[part->onward ? 0 : g];
        for (int64_t s = plan->groups[g]; s < plan->groups[g + 1]; s++) {
            const int add = (part->onward && g > 0) || s > plan->groups[g];
            const nerva_slice slice = slice_of(plan, s, plan->keeps ? s : part->crew.number, part->thread, part->crew,
                                               G, add);
            run_stages(&slice, from, to, watch);
        }
        if (part->posts && to == stage_count(plan)) post(part, g);
    }
}

static void step_share(const nerva_plan *plan, int thread, int team, nerva_barrier *barriers) {
    const nerva_part part = part_of(plan, thread, team, barriers);
    const R *sources[MOST_GROUPS];
    stopwatch watch = {thread ? 0 : plan->nanoseconds, plan->nanoseconds ? now() : 0};
    if (plan->masks && plan->passes != NERVA_BACKWARD_PASS) {
        WIDE(plan_mask_weights)(plan, thread, team);
#pragma omp barrier
    }
    if (plan->waits && plan->passes == NERVA_BACKWARD_PASS) NAME(plan_recall_moments)(plan, thread);
    for (int64_t from = first_stage(plan), to; from < end_stage(plan); from = to) {
        for (to = from + 1; to < end_stage(plan) && !waits(plan, to);) to++;
        if (from > first_stage(plan)) {
            const nerva_operation *of = &plan->operations[operation_of(plan, from)];
#pragma omp barrier
            if (is_broken(plan)) return;
            NAME(plan_combine)(plan, of + (of->kind == NERVA_STATISTICS), from < plan->count, thread);
        }
        train_groups(&part, from, to, &watch);
    }
    if (plan->passes == NERVA_FORWARD_PASS) return;
    if (part.crews > 1) {
        _mm_sfence(); /* streamed stores are not ordered by the barrier */
#pragma omp barrier
    }
    if (is_broken(plan)) return;
    for (int64_t g = 0; g < plan->group_count; g++)
        sources[g] = part.posts && g == part.groups.last - 1 ? plan->gradients[part.crew.number] : plan->mailboxes[g];
    const int64_t count = part.onward ? 1 : plan->group_count;
    R factor = 1;
    if (plan->clip_norm > 0) {
        WIDE(plan_add_squares)(plan, part.own, sources, count);
#pragma omp barrier
        factor = WIDE(plan_clip_factor)(plan);
    }
    WIDE(plan_update)(plan, part.own, sources, count, factor, part.crews > 1);
    _mm_sfence();
    lap(&watch, update_phase(plan));
}

static int64_t work_of(const nerva_plan *plan) {
    int64_t work = 0, once = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        const nerva_operation *of = &plan->operations[i];
        if (reads_sparse(plan, of)) once = plan->sparse->nnz * (of->W->nnz / of->W->cols + 1);
        else if (of->kind == NERVA_PRODUCT) work += of->W->nnz;
        work += of->rows;
    }
    return once + work * plan->N;
}

void NAME(plan_step)(const nerva_plan *plan, int threads) {
    const nerva_team team = nerva_team_begin(threads, work_of(plan));
    nerva_barrier barriers[MOST_GROUPS] = {{0}};
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        step_share(plan, omp_get_thread_num(), omp_get_num_threads(), barriers);
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}

/* In evaluation nothing is dropped, and the statistics are known. */
INLINE int is_evaluated(const nerva_operation *of) {
    return of->kind != NERVA_DROPOUT && of->kind != NERVA_STATISTICS;
}

static void forward_share(const nerva_plan *plan, int thread, int team, nerva_barrier *barriers, nerva_matrix Y) {
    const int crews = crew_count(plan, team);
    const nerva_crew crew = crew_of(crews, thread, team, barriers);
    const nerva_range slices = share(plan->slice_count, 1, crew.number, crews);
    int64_t last = plan->count - 1;
    while (!is_evaluated(&plan->operations[last])) last--;
    if (plan->waits) NAME(plan_use_running)(plan, thread);
    for (int64_t s = slices.first; s < slices.last; s++) {
        const nerva_slice slice = slice_of(plan, s, crew.number, thread, crew, 0, 0);
        const nerva_matrix outputs = {(R *)Y.data + slice.first, Y.ld};
        nerva_matrix X = at(&slice, 0);
        NAME(plan_gather)(&slice, X);
        crew_wait(&crew);
        for (int64_t i = 0; i <= last; i++) {
            const nerva_operation *of = &plan->operations[i];
            if (!is_evaluated(of)) continue;
            const nerva_matrix to = i < last ? at(&slice, of->output) : outputs;
            NAME(plan_forward_operation)(&slice, of, X, to);
            crew_wait(&crew);
            X = to;
        }
    }
}

void NAME(plan_forward)(const nerva_plan *plan, int threads, nerva_matrix Y) {
    const nerva_team team = nerva_team_begin(threads, work_of(plan));
    nerva_barrier barriers[MOST_GROUPS] = {{0}};
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const unsigned mode = flush_subnormals();
        forward_share(plan, omp_get_thread_num(), omp_get_num_threads(), barriers, Y);
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
