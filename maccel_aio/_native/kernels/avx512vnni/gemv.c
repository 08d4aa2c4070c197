/* gemv.c - fully connected layers: up to six rows against u8 x s8 weights that are read once (docs/kernels.md).
 *
 * Such a layer takes as long as its weights need to arrive, so they lie as they are read, one stream from the first byte
 * to the last: panels of 32 outputs (the last one may be of 16), each [depth/4][2][16][4] bytes of weights, then
 * bias s32 [2][16] and scale f32 [2][16]. The prefetchers of the processor follow such a stream best alone; asking ahead
 * in software only costs. Narrow panels let a team share evenly: a share is a range of them. */
#include "../vector/row.h"
#include "dot.h"
#include "table.h"

enum {
  GEMV_ROWS = 6,
  GEMV_BLOCKS = 2, /* of a panel */
  GEMV_COLUMNS =
      512 /* outputs finished at a time: to finish is to wait for the last weights, so it is done seldom */
};

typedef struct gemv_shape {
  int rows, outputs, blocks;
  int64_t depth, k4;
} gemv_shape;

/* One pixel that is a whole gapless image, read by a window of its size, is a row like any other. */
static int gemv_is_whole_image(const mx_task *t) {
  const int32_t *i = t->insn->i;
  const mx_view *in = &t->in[0];
  return i[0] == in->dims[1] && i[1] == in->dims[2] && i[8] == 1 && i[9] == 1 &&
         in->stride[2] == in->dims[3] && in->stride[1] == in->dims[2] * in->stride[2];
}

static gemv_shape gemv_shape_of(const mx_task *t) {
  const int32_t *d = t->out[0].dims;
  gemv_shape s = {.outputs = d[3]};
  s.rows = (int64_t)d[0] * d[1] * d[2] <= GEMV_ROWS ? d[0] * d[1] * d[2] : GEMV_ROWS + 1;
  s.blocks = (d[3] + 15) / 16;
  s.depth = (int64_t)t->insn->i[0] * t->insn->i[1] * t->in[0].dims[3];
  s.k4 = (s.depth + 3) / 4;
  return s;
}

static int accepts(const mx_task *t) {
  const int32_t *i = t->insn->i;
  if (t->in[0].dtype != MACCEL_U8 || t->cst_info[0].dtype != MACCEL_S8 || t->in[0].rank != 4) return 0;
  if (i[10] > 1 || i[4] || i[5] || i[6] || i[7]) return 0;
  if (i[0] * i[1] != 1 && !gemv_is_whole_image(t)) return 0;
  return gemv_shape_of(t).rows <= GEMV_ROWS;
}

/* ---- packing */

static int gemv_panel_blocks(const gemv_shape *s, int panel) {
  const int left = s->blocks - panel * GEMV_BLOCKS;
  return left < GEMV_BLOCKS ? left : GEMV_BLOCKS;
}

/* Bytes of a panel. */
static int64_t gemv_panel_bytes(const gemv_shape *s, int blocks) { return blocks * (s->k4 * 64 + 128); }

static int8_t *gemv_panel_at(const gemv_shape *s, void *packed, int64_t panel) {
  return (int8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63) + panel * gemv_panel_bytes(s, GEMV_BLOCKS);
}

static size_t pack_bytes(const mx_task *t) {
  const gemv_shape s = gemv_shape_of(t);
  return (size_t)gemv_panel_bytes(&s, s.blocks) + 64;
}

static void pack_output(const mx_task *t, const gemv_shape *s, void *packed, int o) {
  const int panel = o / 16 / GEMV_BLOCKS, blocks = gemv_panel_blocks(s, panel),
            column = o % (16 * GEMV_BLOCKS);
  const int8_t *w = (const int8_t *)t->cst[0] + o * s->depth;
  int8_t *out = gemv_panel_at(s, packed, panel) + column * 4, *end = out + s->k4 * blocks * 64;
  int64_t k = 0;
  for (; k + 4 <= s->depth; k += 4, out += 64 * blocks) memcpy(out, w + k, 4);
  if (k < s->depth) memcpy(out, w + k, (size_t)(s->depth - k));
  if (t->cst[1]) memcpy(end, (const int32_t *)t->cst[1] + o, 4);
  memcpy(end + blocks * 64, (const float *)t->cst[2] + o, 4);
}

