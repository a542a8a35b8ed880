/* The activation functions and their derivatives on vectors, chosen by a constant so that each loop holds one only. */
#ifndef NERVA_ACTIVATION_H
#define NERVA_ACTIVATION_H

#include "simd.h"
#include "table.h"

INLINE V activate(const int activation, V z, V alpha) {
    switch (activation) {
    case NERVA_RELU: return vmax(vzero(), z);
    case NERVA_LEAKY_RELU: return vselect_positive(z, z, vmul(alpha, z));
    case NERVA_TANH: return vtanh(z);
    case NERVA_SIGMOID: return vsigmoid(z);
    default: return z;
    }
}

/* dy f'(z), where y = f(z). At z = 0 the derivative of the ReLU family is the one from below. */
INLINE V activate_backward(const int activation, V dy, V y, V alpha) {
    switch (activation) {
    case NERVA_RELU: return vselect_positive(y, dy, vzero());
    case NERVA_LEAKY_RELU: return vselect_positive(y, dy, vmul(alpha, dy));
    case NERVA_TANH: return vmul(dy, vfnma(y, y, vset(1)));
    case NERVA_SIGMOID: return vmul(dy, vmul(y, vsub(vset(1), y)));
    default: return dy;
    }
}

/* Runs CALL(activation) with the activation as a constant. */
#define NERVA_WITH_ACTIVATION(activation, CALL) \
    switch (activation) {                       \
    case NERVA_RELU: CALL(NERVA_RELU); break;   \
    case NERVA_LEAKY_RELU: CALL(NERVA_LEAKY_RELU); break; \
    case NERVA_TANH: CALL(NERVA_TANH); break;   \
    case NERVA_SIGMOID: CALL(NERVA_SIGMOID); break; \
    default: CALL(NERVA_IDENTITY); break;       \
    }

#endif
