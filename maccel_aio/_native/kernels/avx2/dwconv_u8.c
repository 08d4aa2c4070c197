/* dwconv_u8.c - depthwise convolution of u8 images by s8 or s16 weights, windows up to 5 x 6 (docs/kernels.md).
 *
 * The work is cut into units of 32 channels x a few output rows. A unit interleaves the input rows it needs, chunk
 * of columns by chunk, into scratch that stays in the first-level cache, and runs the tiles of dw_tile.h over it. */
#include "../vector/row.h"
#include "dw_tile.h"
#include "table.h"

enum { CHUNK_BYTES = 12 << 10, ROWS_MAX = 6, HEAD_BYTES = 3 * 4 * DW_CHANNELS };

typedef struct dw_plan {
  mx_geometry s;
  const dw_shape *shape;
  int rows; /* output rows of a unit */
  int blocks; /* of 32 channels; the last one starts early, so that it ends with the last channel */
  int channels;
  int chunk; /* output columns of a chunk */
  size_t row_bytes, block_bytes; /* packed: weights of one output row; of a block with bias and scales */
} dw_plan;

static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {.s = mx_geometry_of(t, 1), .channels = t->out[0].dims[3]};
  for (size_t k = 0; k < sizeof dw_shapes / sizeof dw_shapes[0] && !p.shape; k++) {
    const dw_shape *d = &dw_shapes[k];
    if (p.s.kw <= d->kw && p.s.kh <= 2 * d->groups && p.s.sw == d->stride && p.s.dw == 1) p.shape = d;
  }
  if (!p.shape) return p;
  p.rows = p.s.dh == 1 ? (2 * p.shape->groups - p.s.kh) / p.s.sh + 1 : 1;
  if (p.rows > 2) p.rows = 2;
  p.blocks = (p.channels + DW_CHANNELS - 1) / DW_CHANNELS;
  const int columns = CHUNK_BYTES / (p.shape->groups * DW_COLUMN) - p.shape->kw;
  p.chunk = columns / p.s.sw / DW_COLUMNS * DW_COLUMNS;
  p.row_bytes = (size_t)p.shape->groups * p.shape->kw * 4 * 32;
  p.block_bytes = (size_t)p.rows * p.row_bytes + HEAD_BYTES;
  return p;
}

static int block_channel(const dw_plan *p, int block) {
  const int c = block * DW_CHANNELS, last = p->channels - DW_CHANNELS;
  return last < 0 ? 0 : c < last ? c : last;
}

static int accepts(const mx_task *t) {
  const int dtype = t->cst_info[0].dtype;
  return t->in[0].dtype == MACCEL_U8 && (dtype == MACCEL_S8 || dtype == MACCEL_S16) && t->in[0].rank == 4 &&
         plan_of(t).shape != NULL;
}

/* ---- packing: per block bias [4][8], scale [4][8], scale in channel order [32], then per output row of a unit
 * [4][groups][kw] vectors */

static int weight_at(const mx_task *t, const dw_plan *p, int ky, int kx, int channel) {
  if (ky < 0 || ky >= p->s.kh || kx >= p->s.kw || channel >= p->channels) return 0;
  const int64_t at = ((int64_t)ky * p->s.kw + kx) * p->channels + channel;
  return t->cst_info[0].dtype == MACCEL_S16 ? ((const int16_t *)t->cst[0])[at]
                                            : ((const int8_t *)t->cst[0])[at];
}

static void pack_row(const mx_task *t, const dw_plan *p, int row, int c0, int16_t *to) {
  for (int j = 0; j < 4; j++)
    for (int g = 0; g < p->shape->groups; g++)
      for (int kx = 0; kx < p->shape->kw; kx++, to += 16)
        for (int e = 0; e < 16; e++) {
          const int ky = 2 * g + e % 2 - row * p->s.sh;
          to[e] = (int16_t)weight_at(t, p, ky, kx, c0 + dw_channel(j, e / 2));
        }
}

static void pack_block(const mx_task *t, const dw_plan *p, int block, uint8_t *to) {
  const int c0 = block_channel(p, block);
  int32_t *bias = (int32_t *)(void *)to;
  float *scale = (float *)(void *)to + DW_CHANNELS, *ordered = scale + DW_CHANNELS;
  for (int q = 0; q < DW_CHANNELS; q++) {
    const int c = c0 + dw_channel(q / 8, q % 8), exists = c < p->channels;
    bias[q] = exists && t->cst[1] ? ((const int32_t *)t->cst[1])[c] : 0;
    scale[q] = ordered[c - c0] = exists ? ((const float *)t->cst[2])[c] : 0.0f;
  }
  for (int row = 0; row < p->rows; row++)
    pack_row(t, p, row, c0, (int16_t *)(void *)(to + HEAD_BYTES + row * p->row_bytes));
}

static size_t pack_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return (size_t)p.blocks * p.block_bytes + 64;
}

static uint8_t *packed_base(void *packed) { return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63); }

static void pack(const mx_task *t, void *packed) {
  const dw_plan p = plan_of(t);
  for (int b = 0; b < p.blocks; b++) pack_block(t, &p, b, packed_base(packed) + b * p.block_bytes);
}

/* ---- scratch: padding row (64), interleaved columns of a chunk and the surplus of its last tile, sums */

static size_t columns_bytes(const dw_plan *p) {
  const int columns = p->chunk * p->s.sw + p->shape->kw;
  return (size_t)columns * p->shape->groups * DW_COLUMN;
}

static size_t scratch_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return 64 + columns_bytes(&p) + (size_t)p.chunk * DW_CHANNELS * sizeof(int32_t);
}

/* ---- one unit */

