/* kernels.h - what a kernel is told, and the table of kernels per instruction set.
 *
 * A kernel asserts and computes. It never allocates, locks, logs, starts threads, reads the environment
 * or knows a device. Life cycle, driven by the executor:
 *   pack_bytes(desc) -> pack(desc, constants, memory)     once, at load
 *   run(desc, packed, tensors, part, parts)               at every inference; parts = 1 or the team size
 * A kernel splits its own work: part p of n does its share, in any way whose result does not depend on n.
 * The arithmetic is defined in model/mxq.h to the bit; scalar/ is the reference of it, generic/ holds the sources of
 * all kernels that are not worth intrinsics, compiled once per level. Unused views have rank 0.
 */
#ifndef MX_KERNELS_H
#define MX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "maccel.h"
#include "mxq.h"

/* A tensor at run time: mxp_tensor with its address. */
typedef struct mx_view {
  uint8_t *data; /* element 0 */
  int32_t dtype, rank;
  int32_t dims[MXP_MAX_RANK];
  int64_t stride[MXP_MAX_RANK]; /* bytes */
  float scale;
  int32_t zero;
  uint32_t flags;             /* MX_TENSOR_* */
  const float *channel_scale; /* or NULL */
} mx_view;

/* An instruction at run time: the record, its views and the resolved constants (any may be NULL). */
typedef struct mx_task {
  const mxp_insn *insn;
  mx_view in[6];
  mx_view out[2];
  const void *cst[8]; /* in run(), cst[0] is NULL when the kernel has packed: its constants are not kept */
  mxp_const cst_info[8];
  void *packed; /* what pack() wrote, or NULL */
  const uint8_t
      *zero_row; /* bytes of value zero(in0), at least zero_row_bytes, for padding taps (convolutions, dw) */
  size_t zero_row_bytes;
  void *scratch; /* scratch_bytes() of this part, 64-byte aligned, not kept between runs */
} mx_task;

typedef struct mx_kernel {
  const char *name; /* types-operation-tile-isa, see docs/kernels.md */
  /* Does this kernel handle the task? Views carry no addresses yet. NULL = yes. */
  int (*accepts)(const mx_task *task);
  size_t (*pack_bytes)(const mx_task *task); /* NULL = nothing to pack */
  void (*pack)(const mx_task *task, void *packed);
  size_t (*scratch_bytes)(const mx_task *task); /* per part; NULL = none */
  void (*run)(const mx_task *task, int part, int parts);
} mx_kernel;

/* Kernels of one level for one opcode, best first, NULL terminated; NULL when there is none. The selector walks the
 * active level and then those it includes down to scalar (mx_isa_below), and takes the first that accepts. A build has
 * the levels of its architecture. */
const mx_kernel *const *mx_kernels_scalar(int op);
const mx_kernel *const *mx_kernels_avx2(int op);
const mx_kernel *const *mx_kernels_avxvnni(int op);
const mx_kernel *const *mx_kernels_avx512vnni(int op);
const mx_kernel *const *mx_kernels_neon(int op);
const mx_kernel *const *mx_kernels_neondot(int op);
const mx_kernel *const *mx_kernels_neoni8mm(int op);
const mx_kernel *const *mx_kernels_of(mx_isa level, int op); /* NULL where this build lacks the level */
const mx_kernel *mx_kernel_select(mx_isa isa, const mx_task *task);

/* Host <-> device transfers ("reposition"), one batch item. `host` has data and byte strides per physical dimension.
 *   in : F32 -> put(v / scale) as clamp(rne(v * (1/scale)) + zero);  U8 with table -> table[c][pixel];
 *        U8 without table, S32, S64 -> as real values;  S8 -> q + 128 for u8 tensors, q for s8.
 *        float device tensors: real values converted.
 *   out: F32 <- (float)(q - zero) * scale;  S8 <- q - 128 for u8 tensors;  U8 <- q for u8 tensors. float tensors: the value. */
typedef struct mx_transfer {
  mx_view device;
  maccel_io host; /* data of this item */
  const uint8_t *table; /* [C][256] or NULL */
  const int32_t *order; /* [C] or NULL */
} mx_transfer;
typedef struct mx_transfer_kernels {
  void (*upload)(const mx_transfer *t);
  void (*download)(const mx_transfer *t);
} mx_transfer_kernels;
extern const mx_transfer_kernels mx_transfer_scalar;
extern const mx_transfer_kernels mx_transfer_avx2;
extern const mx_transfer_kernels mx_transfer_avx512vnni;
extern const mx_transfer_kernels mx_transfer_neon;
const mx_transfer_kernels *mx_transfer_select(mx_isa isa);
/* 1 if the pair of formats can be transferred, else 0 (checked before submission). */
int mx_transfer_possible(int device_dtype, int host_dtype, int is_output, int has_table);

#endif
