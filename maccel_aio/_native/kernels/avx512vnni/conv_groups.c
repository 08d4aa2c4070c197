/* conv_groups.c - u8 x s8 convolution in many small groups (docs/kernels.md).
 *
 * A group of four channels would use a quarter of a vector. Here the 16 outputs of a vector belong to several groups: a
 * shuffle gives each of them four channels of its own group, where the general kernel gives all the same four. The channels
 * that one vector needs lie within 16 bytes (chosen by bytes) or 64 (chosen by groups of four).
 *
 * packed = zero row | per block of 16 outputs: choices [k4][64], bias s32 [16], scale f32 [16], weights [taps][k4][16][4] */
#include "../vector/row.h"
#include "dot.h"
#include "table.h"

enum {
  GROUPS_MOST = 16 /* channels, outputs; the general kernel is better at more */,
  GROUPS_TILE = 8,
  GROUPS_PIXELS = 64
};

typedef struct groups_shape {
  mx_geometry s;
  int outputs, blocks, k4, taps;
  int quads;                        /* 1: choices are of groups of four bytes among 64 */
  int plain;                        /* 1: bytes leave by scale, rounding, zero and clamp alone */
  size_t zero_bytes, block_bytes;
} groups_shape;

static int groups_base(const mx_geometry *s, int block) { return 16 * block / s->out_c * s->in_c; }

/* Bytes that the columns of a block read, from its base on. */
static int groups_span(const mx_geometry *s, int block) {
  const int last = 16 * block + 15, end = s->groups * s->out_c - 1;
  return (last < end ? last : end) / s->out_c * s->in_c + s->in_c - groups_base(s, block);
}

static int groups_is_plain(const mx_task *t) {
  const mxp_insn *n = t->insn;
  return t->out[0].dtype == MACCEL_U8 && n->in[1] == MXP_NONE && n->out[1] == MXP_NONE &&
         n->cst[3] == MXP_NONE && n->i[11] == MX_ACT_NONE && n->f[3] == 1.0f;
}

static groups_shape groups_shape_of(const mx_task *t) {
  groups_shape x = {.s = mx_geometry_of(t, 2)}; /* 2: never in segments */
  int span = 0;
  x.outputs = t->out[0].dims[3], x.blocks = (x.outputs + 15) / 16;
  x.k4 = (x.s.in_c + 3) / 4, x.taps = x.s.kh * x.s.kw;
  for (int b = 0; b < x.blocks; b++) span = groups_span(&x.s, b) > span ? groups_span(&x.s, b) : span;
  x.quads = span > 16;
  x.plain = groups_is_plain(t);
  x.zero_bytes = ((size_t)t->in[0].dims[3] + 127) / 64 * 64;
  x.block_bytes = (size_t)x.k4 * 64 * (size_t)(x.taps + 1) + 128;
  return x;
}

static int accepts(const mx_task *t) {
  if (t->in[0].dtype != MACCEL_U8 || t->cst_info[0].dtype != MACCEL_S8 || t->in[0].rank != 4) return 0;
  const mx_geometry s = mx_geometry_of(t, 2);
  if (t->insn->op != MX_OP_CONV || s.groups < 2 || s.in_c > GROUPS_MOST || s.out_c > GROUPS_MOST) return 0;
  for (int b = 0; b < (t->out[0].dims[3] + 15) / 16; b++)
    if (groups_span(&s, b) > (s.in_c % 4 ? 16 : 64)) return 0;
  return 1;
}

/* ---- packing */

static uint8_t *groups_packed(void *packed) { return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63); }

static size_t pack_bytes(const mx_task *t) {
  const groups_shape x = groups_shape_of(t);
  return x.zero_bytes + x.block_bytes * (size_t)x.blocks + 64;
}

static void pack_choices(const groups_shape *x, int block, int column, uint8_t *to) {
  const int from = (16 * block + column) / x->s.out_c * x->s.in_c - groups_base(&x->s, block);
  for (int k = 0; k < x->k4; k++) {
    if (x->quads) {
      const int32_t quad = from / 4 + k;
      memcpy(to + 64 * k + 4 * column, &quad, 4);
      continue;
    }
    for (int e = 0; e < 4; e++)
      to[64 * k + 4 * column + e] = 4 * k + e < x->s.in_c ? (uint8_t)(from + 4 * k + e) : 128;
  }
}

static void pack_column(const mx_task *t, const groups_shape *x, int block, int column, uint8_t *to) {
  const int o = 16 * block + column;
  const int8_t *w = (const int8_t *)t->cst[0] + (int64_t)o * x->taps * x->s.in_c;
  uint8_t *bias = to + 64 * x->k4, *weights = bias + 128;
  pack_choices(x, block, column, to);
  if (t->cst[1]) memcpy(bias + 4 * column, (const int32_t *)t->cst[1] + o, 4);
  memcpy(bias + 64 + 4 * column, (const float *)t->cst[2] + o, 4);
  for (int tap = 0; tap < x->taps; tap++, weights += 64 * x->k4)
    for (int e = 0; e < x->s.in_c; e++)
      weights[e / 4 * 64 + 4 * column + e % 4] = (uint8_t)w[tap * x->s.in_c + e];
}

