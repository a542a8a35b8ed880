/* The number of threads of a kernel: all that it may use, or one where one is faster. No result depends on it, so it
 * may change from call to call. */
#ifndef NERVA_TEAM_H
#define NERVA_TEAM_H

#include <stdint.h>

typedef struct {
    int size;
    int64_t deadline; /* nanoseconds of the monotonic clock: a team that ends later was late */
} nerva_team;

/* Begin a team of at most `threads` for so many multiplications, or elements touched; end it after its work. */
nerva_team nerva_team_begin(int threads, int64_t work);
void nerva_team_end(nerva_team team);

#endif