typedef struct dw_unit {
  const mx_task *task;
  const dw_plan *plan;
  int linear; /* of row_finish() */
  int plain; /* 1: u8 by scale, rounding, zero and clamp alone */
  int image, row, rows, channel; /* first output row and how many */
  int count; /* channels that the block really has */
  int done; /* the first of them that the block before has done: nothing is written twice */
  const uint8_t *packed;
  const uint8_t *source[ROWS_MAX]; /* input rows at column 0, first channel of the block */
  int64_t step[ROWS_MAX];
  uint8_t *padding, *columns;
  int32_t *sums;
} dw_unit;

static void unit_rows(dw_unit *u) {
  const mx_geometry *s = &u->plan->s;
  for (int b = 0; b < 2 * u->plan->shape->groups; b++) {
    const int y = u->row * s->sh - s->pt + b * s->dh;
    const int used = b < (u->rows - 1) * s->sh + s->kh && y >= 0 && y < s->in_h;
    u->source[b] = used ? u->task->in[0].data + u->image * s->in_n + y * s->in_row + u->channel : u->padding;
    u->step[b] = used ? s->in_px : 0;
  }
}

/* Interleaves the input columns that output columns [x0, x0 + n) read. */
static void unit_interleave(const dw_unit *u, int x0, int n) {
  const mx_geometry *s = &u->plan->s;
  const int groups = u->plan->shape->groups, first = x0 * s->sw - s->pl;
  const int count = (n - 1) * s->sw + u->plan->shape->kw;
  for (int g = 0; g < groups; g++) {
    const uint8_t *const *source = u->source + 2 * g;
    const int64_t *step = u->step + 2 * g;
    uint8_t *to = u->columns + g * DW_COLUMN;
    for (int c = 0; c < count; c++, to += groups * DW_COLUMN) {
      const int x = first + c, inside = x >= 0 && x < s->in_w;
      const uint8_t *r0 = inside ? source[0] + x * step[0] : u->padding;
      const uint8_t *r1 = inside ? source[1] + x * step[1] : u->padding;
      dw_interleave(to, dw_load(r0, u->count), dw_load(r1, u->count));
    }
  }
}

static void unit_row(const dw_unit *u, int r, int x0, int n) {
  const dw_plan *p = u->plan;
  const mx_view *o = &u->task->out[0];
  const float *scale = (const float *)(const void *)u->packed + DW_CHANNELS;
  const dw_tile t = {
      .columns = u->columns,
      .weights = (const int16_t *)(const void *)(u->packed + HEAD_BYTES + r * p->row_bytes),
      .bias = (const int32_t *)(const void *)u->packed,
      .scale = scale,
      .out = o->data + u->image * o->stride[0] + (u->row + r) * o->stride[1] + x0 * o->stride[2] + u->channel,
      .out_px = o->stride[2],
      .count = n,
      .from = u->done,
      .to = u->count,
      .zero = o->zero,
      .low = u->task->insn->i[12],
      .high = u->task->insn->i[13],
      .sums = u->plain ? NULL : u->sums};
  p->shape->run(&t);
  for (int x = 0; !u->plain && x < n; x++)
    row_finish(u->task, u->linear, u->sums + x * DW_CHANNELS + u->done, scale + DW_CHANNELS + u->done,
               u->channel + u->done, u->count - u->done,
               mx_place_at(u->task, u->image, u->row + r, x0 + x, 0));
}

static void unit_run(dw_unit *u) {
  const mx_geometry *s = &u->plan->s;
  unit_rows(u);
  for (int x = 0; x < s->out_w; x += u->plan->chunk) {
    const int n = s->out_w - x < u->plan->chunk ? s->out_w - x : u->plan->chunk;
    unit_interleave(u, x, n);
    for (int r = 0; r < u->rows; r++) unit_row(u, r, x, n);
  }
}

static int is_plain(const mx_task *t) {
  const mxp_insn *n = t->insn;
  return t->out[0].dtype == MACCEL_U8 && n->out[1] == MXP_NONE && n->in[1] == MXP_NONE &&
         n->i[11] == MX_ACT_NONE && n->f[3] == 1.0f && !t->cst[3];
}

static void run(const mx_task *t, int part, int parts) {
  const dw_plan p = plan_of(t);
  const int bands = (p.s.out_h + p.rows - 1) / p.rows, strips = p.s.batch * bands;
  dw_unit u = {.task = t, .plan = &p, .linear = row_is_linear(t), .plain = is_plain(t)};
  u.padding = (uint8_t *)t->scratch;
  u.columns = u.padding + 64;
  u.sums = (int32_t *)(void *)(u.columns + columns_bytes(&p));
  memset(u.padding, t->in[0].zero, 64 + columns_bytes(&p));
  int64_t lo, hi;
  mx_share_units((int64_t)strips * p.blocks, 1, part, parts, &lo, &hi);
  for (int64_t k = lo; k < hi; k++) {
    const int strip = (int)(k / p.blocks), block = (int)(k % p.blocks);
    u.image = strip / bands, u.row = strip % bands * p.rows;
    u.rows = p.s.out_h - u.row < p.rows ? p.s.out_h - u.row : p.rows;
    u.channel = block_channel(&p, block);
    u.done = block * DW_CHANNELS - u.channel;
    u.count = p.channels < DW_CHANNELS ? p.channels : DW_CHANNELS;
    u.packed = packed_base(t->packed) + block * p.block_bytes;
    unit_run(&u);
  }
}

const mx_kernel mx_dwconv_u8_avx2 = {"u8-dwconv-4x32-avx2", accepts, pack_bytes, pack, scratch_bytes, run};
