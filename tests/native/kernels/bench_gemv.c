/* bench_gemv.c - fully connected layers beside plain reading of as many bytes, in one run, by one thread and by two.
 *
 *   bench_gemv [small]        "small" forbids large pages for the weights
 * "memory" walks through 256 MiB of copies of the weights, so that each comes from DRAM; "cache" uses one copy over and
 * over. Rounds are interleaved; the table shows medians with their range and the share of the reading rate. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#define _mm_pause() ((void)0)
#endif

#include "u8s8_case.h"

enum { ROUNDS = 9, KERNELS = 3 };
static const size_t WALK = (size_t)256 << 20, HUGE_PAGE = (size_t)2 << 20;

typedef struct bench {
  vt_case c;
  const mx_kernel *kernel; /* NULL: reading alone */
  size_t bytes, step, copies;
  uint8_t *weights; /* `copies` times packed */
  void *scratch[2];
  size_t at;
  double us[ROUNDS];
} bench;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void pin(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
}

static uint8_t *map(size_t bytes, int small) {
  uint8_t *p =
      (uint8_t *)mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) abort();
  p = (uint8_t *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
  madvise(p, bytes, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  return p;
}

/* Four lines at a time, or-ed into as many registers. */
static void read_bytes(const uint8_t *p, size_t bytes) {
#if defined(__x86_64__)
  for (const uint8_t *end = p + bytes / 256 * 256; p < end; p += 256)
    __asm__ volatile(
        "vpord %0, %%zmm0, %%zmm0\nvpord 64%0, %%zmm1, %%zmm1\nvpord 128%0, %%zmm2, %%zmm2\n"
        "vpord 192%0, %%zmm3, %%zmm3" ::"m"(*p)
        : "xmm0", "xmm1", "xmm2", "xmm3");
#else
  (void)p, (void)bytes;
#endif
}

static void work(bench *b, int part, int parts) {
  const uint8_t *weights = b->weights + b->at * b->step;
  if (!b->kernel) {
    const size_t share = b->bytes / (size_t)parts / 256 * 256;
    read_bytes(weights + share * (size_t)part, share);
    return;
  }
  mx_task t = b->c.task;
  t.insn = &b->c.insn, t.packed = (void *)(uintptr_t)weights, t.scratch = b->scratch[part];
  b->kernel->run(&t, part, parts);
}

/* ---- a partner on the second processor; both spin between the parts */

static bench *_Atomic shared;
static atomic_int started, finished;

static void *partner(void *unused) {
  (void)unused;
  pin(1);
  for (int turn = 1;; turn++) {
    while (atomic_load(&started) < turn) _mm_pause();
    bench *b = atomic_load(&shared);
    if (!b) return NULL;
    work(b, 1, 2);
    atomic_store(&finished, turn);
  }
}

static void run_once(bench *b, int threads) {
  if (threads == 2) {
    atomic_store(&shared, b);
    const int turn = atomic_fetch_add(&started, 1) + 1;
    work(b, 0, 2);
    while (atomic_load(&finished) < turn) _mm_pause();
  } else {
    work(b, 0, 1);
  }
  b->at = (b->at + 1) % b->copies;
}

static void measure(bench *b, int threads, int round) {
  const int repeat = b->copies > 1 ? 3 : 30;
  if (b->copies == 1) run_once(b, threads);
  const double start = now_us();
  for (int k = 0; k < repeat; k++) run_once(b, threads);
  b->us[round] = (now_us() - start) / repeat;
}

static void prepare(bench *b, const mx_kernel *kernel, const u8s8_shape *s, int memory, int small) {
  memset(b, 0, sizeof *b);
  b->kernel = kernel, b->bytes = (size_t)s->c * (size_t)s->o, b->step = b->bytes, b->copies = 1;
  if (kernel) {
    u8s8_case(&b->c, s);
    b->c.task.out[0].zero = 0;
    b->step = (kernel->pack_bytes(&b->c.task) + 63) / 64 * 64;
    const size_t n = kernel->scratch_bytes ? kernel->scratch_bytes(&b->c.task) : 0;
    for (int k = 0; k < 2; k++) b->scratch[k] = aligned_alloc(4096, (n + 8191) / 4096 * 4096);
  }
  if (memory) b->copies = WALK / b->step;
  b->weights = map(b->copies * b->step + 64, small);
  if (kernel)
    kernel->pack(&b->c.task, b->weights);
  else
    memset(b->weights, 1, b->bytes);
  for (size_t k = 1; k < b->copies; k++) memcpy(b->weights + k * b->step, b->weights, b->step);
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(bench *all, int n, const u8s8_shape *s, int memory, int threads) {
  for (int k = 0; k < n; k++) qsort(all[k].us, ROUNDS, sizeof(double), by_value);
  const double read = (double)all[0].bytes / all[0].us[ROUNDS / 2];
  for (int k = 0; k < n; k++) {
    const double us = all[k].us[ROUNDS / 2], rate = (double)all[k].bytes / us;
    printf("%-6s %d rows %4dx%-5d %d threads %9.1f us [%8.1f..%8.1f] %6.1f GB/s %5.2f of reading  %s\n",
           memory ? "memory" : "cache", s->w, s->c, s->o, threads, us, all[k].us[0], all[k].us[ROUNDS - 1],
           rate * 1e-3, rate / read, all[k].kernel ? all[k].kernel->name : "reading");
  }
}

static void compare(const u8s8_shape *s, int memory, int small) {
  static bench all[KERNELS];
  int n = 0;
  prepare(&all[n++], NULL, s, memory, small);
  const mx_kernel *const *k = mx_kernels_of(MX_ISA_AVX512VNNI, s->op);
  for (; k && *k && n < KERNELS; k++) prepare(&all[n++], *k, s, memory, small);
  for (int threads = 1; threads <= 2; threads++) {
    for (int round = 0; round < ROUNDS; round++)
      for (int b = 0; b < n; b++) measure(&all[b], threads, round);
    report(all, n, s, memory, threads);
  }
  for (int b = 0; b < n; b++) {
    munmap(all[b].weights, all[b].copies * all[b].step + 64);
    free(all[b].scratch[0]), free(all[b].scratch[1]);
    vt_end(&all[b].c);
  }
}

int main(int argc, char **argv) {
  const int small = argc > 1 && !strcmp(argv[1], "small");
  if (!mx_isa_supported(MX_ISA_AVX512VNNI)) return 77;
  static const u8s8_shape shapes[] = {
      {MX_OP_CONV, 1, 1, 1, 1280, 1000, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0},
      {MX_OP_CONV, 1, 1, 4, 1280, 1000, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0},
      {MX_OP_CONV, 1, 1, 1, 2048, 8192, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0},
      {MX_OP_CONV, 1, 1, 4, 2048, 2048, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0},
  };
  pthread_t thread;
  pin(0);
  pthread_create(&thread, NULL, partner, NULL);
  for (int k = 0; k < 4; k++)
    for (int memory = k >= 2; memory < 2; memory++) compare(&shapes[k], memory, small);
  atomic_store(&shared, NULL);
  atomic_fetch_add(&started, 1);
  return pthread_join(thread, NULL);
}
