/* The selector: a level never gets a kernel of a higher one, and scalar kernels cover every operation. */
#include "../common/check.h"
#include "kernels.h"

static int offers(const mx_kernel *const *list, const mx_kernel *k) {
  for (; list != NULL && *list != NULL; ++list) {
    if (*list == k) return 1;
  }
  return 0;
}

/* AVX-VNNI is not part of AVX-512 VNNI, for example. */
static void every_level_gets_only_what_it_includes(mx_task *task, mxp_insn *insn) {
  task->in[0] = task->out[0] =
      (mx_view){.dtype = MACCEL_U8, .rank = 4, .dims = {1, 4, 4, 32}, .stride = {512, 128, 32, 1}};
  task->cst_info[0].dtype = MACCEL_S8;
  for (int k = 0; k < 4; ++k) insn->i[k] = 1;
  insn->i[8] = insn->i[9] = 1;
  insn->f[3] = 1.0f;
  for (int isa = 0; isa < MX_ISA_COUNT; ++isa) {
    for (int op = MX_OP_CONV; op <= MX_OP_DWCONV; ++op) {
      insn->op = (uint16_t)op;
      const mx_kernel *k = mx_kernel_select((mx_isa)isa, task);
      mx_isa level = (mx_isa)isa;
      while (level != MX_ISA_SCALAR && !offers(mx_kernels_of(level, op), k)) level = mx_isa_below(level);
      CHECK(offers(mx_kernels_of(level, op), k));
    }
    CHECK((int)mx_isa_below((mx_isa)isa) < isa || isa == MX_ISA_SCALAR);
    CHECK(!mx_isa_supported((mx_isa)isa) || mx_isa_supported(mx_isa_below((mx_isa)isa)));
  }
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
#if defined(__x86_64__)
  CHECK(mx_transfer_select(MX_ISA_AVX2) == &mx_transfer_avx2);
  CHECK(mx_transfer_select(MX_ISA_AVXVNNI) == &mx_transfer_avx2);
  CHECK(mx_transfer_select(MX_ISA_AVX512VNNI) == &mx_transfer_avx512vnni);
#elif defined(__aarch64__)
  CHECK(mx_transfer_select(MX_ISA_NEON) == &mx_transfer_neon);
  CHECK(mx_transfer_select(MX_ISA_NEONI8MM) == &mx_transfer_neon);
#endif
  every_level_gets_only_what_it_includes(&task, &insn);
  return 0;
}
