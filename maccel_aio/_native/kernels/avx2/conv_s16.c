/* conv_s16.c - integer convolution and fully connected layers with everything widened to 16 bits (docs/kernels.md).
 *
 * A block of output pixels is gathered as rows of s16 (all taps behind one another), multiplied by panels of 16
 * output channels with vpmaddwd, which is exact, and finished 64 channels at a time. Takes u8 or s16 images and s8 or
 * s16 weights, any window, stride, dilation, padding and grouping. */
#include "../vector/geometry.h"
#include "../vector/row.h"
#include "table.h"

enum { TILE_ROWS = 6, PANEL = 16, BLOCK_ROWS = 48, BLOCK_BYTES = 64 << 10 };

typedef struct wide_plan {
  mx_geometry s;
  int wide_in, wide_weights;
  int depth; /* elements of a window, rounded up to even */
  int panels; /* of a group */
  int rows; /* pixels gathered together */
  size_t group_bytes,
      scale_bytes; /* packed: bias and scale of a group take scale_bytes each, its weights the rest */
} wide_plan;

static wide_plan plan_of(const mx_task *t) {
  wide_plan p = {.wide_in = t->in[0].dtype == MACCEL_S16, .wide_weights = t->cst_info[0].dtype == MACCEL_S16};
  p.s = mx_geometry_of(t, 2); /* 2: no segments, the gathering joins the taps of a row anyway */
  p.depth = (p.s.kh * p.s.kw * p.s.in_c + 1) & ~1;
  p.panels = (p.s.out_c + PANEL - 1) / PANEL;
  p.scale_bytes = ((size_t)p.panels * PANEL * 4 + 63) & ~(size_t)63;
  p.group_bytes = 2 * p.scale_bytes + (((size_t)p.panels * PANEL * p.depth * 2 + 63) & ~(size_t)63);
  p.rows = BLOCK_BYTES / (2 * p.depth) / TILE_ROWS * TILE_ROWS;
  p.rows = p.rows < TILE_ROWS ? TILE_ROWS : p.rows > BLOCK_ROWS ? BLOCK_ROWS : p.rows;
  return p;
}

static int accepts(const mx_task *t) {
  const int in = t->in[0].dtype, w = t->cst_info[0].dtype;
  return t->insn->op == MX_OP_CONV && t->in[0].rank == 4 && (in == MACCEL_U8 || in == MACCEL_S16) &&
         (w == MACCEL_S8 || w == MACCEL_S16);
}

static size_t pack_bytes(const mx_task *t) {
  const wide_plan p = plan_of(t);
  return p.group_bytes * (size_t)p.s.groups + 64;
}

static uint8_t *packed_group(const wide_plan *p, void *packed, int group) {
  return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63) + p->group_bytes * (size_t)group;
}

static void pack_group(const mx_task *t, const wide_plan *p, int group, uint8_t *to) {
  const int64_t window = (int64_t)p->s.kh * p->s.kw * p->s.in_c;
  int32_t *bias = (int32_t *)(void *)to;
  float *scale = (float *)(void *)(to + p->scale_bytes);
  int16_t *weights = (int16_t *)(void *)(to + 2 * p->scale_bytes);
  memset(to, 0, p->group_bytes);
  for (int c = 0; c < p->s.out_c; c++) {
    const int64_t o = (int64_t)group * p->s.out_c + c;
    bias[c] = t->cst[1] ? ((const int32_t *)t->cst[1])[o] : 0;
    scale[c] = ((const float *)t->cst[2])[o];
    int16_t *column = weights + (int64_t)(c / PANEL) * PANEL * p->depth + c % PANEL * 2;
    for (int64_t k = 0; k < window; k++)
      column[k / 2 * PANEL * 2 + k % 2] = p->wide_weights ? ((const int16_t *)t->cst[0])[o * window + k]
                                                          : ((const int8_t *)t->cst[0])[o * window + k];
  }
}

