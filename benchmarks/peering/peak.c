/* peak.c - prints the vpdpbusd peak of one core in GOPS (2 per multiply-accumulate), best of many short runs.
 *
 * Twelve independent accumulators hide the latency of the instruction. In asm, because compilers spill the accumulators
 * of the intrinsic's loop. */
#include <stdio.h>
#include <time.h>

enum { LOOPS = 20000, ACCUMULATORS = 12, OPERATIONS = 128, RUNS = 40 };

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define DOT(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"

static void run(void) {
  long left = LOOPS;
  __asm__ volatile(".p2align 5\n1:\n\t" DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7) DOT(8) DOT(9)
                       DOT(10) DOT(11) "dec %0\n\tjnz 1b\n"
                   : "+r"(left)
                   :
                   : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                     "xmm10", "xmm11");
}

int main(void) {
  if (!__builtin_cpu_supports("avx512vnni")) return 1;
  double best = 1e9;
  for (int i = 0; i < RUNS; i++) {
    double start = seconds();
    run();
    double taken = seconds() - start;
    if (taken < best) best = taken;
  }
  printf("%.3f\n", (double)LOOPS * ACCUMULATORS * OPERATIONS / best * 1e-9);
  return 0;
}
