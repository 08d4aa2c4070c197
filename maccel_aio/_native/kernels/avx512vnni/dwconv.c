/* dwconv.c - depthwise convolution of u8 images by s8 or s16 weights (docs/kernels.md).
 *
 * The work is cut into units of 64 channels x a few output rows. A unit interleaves the input rows it needs, chunk
 * of columns by chunk, into scratch that stays in the first-level cache, and runs the tiles of dw_tile.h over it. */
#include "../vector/row.h"
#include "dw_tile.h"
#include "table.h"

enum { CHUNK_BYTES = 16 << 10, ROWS_MAX = 8, HEAD_BYTES = 768 };

typedef struct dw_plan {
  mx_geometry s;
  const dw_shape *shape;
  int depth;       /* rows in a lane: 4 or 2 */
  int rows;        /* output rows of a unit */
  int blocks;      /* of 64 channels; the last one starts early, so that it ends with the last channel */
  int channels;
  int chunk;       /* output columns of a chunk */
  size_t row_bytes, block_bytes; /* packed: weights of one output row; of a block with bias and scale */
} dw_plan;

static const dw_shape *find_shape(const mx_geometry *s, int wide) {
  const int depth = wide ? 2 : 4, stride = s->dw != 1 ? 0 : s->sw;
  for (size_t k = 0; k < sizeof dw_shapes / sizeof dw_shapes[0]; k++) {
    const dw_shape *d = &dw_shapes[k];
    const int fits = d->wide == wide && s->kw <= d->kw && s->kh <= d->groups * depth;
    if (fits && (d->stride == stride || d->stride == 0)) return d;
  }
  return NULL;
}

static int is_wide(const mx_task *t) { return t->cst_info[0].dtype == MACCEL_S16; }

static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {.s = mx_geometry_of(t, 1), .depth = is_wide(t) ? 2 : 4, .channels = t->out[0].dims[3]};
  p.shape = find_shape(&p.s, is_wide(t));
  if (!p.shape) return p;
  p.rows = p.s.dh == 1 ? (p.shape->groups * p.depth - p.s.kh) / p.s.sh + 1 : 1;
  if (p.rows > 4) p.rows = 4;
  p.blocks = (p.channels + DW_CHANNELS - 1) / DW_CHANNELS;
  const int columns = CHUNK_BYTES / (p.shape->groups * 256) - (p.shape->kw - 1) * p.s.dw;
  p.chunk = columns / p.s.sw / DW_COLUMNS * DW_COLUMNS;
  if (p.chunk < DW_COLUMNS) p.chunk = DW_COLUMNS;
  p.row_bytes = (size_t)p.shape->groups * p.shape->kw * 256;
  p.block_bytes = (size_t)p.rows * p.row_bytes + HEAD_BYTES;
  return p;
}

static int block_channel(const dw_plan *p, int block) {
  const int c = block * DW_CHANNELS, last = p->channels - DW_CHANNELS;
  return last < 0 ? 0 : c < last ? c : last;
}

static int accepts(const mx_task *t) {
  const int dtype = t->cst_info[0].dtype;
  if (t->in[0].dtype != MACCEL_U8 || (dtype != MACCEL_S8 && dtype != MACCEL_S16) || t->in[0].rank != 4)
    return 0;
  return plan_of(t).shape != NULL;
}

/* ---- packing: per block bias [4][16], scale [4][16], scale in channel order [64], then per output row of a unit [4][groups][kw] vectors */

static int weight_at(const mx_task *t, const dw_plan *p, int ky, int kx, int channel) {
  if (ky < 0 || ky >= p->s.kh || kx >= p->s.kw || channel >= p->channels) return 0;
  const int64_t at = ((int64_t)ky * p->s.kw + kx) * p->channels + channel;
  return p->depth == 2 ? ((const int16_t *)t->cst[0])[at] : ((const int8_t *)t->cst[0])[at];
}

