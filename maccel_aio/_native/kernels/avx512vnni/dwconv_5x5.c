/* dwconv_5x5.c - depthwise 5x5 of u8 images by s8 weights, stride 1 and 2 (docs/kernels.md, dw_5x5.h). */
#include "dw_5x5.h"
#include "dw_work.h"
#include "table.h"

/* Vector k of an output row, byte b of its lanes -> tap. Stride 1: the first row of the upper window and the last
 * one of the lower window lie across; stride 2: the last one of each. */
static dw_tap tap(const dw_plan *p, int row, int k, int b) {
  const int s1 = p->s.sh == 1, upper = s1 && row == 0;
  if (k < 5) return (dw_tap){b + upper, k};
  if (k == 5) return (dw_tap){upper ? 0 : 4, b};
  return (dw_tap){upper ? 0 : 4, b == (s1 ? 3 : 2) ? 4 : -1};
}

static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {.s = mx_geometry_of(t, 1),
               .rows = 2,
               .lane = 4,
               .vectors = DW_5X5_WEIGHTS,
               .tap = tap,
               .cost = {60, 63, 69, 72}};
  p.weight_rows = p.s.sh == 1 ? 2 : 1, p.slots = p.s.sh == 1 ? 6 : 7;
  dw_plan_blocks(&p, t);
  return p;
}

/* Output columns [x, x + n): at most a chunk. */
static void make_chunk(const dw_plan *p, const dw_strip *t, int width, int x, int n) {
  const int stride = p->s.sh, first = x * stride - t->pl;
  for (int k = 0, done = 0; k < n; k += DW_5X5_TILE) {
    const int left = n - k < DW_5X5_TILE ? n - k : DW_5X5_TILE, need = (k + left - 1) * stride + 5;
    dw_downs[stride - 1][width](t, t->columns + 256 * done, first + done, need - done);
    for (int r = 0; r < t->rows; r++) {
      dw_acrosses[stride - 1][width](t, r, first + k * stride, left + 1);
      dw_tiles[stride - 1][left > 4][p->mode](t, t->columns + 256 * k * stride, width, r, x + k, left);
    }
    done = need;
  }
}

static void make(const dw_plan *p, const dw_strip *t, int width) {
  const int chunk = dw_chunk_of(p->s.sh);
  for (int x = t->x0; x < t->x1; x += chunk)
    make_chunk(p, t, width, x, t->x1 - x < chunk ? t->x1 - x : chunk);
}

#define DW_WINDOW 5
#define DW_WEIGHTS MACCEL_S8
#define DW_COLUMNS DW_5X5_BYTES
#include "dw_kernel.h"

const mx_kernel mx_dwconv_5x5_avx512vnni = {
    "u8s8-dwconv5x5-7x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
