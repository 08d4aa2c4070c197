/* dwconv_3x3_s16.c - depthwise 3x3 of u8 images by s16 weights, stride 1 and 2 (docs/kernels.md, dw_3x3_s16.h). */
#include "dw_3x3_s16.h"
#include "dw_work.h"
#include "table.h"

/* Stride 1: of the middle rows, which are the last two of the upper window and the first two of the lower one, three
 * columns; then the row across for even and for odd columns. Stride 2: likewise, with the middle row across. */
static dw_tap tap(const dw_plan *p, int row, int k, int b) {
  const int s1 = p->s.sh == 1, first = s1 ? 1 - row : row, across = s1 == row ? 2 : 0;
  if (k < 3) return (dw_tap){first + b, k};
  return (dw_tap){across, k < 5 ? 2 * (k - 3) + b : 2 * (k - 5) + b - 1};
}

/* The costs are estimates: channels per vector fall, but bands have to be put together and taken apart. */
static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {.s = mx_geometry_of(t, 1),
               .rows = 2,
               .lane = 2,
               .weight_rows = 2,
               .tap = tap,
               .cost = {44, 47, 56, 58}};
  p.vectors = p.s.sh == 1 ? DW_S16_S1 : DW_S16_S2, p.slots = p.s.sh == 1 ? 4 : 5;
  dw_plan_blocks(&p, t);
  return p;
}

static void make(const dw_plan *p, const dw_strip *t, int width) {
  dw_slides[p->s.sh == 2][width][p->mode](t);
}

#define DW_WINDOW 3
#define DW_WEIGHTS MACCEL_S16
#define DW_COLUMNS 0
#include "dw_kernel.h"

const mx_kernel mx_dwconv_3x3_s16_avx512vnni = {
    "u8s16-dwconv3x3-2x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