static void pack_vector(const mx_task *t, const dw_plan *p, uint8_t *to, int row, int group, int kx, int c0,
                        int j) {
  for (int e = 0; e < 16; e++)
    for (int b = 0; b < p->depth; b++) {
      const int w = weight_at(t, p, group * p->depth + b - row * p->s.sh, kx, c0 + dw_channel(j, e));
      if (p->depth == 2)
        memcpy(to + 4 * e + 2 * b, &(int16_t){(int16_t)w}, 2);
      else
        to[4 * e + b] = (uint8_t)w;
    }
}

static void pack_block(const mx_task *t, const dw_plan *p, int block, uint8_t *to) {
  const int c0 = block_channel(p, block), kw = p->shape->kw, groups = p->shape->groups;
  int32_t *bias = (int32_t *)(void *)to;
  float *scale = (float *)(void *)(to + 256), *ordered = scale + DW_CHANNELS;
  for (int q = 0; q < DW_CHANNELS; q++) {
    const int c = c0 + dw_channel(q / 16, q % 16), exists = c < p->channels;
    bias[q] = exists && t->cst[1] ? ((const int32_t *)t->cst[1])[c] : 0;
    scale[q] = ordered[c - c0] = exists ? ((const float *)t->cst[2])[c] : 0.0f;
  }
  to += HEAD_BYTES;
  for (int row = 0; row < p->rows; row++)
    for (int j = 0; j < 4; j++)
      for (int g = 0; g < groups; g++)
        for (int kx = 0; kx < kw; kx++, to += 64) pack_vector(t, p, to, row, g, kx, c0, j);
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

/* ---- scratch: padding row (64), interleaved columns, sums */

static size_t columns_bytes(const dw_plan *p) {
  const int columns = (p->chunk - 1) * p->s.sw + (p->shape->kw - 1) * p->s.dw + 1;
  return (size_t)columns * p->shape->groups * 256;
}

static size_t scratch_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return 64 + columns_bytes(&p) + (size_t)(p.chunk + DW_COLUMNS) * DW_CHANNELS * sizeof(int32_t);
}

/* ---- one unit */

typedef struct dw_unit {
  const mx_task *task;
  const dw_plan *plan;
  int linear; /* of row_finish() */
  int mode, image, row, rows, channel; /* first output row and how many */
  int count;                           /* channels that the block really has */
  /* The first of them that the block before has done: nothing is written twice, a residual may lie in the output. */
  int done;
  const uint8_t *packed;
  const uint8_t *source[ROWS_MAX]; /* input rows at column 0, first channel of the block */
  int64_t step[ROWS_MAX];
  uint8_t *padding, *columns;
  int32_t *sums;
} dw_unit;

static void unit_rows(dw_unit *u) {
  const mx_geometry *s = &u->plan->s;
  const int total = u->plan->shape->groups * u->plan->depth;
  for (int b = 0; b < total; b++) {
    const int y = u->row * s->sh - s->pt + b * s->dh,
              used = b < (u->rows - 1) * s->sh + s->kh && y >= 0 && y < s->in_h;
    u->source[b] = used ? u->task->in[0].data + u->image * s->in_n + y * s->in_row + u->channel : u->padding;
    u->step[b] = used ? s->in_px : 0;
  }
}

/* Interleaves the input columns that output columns [x0, x0 + n) read. */
static void unit_interleave(const dw_unit *u, int x0, int n) {
  const dw_plan *p = u->plan;
  const mx_geometry *s = &p->s;
  const int groups = p->shape->groups, first = x0 * s->sw - s->pl,
            count = (n - 1) * s->sw + (p->shape->kw - 1) * s->dw + 1;
  const __m512i zero = p->depth == 4 ? _mm512_set1_epi8((char)u->task->in[0].zero)
                                     : _mm512_set1_epi16((short)u->task->in[0].zero);
  const __mmask64 some = u->count >= DW_CHANNELS ? ~(__mmask64)0 : ((__mmask64)1 << u->count) - 1;
  for (int g = 0; g < groups; g++) {
    uint8_t *to = u->columns + g * 256;
    for (int c = 0; c < count; c++, to += groups * 256) {
      const int x = first + c;
      if (x < 0 || x >= s->in_w)
        for (int j = 0; j < 4; j++) _mm512_store_si512(to + 64 * j, zero);
      else if (p->depth == 4)
        dw_interleave_bytes(to, u->source + 4 * g, u->step + 4 * g, x, some);
      else
        dw_interleave_words(to, u->source + 2 * g, u->step + 2 * g, x, some);
    }
  }
}

