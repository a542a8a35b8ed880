/* The parameters of a compiled network: masks before a step, gradients between the threads, and updates. */
#include "plan_gradients.h"
#include "update_rules.h"

/* Set the masked values of weights with DropConnect. */
void NAME(plan_mask_weights)(const nerva_plan *plan, int thread, int team) {
    for (int64_t p = 0; p < plan->parameter_count; p++) {
        const nerva_plan_parameter *of = &plan->parameters[p];
        if (!of->masked) continue;
        const int64_t rows = of->size / NERVA_MASKED_ROW, rest = of->size % NERVA_MASKED_ROW;
        const nerva_matrix from = {of->values, NERVA_MASKED_ROW}, to = {of->masked, NERVA_MASKED_ROW};
        NAME(dropout_share)(rows, NERVA_MASKED_ROW, from, of->key, 0, 0, of->rate, to, thread, team);
        if (rest && thread == team - 1) {
            const int64_t done = rows * NERVA_MASKED_ROW;
            NAME(dropout_share)(1, rest, (nerva_matrix){(R *)of->values + done, rest}, of->key, rows, 0, of->rate,
                                (nerva_matrix){(R *)of->masked + done, rest}, 0, 1);
        }
    }
}

INLINE void stream(const R *from, R *to, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += L) OP(stream)(to + i, vload(from + i));
}

/* Stream a range of gradients to the mailbox, but not those within `kept`, which no other crew will read. */
void NAME(plan_post)(const void *from, void *to, nerva_range posted, nerva_range kept) {
    stream(from, to, posted.first, posted.last < kept.first ? posted.last : kept.first);
    stream(from, to, posted.first > kept.last ? posted.first : kept.last, posted.last);
}

/* The update of those whose gradients lie within `own`, by their gradients times a factor. */
static void update_within(const nerva_plan_parameter *of, nerva_range own, const R *const sources[], int64_t count,
                          R factor, int stream) {
    const nerva_range within = gradients_within(of, own);
    const int64_t first = within.first, last = within.last;
    if (first >= last) return;
    R *const w = of->values;
    const weight_state state = state_of(of);
    if ((uintptr_t)w % 64) stream = 0; /* streamed stores are aligned; an array that was unpickled may not be */
    const vector_update how = prepare_update(of);
    gradient_reader gradients = reader_of(of, sources, count);
    for (int64_t i = first; i < last; i += L) {
        const M lanes = vfirst(last - i < L ? last - i : L);
        const int64_t j = i - of->gradient;
        V gradient = gradients_at(&gradients, i);
        if (factor != 1) gradient = vmul(gradient, vset(factor));
        const V x = updated(&how, lanes, gradient, vload_first(lanes, w + j), state_at(state, j));
        if (stream && i + L <= last) OP(stream)(w + j, x);
        else vstore_first(lanes, w + j, x);
    }
}

void NAME(plan_update)(const nerva_plan *plan, nerva_range own, const R *const sources[], int64_t count, R factor,
                       int stream) {
    for (int64_t p = 0; p < plan->parameter_count; p++)
        if (!plan->parameters[p].fused) update_within(&plan->parameters[p], own, sources, count, factor, stream);
}
