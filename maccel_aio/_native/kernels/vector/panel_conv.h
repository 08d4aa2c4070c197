/* panel_conv.h - u8 x s8 convolution and fully connected layers in panels of 16 channels, no im2col (docs/kernels.md).
 *
 * Pixels are numbered over the whole output. A block of them is worked on panel by panel: runs of pixels whose
 * windows lie inside the image go to the tiles by address and step, all others (borders, remainders) by a list of one
 * address per pixel and tap. A share of the team is a range of pixels, or of panels when pixels are few. Sums that do
 * not leave as plain u8 are collected for four panels and go through row_finish(). The level's tiles come before. */
#ifndef MX_VECTOR_PANEL_CONV_H
#define MX_VECTOR_PANEL_CONV_H

#include "panel_pack.h"
#include "row.h"
#if !defined(__aarch64__)
#include "panel_ends.h"
#endif

enum {
  PANEL_LIST = 96, /* pixels of a list: a multiple of every tile */
  PANEL_LIST_STEP = PANEL_LIST + 8,
  PANEL_BLOCK_BYTES = 256 << 10,
  PANEL_GROUP = ROW_CHANNELS / PANEL_COLUMNS, /* panels that are finished together */
  PANEL_WINDOW = MX_SEGMENT_BYTES + PANEL_SLACK
};

typedef struct panel_scratch {
  int64_t *tap_offset; /* [taps] */
  const uint8_t **rows; /* [taps][PANEL_LIST_STEP] */
  uint8_t **outs; /* [PANEL_LIST_STEP] at channel 0 of the group */
  mx_place *places; /* [PANEL_LIST_STEP] at channel 0 of the tensor, for sums */
  float *row_scales; /* [PANEL_LIST_STEP] CONVDYN */
  int32_t *sums; /* [PANEL_LIST_STEP][64] */
  uint8_t *windows; /* [PANEL_LIST][taps][PANEL_WINDOW], segment form */
  uint8_t *sink; /* where the rows of a tile that stand for no pixel go */
} panel_scratch;

typedef struct panel_walk {
  const mx_task *task;
  mx_geometry s;
  panel_layout layout;
  panel_scratch mem;
  int linear; /* of row_finish() */
#if !defined(__aarch64__)
  panel_ends ends;
#endif
  int sums;
  int group, panel_lo, panel_hi;
  int interior_lo, interior_hi;
  const uint8_t *in; /* of the group */
  const uint8_t *zero_row;
  panel_group packed;
} panel_walk;

/* Sums that leave as u8 by scale, rounding, zero and clamp alone. */
static int panel_is_plain(const mx_task *t) {
  const mxp_insn *n = t->insn;
  return n->op == MX_OP_CONV && t->out[0].dtype == MACCEL_U8 && n->out[1] == MXP_NONE &&
         n->in[1] == MXP_NONE && n->i[11] == MX_ACT_NONE && n->f[3] == 1.0f;
}

static int panel_accepts(const mx_task *t) {
  if (t->in[0].dtype != MACCEL_U8 || t->cst_info[0].dtype != MACCEL_S8 || t->in[0].rank != 4) return 0;
  const mx_geometry s = mx_geometry_of(t, 1);
  return s.groups == 1 || s.out_c >= PANEL_BLOCK; /* panels of tiny groups are nearly all padding */
}

static size_t panel_pack_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 1);
  return panel_pack_all(t, &s, !panel_is_plain(t), NULL);
}

static void panel_pack(const mx_task *t, void *packed) {
  const mx_geometry s = mx_geometry_of(t, 1);
  panel_pack_all(t, &s, !panel_is_plain(t), panel_base(packed));
}

static uint8_t *panel_take(uint8_t **at, size_t bytes) {
  uint8_t *p = *at;
  *at += panel_round64(bytes);
  return p;
}