static void pack(const mx_task *t, void *packed) {
  const gemv_shape s = gemv_shape_of(t);
  memset(gemv_panel_at(&s, packed, 0), 0, (size_t)gemv_panel_bytes(&s, s.blocks));
  for (int o = 0; o < s.outputs; o++) pack_output(t, &s, packed, o);
}

/* ---- sums */

typedef struct gemv_tile {
  const uint8_t *x[GEMV_ROWS];
  const int8_t *weights;
  int64_t k4;
  int column; /* where its sums and scales go in those of the run */
  int32_t (*sums)[GEMV_COLUMNS]; /* [rows] */
  float *scale;
} gemv_tile;

/* One step of four elements: rows x (16 * blocks) products. */
MX_INLINE void gemv_step(int rows, int blocks, __m512i acc[GEMV_ROWS][GEMV_BLOCKS], const uint8_t *const *x,
                         int64_t k, const int8_t *w) {
  __m512i v[GEMV_BLOCKS];
  MX_UNROLL for (int n = 0; n < blocks; n++) v[n] = _mm512_load_si512(w + 64 * n);
  MX_UNROLL for (int m = 0; m < rows; m++) {
    const __m512i a = dot_broadcast(x[m] + 4 * k);
    MX_UNROLL for (int n = 0; n < blocks; n++) dot_add(&acc[m][n], a, v[n]);
  }
}

/* A sum waits for the one before: even and odd steps are summed apart, so that one row does not wait for itself. */
MX_INLINE void gemv_run(int rows, int blocks, const gemv_tile *t) {
  const int8_t *w = t->weights;
  const uint8_t *x[GEMV_ROWS];
  __m512i even[GEMV_ROWS][GEMV_BLOCKS], odd[GEMV_ROWS][GEMV_BLOCKS];
  int64_t k = 0;
  MX_UNROLL for (int m = 0; m < rows; m++) x[m] = t->x[m];
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < blocks; n++) {
    even[m][n] = odd[m][n] = _mm512_setzero_si512();
  }
  for (; k + 2 <= t->k4; k += 2, w += 128 * blocks) {
    gemv_step(rows, blocks, even, x, k, w);
    gemv_step(rows, blocks, odd, x, k + 1, w + 64 * blocks);
  }
  if (k < t->k4) gemv_step(rows, blocks, even, x, k, w), w += 64 * blocks;
  MX_UNROLL for (int n = 0; n < blocks; n++) {
    const __m512i bias = _mm512_load_si512(w + 64 * n), scale = _mm512_load_si512(w + 64 * (blocks + n));
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const __m512i sums = _mm512_add_epi32(_mm512_add_epi32(even[m][n], odd[m][n]), bias);
      _mm512_storeu_si512(t->sums[m] + t->column + 16 * n, sums);
    }
    _mm512_storeu_si512(t->scale + t->column + 16 * n, scale);
  }
}

typedef void (*gemv_fn)(const gemv_tile *t);

#define GEMV_INSTANCE(rows, blocks)                                                  \
  static __attribute__((noinline)) void gemv_##rows##x##blocks(const gemv_tile *t) { \
    gemv_run(rows, blocks, t);                                                       \
  }
#define GEMV_INSTANCES(rows) \
  GEMV_INSTANCE(rows, 1)     \
  GEMV_INSTANCE(rows, 2)
#define GEMV_ROW(rows) {gemv_##rows##x1, gemv_##rows##x2}

GEMV_INSTANCES(1)
GEMV_INSTANCES(2)
GEMV_INSTANCES(3)
GEMV_INSTANCES(4)
GEMV_INSTANCES(5)
GEMV_INSTANCES(6)

