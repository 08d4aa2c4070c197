/* The selector: a level never gets a kernel of a higher one, and scalar kernels cover every operation. */
#include "../common/check.h"
#include "kernels.h"

static int offers(const mx_kernel *const *list, const mx_kernel *k) {
  for (; list != NULL && *list != NULL; ++list) {
    if (*list == k) return 1;
  }
  return 0;
}

int main(void) {
  mxp_insn insn = {0};
  mx_task task = {.insn = &insn};
  for (int k = 0; k < 6; ++k) insn.in[k] = MXP_NONE;
  insn.i[10] = 1;
  for (int op = MX_OP_CONV; op <= MX_OP_CONVDYN; ++op) {
    insn.op = (uint16_t)op;
    const mx_kernel *k = mx_kernel_select(MX_ISA_SCALAR, &task);
    CHECK(k != NULL && k->run != NULL && k->name != NULL);
    CHECK(offers(mx_kernels_scalar(op), k));
    CHECK((k->pack == NULL) == (k->pack_bytes == NULL));
  }
  insn.op = 77;
  CHECK(mx_kernel_select(MX_ISA_AVX512VNNI, &task) == NULL);
  insn.op = 0;
  CHECK(mx_kernel_select(MX_ISA_SCALAR, &task) == NULL);
  CHECK(mx_transfer_select(MX_ISA_SCALAR) == &mx_transfer_scalar);
  CHECK(mx_transfer_select(MX_ISA_AVX2) == &mx_transfer_avx2);
  CHECK(mx_transfer_select(MX_ISA_AVX512VNNI) == &mx_transfer_avx512vnni);
  return 0;
}
