/* dwconv_3x3.c - depthwise 3x3 of u8 images by s8 weights, stride 1 and 2 (docs/kernels.md, dw_3x3.h). */
#include "dw_3x3.h"
#include "dw_work.h"
#include "table.h"

static dw_tap tap(const dw_plan *p, int row, int k, int b) {
  (void)p;
  return (dw_tap){b - row, k};
}

/* The costs are estimates: channels per vector fall, but bands have to be put together and taken apart. */
static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {
      .s = mx_geometry_of(t, 1), .rows = 2, .lane = 4, .vectors = 3, .tap = tap, .cost = {30, 33, 42, 44}};
  p.weight_rows = p.s.sh == 1 ? 2 : 1, p.slots = p.s.sh == 1 ? 4 : 5;
  dw_plan_blocks(&p, t);
  return p;
}

static void make(const dw_plan *p, const dw_strip *t, int width) {
  dw_slides[p->s.sh == 2][width][p->mode](t);
}

#define DW_WINDOW 3
#define DW_WEIGHTS MACCEL_S8
#define DW_COLUMNS 0
#include "dw_kernel.h"

const mx_kernel mx_dwconv_3x3_avx512vnni = {
    "u8s8-dwconv3x3-2x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
