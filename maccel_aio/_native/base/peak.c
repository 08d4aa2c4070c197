/* peak.c - the limits of this machine, measured. The loops are asm: gcc 12 spills the accumulators of intrinsic ones
 * and would show a third of the peak. Best of many short runs, because whatever disturbs a run only makes it slower. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "cpu.h"
#include "maccel.h"
#include "status.h"

enum {
  ROUNDS = 1000,
  STEP = 512
}; /* rounds of an arithmetic loop; bytes that a round of a read loop takes */

#if defined(__x86_64__)
#define LOWER_8 "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7"
#define UPPER_8 "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define EACH_12(X) X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11")

/* Registers start at zero, so no sum ever overflows or meets a denormal. `body` runs ROUNDS times. */
#define LOOP(body)                                                     \
  __asm__ volatile("vzeroall\n mov %0, %%ecx\n .p2align 5\n 1:\n" body \
                   "dec %%ecx\n jnz 1b\n vzeroupper" ::"i"(ROUNDS)     \
                   : "ecx", "cc", LOWER_8, UPPER_8)

#define DPBUSD(r) "vpdpbusd %%zmm14, %%zmm15, %%zmm" r "\n"
#define DPBUSD_YMM(r) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" r "\n"
#define FMA_ZMM(r) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" r "\n"
#define FMA_YMM(r) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" r "\n"
/* The widest exact-for-7-bit sum of bytes that plain AVX2 has: three instructions for 32 products. */
#define MADD_YMM(temp, sum)                     \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm" temp     \
  "\n"                                          \
  "vpmaddwd %%ymm13, %%ymm" temp ", %%ymm" temp \
  "\n"                                          \
  "vpaddd %%ymm" temp ", %%ymm" sum ", %%ymm" sum "\n"

static double int8_avx512vnni(void) {
  LOOP(EACH_12(DPBUSD));
  return ROUNDS * 12.0 * 64 * 2;
}

static double int8_avx2(void) {
  LOOP(MADD_YMM("8", "0") MADD_YMM("9", "1") MADD_YMM("10", "2") MADD_YMM("11", "3"));
  return ROUNDS * 4.0 * 32 * 2;
}

static double int8_avxvnni(void) {
  LOOP(EACH_12(DPBUSD_YMM));
  return ROUNDS * 12.0 * 32 * 2;
}

static double f32_avx512vnni(void) {
  LOOP(EACH_12(FMA_ZMM));
  return ROUNDS * 12.0 * 16 * 2;
}

static double f32_avx2(void) {
  LOOP(EACH_12(FMA_YMM));
  return ROUNDS * 12.0 * 8 * 2;
}

#define READ_LOOP(body)                                                                     \
  __asm__ volatile(".p2align 5\n 1:\n" body "add %2, %0\n cmp %1, %0\n jne 1b\n vzeroupper" \
                   : "+r"(memory)                                                           \
                   : "r"(memory + bytes), "i"(STEP)                                         \
                   : "cc", "memory", LOWER_8, UPPER_8)
#define LOAD_ZMM(at, r) "vmovdqu64 " at "(%0), %%zmm" r "\n"
#define LOAD_YMM(at, r) "vmovdqu " at "(%0), %%ymm" r "\n"

static void read_avx512vnni(const uint8_t *memory, size_t bytes) {
  READ_LOOP(LOAD_ZMM("0", "0") LOAD_ZMM("64", "1") LOAD_ZMM("128", "2") LOAD_ZMM("192", "3")
                LOAD_ZMM("256", "4") LOAD_ZMM("320", "5") LOAD_ZMM("384", "6") LOAD_ZMM("448", "7"));
}

static void read_avx2(const uint8_t *memory, size_t bytes) {
  READ_LOOP(LOAD_YMM("0", "0") LOAD_YMM("32", "1") LOAD_YMM("64", "2") LOAD_YMM("96", "3") LOAD_YMM(
      "128", "4") LOAD_YMM("160", "5") LOAD_YMM("192", "6") LOAD_YMM("224", "7") LOAD_YMM("256", "8")
                LOAD_YMM("288", "9") LOAD_YMM("320", "10") LOAD_YMM("352", "11") LOAD_YMM("384", "12")
                    LOAD_YMM("416", "13") LOAD_YMM("448", "14") LOAD_YMM("480", "15"));
}
#endif

enum { WORK = 4096 };
static volatile int32_t sink;

/* What a compiler makes of the plain loop is the limit of the plain kernels. */
static double int8_plain(void) {
  static uint8_t a[WORK];
  static int8_t b[WORK];
  int32_t sum = 0;
  __asm__ volatile("" ::"r"(a), "r"(b) : "memory");
  for (int k = 0; k < WORK; ++k) sum += a[k] * b[k];
  sink = sum;
  return WORK * 2.0;
}

static double f32_plain(void) {
  float sum[16] = {0};
  static float a[WORK], b[WORK];
  __asm__ volatile("" ::"r"(a), "r"(b) : "memory");
  for (int k = 0; k < WORK; k += 16) {
    for (int lane = 0; lane < 16; ++lane) sum[lane] += a[k + lane] * b[k + lane];
  }
  __asm__ volatile("" ::"r"(sum) : "memory");
  return WORK * 2.0;
}