/* Lays the scratch out from `at`; with at = 0 the end is its size. */
static panel_scratch panel_scratch_at(const mx_geometry *s, uint8_t **at) {
  panel_scratch m;
  m.tap_offset = (int64_t *)(void *)panel_take(at, (size_t)s->taps * sizeof(int64_t));
  m.rows = (const uint8_t **)(void *)panel_take(at, (size_t)s->taps * PANEL_LIST_STEP * sizeof(void *));
  m.outs = (uint8_t **)(void *)panel_take(at, PANEL_LIST_STEP * sizeof(void *));
  m.places = (mx_place *)(void *)panel_take(at, PANEL_LIST_STEP * sizeof(mx_place));
  m.row_scales = (float *)(void *)panel_take(at, PANEL_LIST_STEP * sizeof(float));
  m.sums = (int32_t *)(void *)panel_take(at, PANEL_LIST_STEP * ROW_CHANNELS * sizeof(int32_t));
  m.windows = panel_take(at, s->segment ? (size_t)PANEL_LIST * s->taps * PANEL_WINDOW : 0);
  m.sink = panel_take(at, (size_t)s->out_c + 64);
  return m;
}

static size_t panel_scratch_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 1);
  uint8_t *end = NULL;
  panel_scratch_at(&s, &end);
  return (size_t)(uintptr_t)end;
}

/* ---- tiles of one panel */

static panel_tile panel_tile_of(const panel_walk *r, int panel) {
  const mx_task *t = r->task;
  const int column = PANEL_COLUMNS * panel, blocks = panel_blocks(&r->s, panel);
  const int left = r->s.out_c - column, wide = PANEL_BLOCK * blocks;
  const int padded =
      r->s.groups == 1 && (t->out[0].flags & MX_TENSOR_PAD_CHANNELS) && column + wide <= t->out[0].stride[2];
  panel_tile x = {.weights = r->packed.base + r->packed.offsets[panel],
                  .bias = r->packed.bias + column,
                  .scale = r->packed.scale + column,
                  .blocks = blocks,
                  .k4 = r->layout.k4,
                  .taps = r->s.taps,
                  .sums = r->sums,
                  .columns = left >= wide || padded ? wide : left,
                  .zero = t->out[0].zero,
                  .low = t->insn->i[12],
                  .high = t->insn->i[13],
                  .tap_offset = r->mem.tap_offset,
                  .list_step = PANEL_LIST_STEP,
                  .column = column};
  if (r->sums) {
    x.out = (uint8_t *)(r->mem.sums + column % ROW_CHANNELS);
    x.out_step = ROW_CHANNELS * sizeof(int32_t);
  }
  return x;
}

/* CONVDYN: the scale of the pixel and the float bias come in between. */
static void panel_dynamic(const panel_walk *r, const int32_t *sums, const float *scale, float row_scale,
                          int c0, int n, mx_place place) {
  const mx_task *t = r->task;
  const float *bias = t->cst[5] ? (const float *)t->cst[5] + c0 : NULL;
  float v[ROW_CHANNELS];
  for (int j = 0; j < n; j++) v[j] = (float)sums[j] * scale[j];
  for (int j = 0; j < n; j++) v[j] = v[j] * row_scale;
  for (int j = 0; bias && j < n; j++) v[j] = v[j] + bias[j];
  place.c0 = c0;
  place.out0 += (int64_t)c0 * mx_dtype_bytes(t->out[0].dtype);
  place.out1 += (int64_t)c0 * mx_dtype_bytes(t->out[1].dtype);
  place.res += c0 * t->in[1].stride[3];
  mx_conv_finish(t, v, n, &place);
}

/* Channels of the panels from `panel` on that are finished together: up to four panels. */
static int panel_finished(const panel_walk *r, int panel) {
  const int left = r->s.out_c - panel * PANEL_COLUMNS, stop = (r->panel_hi - panel) * PANEL_COLUMNS;
  const int most = stop < ROW_CHANNELS ? stop : ROW_CHANNELS;
  return left < most ? left : most;
}

/* Sums of n listed pixels and the panels from `panel` on (at most four) -> outputs. */
static void panel_finish(const panel_walk *r, int panel, int64_t n) {
  const int first = panel * PANEL_COLUMNS, c0 = r->group * r->s.out_c + first;
  const int count = panel_finished(r, panel);
#if !defined(__aarch64__)
  if (r->ends.fit) {
    panel_ends_run(&r->ends, r->mem.sums, r->packed.scale + first, r->mem.places, n, c0, count);
    return;
  }
#endif
  for (int64_t m = 0; m < n; m++) {
    const int32_t *sums = r->mem.sums + m * ROW_CHANNELS;
    if (r->task->insn->op == MX_OP_CONVDYN)
      panel_dynamic(r, sums, r->packed.scale + first, r->mem.row_scales[m], c0, count, r->mem.places[m]);
    else
      row_finish(r->task, r->linear, sums, r->packed.scale + first, c0, count, r->mem.places[m]);
  }
}