static void pack(const mx_task *t, void *packed) {
  const groups_shape x = groups_shape_of(t);
  uint8_t *base = groups_packed(packed), *to = base + x.zero_bytes;
  memset(base, t->in[0].zero, x.zero_bytes);
  memset(to, 0, x.block_bytes * (size_t)x.blocks);
  for (int o = 0; o < x.outputs; o++)
    pack_column(t, &x, o / 16, o % 16, to + x.block_bytes * (size_t)(o / 16));
}

/* ---- lists of pixels */

typedef struct groups_scratch {
  const uint8_t **rows; /* [taps][GROUPS_PIXELS] */
  uint8_t **outs;       /* [GROUPS_PIXELS] at channel 0 */
  mx_place *places;     /* [GROUPS_PIXELS] likewise */
  int32_t *sums;        /* [GROUPS_PIXELS][16] */
  uint8_t *sink;        /* for the pixels of a tile that do not exist */
} groups_scratch;

static size_t groups_scratch_at(const groups_shape *x, uint8_t *base, groups_scratch *m) {
  const size_t rows = (size_t)x->taps * GROUPS_PIXELS * sizeof(void *), outs = GROUPS_PIXELS * sizeof(void *),
               places = GROUPS_PIXELS * sizeof(mx_place), sums = GROUPS_PIXELS * 64;
  uint8_t *at = base;
  if (!m) return rows + outs + places + sums + (size_t)x->outputs + 64;
  m->sums = (int32_t *)(void *)at, at += sums;
  m->rows = (const uint8_t **)(void *)at, at += rows;
  m->outs = (uint8_t **)(void *)at, at += outs;
  m->places = (mx_place *)(void *)at, at += places;
  m->sink = at;
  return 0;
}

static size_t scratch_bytes(const mx_task *t) {
  const groups_shape x = groups_shape_of(t);
  return groups_scratch_at(&x, NULL, NULL);
}

/* Entries [at, end) of the list of a tap: pixels of one output row from column x on; `line` is NULL for a row of padding. */
static void list_tap(const groups_shape *x, const uint8_t **to, int at, int end, int64_t left,
                     const uint8_t *line, const uint8_t *zero) {
  const int64_t width = x->s.in_w, px = x->s.in_px;
  for (; at < end; at++, left += x->s.sw)
    to[at] = line && left >= 0 && left < width ? line + left * px : zero;
}

/* Pixels [p, p + end - at) of one output row become the entries from `at` on. */
static void list_row(const mx_task *t, const groups_shape *x, const groups_scratch *m, int64_t p, int at,
                     int end) {
  const mx_geometry *s = &x->s;
  const int64_t row = p / s->out_w, left = p % s->out_w * s->sw - s->pl, top = row % s->out_h * s->sh - s->pt;
  const uint8_t *image = t->in[0].data + row / s->out_h * s->in_n, *zero = groups_packed(t->packed);
  for (int ky = 0; ky < s->kh; ky++) {
    const int64_t y = top + ky * s->dh;
    const uint8_t *line = y >= 0 && y < s->in_h ? image + y * s->in_row : NULL;
    for (int kx = 0; kx < s->kw; kx++)
      list_tap(x, m->rows + (ky * s->kw + kx) * GROUPS_PIXELS, at, end, left + kx * s->dw, line, zero);
  }
  for (int i = at; i < end; i++, p++) {
    m->outs[i] = mx_pixel_at(s, &t->out[0], p);
    m->places[i] = (mx_place){.out0 = m->outs[i] - t->out[0].data};
    if (t->insn->out[1] != MXP_NONE) m->places[i].out1 = mx_pixel_at(s, &t->out[1], p) - t->out[1].data;
    if (t->insn->in[1] != MXP_NONE) m->places[i].res = mx_pixel_at(s, &t->in[1], p) - t->in[1].data;
  }
}

/* The last tile may be longer than the list: it repeats the last window and writes to the sink. */
static void list_pixels(const mx_task *t, const groups_shape *x, const groups_scratch *m, int64_t p, int n) {
  for (int at = 0; at < n;) {
    const int64_t in_row = x->s.out_w - (p + at) % x->s.out_w;
    const int end = in_row < n - at ? at + (int)in_row : n;
    list_row(t, x, m, p + at, at, end);
    at = end;
  }
  for (int i = n; i % GROUPS_TILE; i++) {
    m->outs[i] = m->sink;
    for (int tap = 0; tap < x->taps; tap++)
      m->rows[tap * GROUPS_PIXELS + i] = m->rows[tap * GROUPS_PIXELS + n - 1];
  }
}

/* ---- tiles: eight pixels x 16 outputs */

typedef struct groups_tile {
  const uint8_t *choices, *bias;
  const uint8_t *const *rows;
  int64_t base;             /* of the block's channels */
  int k4, taps;
  int zero, low, high;      /* plain */
  uint8_t *const *outs;     /* plain: at channel 0 */
  int column;
  __mmask16 mask;
  int32_t *sums;            /* else [GROUPS_TILE][16] */
} groups_tile;

