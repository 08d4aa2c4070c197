/* test_vector_math.c - every activation on every level against the scalar level, bit by bit, over all exponents and densely
 * where the functions change their formula. NaN counts as equal to any NaN. */
#include <math.h>

#include "../common/tables.h"
#include "test_vector.h"

enum { BATCH = 1 << 14, SPARSE = 65521 }; /* a step through all 2^32 patterns, a prime */

static float inputs[BATCH], plain[BATCH], fast[BATCH];

static void run_level(const mx_kernel *k, int act, float *out) {
  vt_case c;
  vt_begin(&c, MX_OP_MAP);
  c.insn.in[0] = c.insn.out[0] = 0;
  c.insn.f[0] = 0.2f, c.insn.f[1] = 0.5f, c.insn.f[3] = c.insn.f[4] = 1.0f, c.insn.i[11] = act;
  c.task.in[0] = (mx_view){.data = (uint8_t *)inputs,
                           .dtype = MACCEL_F32,
                           .rank = 1,
                           .dims = {BATCH},
                           .stride = {4},
                           .scale = 1.0f};
  c.task.out[0] = c.task.in[0];
  c.task.out[0].data = (uint8_t *)out;
  k->run(&c.task, 0, 1);
}

static const mx_kernel *plain_kernel(const mx_kernel *const *list) {
  while (list[1] != NULL) list++;
  return *list; /* the one that takes everything comes last */
}

static int check_batch(const mx_kernel *k, int act) {
  run_level(plain_kernel(mx_kernels_scalar(MX_OP_MAP)), act, plain);
  run_level(k, act, fast);
  for (int i = 0; i < BATCH; i++) {
    if (memcmp(plain + i, fast + i, 4) == 0 || (isnan(plain[i]) && isnan(fast[i]))) continue;
    printf("act %d of %a on %s: %a, not %a\n", act, (double)inputs[i], k->name, (double)fast[i],
           (double)plain[i]);
    return 1;
  }
  return 0;
}

/* Next to zero, one, the limits of exp, and where tanh and erf change their formula. */
static void fill_near(float centre) {
  for (int i = 0; i < BATCH; i++) {
    uint32_t u;
    memcpy(&u, &centre, 4);
    u += (uint32_t)(i - BATCH / 2);
    memcpy(inputs + i, &u, 4);
  }
}

static int check_level(const mx_kernel *const *list) {
  static const float centres[] = {1.0f,     -1.0f,           89.0f,       88.7228f,     -87.3365f,
                                  -103.97f, 0.625f,          -0.625f,     0.927734375f, 4.0f,
                                  20.0f,    1.17549435e-38f, 0.70710678f, 3.4e38f};
  const mx_kernel *k = plain_kernel(list);
  int bad = 0;
  for (int act = 0; act < MX_ACT_COUNT && !bad; act++) {
    if (act == MX_ACT_PRELU) continue;
    for (size_t i = 0; i < sizeof centres / sizeof centres[0] && !bad; i++)
      fill_near(centres[i]), bad = check_batch(k, act);
    uint32_t u = 0;
    for (int batch = 0; batch < 5 && !bad; batch++) {
      for (int i = 0; i < BATCH; i++, u += SPARSE) memcpy(inputs + i, &u, 4);
      bad = check_batch(k, act);
    }
  }
  return bad;
}

int main(void) {
  if (mx_isa_detected() == MX_ISA_SCALAR) return 77;
  for (int level = 1; level < LEVELS_TABLES; level++) {
    const mx_kernel *const *list = levels_table(level, MX_OP_MAP);
    if (list != NULL && check_level(list)) return 1;
  }
  return 0;
}
