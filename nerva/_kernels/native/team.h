/* How many threads a kernel gets: all it may have, but one alone where that is faster. No number of them shows in a
 * result, so it may change from call to call. */
#ifndef NERVA_TEAM_H
#define NERVA_TEAM_H

#include <stdint.h>

#include "simd.h"

typedef struct {
    int size;
    int64_t limit; /* the time, in nanoseconds of the clock, at which the work is late */
} nerva_team;

/* A team for so many multiplications, or elements touched; it must be dismissed when the work is done. */
nerva_team NAME(muster)(int threads, int64_t work);
void NAME(dismiss)(nerva_team team);

#endif