static void read_plain(const uint8_t *memory, size_t bytes) {
  uint64_t sum[4] = {0};
  for (size_t k = 0; k < bytes; k += sizeof sum) {
    uint64_t word[4];
    memcpy(word, memory + k, sizeof word);
    for (int lane = 0; lane < 4; ++lane) sum[lane] |= word[lane];
  }
  __asm__ volatile("" ::"r"(sum) : "memory");
}

typedef struct loops {
  double (*int8)(void), (*f32)(void); /* return the operations done */
  void (*read)(const uint8_t *memory, size_t bytes); /* bytes: a multiple of STEP */
} loops;

static loops active_loops(void) {
#if defined(__x86_64__)
  switch (mx_isa_active()) {
    case MX_ISA_AVX512VNNI: return (loops){int8_avx512vnni, f32_avx512vnni, read_avx512vnni};
    case MX_ISA_AVXVNNI: return (loops){int8_avxvnni, f32_avx2, read_avx2};
    case MX_ISA_AVX2: return (loops){int8_avx2, f32_avx2, read_avx2};
    default: break;
  }
#endif
  return (loops){int8_plain, f32_plain, read_plain};
}

static double larger(double a, double b) { return a > b ? a : b; }

/* Bursts of 50 us for 10 ms, or for 32 bursts where the machine is slow: the best one counts. */
static double best_arithmetic(double (*loop)(void)) {
  const uint64_t began = maccel_now_ns();
  double best = 0;
  for (int burst = 0; burst < 32 || maccel_now_ns() - began < 10000000; ++burst) {
    const uint64_t start = maccel_now_ns();
    uint64_t now = start;
    double done = 0;
    for (; now - start < 50000; now = maccel_now_ns()) done += loop();
    best = larger(best, done * 1e9 / (double)(now - start));
  }
  return best;
}

/* Reads the block again and again for 15 ms, at least four times: the best pass over at least 256 KiB counts. */
static int best_read(size_t bytes, double *per_second) {
  uint8_t *memory = mx_map(bytes);
  MX_RETURN_IF(memory == NULL, MACCEL_E_NOMEM, "no %zu bytes to measure reads with", bytes);
  memset(memory, 1, bytes); /* pages that were never written all read the same page of zeros */
  const loops active = active_loops();
  const uint64_t began = maccel_now_ns();
  *per_second = 0;
  for (int pass = 0; pass < 4 || maccel_now_ns() - began < 15000000; ++pass) {
    const uint64_t start = maccel_now_ns();
    active.read(memory, bytes);
    const uint64_t took = maccel_now_ns() - start;
    if (pass > 0) *per_second = larger(*per_second, (double)bytes * 1e9 / (double)(took ? took : 1));
  }
  mx_unmap(memory, bytes);
  return MACCEL_OK;
}

#define CACHE_PATH "/sys/devices/system/cpu/cpu0/cache/index%d/%s"

/* One word of a file that describes cache `index` of the first processor; 0 when there is none. */
static int cache_word(int index, const char *name, char word[32]) {
  char path[96];
  snprintf(path, sizeof path, CACHE_PATH, index, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  const int found = fscanf(file, "%31s", word) == 1;
  fclose(file);
  return found;
}

/* sysconf() knows no virtual machines: it tells of the third level of the whole host. */
uint64_t maccel_cache_bytes(int32_t level) {
  char word[32];
  for (int index = 0; cache_word(index, "level", word); ++index) {
    int found = 0;
    if (sscanf(word, "%d", &found) != 1 || found != level) continue;
    if (!cache_word(index, "type", word) || strcmp(word, "Instruction") == 0) continue;
    unsigned long long size = 0;
    char unit = 'B';
    if (!cache_word(index, "size", word) || sscanf(word, "%llu%c", &size, &unit) < 1) continue;
    return size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
  }
  return 0;
}

static size_t cache_or(int32_t level, size_t usual) {
  const uint64_t found = maccel_cache_bytes(level);
  return found >= 65536 && found <= (uint64_t)1 << 30 ? (size_t)found : usual;
}

/* A block that fits the level with room for its neighbours, and is far larger than the level before. */
static size_t block_bytes(int32_t peak) {
  const size_t l2 = cache_or(2, (size_t)1 << 20), l3 = cache_or(3, (size_t)32 << 20);
  size_t bytes = l2 / 2;
  if (peak == MACCEL_PEAK_READ_L3) bytes = 4 * l2 < l3 / 2 ? 4 * l2 : l3 / 2;
  if (peak == MACCEL_PEAK_READ_DRAM) bytes = l3 < (size_t)64 << 20 ? 3 * l3 : (size_t)192 << 20;
  return bytes / STEP * STEP;
}

int maccel_measure_peak(int32_t peak, double *per_second) {
  MX_RETURN_IF(per_second == NULL, MACCEL_E_INVALID, "per_second is NULL");
  switch (peak) {
    case MACCEL_PEAK_INT8: *per_second = best_arithmetic(active_loops().int8); return MACCEL_OK;
    case MACCEL_PEAK_F32: *per_second = best_arithmetic(active_loops().f32); return MACCEL_OK;
    case MACCEL_PEAK_READ_L2:
    case MACCEL_PEAK_READ_L3:
    case MACCEL_PEAK_READ_DRAM: return best_read(block_bytes(peak), per_second);
    default: return mx_fail(MACCEL_E_INVALID, "there is no peak %d", peak);
  }
}
