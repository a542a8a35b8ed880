/* Optimizer steps on flat vectors of weights, gradients and velocities. */
#include "parallel.h"

void NAME(sgd)(int64_t n, const void *gradient, double rate, double decay, int threads, void *weights) {
    const R *g = gradient;
    R *w = weights;
    threads = useful_threads(threads, n);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(n, L, thread, team);
        const V minus_rate = vset((R)-rate), wd = vset((R)decay);
        for (int64_t i = own.first; i < own.last; i += L) {
            const M lanes = vfirst(own.last - i < L ? own.last - i : L);
            const V x = vload_first(lanes, w + i);
            vstore_first(lanes, w + i, vfma(minus_rate, vfma(wd, x, vload_first(lanes, g + i)), x));
        }
        _mm_setcsr(mode);
    }
}

void NAME(momentum)(int64_t n, const void *gradient, double rate, double momentum, int nesterov, double decay,
                    int threads, void *velocity, void *weights) {
    const R *g = gradient;
    R *v = velocity, *w = weights;
    threads = useful_threads(threads, n);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(n, L, thread, team);
        const V minus_rate = vset((R)-rate), wd = vset((R)decay), mu = vset((R)momentum);
        for (int64_t i = own.first; i < own.last; i += L) {
            const M lanes = vfirst(own.last - i < L ? own.last - i : L);
            const V x = vload_first(lanes, w + i);
            const V d = vfma(wd, x, vload_first(lanes, g + i));
            const V speed = vfma(mu, vload_first(lanes, v + i), d);
            vstore_first(lanes, v + i, speed);
            vstore_first(lanes, w + i, vfma(minus_rate, nesterov ? vfma(mu, speed, d) : speed, x));
        }
        _mm_setcsr(mode);
    }
}
