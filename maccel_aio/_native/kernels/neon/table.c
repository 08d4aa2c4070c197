/* table.c - the neon kernels of each opcode; the generic ones, compiled for this level, come last. */
#define MX_GENERIC_ISA "neon"
#include "table.h"
#include "../generic/generic.h"

const mx_kernel *const *mx_kernels_neon(int op) {
  static const mx_kernel *const conv[] = {&mx_conv_u8s8_neon, &mx_generic_conv, NULL};
  static const mx_kernel *const dwconv[] = {&mx_dwconv_u8_neon, &mx_generic_dwconv, NULL};
  switch (op) {
    case MX_OP_CONV:
    case MX_OP_CONVDYN: return conv;
    case MX_OP_DWCONV: return dwconv;
    default: return mx_generic_kernels(op);
  }
}

static void upload(const mx_transfer *t) { mx_generic_transfer.upload(t); }
static void download(const mx_transfer *t) { mx_generic_transfer.download(t); }
const mx_transfer_kernels mx_transfer_neon = {upload, download};