/* Panels that are worked on together: the sums of up to four fill one row. */
static int panel_together(const panel_walk *r, int panel) {
  const int left = r->panel_hi - panel;
  return !r->sums ? 1 : left < PANEL_GROUP ? left : PANEL_GROUP;
}

static int64_t panel_offset(const panel_walk *r, const mx_view *v, int64_t p) {
  return mx_pixel_at(&r->s, v, p) - v->data;
}

/* Where the results of pixel p go becomes entry `at` of the list. */
static void panel_outputs(const panel_walk *r, int64_t p, int at) {
  const mx_task *t = r->task;
  if (!r->sums) {
    r->mem.outs[at] = mx_pixel_at(&r->s, &t->out[0], p) + r->group * r->s.out_c;
    return;
  }
  mx_place *place = &r->mem.places[at];
  place->out0 = panel_offset(r, &t->out[0], p);
  place->out1 = t->insn->out[1] != MXP_NONE ? panel_offset(r, &t->out[1], p) : 0;
  place->res = t->insn->in[1] != MXP_NONE ? panel_offset(r, &t->in[1], p) : 0;
  if (t->insn->op == MX_OP_CONVDYN)
    memcpy(&r->mem.row_scales[at], mx_pixel_at(&r->s, &t->in[2], p), sizeof(float));
}

/* The places of n pixels of one row from p on. */
static void panel_places(const panel_walk *r, int64_t p, int64_t n) {
  const mx_task *t = r->task;
  if (t->insn->op == MX_OP_CONVDYN) {
    for (int64_t m = 0; m < n; m++) panel_outputs(r, p + m, (int)m);
    return;
  }
  panel_outputs(r, p, 0);
  mx_place place = r->mem.places[0];
  for (int64_t m = 0; m < n; m++) {
    r->mem.places[m] = place;
    place.out0 += t->out[0].stride[2], place.out1 += t->out[1].stride[2], place.res += t->in[1].stride[2];
  }
}

/* ---- lists */

/* One row of a window in segment form: in place, or a copy with padding when it crosses a border. */
static const uint8_t *panel_segment(const panel_walk *r, const uint8_t *line, int x, uint8_t *copy) {
  const mx_geometry *s = &r->s;
  if (x >= 0 && x + s->kw <= s->in_w) return line + x * s->in_px;
  memset(copy, r->task->in[0].zero, PANEL_WINDOW);
  for (int kx = 0; kx < s->kw; kx++)
    if (x + kx >= 0 && x + kx < s->in_w)
      memcpy(copy + kx * s->in_px, line + (x + kx) * s->in_px, (size_t)s->in_c);
  return copy;
}

/* The windows of pixel p become entry `at` of the list. */
static void panel_list_add(const panel_walk *r, int64_t p, int at) {
  const mx_geometry *s = &r->s;
  const int row = (int)(p / s->out_w), x = (int)(p % s->out_w) * s->sw - s->pl,
            y = row % s->out_h * s->sh - s->pt;
  const uint8_t *image = r->in + row / s->out_h * s->in_n;
  const uint8_t **to = r->mem.rows + at;
  panel_outputs(r, p, at);
  for (int ky = 0; ky < s->kh; ky++) {
    const int iy = y + ky * s->dh, inside = iy >= 0 && iy < s->in_h;
    const uint8_t *line = image + iy * s->in_row;
    if (s->segment) {
      uint8_t *copy = r->mem.windows + ((int64_t)at * s->taps + ky) * PANEL_WINDOW;
      *to = inside ? panel_segment(r, line, x, copy) : r->zero_row;
      to += PANEL_LIST_STEP;
      continue;
    }
    for (int kx = 0; kx < s->kw; kx++, to += PANEL_LIST_STEP) {
      const int ix = x + kx * s->dw;
      *to = inside && ix >= 0 && ix < s->in_w ? line + ix * s->in_px : r->zero_row;
    }
  }
}

/* A tile may be longer than the list: the missing pixels repeat the last window and write to the sink. */
static void panel_list_close(const panel_walk *r, int n) {
  for (int k = 0; k < r->s.taps; k++) {
    const uint8_t **rows = r->mem.rows + k * PANEL_LIST_STEP;
    for (int i = n; i < n + PANEL_ROWS; i++) rows[i] = rows[n - 1];
  }
  for (int i = n; i < n + PANEL_ROWS; i++) r->mem.outs[i] = r->mem.sink;
}

