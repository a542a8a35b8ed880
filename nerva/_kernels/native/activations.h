/* Activation functions and their derivatives on vectors. The activation is a constant: each has its own loop. */
#ifndef NERVA_ACTIVATIONS_H
#define NERVA_ACTIVATIONS_H

#include "normal.h"
#include "simd.h"
#include "table.h"

/* Beyond it, a sigmoid rounds to 0 or 1. */
#define SIGMOID_END ((R)(sizeof(R) == 4 ? 88 : 709))
/* The input at which the argument of GELU's tanh reaches SIGMOID_END, or nearly so. */
#define GELU_TANH_END ((R)(sizeof(R) == 4 ? 10 : 21))

INLINE V vclamp(V z, R end) { return vmax(vset(-end), vmin(vset(end), z)); }

/* a = sqrt(8/pi) (z + 0.044715 z^3): the tanh approximation of GELU is z sigmoid(a). */
INLINE V gelu_tanh_argument(V z) {
    return vmul(vmul(vset((R)1.59576912160573071176), z), vfma(vset((R)0.044715), vmul(z, z), vset(1)));
}

INLINE V activate(const int activation, V z, V alpha) {
    V density;
    switch (activation) {
    case NERVA_RELU: return vmax(vzero(), z);
    case NERVA_LEAKY_RELU: case NERVA_ALL_RELU: return vselect_positive(z, z, vmul(alpha, z));
    case NERVA_TANH: return vtanh(z);
    case NERVA_SIGMOID: return vsigmoid(z);
    /* The next three are z times a factor from 0 to 1, which is set to 0 before it becomes subnormal. */
    case NERVA_GELU:
        return vselect_greater(vset(-NORMAL_END), z, vzero(), vmul(z, vnormal(vclamp(z, NORMAL_END), &density)));
    case NERVA_GELU_TANH:
        return vselect_greater(vset(-GELU_TANH_END), z, vzero(),
                               vmul(z, vsigmoid(gelu_tanh_argument(vclamp(z, GELU_TANH_END)))));
    case NERVA_SILU: return vselect_greater(vset(-SIGMOID_END), z, vzero(), vmul(z, vsigmoid(z)));
    case NERVA_TRELU: return vselect_greater(alpha, z, vzero(), z);
    default: return z;
    }
}

/* dy f'(z), where y = f(z), or y = z from NERVA_GELU on. At z = 0 the ReLU family has its left derivative. */
INLINE V activate_backward(const int activation, V dy, V y, V alpha) {
    V density, s;
    switch (activation) {
    case NERVA_RELU: return vselect_positive(y, dy, vzero());
    case NERVA_TRELU: return vselect_greater(alpha, y, vzero(), dy);
    case NERVA_LEAKY_RELU: case NERVA_ALL_RELU: return vselect_positive(y, dy, vmul(alpha, dy));
    case NERVA_TANH: return vmul(dy, vfnma(y, y, vset(1)));
    case NERVA_SIGMOID: return vmul(dy, vmul(y, vsub(vset(1), y)));
    case NERVA_GELU:
        y = vclamp(y, NORMAL_END);
        s = vnormal(y, &density);
        return vmul(dy, vfma(y, density, s));
    case NERVA_GELU_TANH:
        y = vclamp(y, GELU_TANH_END);
        s = vsigmoid(gelu_tanh_argument(y));
        y = vmul(vmul(vset((R)1.59576912160573071176), y), vfma(vset((R)(3 * 0.044715)), vmul(y, y), vset(1)));
        return vmul(dy, vfma(y, vmul(s, vsub(vset(1), s)), s));
    case NERVA_SILU:
        y = vclamp(y, SIGMOID_END);
        s = vsigmoid(y);
        return vmul(dy, vfma(y, vmul(s, vsub(vset(1), s)), s));
    default: return dy;
    }
}

/* CALL(activation) with the activation as a constant: one of those computed from Y, which can be fused. */
#define NERVA_WITH_FUSED_ACTIVATION(activation, CALL) \
    switch (activation) { \
    case NERVA_RELU: CALL(NERVA_RELU); break; \
    case NERVA_LEAKY_RELU: CALL(NERVA_LEAKY_RELU); break; \
    case NERVA_TANH: CALL(NERVA_TANH); break; \
    case NERVA_SIGMOID: CALL(NERVA_SIGMOID); break; \
    default: CALL(NERVA_IDENTITY); break; \
    }

/* The same for every activation. */
#define NERVA_WITH_ANY_ACTIVATION(activation, CALL) \
    switch (activation) { \
    case NERVA_GELU: CALL(NERVA_GELU); break; \
    case NERVA_GELU_TANH: CALL(NERVA_GELU_TANH); break; \
    case NERVA_SILU: CALL(NERVA_SILU); break;   \
    case NERVA_ALL_RELU: CALL(NERVA_ALL_RELU); break; \
    case NERVA_TRELU: CALL(NERVA_TRELU); break; \
    default: NERVA_WITH_FUSED_ACTIVATION(activation, CALL) \
    }

#endif
