/* What one core of this machine allows: fused multiply-adds in registers, and reads from memory of a given size.

   Vectors as wide as the instruction set compiled for; the caller takes the time. */

#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512F__
#define WIDTH 64
#else
#define WIDTH 32
#endif
#define CHAINS 12 /* more than latency times throughput, and few enough for 16 registers */

typedef float floats __attribute__((vector_size(WIDTH)));
typedef double doubles __attribute__((vector_size(WIDTH)));
typedef int64_t words __attribute__((vector_size(WIDTH)));

/* The bytes of a vector, and the chains of multiply-adds that run side by side. */
int probe_width(void) { return WIDTH; }
int probe_chains(void) { return CHAINS; }

/* CHAINS * n fused multiply-adds of whole vectors; what is returned keeps the compiler from leaving them out. */
#define FMA(NAME, VECTOR, REAL)                                                                                        \
  double NAME(long n) {                                                                                                \
    VECTOR a[CHAINS], x = (VECTOR){0} + (REAL)0.5, y = (VECTOR){0} + (REAL)1e-3;                                       \
    for (int c = 0; c < CHAINS; c++) a[c] = (VECTOR){0} + (REAL)c;                                                     \
    for (long i = 0; i < n; i++) {                                                                                     \
      _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) a[c] = a[c] * x + y;                                   \
      __asm__ volatile("" : "+x"(x), "+x"(y));                                                                         \
    }                                                                                                                  \
    double sum = 0;                                                                                                    \
    for (int c = 0; c < CHAINS; c++) sum += a[c][0];                                                                   \
    return sum;                                                                                                        \
  }

FMA(probe_fma_float, floats, float)
FMA(probe_fma_double, doubles, double)

/* Read `bytes` from an address on a vector's boundary, `times` over; bytes is a multiple of 8 vectors. */
int64_t probe_read(const void *memory, size_t bytes, long times) {
  words sums[8] = {0};
  for (long t = 0; t < times; t++) {
    const words *at = memory, *end = (const words *)((const char *)memory + bytes);
    for (; at < end; at += 8) {
      _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) sums[i] ^= at[i];
    }
    __asm__ volatile("" ::: "memory");
  }
  for (int i = 1; i < 8; i++) sums[0] ^= sums[i];
  return sums[0][0];
}
