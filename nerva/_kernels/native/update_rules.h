/* One optimizer step on a SIMD vector of weights. */
#ifndef NERVA_UPDATE_RULES_H
#define NERVA_UPDATE_RULES_H

#include "simd.h"
#include "table.h"

typedef struct {
    int rule, clips;
    V minus_rate, momentum, decay;
    V fresh, second, fresh_second, epsilon, root, minus_shrink, clip; /* fresh: 1 - momentum */
    nerva_ages ages;
} vector_update;

/* What is kept of each weight, NULL where nothing is: velocity, second moment, and the steps that were before it. */
typedef struct {
    R *v, *s;
    const int32_t *born;
} weight_state;

INLINE weight_state state_of(const nerva_plan_parameter *of) {
    return (weight_state){of->velocity, of->second, of->ages.born};
}

/* From weight j on. */
INLINE weight_state state_at(weight_state all, int64_t j) {
    return (weight_state){all.v ? all.v + j : 0, all.s ? all.s + j : 0, all.born ? all.born + j : 0};
}

INLINE vector_update prepare_update(const nerva_plan_parameter *of) {
    const nerva_update *update = of->update;
    return (vector_update){
        .rule = update->rule,
        .clips = update->clip > 0,
        .minus_rate = vset((R)-update->rate),
        .momentum = vset((R)update->momentum),
        .decay = vset((R)update->decay),
        .fresh = vset((R)(1 - update->momentum)),
        .second = vset((R)update->second),
        .fresh_second = vset((R)(1 - update->second)),
        .epsilon = vset((R)update->epsilon),
        .root = vset((R)update->root),
        .minus_shrink = vset((R)-update->shrink),
        .clip = vset((R)update->clip),
        .ages = of->ages,
    };
}

/* RMSprop, Adam, AdamW and Lion. Not inlined: kernels would contain them many times. */
static __attribute__((noinline, unused)) V adaptive_step(const vector_update *update, M lanes, V gradient, V x, R *v,
                                                         R *s, const int32_t *born) {
    V move, minus_rate = update->minus_rate;
    if (update->rule == NERVA_LION) {
        const V speed = vload_first(lanes, v), c = vfma(update->momentum, speed, vmul(update->fresh, gradient));
        const V sign = vselect_positive(c, vset(1), vselect_greater(vzero(), c, vset(-1), vadd(c, c)));
        x = vfma(update->minus_shrink, x, x);
        vstore_first(lanes, v, vfma(update->second, speed, vmul(update->fresh_second, gradient)));
        move = sign;
    } else {
        V d = gradient;
        if (update->rule == NERVA_ADAMW) x = vfma(update->minus_shrink, x, x);
        else d = vfma(update->decay, x, gradient);
        const V square = vfma(update->second, vload_first(lanes, s), vmul(update->fresh_second, vmul(d, d)));
        vstore_first(lanes, s, square);
        if (update->rule == NERVA_RMSPROP) {
            move = vdiv(d, vadd(vsqrt(square), update->epsilon));
            if (v) {
                move = vfma(update->momentum, vload_first(lanes, v), move);
                vstore_first(lanes, v, move);
            }
        } else {
            const V speed = vfma(update->momentum, vload_first(lanes, v), vmul(update->fresh, d));
            vstore_first(lanes, v, speed);
            V root = update->root;
            if (born) {
                const nerva_ages *ages = &update->ages;
                V first;
                vlookup_pairs(ages->corrections, vages(lanes, born, ages->t, ages->oldest), &first, &root);
                minus_rate = vmul(vset((R)-ages->rate), first);
            }
            move = vdiv(speed, vfma(root, vsqrt(square), update->epsilon));
        }
    }
    return vfma(minus_rate, move, x);
}

/* The weights x after the step, to be stored by the caller; their moments are updated in memory. */
INLINE V updated(const vector_update *update, M lanes, V gradient, V x, weight_state state) {
    if (update->clips) gradient = vmin(update->clip, vmax(vsub(vzero(), update->clip), gradient));
    if (update->rule > NERVA_NESTEROV) return adaptive_step(update, lanes, gradient, x, state.v, state.s, state.born);
    V d = vfma(update->decay, x, gradient);
    if (update->rule != NERVA_SGD) {
        const V speed = vfma(update->momentum, vload_first(lanes, state.v), d);
        vstore_first(lanes, state.v, speed);
        d = update->rule == NERVA_NESTEROV ? vfma(update->momentum, speed, d) : speed;
    }
    return vfma(update->minus_rate, d, x);
}

INLINE void step(const vector_update *update, M lanes, V gradient, R *w, weight_state state) {
    vstore_first(lanes, w, updated(update, lanes, gradient, vload_first(lanes, w), state));
}

#endif
