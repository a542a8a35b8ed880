/* A step of an optimizer on one vector of weights. */
#ifndef NERVA_UPDATES_H
#define NERVA_UPDATES_H

#include "simd.h"
#include "table.h"

typedef struct {
    int rule;
    V minus_rate, momentum, decay;
} vector_update;

INLINE vector_update prepare_update(const nerva_update *update) {
    return (vector_update){update->rule, vset((R)-update->rate), vset((R)update->momentum), vset((R)update->decay)};
}

INLINE void step(const vector_update *update, M lanes, V gradient, R *w, R *v) {
    const V x = vload_first(lanes, w);
    V d = vfma(update->decay, x, gradient);
    if (update->rule != NERVA_SGD) {
        const V speed = vfma(update->momentum, vload_first(lanes, v), d);
        vstore_first(lanes, v, speed);
        d = update->rule == NERVA_NESTEROV ? vfma(update->momentum, speed, d) : speed;
    }
    vstore_first(lanes, w, vfma(update->minus_rate, d, x));
}

#endif
