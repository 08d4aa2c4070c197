/* table.c - the avx2 kernels of each opcode, best first; the generic ones, compiled for this level, come last. */
#define MX_GENERIC_ISA "avx2"
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

const mx_kernel *const *mx_kernels_avx2(int op) {
  static const mx_kernel *const conv[] = {&mx_conv_u8s8_avx2, &mx_conv_s16_avx2, &mx_generic_conv, NULL};
  static const mx_kernel *const convdyn[] = {&mx_conv_u8s8_avx2, &mx_generic_conv, NULL};
  static const mx_kernel *const dwconv[] = {&mx_dwconv_u8_avx2, &mx_dwconv_s16_avx2, &mx_generic_dwconv,
                                            NULL};
  static const mx_kernel *const convf[] = {&mx_convf_avx2, &mx_generic_convf, NULL};
  static const mx_kernel *const eltwise[] = {&mx_vector_eltwise, &mx_generic_eltwise, NULL};
  static const mx_kernel *const pool[] = {&mx_vector_pool, &mx_generic_pool, NULL};
  static const mx_kernel *const map[] = {&mx_vector_flip, &mx_vector_lookup, &mx_generic_map, NULL};
  static const mx_kernel *const matmul[] = {&mx_vector_matmul, &mx_generic_matmul, NULL};
  static const mx_kernel *const softmax[] = {&mx_vector_softmax, NULL};
  static const mx_kernel *const layernorm[] = {&mx_vector_layernorm, NULL};
  static const mx_kernel *const dynquant[] = {&mx_vector_dynquant, NULL};
  static const mx_kernel *const recurrent[] = {&mx_vector_recurrent, &mx_generic_recurrent, NULL};
  static const mx_kernel *const attention[] = {&mx_vector_attention, &mx_generic_attention, NULL};
  static const mx_kernel *const resize[] = {&mx_vector_resize, &mx_generic_resize, NULL};
  switch (op) {
    case MX_OP_CONV: return conv;
    case MX_OP_CONVDYN: return convdyn;
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

const mx_transfer_kernels mx_transfer_avx2 = {vector_upload, vector_download};