static void pack(const mx_task *t, void *packed) {
  const wide_plan p = plan_of(t);
  for (int g = 0; g < p.s.groups; g++) pack_group(t, &p, g, packed_group(&p, packed, g));
}

/* ---- scratch: gathered rows, sums [rows][64], places */

typedef struct wide_run {
  const mx_task *task;
  const wide_plan *plan;
  int linear, group;
  int16_t *gathered;
  int32_t *sums;
  mx_place *places;
  const uint8_t *packed; /* of the group */
} wide_run;

static size_t gathered_bytes(const wide_plan *p) {
  return ((size_t)p->rows * p->depth * 2 + 127) & ~(size_t)63;
}

static size_t scratch_bytes(const mx_task *t) {
  const wide_plan p = plan_of(t);
  return gathered_bytes(&p) + (size_t)p.rows * (ROW_CHANNELS * sizeof(int32_t) + sizeof(mx_place));
}

/* ---- gathering */

static inline void widen(int16_t *to, const uint8_t *from, int n, int wide) {
  if (wide) {
    memcpy(to, from, (size_t)n * 2);
    return;
  }
  int k = 0;
  for (; k + 16 <= n; k += 16)
    _mm256_storeu_si256((__m256i *)(to + k),
                        _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(from + k))));
  for (; k < n; k++) to[k] = from[k];
}

static void gather_pixel(const wide_run *r, int64_t pixel, int16_t *to) {
  const mx_geometry *s = &r->plan->s;
  const mx_view *in = &r->task->in[0];
  const int wide = r->plan->wide_in, row = (int)(pixel / s->out_w);
  const int y = row % s->out_h * s->sh - s->pt, x = (int)(pixel % s->out_w) * s->sw - s->pl;
  const uint8_t *image = in->data + row / s->out_h * s->in_n + (int64_t)r->group * s->in_c * (1 + wide);
  for (int ky = 0; ky < s->kh; ky++)
    for (int kx = 0; kx < s->kw; kx++, to += s->in_c) {
      const int iy = y + ky * s->dh, ix = x + kx * s->dw;
      if (iy >= 0 && iy < s->in_h && ix >= 0 && ix < s->in_w)
        widen(to, image + iy * s->in_row + ix * s->in_px, s->in_c, wide);
      else
        for (int c = 0; c < s->in_c; c++) to[c] = (int16_t)in->zero;
    }
}

static mx_place pixel_place(const wide_run *r, int64_t p) {
  const mx_task *t = r->task;
  const mx_geometry *s = &r->plan->s;
  mx_place place = {.out0 = mx_pixel_at(s, &t->out[0], p) - t->out[0].data};
  if (t->insn->out[1] != MXP_NONE) place.out1 = mx_pixel_at(s, &t->out[1], p) - t->out[1].data;
  if (t->insn->in[1] != MXP_NONE) place.res = mx_pixel_at(s, &t->in[1], p) - t->in[1].data;
  return place;
}

/* ---- the tile: `rows` pixels x 16 channels */

MX_INLINE void wide_tile(int rows, const int16_t *a, int64_t step, const int16_t *w, const int32_t *bias,
                         int depth, int32_t *sums) {
  __m256i acc[TILE_ROWS][2];
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < 2; n++) acc[m][n] =
      _mm256_loadu_si256((const __m256i *)(bias + 8 * n));
  for (int k = 0; k < depth; k += 2, w += 2 * PANEL) {
    const __m256i w0 = _mm256_loadu_si256((const __m256i *)w),
                  w1 = _mm256_loadu_si256((const __m256i *)(w + PANEL));
    MX_UNROLL for (int m = 0; m < rows; m++) {
      int32_t pair;
      memcpy(&pair, a + m * step + k, sizeof pair);
      const __m256i x = _mm256_set1_epi32(pair);
      acc[m][0] = _mm256_add_epi32(acc[m][0], _mm256_madd_epi16(x, w0));
      acc[m][1] = _mm256_add_epi32(acc[m][1], _mm256_madd_epi16(x, w1));
    }
  }
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < 2; n++)
      _mm256_storeu_si256((__m256i *)(sums + m * ROW_CHANNELS + 8 * n), acc[m][n]);
}