static int panel_rows(int64_t n) { return n == 1 ? 1 : PANEL_ROWS; }

/* The n listed pixels through the panels from `panel` on that belong together. */
static void panel_list_panels(const panel_walk *r, int panel, int n) {
  const int rows = panel_rows(n), count = panel_together(r, panel);
  for (int k = panel; k < panel + count; k++) {
    panel_tile x = panel_tile_of(r, k);
    x.list = 1, x.rows = r->mem.rows, x.outs = r->mem.outs;
    panel_run(&x, rows, (n + rows - 1) / rows);
  }
  if (r->sums) panel_finish(r, panel, n);
}

static void panel_list_run(const panel_walk *r, int n) {
  if (n == 0) return;
  panel_list_close(r, n);
  for (int panel = r->panel_lo; panel < r->panel_hi; panel += panel_together(r, panel))
    panel_list_panels(r, panel, n);
}

/* ---- runs of pixels inside the image */

static const uint8_t *panel_window(const panel_walk *r, int64_t p) {
  const mx_geometry *s = &r->s;
  const int64_t row = p / s->out_w, y = row % s->out_h * s->sh - s->pt, x = p % s->out_w * s->sw - s->pl;
  return r->in + row / s->out_h * s->in_n + y * s->in_row + x * s->in_px;
}

/* Step k of the panels that are finished together: asks for its share of the lines that the end of n pixels will touch. */
static void panel_ask(const panel_walk *r, int panel, int k, int64_t n) {
#if defined(__aarch64__)
  (void)r, (void)panel, (void)k, (void)n;
#else
  const int64_t steps = panel_together(r, panel), lo = n * k / steps, hi = n * (k + 1) / steps;
  if (r->ends.fit)
    panel_ends_prefetch(&r->ends, r->mem.places + lo, hi - lo, r->group * r->s.out_c + panel * PANEL_COLUMNS,
                        panel_finished(r, panel));
#endif
}

/* Pixels [p, p + n) of one row, n a multiple of the tile. */
static void panel_direct(const panel_walk *r, int panel, int64_t p, int64_t n) {
  const mx_geometry *s = &r->s;
  const mx_view *o = &r->task->out[0];
  const int count = panel_together(r, panel);
  const int64_t most = r->sums ? PANEL_LIST : n;
  for (int64_t done = 0; done < n; done += most) {
    const int64_t now = n - done < most ? n - done : most;
    if (r->sums) panel_places(r, p + done, now);
    for (int k = panel; k < panel + count; k++) {
      panel_tile x = panel_tile_of(r, k);
      if (r->sums) panel_ask(r, panel, k - panel, now);
      x.a = panel_window(r, p + done), x.a_step = s->sw * s->in_px;
      if (!r->sums)
        x.out = mx_pixel_at(s, o, p + done) + r->group * s->out_c + x.column, x.out_step = o->stride[2];
      panel_run(&x, PANEL_ROWS, now / PANEL_ROWS);
    }
    if (r->sums) panel_finish(r, panel, now);
  }
}

typedef struct panel_span {
  int64_t p, end; /* of the row's pixels in the block */
  int64_t direct, direct_end;
} panel_span;

/* The part of pixel p's row that lies before `end`, and in it the pixels for the direct form. */
static panel_span panel_span_at(const panel_walk *r, int64_t p, int64_t end) {
  const mx_geometry *s = &r->s;
  const int64_t row = p / s->out_w, first = row * s->out_w;
  const int64_t y = row % s->out_h * s->sh - s->pt;
  panel_span x = {.p = p, .end = first + s->out_w < end ? first + s->out_w : end};
  const int inside = y >= 0 && y + (s->kh - 1) * s->dh < s->in_h;
  x.direct = p > first + r->interior_lo ? p : first + r->interior_lo;
  x.direct_end = x.end < first + r->interior_hi ? x.end : first + r->interior_hi;
  if (!inside || x.direct >= x.direct_end) x.direct = x.direct_end = p;
  x.direct_end -= (x.direct_end - x.direct) % PANEL_ROWS;
  return x;
}

