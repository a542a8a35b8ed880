/* A team waits for its slowest thread. Where another program keeps a core busy, that thread may sleep for milliseconds,
 * and a kernel of microseconds waits as long. So after a late team, kernels run on one thread for a while.
 *
 * This file is compiled once, for any x86-64: its state belongs to all kernels of all instruction sets and types. */
#include "team.h"

#include <time.h>

/* Below this much work, waking a second thread costs more than it saves. */
#define SERIAL 16384

/* A team is late after LATE_FROM + LATE_EACH x work nanoseconds: more than any kernel takes, even on one thread. */
#define LATE_FROM 1500000
#define LATE_EACH 1.0

/* Nanoseconds on one thread after a late team: doubled by each late team, decreased by each team in time. */
#define ALONE_LEAST 16000000
#define ALONE_MOST 512000000

/* Read and written by all threads that call kernels. A lost update is harmless: either value will do. */
static int64_t alone_until, alone_for = ALONE_LEAST;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

nerva_team nerva_team_begin(int threads, int64_t work) {
    if (threads == 1 || work < SERIAL) return (nerva_team){1, 0};
    const int64_t time = now();
    if (time < __atomic_load_n(&alone_until, __ATOMIC_RELAXED)) return (nerva_team){1, 0};
    return (nerva_team){threads, time + LATE_FROM + (int64_t)(LATE_EACH * work)};
}

void nerva_team_end(nerva_team team) {
    if (team.size == 1) return;
    const int64_t time = now(), period = __atomic_load_n(&alone_for, __ATOMIC_RELAXED);
    if (time > team.deadline) {
        __atomic_store_n(&alone_until, time + period, __ATOMIC_RELAXED);
        __atomic_store_n(&alone_for, 2 * period < ALONE_MOST ? 2 * period : ALONE_MOST, __ATOMIC_RELAXED);
    } else if (period > ALONE_LEAST)
        __atomic_store_n(&alone_for, period - period / 128, __ATOMIC_RELAXED);
}
