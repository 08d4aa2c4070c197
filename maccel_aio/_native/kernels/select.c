/* select.c - picks the kernel of an instruction: the active level first, then the lower ones. */
#include "kernels.h"

typedef const mx_kernel *const *(*mx_table)(int op);

static const mx_table tables[MX_ISA_COUNT] = {
    [MX_ISA_SCALAR] = mx_kernels_scalar,
#if defined(__x86_64__)
    [MX_ISA_AVX2] = mx_kernels_avx2,
    [MX_ISA_AVXVNNI] = mx_kernels_avxvnni,
    [MX_ISA_AVX512VNNI] = mx_kernels_avx512vnni,
#elif defined(__aarch64__)
    [MX_ISA_NEON] = mx_kernels_neon,
    [MX_ISA_NEONDOT] = mx_kernels_neondot,
    [MX_ISA_NEONI8MM] = mx_kernels_neoni8mm,
#endif
};

const mx_kernel *const *mx_kernels_of(mx_isa level, int op) {
  return tables[level] != NULL ? tables[level](op) : NULL;
}

const mx_kernel *mx_kernel_select(mx_isa isa, const mx_task *task) {
  for (mx_isa level = isa;; level = mx_isa_below(level)) {
    const mx_kernel *const *list = mx_kernels_of(level, task->insn->op);
    for (; list != NULL && *list != NULL; ++list) {
      if ((*list)->accepts == NULL || (*list)->accepts(task)) return *list;
    }
    if (level == MX_ISA_SCALAR) return NULL;
  }
}

const mx_transfer_kernels *mx_transfer_select(mx_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case MX_ISA_AVX512VNNI: return &mx_transfer_avx512vnni;
    case MX_ISA_AVXVNNI:
    case MX_ISA_AVX2: return &mx_transfer_avx2;
#elif defined(__aarch64__)
    case MX_ISA_NEON:
    case MX_ISA_NEONDOT:
    case MX_ISA_NEONI8MM: return &mx_transfer_neon;
#endif
    default: return &mx_transfer_scalar;
  }
}

static int upload_possible(int device, int host, int has_table) {
  switch (host) {
    case MACCEL_U8: return !has_table || device == MACCEL_U8;
    case MACCEL_F32:
    case MACCEL_S32:
    case MACCEL_S64: return 1;
    case MACCEL_S8: return device == MACCEL_U8 || device == MACCEL_S8;
    default: return 0;
  }
}

static int download_possible(int device, int host) {
  return host == MACCEL_F32 || host == device || (host == MACCEL_S8 && device == MACCEL_U8);
}

int mx_transfer_possible(int device_dtype, int host_dtype, int is_output, int has_table) {
  if (device_dtype < MACCEL_U8 || device_dtype > MACCEL_S64) return 0;
  return is_output ? download_possible(device_dtype, host_dtype)
                   : upload_possible(device_dtype, host_dtype, has_table);
}
