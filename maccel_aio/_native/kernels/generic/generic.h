/* generic.h - kernels written once in plain C and compiled for each instruction set.
 *
 * A level includes this in one source file of its own, after defining MX_GENERIC_ISA ("scalar", "avx2", ...), and
 * offers what mx_generic_kernels() returns after its own kernels. Everything here is static: the flags of a level
 * must not reach code of another. */
#ifndef MX_GENERIC_H
#define MX_GENERIC_H

#include "attention.h"
#include "conv.h"
#include "convf.h"
#include "eltwise.h"
#include "map.h"
#include "pool.h"
#include "recurrent.h"
#include "reduce.h"
#include "resize.h"
#include "rows.h"
#include "transfer.h"

static inline const mx_kernel *const *mx_generic_kernels(int op) {
  static const mx_kernel *const table[][2] = {
      [MX_OP_CONV] = {&mx_generic_conv},
      [MX_OP_DWCONV] = {&mx_generic_dwconv},
      [MX_OP_POOL] = {&mx_generic_pool},
      [MX_OP_ELTWISE] = {&mx_generic_eltwise},
      [MX_OP_MAP] = {&mx_generic_map},
      [MX_OP_FILL] = {&mx_generic_fill},
      [MX_OP_CONVDYN] = {&mx_generic_conv},
      [MX_OP_CONVF] = {&mx_generic_convf},
      [MX_OP_MATMUL] = {&mx_generic_matmul},
      [MX_OP_RESIZE] = {&mx_generic_resize},
      [MX_OP_SOFTMAX] = {&mx_generic_softmax},
      [MX_OP_REDUCE] = {&mx_generic_reduce},
      [MX_OP_LAYERNORM] = {&mx_generic_layernorm},
      [MX_OP_GATHER] = {&mx_generic_gather},
      [MX_OP_DYNQUANT] = {&mx_generic_dynquant},
      [MX_OP_RECURRENT] = {&mx_generic_recurrent},
      [MX_OP_ATTENTION] = {&mx_generic_attention},
  };
  const int known = op > 0 && op < (int)(sizeof table / sizeof table[0]);
  return known && table[op][0] != NULL ? table[op] : NULL;
}

static const mx_transfer_kernels mx_generic_transfer = {mx_upload_run, mx_download_run};

#endif
