/* dw_kernel.h - the calls of a depthwise kernel, around the plan of its windows. A file of a kernel defines plan_of and
 * make, and before it includes this one DW_WINDOW (most rows and columns), DW_WEIGHTS (their dtype) and DW_COLUMNS
 * (bytes of scratch of its own). */
#ifndef MX_DW_KERNEL_H
#define MX_DW_KERNEL_H

#include "dw_work.h"

static int accepts(const mx_task *t) {
  const int32_t *i = t->insn->i;
  if (t->in[0].dtype != MACCEL_U8 || t->cst_info[0].dtype != DW_WEIGHTS || t->in[0].rank != 4) return 0;
  if (i[0] > DW_WINDOW || i[1] > DW_WINDOW) return 0;
  return i[8] == 1 && i[9] == 1 && i[2] == i[3] && (i[2] == 1 || i[2] == 2);
}

static size_t pack_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return dw_pack_bytes(&p);
}

static void pack(const mx_task *t, void *packed) {
  const dw_plan p = plan_of(t);
  dw_pack(t, &p, packed);
}

static size_t scratch_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return dw_scratch(&p, DW_COLUMNS);
}

static void run(const mx_task *t, int part, int parts) {
  const dw_plan p = plan_of(t);
  dw_run(t, &p, make, part, parts);
}

#endif