static void panel_block_direct(const panel_walk *r, int64_t lo, int64_t hi) {
  for (int panel = r->panel_lo; panel < r->panel_hi; panel += panel_together(r, panel)) {
    for (int64_t p = lo; p < hi;) {
      const panel_span x = panel_span_at(r, p, hi);
      if (x.direct < x.direct_end) panel_direct(r, panel, x.direct, x.direct_end - x.direct);
      p = x.end;
    }
  }
}

static void panel_block_list(const panel_walk *r, int64_t lo, int64_t hi) {
  int n = 0;
  for (int64_t p = lo; p < hi;) {
    const panel_span x = panel_span_at(r, p, hi);
    for (; p < x.end; p++) {
      if (p == x.direct && x.direct_end > p) p = x.direct_end;
      if (p == x.end) break;
      panel_list_add(r, p, n++);
      if (n == PANEL_LIST) panel_list_run(r, n), n = 0;
    }
  }
  panel_list_run(r, n);
}

static void panel_block_table(const panel_walk *r, int64_t lo, int64_t hi) {
  const uint8_t *table = (const uint8_t *)r->task->cst[3];
  const int stop = PANEL_COLUMNS * r->panel_hi, last = stop < r->s.out_c ? stop : r->s.out_c;
  for (int64_t p = lo; p < hi; p++) {
    uint8_t *row = mx_pixel_at(&r->s, &r->task->out[0], p) + (int64_t)r->group * r->s.out_c;
    for (int c = PANEL_COLUMNS * r->panel_lo; c < last; c++) row[c] = table[row[c]];
  }
}

/* Pixels whose inputs and outputs stay in the second-level cache while the panels pass over them. */
static int64_t panel_block_pixels(const panel_walk *r) {
  const int64_t bytes = (int64_t)r->s.in_c * r->s.sh * r->s.sw + r->s.out_c;
  const int64_t n = PANEL_BLOCK_BYTES / (bytes > 0 ? bytes : 1);
  return n < PANEL_LIST ? PANEL_LIST : n / PANEL_LIST * PANEL_LIST;
}

static void panel_range(const panel_walk *r, int64_t lo, int64_t hi) {
  const int64_t step = panel_block_pixels(r);
  for (int64_t p = lo; p < hi; p += step) {
    const int64_t end = hi - p < step ? hi : p + step;
    panel_block_direct(r, p, end);
    panel_block_list(r, p, end);
    if (!r->sums && r->task->cst[3]) panel_block_table(r, p, end);
  }
}

static void panel_taps(const panel_walk *r) {
  const mx_geometry *s = &r->s;
  for (int k = 0; k < s->taps; k++) {
    const int ky = s->segment ? k : k / s->kw, kx = s->segment ? 0 : k % s->kw;
    r->mem.tap_offset[k] = ky * s->dh * s->in_row + kx * s->dw * s->in_px;
  }
}

static void panel_run_part(const mx_task *t, int part, int parts) {
  panel_walk r = {.task = t, .s = mx_geometry_of(t, 1)};
  uint8_t *at = (uint8_t *)t->scratch, *base = panel_base(t->packed);
  r.layout = panel_layout_of(&r.s);
  r.mem = panel_scratch_at(&r.s, &at);
  r.zero_row = base;
  r.linear = row_is_linear(t);
#if !defined(__aarch64__)
  r.ends = panel_ends_of(t);
#endif
  r.sums = !panel_is_plain(t);
  mx_geometry_interior(&r.s, &r.interior_lo, &r.interior_hi);
  panel_taps(&r);
  int64_t lo = 0, hi = mx_geometry_pixels(&r.s), panel_lo = 0, panel_hi = r.layout.panels;
  if (hi < 64 * parts && r.layout.panels >= 2 * parts)
    mx_share_units(panel_hi, PANEL_GROUP, part, parts, &panel_lo, &panel_hi);
  else
    mx_share_units(hi, 8, part, parts, &lo, &hi);
  r.panel_lo = (int)panel_lo, r.panel_hi = (int)panel_hi;
  for (r.group = 0; r.group < r.s.groups && panel_lo < panel_hi; r.group++) {
    r.in = t->in[0].data + (int64_t)r.group * r.s.in_c;
    r.packed = panel_group_at(&r.s, base, r.group);
    panel_range(&r, lo, hi);
  }
}

#endif