MX_INLINE __m512i groups_choose(int quads, const uint8_t *from, __m512i choice) {
  if (quads) return _mm512_permutexvar_epi32(choice, _mm512_loadu_si512(from));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)from)),
                             choice);
}

MX_INLINE void groups_store(const groups_tile *t, __m512i acc[GROUPS_TILE]) {
  const __m512 scale = _mm512_loadu_ps(t->bias + 64);
  const __m512i zero = _mm512_set1_epi32(t->zero), low = _mm512_set1_epi32(t->low),
                high = _mm512_set1_epi32(t->high);
  MX_UNROLL for (int m = 0; m < GROUPS_TILE; m++) {
    const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[m]), scale));
    const __m512i v = _mm512_min_epi32(_mm512_max_epi32(_mm512_add_epi32(q, zero), low), high);
    const __m128i bytes = _mm512_cvtepi32_epi8(v);
    if (t->mask == 0xffff)
      _mm_storeu_si128((__m128i *)(void *)(t->outs[m] + t->column), bytes);
    else
      _mm_mask_storeu_epi8(t->outs[m] + t->column, t->mask, bytes);
  }
}

MX_INLINE void groups_run(int quads, int plain, const groups_tile *t) {
  const uint8_t *w = t->bias + 128;
  __m512i acc[GROUPS_TILE];
  MX_UNROLL for (int m = 0; m < GROUPS_TILE; m++) acc[m] = _mm512_loadu_si512(t->bias);
  for (int tap = 0; tap < t->taps; tap++) {
    const uint8_t *const *rows = t->rows + (int64_t)tap * GROUPS_PIXELS;
    for (int k = 0; k < t->k4; k++, w += 64) {
      const __m512i weights = _mm512_loadu_si512(w), choice = _mm512_loadu_si512(t->choices + 64 * k);
      MX_UNROLL for (int m = 0; m < GROUPS_TILE; m++)
          dot_add(&acc[m], groups_choose(quads, rows[m] + t->base, choice), weights);
    }
  }
  if (plain)
    groups_store(t, acc);
  else
    MX_UNROLL for (int m = 0; m < GROUPS_TILE; m++) _mm512_storeu_si512(t->sums + 16 * m, acc[m]);
}

#define GROUPS_INSTANCE(name, quads, plain) \
  static __attribute__((noinline)) void groups_##name(const groups_tile *t) { groups_run(quads, plain, t); }
GROUPS_INSTANCE(bytes_sums, 0, 0)
GROUPS_INSTANCE(bytes_plain, 0, 1)
GROUPS_INSTANCE(quads_sums, 1, 0)
GROUPS_INSTANCE(quads_plain, 1, 1)

static void groups_tile_run(int quads, int plain, const groups_tile *t) {
  if (quads)
    (plain ? groups_quads_plain : groups_quads_sums)(t);
  else
    (plain ? groups_bytes_plain : groups_bytes_sums)(t);
}

/* ---- a share of the work */

static void block_run(const mx_task *t, const groups_shape *x, const groups_scratch *m, int block, int n) {
  const uint8_t *packed = groups_packed(t->packed) + x->zero_bytes + x->block_bytes * (size_t)block;
  const int left = x->outputs - 16 * block, columns = left < 16 ? left : 16, linear = row_is_linear(t);
  groups_tile tile = {.choices = packed, .bias = packed + 64 * x->k4, .k4 = x->k4, .taps = x->taps};
  tile.base = groups_base(&x->s, block), tile.column = 16 * block;
  tile.zero = t->out[0].zero, tile.low = t->insn->i[12], tile.high = t->insn->i[13];
  tile.mask = (__mmask16)((1u << columns) - 1);
  for (int i = 0; i < n; i += GROUPS_TILE) {
    tile.rows = m->rows + i, tile.outs = m->outs + i, tile.sums = m->sums + 16 * i;
    groups_tile_run(x->quads, x->plain, &tile);
  }
  if (x->plain) return;
  const float *scale = (const float *)(const void *)(tile.bias + 64);
  for (int i = 0; i < n; i++)
    row_finish(t, linear, m->sums + 16 * i, scale, 16 * block, columns, m->places[i]);
}

static void run(const mx_task *t, int part, int parts) {
  const groups_shape x = groups_shape_of(t);
  groups_scratch m;
  int64_t lo, hi;
  groups_scratch_at(&x, (uint8_t *)t->scratch, &m);
  mx_share_units(mx_geometry_pixels(&x.s), GROUPS_TILE, part, parts, &lo, &hi);
  for (int64_t p = lo; p < hi; p += GROUPS_PIXELS) {
    const int n = hi - p < GROUPS_PIXELS ? (int)(hi - p) : GROUPS_PIXELS;
    list_pixels(t, &x, &m, p, n);
    for (int block = 0; block < x.blocks; block++) block_run(t, &x, &m, block, n);
  }
}

const mx_kernel mx_conv_groups_avx512vnni = {
    "u8s8-groupconv-8x16-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
