/* A team waits for its last thread. Where another program keeps one of the cores busy, that thread may be asleep for
 * milliseconds, and a kernel of microseconds with it. So when a team comes in late, one thread works alone for a while. */
#include "team.h"

#include <time.h>

/* Below this much work, waking a second thread costs more than it saves. */
#define SERIAL 16384

/* When a team is late: no kernel takes so long for so little, not even alone. All in nanoseconds. */
#define LATE_FROM 1500000
#define LATE_EACH 1.0

/* How long one thread then works alone: twice as long each time, and less again with every team in time. */
#define ALONE_LEAST 16000000
#define ALONE_MOST 512000000

/* Shared by all threads that call kernels; where two write at once, either is as good. */
static int64_t alone_until, alone_for = ALONE_LEAST;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

nerva_team NAME(muster)(int threads, int64_t work) {
    if (threads == 1 || work < SERIAL) return (nerva_team){1, 0};
    const int64_t time = now();
    if (time < __atomic_load_n(&alone_until, __ATOMIC_RELAXED)) return (nerva_team){1, 0};
    return (nerva_team){threads, time + LATE_FROM + (int64_t)(LATE_EACH * work)};
}

void NAME(dismiss)(nerva_team team) {
    if (team.size == 1) return;
    const int64_t time = now(), period = __atomic_load_n(&alone_for, __ATOMIC_RELAXED);
    if (time > team.limit) {
        __atomic_store_n(&alone_until, time + period, __ATOMIC_RELAXED);
        __atomic_store_n(&alone_for, 2 * period < ALONE_MOST ? 2 * period : ALONE_MOST, __ATOMIC_RELAXED);
    } else if (period > ALONE_LEAST)
        __atomic_store_n(&alone_for, period - period / 128, __ATOMIC_RELAXED);
}
