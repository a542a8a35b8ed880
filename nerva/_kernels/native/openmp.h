/* See openmp.c. */
#ifndef NERVA_OPENMP_H
#define NERVA_OPENMP_H

/* Whether Intel's OpenMP runtime, or another one with its interface, answers the calls of this module: MKL's Intel
 * threading layer, which is loaded on first use, and binds to what is visible in the process, uses the same then. */
__attribute__((visibility("hidden"))) int nerva_openmp_is_intel(void);

/* The file of the runtime, or NULL. */
__attribute__((visibility("hidden"))) const char *nerva_openmp_file(void);

#endif
