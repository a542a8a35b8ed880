/* The OpenMP runtime that answers the calls of the kernels: the one that the process sees already, or Intel's. Where
 * PyTorch was imported first, it has made its own libgomp visible; with that, both libraries share one pool of threads.
 * With a pool for each, the threads of one would wait actively, on the cores that the other computes on.
 *
 * Compiled into each module that calls OpenMP, whose calls it answers by tables of addresses. */
#include "openmp.h"

#include <dlfcn.h>
#include <pthread.h>

/* A module is linked with it, so that it is there. */
#define OWN "libiomp5.so"

#define HIDDEN __attribute__((visibility("hidden")))

/* Return type, name, parameters, arguments; first those at which threads wait for each other. */
#define WAITING(DEFINE) \
    DEFINE(void, GOMP_parallel, (void (*region)(void *), void *data, unsigned team, unsigned flags), \
           (region, data, team, flags)) \
    DEFINE(void, GOMP_barrier, (void), ())
#define OTHERS(DEFINE) \
    DEFINE(_Bool, GOMP_loop_nonmonotonic_dynamic_start, \
           (long first, long last, long step, long chunk, long *from, long *to), (first, last, step, chunk, from, to)) \
    DEFINE(_Bool, GOMP_loop_nonmonotonic_dynamic_next, (long *from, long *to), (from, to)) \
    DEFINE(void, GOMP_loop_end_nowait, (void), ()) \
    DEFINE(int, omp_get_max_threads, (void), ()) \
    DEFINE(int, omp_get_num_threads, (void), ()) \
    DEFINE(int, omp_get_thread_num, (void), ()) \
    DEFINE(void, omp_set_num_threads, (int count), (count))
#define FUNCTIONS(DEFINE) WAITING(DEFINE) OTHERS(DEFINE)

#define ADDRESS(type, name, parameters, arguments) type(*name) parameters;
typedef struct {
    FUNCTIONS(ADDRESS)
} runtime_functions;
static runtime_functions runtime;

#define ANSWER(type, name, parameters, arguments) \
    HIDDEN type name parameters; \
    type name parameters { return runtime.name arguments; }
OTHERS(ANSWER)

#ifndef __SANITIZE_THREAD__
WAITING(ANSWER)
#else
/* The thread sanitizer does not see into the runtime: it is told what comes before what. */
void __tsan_acquire(void *address);
void __tsan_release(void *address);

typedef struct {
    void (*region)(void *);
    void *data;
} region_call;

static void run_region(void *data) {
    region_call *call = data;
    __tsan_acquire(call);
    call->region(call->data);
    __tsan_release(call);
}

HIDDEN void GOMP_parallel(void (*region)(void *), void *data, unsigned team, unsigned flags);
void GOMP_parallel(void (*region)(void *), void *data, unsigned team, unsigned flags) {
    region_call call = {region, data};
    __tsan_release(&call);
    runtime.GOMP_parallel(run_region, &call, team, flags);
    __tsan_acquire(&call);
}

HIDDEN void GOMP_barrier(void);
void GOMP_barrier(void) {
    static char barrier;
    __tsan_release(&barrier);
    runtime.GOMP_barrier();
    __tsan_acquire(&barrier);
}
#endif

/* Whether the library has all functions; if so, they answer from now on. */
static int use(void *library) {
    void *found;
#define LOOK_UP(type, name, parameters, arguments) \
    if (!(found = dlsym(library, #name))) return 0; \
    *(void **)&chosen.name = found;
    runtime_functions chosen;
    FUNCTIONS(LOOK_UP)
    runtime = chosen;
    return 1;
}

/* Visible to all that is loaded later: MKL's threading layer, and PyTorch. */
static void use_own(void) { use(dlopen(OWN, RTLD_NOW | RTLD_GLOBAL)); }

static __attribute__((constructor)) void choose(void) {
    if (!use(dlopen(NULL, RTLD_NOW))) use_own();
    else if (!nerva_openmp_is_intel()) pthread_atfork(0, 0, use_own); /* a child of fork has lost libgomp's threads */
}

int nerva_openmp_is_intel(void) {
    Dl_info here, there;
    void *const process = dlopen(NULL, RTLD_NOW), *const fork_call = dlsym(process, "__kmpc_fork_call");
    return fork_call && dladdr(fork_call, &there) && dladdr((void *)runtime.omp_get_max_threads, &here)
           && here.dli_fbase == there.dli_fbase;
}

const char *nerva_openmp_file(void) {
    Dl_info found;
    return dladdr((void *)runtime.omp_get_max_threads, &found) ? found.dli_fname : 0;
}
