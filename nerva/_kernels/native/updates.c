/* Optimizer steps on flat vectors of weights. */
#include "parallel.h"
#include "update_rules.h"

void NAME(update)(int64_t n, const void *gradient, const nerva_update *update, int threads, void *velocity,
                  void *second, void *weights) {
    const R *g = gradient;
    R *v = velocity, *s = second, *w = weights;
    const nerva_team team = nerva_team_begin(threads, n);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const int thread = omp_get_thread_num(), size = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(n, L, thread, size);
        const vector_update how = prepare_update(update);
        for (int64_t i = own.first; i < own.last; i += L) {
            const M lanes = vfirst(own.last - i < L ? own.last - i : L);
            step(&how, lanes, vload_first(lanes, g + i), w + i, v ? v + i : 0, s ? s + i : 0);
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