static const gemv_fn gemv_tiles[GEMV_ROWS][GEMV_BLOCKS] = {GEMV_ROW(1), GEMV_ROW(2), GEMV_ROW(3),
                                                           GEMV_ROW(4), GEMV_ROW(5), GEMV_ROW(6)};

/* ---- a share of the work */

typedef struct gemv_rows {
  const uint8_t *x[GEMV_ROWS];
  mx_place places[GEMV_ROWS]; /* at channel 0 */
  float row_scales[GEMV_ROWS]; /* CONVDYN */
} gemv_rows;

static int64_t gemv_offset(const mx_view *v, int64_t b, int64_t y, int64_t x) {
  return v->data ? mx_pixel_offset(v, b, y, x) : 0;
}

static gemv_rows gemv_rows_of(const mx_task *t, const gemv_shape *s) {
  const int32_t *d = t->out[0].dims, *i = t->insn->i;
  gemv_rows r;
  for (int m = 0; m < s->rows; m++) {
    const int64_t x = m % d[2], y = m / d[2] % d[1], b = m / d[2] / d[1];
    r.x[m] = t->in[0].data + mx_pixel_offset(&t->in[0], b, y * i[2], x * i[3]);
    r.places[m] = (mx_place){.out0 = gemv_offset(&t->out[0], b, y, x),
                             .out1 = gemv_offset(&t->out[1], b, y, x),
                             .res = gemv_offset(&t->in[1], b, y, x)};
    if (t->insn->op == MX_OP_CONVDYN)
      memcpy(&r.row_scales[m], t->in[2].data + mx_pixel_offset(&t->in[2], b, y, x), sizeof(float));
  }
  return r;
}

/* n sums of every row, of the outputs from c0 on. */
static void gemv_finish(const mx_task *t, const gemv_rows *r, const gemv_tile *x, int rows, int c0, int n) {
  const int linear = row_is_linear(t), dynamic = t->insn->op == MX_OP_CONVDYN;
  for (int m = 0; m < rows; m++) {
    for (int c = 0; c < n; c += ROW_CHANNELS) {
      const int32_t *sums = x->sums[m] + c;
      const int now = n - c < ROW_CHANNELS ? n - c : ROW_CHANNELS;
      if (dynamic)
        row_finish_dynamic(t, sums, x->scale + c, r->row_scales[m], c0 + c, now, r->places[m]);
      else
        row_finish(t, linear, sums, x->scale + c, c0 + c, now, r->places[m]);
    }
  }
}

static void run(const mx_task *t, int part, int parts) {
  enum { WIDE = 16 * GEMV_BLOCKS };
  const gemv_shape s = gemv_shape_of(t);
  const gemv_rows r = gemv_rows_of(t, &s);
  int32_t sums[GEMV_ROWS][GEMV_COLUMNS];
  float scale[GEMV_COLUMNS];
  int64_t lo, hi;
  mx_share_units((s.blocks + GEMV_BLOCKS - 1) / GEMV_BLOCKS, 1, part, parts, &lo, &hi);
  gemv_tile tile = {.k4 = s.k4, .sums = sums, .scale = scale};
  memcpy(tile.x, r.x, sizeof tile.x);
  for (int64_t panel = lo; panel < hi; panel++) {
    tile.weights = gemv_panel_at(&s, t->packed, panel);
    gemv_tiles[s.rows - 1][gemv_panel_blocks(&s, (int)panel) - 1](&tile);
    const int end = panel * WIDE + WIDE < s.outputs ? (int)panel * WIDE + WIDE : s.outputs;
    const int n = end - (int)panel * WIDE + tile.column;
    tile.column = panel + 1 < hi && n + WIDE <= GEMV_COLUMNS ? n : 0;
    if (tile.column == 0) gemv_finish(t, &r, &tile, s.rows, end - n, n);
  }
}

const mx_kernel mx_gemv_u8s8_avx512vnni = {"u8s8-gemv-6x32-avx512vnni", accepts, pack_bytes, pack, NULL, run};
