/* The normal distribution, for GELU: its density and its distribution function on vectors. */
#ifndef NERVA_NORMAL_H
#define NERVA_NORMAL_H

#include "simd.h"

/* Below -NORMAL_END the distribution function is taken as zero: it is subnormal there, or nearly so. */
#ifdef NERVA_REAL_F32
#define NORMAL_END 13.f
#else
#define NORMAL_END 37.5
#endif

/* The density phi(z) = e^(-z^2/2) / sqrt(2 pi) and the distribution function Phi(z), for |z| up to NORMAL_END.
 *
 * With x = |z| / sqrt 2 and t = 2 / (2 + x), Phi(-|z|) = e^(-x^2) t p(t) / 2 with a smooth p: a polynomial, fitted at
 * Chebyshev nodes for low <= t <= 1, with a relative error of 6e-9 (float) and 3e-15 (double). It is evaluated in s, t
 * mapped to [-1, 1]. */
INLINE V vnormal(V z, V *density) {
#ifdef NERVA_REAL_F32
    static const R p[] = {
        4.79673303e-06f, 6.59327996e-06f, -6.31834231e-05f, 2.62505154e-06f, 0.000581693481f, -0.000593434402f,
        -0.00606820806f, 0.00579419183f, 0.101285563f, 0.325730865f, 0.573318499f};
    const R low = 0.17f;
#else
    static const R p[] = {
        1.1352423022728202e-09, -4.0327619320908439e-09, -2.202150005994634e-09, 3.0101898464692301e-08,
        -3.9894166155736503e-08, -6.3722711641058852e-08, 2.8494282253357536e-07, -2.8230301247403511e-07,
        -7.0816853351825991e-07, 2.7316689572457899e-06, -1.7939790156655721e-06, -1.066186030163543e-05,
        2.8115665361354305e-05, 1.4305858913251865e-05, -0.00018672977289438508, 0.00014538985312187398,
        0.0011151453195358491, -0.0018102603070810476, -0.0088620701005627765, 0.012269550120779897,
        0.12433925122973534, 0.3381513602943676, 0.53480645015245543};
    const R low = 0.068;
#endif
    const V magnitude = vmax(z, vsub(vzero(), z));
    const V bell = vexp(vmul(vset((R)-0.5), vmul(z, z)));
    const V t = vdiv(vset(2), vfma(vset((R)0.70710678118654752440), magnitude, vset(2)));
    const V s = vfma(t, vset(2 / (1 - low)), vset(-(1 + low) / (1 - low)));
    V sum = vset(p[0]);
    for (unsigned i = 1; i < sizeof p / sizeof *p; i++) sum = vfma(sum, s, vset(p[i]));
    const V tail = vmul(vset((R)0.5), vmul(bell, vmul(t, sum)));
    *density = vmul(vset((R)0.39894228040143267794), bell);
    return vselect_positive(z, vsub(vset(1), tail), tail);
}

#endif
