/* How long a cache line takes from one core to another and back: two threads, each pinned to its core, count in turns.

   Cores that share an L3 take 50-90 ns, cores of different core complexes or sockets 200-400 ns. */

#include "cores.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { GIVEN_UP = -1 };

typedef struct {
  _Alignas(64) atomic_long count; /* the first core makes it odd, the second even */
  _Alignas(64) long blocks, trips; /* measured; the round trips of one measurement */
  double least;                    /* nanoseconds of a round trip */
} Rally;

static double nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void *measure(void *given) {
  Rally *rally = given;
  long count = 0;
  for (long block = 0; block < rally->blocks; block++) {
    const double started = nanoseconds();
    for (long trip = 0; trip < rally->trips; trip++, count += 2) {
      atomic_store_explicit(&rally->count, count + 1, memory_order_release);
      while (atomic_load_explicit(&rally->count, memory_order_acquire) != count + 2) {}
    }
    const double each = (nanoseconds() - started) / (double)rally->trips;
    if (block == 0 || each < rally->least) rally->least = each;
  }
  return given;
}

static void *answer(void *given) {
  Rally *rally = given;
  const long last = 2 * rally->blocks * rally->trips;
  for (long count = 0; count < last; count += 2) {
    long seen;
    while ((seen = atomic_load_explicit(&rally->count, memory_order_acquire)) != count + 1) {
      if (seen == GIVEN_UP) return given;
    }
    atomic_store_explicit(&rally->count, count + 2, memory_order_release);
  }
  return given;
}

/* Pinned from its start: on the other thread's core it would wait for whole time slices. */
static int start(pthread_t *thread, int core, void *(*work)(void *), Rally *rally) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error) return error;
  error = pthread_attr_setaffinity_np(&attributes, sizeof cores, &cores);
  if (!error) error = pthread_create(thread, &attributes, work, rally);
  pthread_attr_destroy(&attributes);
  return error;
}

/* The least mean of a block of trips, since a thread that is interrupted can only make it longer. */
double nerva_round_trip(int first, int second, long blocks, long trips) {
  Rally rally = {.blocks = blocks, .trips = trips};
  pthread_t near, far;
  int error = start(&far, second, answer, &rally);
  if (error) return -error;
  error = start(&near, first, measure, &rally);
  if (error) atomic_store(&rally.count, GIVEN_UP);
  else pthread_join(near, 0);
  pthread_join(far, 0);
  return error ? -error : rally.least;
}
