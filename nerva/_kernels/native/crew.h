/* A crew: the threads of a team that share the rows of a slice of the batch, and wait for each other between its
 * operations. Which thread computes a row changes no bit of it. */
#ifndef NERVA_CREW_H
#define NERVA_CREW_H

#include <immintrin.h>
#include <sched.h>
#include <stdint.h>

/* A cache line of its own: `arrived` threads wait for turn number `turn` to end. */
typedef struct {
    _Alignas(64) int32_t arrived, turn;
} nerva_barrier;

typedef struct {
    int number, thread, size; /* of the crew, of this thread within it, and how many these are */
    nerva_barrier *barrier;
} nerva_crew;

/* How often to look whether a turn has ended before another thread may have the core. */
enum { NERVA_LOOKS = 1000 };

/* All writes of a crew's threads before it are seen by all of them after it, streamed ones excepted. */
static inline void crew_wait(const nerva_crew *crew) {
    if (crew->size == 1) return;
    nerva_barrier *barrier = crew->barrier;
    const int32_t turn = __atomic_load_n(&barrier->turn, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == crew->size) {
        __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED); /* before the next turn, in which threads arrive */
        __atomic_store_n(&barrier->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int looks = 0; __atomic_load_n(&barrier->turn, __ATOMIC_ACQUIRE) == turn; looks++) {
        if (looks < NERVA_LOOKS) _mm_pause();
        else sched_yield();
    }
}

/* The crew of a thread, where a team splits into so many of them, as equal as can be; threads of one are neighbours. */
static inline nerva_crew crew_of(int crews, int thread, int team, nerva_barrier *barriers) {
    const int number = thread * crews / team;
    const int first = (number * team + crews - 1) / crews, end = ((number + 1) * team + crews - 1) / crews;
    return (nerva_crew){number, thread - first, end - first, barriers + number};
}

#endif
