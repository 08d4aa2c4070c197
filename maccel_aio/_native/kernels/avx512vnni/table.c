/* table.c - the avx512vnni kernels of each opcode, best first; the generic ones, compiled for this level, come last. */
#define MX_GENERIC_ISA "avx512vnni"
#include "table.h"
#include "../generic/generic.h"
#include "../vector/attention.h"
#include "../vector/eltwise.h"
#include "../vector/map.h"
#include "../vector/matmul.h"
#include "../vector/pool.h"
#include "../vector/recurrent.h"
#include "../vector/resize.h"
#include "../vector/rows.h"
#include "../vector/transfer.h"

const mx_kernel *const *mx_kernels_avx512vnni(int op) {
  static const mx_kernel *const conv[] = {&mx_gemv_u8s8_avx512vnni, &mx_conv_stem_avx512vnni,
                                          &mx_conv_groups_avx512vnni, &mx_conv_u8s8_avx512vnni,
                                          NULL}; /* the others: avx2 */
  static const mx_kernel *const dwconv[] = {&mx_dwconv_3x3_avx512vnni, &mx_dwconv_3x3_s16_avx512vnni,
                                            &mx_dwconv_5x5_avx512vnni, &mx_dwconv_avx512vnni, NULL};
  static const mx_kernel *const convf[] = {&mx_convf_avx512vnni, &mx_generic_convf, NULL};
  static const mx_kernel *const eltwise[] = {&mx_vector_eltwise, &mx_rescale_avx512vnni, &mx_generic_eltwise,
                                             NULL};
  static const mx_kernel *const pool[] = {&mx_vector_pool, &mx_generic_pool, NULL};
  static const mx_kernel *const map[] = {&mx_vector_flip, &mx_vector_lookup, &mx_rescale_avx512vnni,
                                         &mx_generic_map, NULL};
  static const mx_kernel *const matmul[] = {&mx_vector_matmul, &mx_generic_matmul, NULL};
  static const mx_kernel *const softmax[] = {&mx_vector_softmax, NULL};
  static const mx_kernel *const layernorm[] = {&mx_vector_layernorm, NULL};
  static const mx_kernel *const dynquant[] = {&mx_vector_dynquant, NULL};
  static const mx_kernel *const recurrent[] = {&mx_vector_recurrent, &mx_generic_recurrent, NULL};
  static const mx_kernel *const attention[] = {&mx_vector_attention, &mx_generic_attention, NULL};
  static const mx_kernel *const resize[] = {&mx_vector_resize, &mx_generic_resize, NULL};
  switch (op) {
    case MX_OP_CONV:
    case MX_OP_CONVDYN: return conv;
    case MX_OP_DWCONV: return dwconv;
    case MX_OP_CONVF: return convf;
    case MX_OP_ELTWISE: return eltwise;
    case MX_OP_POOL: return pool;
    case MX_OP_MAP: return map;
    case MX_OP_MATMUL: return matmul;
    case MX_OP_SOFTMAX: return softmax;
    case MX_OP_LAYERNORM: return layernorm;
    case MX_OP_DYNQUANT: return dynquant;
    case MX_OP_RECURRENT: return recurrent;
    case MX_OP_ATTENTION: return attention;
    case MX_OP_RESIZE: return resize;
    default: return mx_generic_kernels(op);
  }
}

const mx_transfer_kernels mx_transfer_avx512vnni = {vector_upload, vector_download};