static void unit_finish(const dw_unit *u, int row, int x0, int n) {
  const float *scale = (const float *)(const void *)(u->packed + 512);
  for (int x = 0; x < n; x++)
    row_finish(u->task, u->linear, u->sums + (int64_t)x * DW_CHANNELS + u->done, scale + u->done,
               u->channel + u->done, u->count - u->done, mx_place_at(u->task, u->image, row, x0 + x, 0));
}

static void unit_row(const dw_unit *u, int r, int x0, int n) {
  const dw_plan *p = u->plan;
  const mx_view *o = &u->task->out[0];
  uint8_t *out =
      o->data + u->image * o->stride[0] + (u->row + r) * o->stride[1] + x0 * o->stride[2] + u->channel;
  const dw_tile t = {
      .columns = u->columns,
      .weights = (const int8_t *)u->packed + HEAD_BYTES + r * p->row_bytes,
      .bias = (const int32_t *)(const void *)u->packed,
      .scale = (const float *)(const void *)(u->packed + 256),
      .sw = p->s.sw,
      .dw = p->s.dw,
      .out = out,
      .out_px = o->stride[2],
      .count = n,
      .mask = u->count >= DW_CHANNELS ? ~(__mmask64)0 << u->done : ((__mmask64)1 << u->count) - 1,
      .zero = o->zero,
      .low = u->task->insn->i[12],
      .high = u->task->insn->i[13],
      .sums = u->sums};
  p->shape->run[u->mode](&t);
  if (u->mode == DW_SUMS) unit_finish(u, u->row + r, x0, n);
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

static int mode_of(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const int linear = t->out[0].dtype == MACCEL_U8 && n->out[1] == MXP_NONE && n->in[1] == MXP_NONE &&
                     n->i[11] == MX_ACT_NONE && n->f[3] == 1.0f && !t->cst[3];
  if (!linear) return DW_SUMS;
  return t->out[0].zero == 0 && n->i[12] == 0 && n->i[13] == 255 ? DW_SATURATE : DW_CLAMP;
}

static void run(const mx_task *t, int part, int parts) {
  const dw_plan p = plan_of(t);
  const int bands = (p.s.out_h + p.rows - 1) / p.rows, strips = p.s.batch * bands;
  const int by_block =
      p.s.out_h * p.s.out_w <= 1024; /* small images: weights are the larger stream, pass over them once */
  dw_unit u = {.task = t,
               .plan = &p,
               .linear = row_is_linear(t),
               .mode = mode_of(t),
               .padding = (uint8_t *)t->scratch};
  u.columns = u.padding + 64;
  u.sums = (int32_t *)(void *)(u.columns + columns_bytes(&p));
  memset(u.padding, t->in[0].zero, 64);
  int64_t lo, hi;
  mx_share_units((int64_t)strips * p.blocks, 1, part, parts, &lo, &hi);
  for (int64_t k = lo; k < hi; k++) {
    const int strip = (int)(by_block ? k % strips : k / p.blocks),
              block = (int)(by_block ? k / strips : k % p.blocks);
    u.image = strip / bands, u.row = strip % bands * p.rows;
    u.rows = p.s.out_h - u.row < p.rows ? p.s.out_h - u.row : p.rows;
    u.channel = block_channel(&p, block);
    u.done = block * DW_CHANNELS - u.channel;
    u.count = p.channels < DW_CHANNELS ? p.channels : DW_CHANNELS;
    u.packed = packed_base(t->packed) + block * p.block_bytes;
    unit_run(&u);
  }
}

const mx_kernel mx_dwconv_avx512vnni = {
    "u8-dwconv-4x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