static __attribute__((noinline)) void wide_tile6(const int16_t *a, int64_t step, const int16_t *w,
                                                 const int32_t *bias, int depth, int32_t *sums) {
  wide_tile(6, a, step, w, bias, depth, sums);
}
static __attribute__((noinline)) void wide_tile1(const int16_t *a, int64_t step, const int16_t *w,
                                                 const int32_t *bias, int depth, int32_t *sums) {
  wide_tile(1, a, step, w, bias, depth, sums);
}

/* Up to four panels (64 channels) of n gathered pixels. Rows of a tile behind the last pixel are computed and ignored. */
static void run_panels(const wide_run *r, int panel, int panels, int n) {
  const wide_plan *p = r->plan;
  const int32_t *bias = (const int32_t *)(const void *)r->packed + panel * PANEL;
  const float *scale = (const float *)(const void *)(r->packed + p->scale_bytes) + panel * PANEL;
  const int16_t *w =
      (const int16_t *)(const void *)(r->packed + 2 * p->scale_bytes) + (int64_t)panel * PANEL * p->depth;
  for (int q = 0; q < panels; q++, w += (int64_t)PANEL * p->depth)
    for (int m = 0; m < n; m += TILE_ROWS)
      (n == 1 ? wide_tile1 : wide_tile6)(r->gathered + (int64_t)m * p->depth, p->depth, w, bias + q * PANEL,
                                         p->depth, r->sums + m * ROW_CHANNELS + q * PANEL);
  const int left = p->s.out_c - panel * PANEL, count = left < panels * PANEL ? left : panels * PANEL;
  for (int m = 0; m < n; m++)
    row_finish(r->task, r->linear, r->sums + m * ROW_CHANNELS, scale, r->group * p->s.out_c + panel * PANEL,
               count, r->places[m]);
}

static void run(const mx_task *t, int part, int parts) {
  const wide_plan p = plan_of(t);
  wide_run r = {.task = t, .plan = &p, .linear = row_is_linear(t), .gathered = (int16_t *)t->scratch};
  r.sums = (int32_t *)(void *)((uint8_t *)t->scratch + gathered_bytes(&p));
  r.places = (mx_place *)(void *)(r.sums + p.rows * ROW_CHANNELS);
  memset(r.gathered, 0, gathered_bytes(&p));
  int64_t lo = 0, hi = mx_geometry_pixels(&p.s), panel_lo = 0, panel_hi = p.panels;
  if (hi < 4 * TILE_ROWS * parts && p.panels >= 2 * parts)
    mx_share_units(panel_hi, 4, part, parts, &panel_lo, &panel_hi);
  else
    mx_share_units(hi, TILE_ROWS, part, parts, &lo, &hi);
  for (r.group = 0; r.group < p.s.groups && panel_lo < panel_hi; r.group++) {
    r.packed = packed_group(&p, t->packed, r.group);
    for (int64_t pixel = lo; pixel < hi; pixel += p.rows) {
      const int n = hi - pixel < p.rows ? (int)(hi - pixel) : p.rows;
      for (int m = 0; m < n; m++)
        gather_pixel(&r, pixel + m, r.gathered + (int64_t)m * p.depth),
            r.places[m] = pixel_place(&r, pixel + m);
      for (int64_t q = panel_lo; q < panel_hi; q += 4)
        run_panels(&r, (int)q, (int)(panel_hi - q < 4 ? panel_hi - q : 4), n);
    }
  }
}

const mx_kernel mx_conv_s16_avx2 = {"int-conv-6x16-avx2", accepts, pack_bytes, pack, scratch_bytes, run};
