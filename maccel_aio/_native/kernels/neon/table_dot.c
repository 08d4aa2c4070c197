/* table_dot.c - the kernels of neondot and neoni8mm: convolutions by dot products; everything else is what neon has. */
#include "table.h"

const mx_kernel *const *MX_NEON_NAME(mx_kernels_neon)(int op) {
  static const mx_kernel *const conv[] = {&MX_NEON_NAME(mx_conv_u8s8_neon), NULL};
  return op == MX_OP_CONV || op == MX_OP_CONVDYN ? conv : NULL;
}
