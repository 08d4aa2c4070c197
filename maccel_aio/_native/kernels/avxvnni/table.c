/* table.c - the avxvnni kernels of each opcode; everything else is what AVX2 has. */
#include "table.h"

const mx_kernel *const *MX_AVXVNNI_NAME(mx_kernels_avxvnni)(int op) {
  static const mx_kernel *const conv[] = {&MX_AVXVNNI_NAME(mx_conv_u8s8_avxvnni), NULL};
  return op == MX_OP_CONV || op == MX_OP_CONVDYN ? conv : NULL;
}
