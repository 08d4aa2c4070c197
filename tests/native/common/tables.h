/* tables.h - the kernels of every level that this processor can run, and of forms of them that only tests build.
 *
 * MX_TEST_EVEX: the AVX-VNNI kernels in the encoding of AVX-512 are linked, so that processors without AVX-VNNI run
 * the same sources. */
#ifndef MX_TEST_TABLES_H
#define MX_TEST_TABLES_H

#include "kernels.h"

enum { LEVELS_TABLES = MX_ISA_COUNT + 1 };

#ifdef MX_TEST_EVEX
const mx_kernel *const *mx_kernels_avxvnni_evex(int op);
#endif

/* NULL where there is nothing to run. */
static inline const mx_kernel *const *levels_table(int level, int op) {
  if (level < MX_ISA_COUNT) return mx_isa_supported((mx_isa)level) ? mx_kernels_of((mx_isa)level, op) : 0;
#ifdef MX_TEST_EVEX
  return mx_isa_supported(MX_ISA_AVX512VNNI) ? mx_kernels_avxvnni_evex(op) : 0;
#else
  return 0;
#endif
}

#endif
