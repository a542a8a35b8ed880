/* Optimizer steps on flat vectors of weights. */
#include "parallel.h"
#include "update_rules.h"

void NAME(update)(const nerva_plan_parameter *of, const void *gradient, int threads) {
    const R *g = gradient;
    R *w = of->values;
    const weight_state state = state_of(of);
    const nerva_team team = nerva_team_begin(threads, of->size);
#pragma omp parallel num_threads(team.size) if (team.size > 1)
    {
        const int thread = omp_get_thread_num(), size = omp_get_num_threads();
        const unsigned mode = flush_subnormals();
        const nerva_range own = share(of->size, L, thread, size);
        const vector_update how = prepare_update(of);
        for (int64_t i = own.first; i < own.last; i += L) {
            const M lanes = vfirst(own.last - i < L ? own.last - i : L);
            step(&how, lanes, vload_first(lanes, g + i), w + i, state_at(state, i));
        }
        _mm_setcsr(mode);
    }
    nerva_team_end(team);
}
