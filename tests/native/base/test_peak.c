/* The measured limits: they are there for every level, in the order that physics gives them, and in its range. */
#include <math.h>
#include <stdlib.h>

#include "../common/check.h"
#include "cpu.h"
#include "maccel.h"

static double measured(int32_t peak) {
  double value = -1;
  CHECK_INT(maccel_measure_peak(peak, &value), MACCEL_OK);
  CHECK(isfinite(value));
  return value;
}

/* No duration is asserted, only what no machine can break: somewhere between a slide rule and 100 cores. */
static void every_level_has_arithmetic(void) {
  for (int level = 0; level <= (int)mx_isa_detected(); level++) {
    setenv("MACCEL_ISA", mx_isa_name((mx_isa)level), 1);
    CHECK(measured(MACCEL_PEAK_INT8) > 1e6 && measured(MACCEL_PEAK_INT8) < 1e14);
    CHECK(measured(MACCEL_PEAK_F32) > 1e6 && measured(MACCEL_PEAK_F32) < 1e14);
    CHECK(measured(MACCEL_PEAK_READ_L2) > 1e6 && measured(MACCEL_PEAK_READ_L2) < 1e14);
  }
  unsetenv("MACCEL_ISA");
}

static void memory_is_read_at_every_distance(void) {
  CHECK(measured(MACCEL_PEAK_READ_L3) > 1e6);
  CHECK(measured(MACCEL_PEAK_READ_DRAM) > 1e6);
}

static void what_is_not_there_is_refused(void) {
  double value = 3;
  CHECK_INT(maccel_measure_peak(5, &value), MACCEL_E_INVALID);
  CHECK_INT(maccel_measure_peak(-1, &value), MACCEL_E_INVALID);
  CHECK(value == 3);
  CHECK_INT(maccel_measure_peak(MACCEL_PEAK_INT8, NULL), MACCEL_E_INVALID);
}

static void caches_grow_with_their_level(void) {
  const uint64_t first = maccel_cache_bytes(1), second = maccel_cache_bytes(2), third = maccel_cache_bytes(3);
  CHECK(first == 0 || (first >= 1024 && first < (uint64_t)1 << 24));
  CHECK(second == 0 || second >= first);
  CHECK(third == 0 || third >= second);
  CHECK_INT(maccel_cache_bytes(0), 0);
  CHECK_INT(maccel_cache_bytes(9), 0);
}

int main(void) {
  unsetenv("MACCEL_ISA");
  every_level_has_arithmetic();
  memory_is_read_at_every_distance();
  what_is_not_there_is_refused();
  caches_grow_with_their_level();
  return 0;
}
