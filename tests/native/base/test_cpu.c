/* What the processor allows, and the two environment variables that only ever lower it. */
#include "cpu.h"

#include <sched.h>

#include "../common/check.h"
#include "maccel.h"
#include "status.h"

static void the_levels_have_names(void) {
  CHECK_TEXT(mx_isa_name(MX_ISA_SCALAR), "scalar");
  CHECK_TEXT(mx_isa_name(MX_ISA_AVX2), "avx2");
  CHECK_TEXT(mx_isa_name(MX_ISA_AVXVNNI), "avxvnni");
  CHECK_TEXT(mx_isa_name(MX_ISA_AVX512VNNI), "avx512vnni");
  CHECK_TEXT(mx_isa_name(MX_ISA_NEON), "neon");
  CHECK_TEXT(mx_isa_name(MX_ISA_NEONDOT), "neondot");
  CHECK_TEXT(mx_isa_name(MX_ISA_NEONI8MM), "neoni8mm");
  CHECK_TEXT(mx_isa_name(MX_ISA_COUNT), "unknown");
}

#if defined(__x86_64__)
/* The kernel reports a flag only when it enabled the state, so it must agree with our own reading. */
static void detection_agrees_with_the_kernel(void) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  if (!file) return;
  char line[8192];
  int found = 0, avx2 = 0, small = 0, vnni = 0;
  while (!found && fgets(line, sizeof line, file)) {
    if (strncmp(line, "flags", 5) != 0) continue;
    found = 1;
    avx2 = strstr(line, " avx2 ") && strstr(line, " fma ") && strstr(line, " bmi2 ");
    small = avx2 && strstr(line, " avx_vnni ");
    vnni = avx2 && strstr(line, " avx512_vnni ") && strstr(line, " avx512vl ") && strstr(line, " avx512bw ");
  }
  fclose(file);
  if (!found) return;
  CHECK(mx_isa_supported(MX_ISA_SCALAR) && !mx_isa_supported(MX_ISA_NEON));
  CHECK_INT(mx_isa_supported(MX_ISA_AVX2), avx2 != 0);
  CHECK_INT(mx_isa_supported(MX_ISA_AVXVNNI), small != 0);
  CHECK_INT(mx_isa_supported(MX_ISA_AVX512VNNI), vnni != 0);
}
#else
static void detection_agrees_with_the_kernel(void) {
  for (int isa = MX_ISA_AVX2; isa <= MX_ISA_AVX512VNNI; isa++) CHECK(!mx_isa_supported((mx_isa)isa));
}
#endif

static void the_variable_lowers_and_never_raises(void) {
  const mx_isa detected = mx_isa_detected();
  for (int level = 0; level < MX_ISA_COUNT; level++) {
    setenv("MACCEL_ISA", mx_isa_name((mx_isa)level), 1);
    int best = level;
    while (!mx_isa_supported((mx_isa)best)) best--;
    CHECK_INT(mx_isa_active(), best);
    CHECK(mx_isa_active() <= detected);
    mx_isa isa = MX_ISA_COUNT;
    CHECK_INT(mx_isa_check(&isa), MACCEL_OK);
    CHECK_INT(isa, mx_isa_active());
    CHECK_TEXT(maccel_isa_active(), mx_isa_name(isa));
  }
  setenv("MACCEL_ISA", "", 1);
  CHECK_INT(mx_isa_active(), detected);
  unsetenv("MACCEL_ISA");
  CHECK_INT(mx_isa_active(), detected);
  CHECK_TEXT(maccel_isa_detected(), mx_isa_name(detected));
}

static void an_unknown_level_is_refused_with_the_allowed_ones(void) {
  mx_isa isa;
  setenv("MACCEL_ISA", "sse9", 1);
  CHECK_INT(mx_isa_active(), mx_isa_detected());
  CHECK_INT(mx_isa_check(&isa), MACCEL_E_INVALID);
  CHECK(strstr(maccel_last_error(), "sse9"));
  CHECK(strstr(maccel_last_error(), "scalar, avx2, avxvnni, avx512vnni, neon, neondot, neoni8mm"));
  unsetenv("MACCEL_ISA");
}

static void the_worker_limit_follows_the_variable_downwards(void) {
  const int cpus = mx_cpu_count();
  CHECK(cpus >= 1);
  CHECK_INT(maccel_cpu_count(), cpus);
  const struct {
    const char *text;
    int want;
  } cases[] = {{"1", 1},      {"100000", cpus}, {"0", cpus}, {"-3", cpus},
               {"two", cpus}, {"1x", cpus},     {"", cpus}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    setenv("MACCEL_THREADS", cases[i].text, 1);
    CHECK_INT(mx_worker_limit(), cases[i].want);
    const int nonsense = i >= 2 && *cases[i].text;
    CHECK_INT(mx_threads_check(), nonsense ? MACCEL_E_INVALID : MACCEL_OK);
  }
  unsetenv("MACCEL_THREADS");
  CHECK_INT(mx_worker_limit(), cpus);
}

static void the_count_follows_the_affinity(void) {
  cpu_set_t before, one;
  CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &before)) cpu++;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK_INT(mx_cpu_count(), 1);
  CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
}

static void a_thread_can_leave_its_cpu_and_keeps_its_mask(void) {
  cpu_set_t before, after;
  CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
  for (int cpu = -1; cpu < 3; cpu++) mx_cpu_leave(cpu);
  mx_cpu_leave(mx_cpu_here());
  mx_cpu_leave(1 << 20);
  CHECK(sched_getaffinity(0, sizeof after, &after) == 0);
  CHECK(CPU_EQUAL(&before, &after));
  CHECK(CPU_ISSET(mx_cpu_here(), &before));
}

int main(void) {
  unsetenv("MACCEL_ISA");
  unsetenv("MACCEL_THREADS");
  the_levels_have_names();
  detection_agrees_with_the_kernel();
  the_variable_lowers_and_never_raises();
  an_unknown_level_is_refused_with_the_allowed_ones();
  the_worker_limit_follows_the_variable_downwards();
  the_count_follows_the_affinity();
  a_thread_can_leave_its_cpu_and_keeps_its_mask();
  return 0;
}
