#include "cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "maccel.h"
#include "status.h"

static const char *const isa_names[MX_ISA_COUNT] = {"scalar", "avx2",    "avxvnni", "avx512vnni",
                                                    "neon",   "neondot", "neoni8mm"};
#define LEVEL(isa) (1u << (isa)) /* sets of levels */

#if defined(__x86_64__) || defined(__i386__)
typedef struct regs {
  uint32_t a, b, c, d;
} regs;

static regs cpuid(uint32_t leaf, uint32_t sub) {
  regs r;
  __asm__ __volatile__("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
  return r;
}

/* Which register files the operating system saves: without its consent AVX instructions trap. */
static uint64_t xcr0(void) {
  uint32_t lo, hi;
  __asm__ __volatile__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (uint64_t)hi << 32 | lo;
}

static int all(uint32_t word, uint32_t mask) { return (word & mask) == mask; }
#define BIT(n) (1u << (n))

static unsigned detect(void) {
  const unsigned scalar = LEVEL(MX_ISA_SCALAR);
  if (cpuid(0, 0).a < 7) return scalar;
  regs one = cpuid(1, 0), seven = cpuid(7, 0);
  const uint32_t osxsave = BIT(27), avx = BIT(28), fma = BIT(12), f16c = BIT(29);
  if (!all(one.c, osxsave | avx | fma | f16c)) return scalar;
  uint64_t state = xcr0();
  if ((state & 0x6) != 0x6) return scalar; /* XMM, YMM */
  const uint32_t bmi1 = BIT(3), avx2 = BIT(5), bmi2 = BIT(8), avxvnni = BIT(4);
  if (!all(seven.b, bmi1 | avx2 | bmi2)) return scalar;
  unsigned found = scalar | LEVEL(MX_ISA_AVX2);
  if (seven.a >= 1 && all(cpuid(7, 1).a, avxvnni)) found |= LEVEL(MX_ISA_AVXVNNI);
  if ((state & 0xe0) != 0xe0) return found; /* opmask, upper ZMM halves, ZMM16..31 */
  const uint32_t f = BIT(16), dq = BIT(17), bw = BIT(30), vl = BIT(31), vnni = BIT(11);
  if (all(seven.b, f | dq | bw | vl) && all(seven.c, vnni)) found |= LEVEL(MX_ISA_AVX512VNNI);
  return found;
}
#elif defined(__aarch64__)
static unsigned detect(void) {
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  const unsigned long asimd = 1ul << 1, dotprod = 1ul << 20, i8mm = 1ul << 13; /* HWCAP_* of the kernel */
  unsigned found = LEVEL(MX_ISA_SCALAR);
  if (!(first & asimd)) return found;
  found |= LEVEL(MX_ISA_NEON);
  if (!(first & dotprod)) return found;
  found |= LEVEL(MX_ISA_NEONDOT);
  return second & i8mm ? found | LEVEL(MX_ISA_NEONI8MM) : found;
}
#else
static unsigned detect(void) { return LEVEL(MX_ISA_SCALAR); }
#endif

static unsigned detected;
static void detect_once(void) { detected = detect(); }

int mx_isa_supported(mx_isa isa) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, detect_once);
  return (unsigned)isa < MX_ISA_COUNT && (detected & LEVEL(isa)) != 0;
}

/* The best supported level up to `most`. */
static mx_isa best_up_to(int most) {
  int isa = most < MX_ISA_COUNT ? most : MX_ISA_COUNT - 1;
  while (isa > MX_ISA_SCALAR && !mx_isa_supported((mx_isa)isa)) isa--;
  return (mx_isa)isa;
}

mx_isa mx_isa_detected(void) { return best_up_to(MX_ISA_COUNT); }

mx_isa mx_isa_below(mx_isa isa) {
  switch (isa) {
    case MX_ISA_AVXVNNI:
    case MX_ISA_AVX512VNNI: return MX_ISA_AVX2;
    case MX_ISA_NEONI8MM: return MX_ISA_NEONDOT;
    case MX_ISA_NEONDOT: return MX_ISA_NEON;
    default: return MX_ISA_SCALAR;
  }
}

/* MACCEL_ISA as a level, or MX_ISA_COUNT when it names none, or the detected level when unset. */
static mx_isa asked_isa(void) {
  const char *text = getenv("MACCEL_ISA");
  if (!text || !*text) return mx_isa_detected();
  int i = 0;
  while (i < MX_ISA_COUNT && strcmp(text, isa_names[i]) != 0) i++;
  return (mx_isa)i;
}

mx_isa mx_isa_active(void) { return best_up_to(asked_isa()); }

int mx_isa_check(mx_isa *out) {
  *out = mx_isa_active();
  MX_RETURN_IF(
      asked_isa() == MX_ISA_COUNT, MACCEL_E_INVALID,
      "MACCEL_ISA is \"%.32s\"; allowed are scalar, avx2, avxvnni, avx512vnni, neon, neondot, neoni8mm",
      getenv("MACCEL_ISA"));
  return MACCEL_OK;
}

const char *mx_isa_name(mx_isa isa) { return (unsigned)isa < MX_ISA_COUNT ? isa_names[isa] : "unknown"; }

int mx_cpu_count(void) {
  /* A mask of 1024 CPUs is too small on a few machines: ask with a larger one until it fits. */
  for (int cpus = 1024; cpus <= 1 << 16; cpus *= 4) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpus);
    if (!set) break;
    size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
    int ok = sched_getaffinity(0, bytes, set) == 0;
    int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok) return count > 0 ? count : 1;
  }
  return 1;
}

/* 0: not set. -1: nonsense. */
static long asked_threads(void) {
  const char *text = getenv("MACCEL_THREADS");
  if (!text || !*text) return 0;
  char *end = NULL;
  long asked = strtol(text, &end, 10);
  return *end || asked < 1 ? -1 : asked;
}

int mx_threads_check(void) {
  MX_RETURN_IF(asked_threads() < 0, MACCEL_E_INVALID,
               "MACCEL_THREADS is \"%.32s\"; allowed are whole numbers from 1", getenv("MACCEL_THREADS"));
  return MACCEL_OK;
}

int mx_worker_limit(void) {
  const int cpus = mx_cpu_count();
  const long asked = asked_threads();
  return asked > 0 && asked < cpus ? (int)asked : cpus; /* only ever lowers */
}

const char *maccel_isa_active(void) { return mx_isa_name(mx_isa_active()); }
const char *maccel_isa_detected(void) { return mx_isa_name(mx_isa_detected()); }
int maccel_cpu_count(void) { return mx_cpu_count(); }

int mx_cpu_here(void) { return sched_getcpu(); }

void mx_cpu_leave(int cpu) {
  cpu_set_t allowed, others;
  if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  others = allowed;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  (void)sched_setaffinity(0, sizeof allowed, &allowed); /* it was allowed a moment ago */
}
