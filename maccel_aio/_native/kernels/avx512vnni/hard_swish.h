/* hard_swish.h - when ends of integer convolutions may compute v * min(max(v * a + b, 0), 1) * f3 in registers. */
#ifndef MX_AVX512VNNI_HARD_SWISH_H
#define MX_AVX512VNNI_HARD_SWISH_H

#include "kernels.h"

/* Sums are below 2^30 (mxq.h), so with small parameters every step is a finite number; NaN fails the comparisons. */
static inline int hard_swish_is_small(const mxp_insn *n) {
  const float k = 65536.0f;
  return n->i[11] == MX_ACT_HARDSWISH && n->f[0] > -k && n->f[0] < k && n->f[1] > -k && n->f[1] < k &&
         n->f[3] > -k && n->f[3] < k;
}

#endif
