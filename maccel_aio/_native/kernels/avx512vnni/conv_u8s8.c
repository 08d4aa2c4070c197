/* conv_u8s8.c - u8 x s8 convolution and fully connected layers, no im2col (docs/kernels.md).
 *
 * Pixels are numbered over the whole output. A block of them is worked on panel by panel: runs of pixels whose
 * windows lie inside the image go to the direct tiles, all others (borders, remainders) to the list tiles, which
 * take one address per pixel and tap. A share of the team is a range of pixels, or of panels when pixels are few. */
#include "../vector/row.h"
#include "conv_pack.h"
#include "table.h"

enum { LIST_MAX = 112, LIST_STEP = LIST_MAX + 8, BLOCK_BYTES = 256 << 10 };

typedef struct conv_scratch {
  int64_t *tap_offset;       /* [taps] */
  const uint8_t **rows;      /* [taps][LIST_STEP] */
  uint8_t **outs;            /* [LIST_STEP] at channel 0 of the group */
  const uint8_t **ress;      /* [LIST_STEP] likewise */
  mx_place *places;          /* [LIST_STEP] at channel 0 of the tensor, TILE_SUMS */
  float *row_scales;         /* [LIST_STEP] CONVDYN */
  int32_t *sums;             /* [LIST_STEP][64] */
  uint8_t *windows;          /* [LIST_MAX][taps][MX_SEGMENT_BYTES + 4], segment form */
  uint8_t *sink;             /* where the rows of a tile that stand for no pixel go */
} conv_scratch;

enum { WINDOW_BYTES = MX_SEGMENT_BYTES + 4 };

typedef struct conv_run {
  const mx_task *task;
  mx_geometry s;
  conv_layout layout;
  conv_scratch mem;
  int linear;                /* of row_finish() */
  int mode;                  /* TILE_SATURATE stands for "fast, choose per panel" */
  int group, panel_lo, panel_hi;
  int interior_lo, interior_hi;
  const uint8_t *in;         /* of the group */
  const uint8_t *zero_row;
  conv_group packed;
} conv_run;

/* Sums that leave as u8 by scale, rounding, zero and clamp alone, with or without a u8 residual. */
static int is_fast(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const int residual_ok = n->in[1] == MXP_NONE ||
                          (t->in[1].dtype == MACCEL_U8 && t->in[1].stride[3] == 1 && !t->in[1].channel_scale);
  return n->op == MX_OP_CONV && t->out[0].dtype == MACCEL_U8 && n->out[1] == MXP_NONE &&
         n->i[11] == MX_ACT_NONE && n->f[3] == 1.0f && residual_ok;
}

static int accepts(const mx_task *t) {
  if (t->in[0].dtype != MACCEL_U8 || t->cst_info[0].dtype != MACCEL_S8 || t->in[0].rank != 4) return 0;
  const mx_geometry s = mx_geometry_of(t, 1);
  return s.groups == 1 || s.out_c >= 8; /* panels of tiny groups are nearly all padding */
}

static size_t pack_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 1);
  return conv_layout_of(&s).total;
}

static void pack(const mx_task *t, void *packed) {
  const mx_geometry s = mx_geometry_of(t, 1);
  conv_pack_all(t, &s, packed, !is_fast(t));
}

static uint8_t *scratch_take(uint8_t **at, size_t bytes) {
  uint8_t *p = *at;
  *at += conv_round64(bytes);
  return p;
}

/* Lays the scratch out from `at`; with at = 0 the end is its size. */
static conv_scratch scratch_layout(const mx_geometry *s, uint8_t **at) {
  conv_scratch m;
  m.tap_offset = (int64_t *)(void *)scratch_take(at, (size_t)s->taps * sizeof(int64_t));
  m.rows = (const uint8_t **)(void *)scratch_take(at, (size_t)s->taps * LIST_STEP * sizeof(void *));
  m.outs = (uint8_t **)(void *)scratch_take(at, LIST_STEP * sizeof(void *));
  m.ress = (const uint8_t **)(void *)scratch_take(at, LIST_STEP * sizeof(void *));
  m.places = (mx_place *)(void *)scratch_take(at, LIST_STEP * sizeof(mx_place));
  m.row_scales = (float *)(void *)scratch_take(at, LIST_STEP * sizeof(float));
  m.sums = (int32_t *)(void *)scratch_take(at, LIST_STEP * 64 * sizeof(int32_t));
  m.windows = scratch_take(at, s->segment ? (size_t)LIST_MAX * s->taps * WINDOW_BYTES : 0);
  m.sink = scratch_take(at, (size_t)s->out_c + 128);
  return m;
}

static size_t scratch_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 1);
  uint8_t *end = NULL;
  scratch_layout(&s, &end);
  return (size_t)(uintptr_t)end;
}

/* ---- tiles of one panel */

static tile panel_tile(const conv_run *r, int panel, int *blocks, int *mode) {
  const mx_task *t = r->task;
  const mxp_insn *n = t->insn;
  const int column = 64 * panel, left = r->s.out_c - column;
  *blocks = conv_panel_blocks(&r->layout, panel);
  const int wide = 16 * *blocks;
  const int padded =
      r->s.groups == 1 && (t->out[0].flags & MX_TENSOR_PAD_CHANNELS) && column + wide <= t->out[0].stride[2];
  tile x = {.weights = r->packed.weights + panel * r->layout.panel_bytes,
            .bias = r->packed.bias + column,
            .scale = r->packed.scale + column,
            .k4 = r->layout.k4,
            .taps = r->s.taps,
            .tap_offset = r->mem.tap_offset,
            .list_step = LIST_STEP,
            .column = column,
            .zero = t->out[0].zero,
            .low = n->i[12],
            .high = n->i[13]};
  x.whole = left >= wide || padded;
  x.mask = left >= 64 ? ~(__mmask64)0 : (((__mmask64)1 << left) - 1);
  *mode = r->mode;
  if (r->mode == TILE_SATURATE && !(x.whole && x.zero == 0 && x.low == 0 && x.high == 255))
    *mode = TILE_CLAMP;
  if (r->mode == TILE_RESIDUAL) x.res_zero = t->in[1].zero, x.res_scale = n->f[2];
  return x;
}

/* CONVDYN: the scale of the pixel and the float bias come in between. */
static void finish_dynamic(const conv_run *r, const int32_t *sums, const float *scale, float row_scale,
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

/* Sums of n listed pixels -> outputs. */
static void finish_sums(const conv_run *r, int panel, int64_t n) {
  const int left = r->s.out_c - 64 * panel, count = left < 64 ? left : 64,
            c0 = r->group * r->s.out_c + 64 * panel;
  const int step = 16 * conv_panel_blocks(&r->layout, panel);
  const float *scale = r->packed.scale + 64 * panel;
  for (int64_t m = 0; m < n; m++) {
    const int32_t *sums = r->mem.sums + m * step;
    if (r->task->insn->op == MX_OP_CONVDYN)
      finish_dynamic(r, sums, scale, r->mem.row_scales[m], c0, count, r->mem.places[m]);
    else
      row_finish(r->task, r->linear, sums, scale, c0, count, r->mem.places[m]);
  }
}

static int64_t pixel_offset(const conv_run *r, const mx_view *v, int64_t p) {
  return mx_pixel_at(&r->s, v, p) - v->data;
}

/* Where the results of pixel p go becomes entry `at` of the list. */
static void list_outputs(const conv_run *r, int64_t p, int at) {
  const mx_task *t = r->task;
  const int residual = t->insn->in[1] != MXP_NONE;
  if (r->mode != TILE_SUMS) {
    r->mem.outs[at] = mx_pixel_at(&r->s, &t->out[0], p) + r->group * r->s.out_c;
    r->mem.ress[at] = residual ? mx_pixel_at(&r->s, &t->in[1], p) + r->group * r->s.out_c : r->mem.sink;
    return;
  }
  mx_place *place = &r->mem.places[at];
  place->out0 = pixel_offset(r, &t->out[0], p);
  place->out1 = t->insn->out[1] != MXP_NONE ? pixel_offset(r, &t->out[1], p) : 0;
  place->res = residual ? pixel_offset(r, &t->in[1], p) : 0;
  if (t->insn->op == MX_OP_CONVDYN)
    memcpy(&r->mem.row_scales[at], mx_pixel_at(&r->s, &t->in[2], p), sizeof(float));
}

static void list_panel(const conv_run *r, int panel, int n) {
  int blocks, mode;
  tile x = panel_tile(r, panel, &blocks, &mode);
  const int rows = tile_rows(blocks, n);
  x.rows = r->mem.rows, x.outs = r->mem.outs, x.ress = r->mem.ress;
  x.out = (uint8_t *)r->mem.sums, x.out_step = 64 * blocks;
  tile_list(blocks, rows, mode, &x, (n + rows - 1) / rows);
  if (mode == TILE_SUMS) finish_sums(r, panel, n);
}

/* The windows of pixel p become entry `at` of the list. */
static void list_add(const conv_run *r, int64_t p, int at) {
  const mx_geometry *s = &r->s;
  const int row = (int)(p / s->out_w), x = (int)(p % s->out_w) * s->sw - s->pl,
            y = row % s->out_h * s->sh - s->pt;
  const uint8_t *image = r->in + row / s->out_h * s->in_n;
  const uint8_t **to = r->mem.rows + at;
  list_outputs(r, p, at);
  for (int ky = 0; ky < s->kh; ky++) {
    const int iy = y + ky * s->dh, inside = iy >= 0 && iy < s->in_h;
    const uint8_t *line = image + iy * s->in_row;
    if (s->segment) {
      *to = r->zero_row;
      if (inside && x >= 0 && x + s->kw <= s->in_w)
        *to = line + x * s->in_px;
      else if (inside) {
        uint8_t *copy = r->mem.windows + ((int64_t)at * s->taps + ky) * WINDOW_BYTES;
        memset(copy, r->task->in[0].zero, WINDOW_BYTES);
        for (int kx = 0; kx < s->kw; kx++)
          if (x + kx >= 0 && x + kx < s->in_w)
            memcpy(copy + kx * s->in_px, line + (x + kx) * s->in_px, (size_t)s->in_c);
        *to = copy;
      }
      to += LIST_STEP;
      continue;
    }
    for (int kx = 0; kx < s->kw; kx++, to += LIST_STEP) {
      const int ix = x + kx * s->dw;
      *to = inside && ix >= 0 && ix < s->in_w ? line + ix * s->in_px : r->zero_row;
    }
  }
}

/* A tile may be longer than the list: the missing pixels repeat the last window and write to the sink. */
static void list_close(const conv_run *r, int n) {
  for (int k = 0; k < r->s.taps; k++)
    for (int i = n; i < n + 7; i++) r->mem.rows[k * LIST_STEP + i] = r->mem.rows[k * LIST_STEP + n - 1];
  for (int i = n; i < n + 7; i++) r->mem.outs[i] = r->mem.sink, r->mem.ress[i] = r->mem.sink;
}

static void list_run(const conv_run *r, int n) {
  if (n == 0) return;
  list_close(r, n);
  for (int panel = r->panel_lo; panel < r->panel_hi; panel++) list_panel(r, panel, n);
}

/* ---- runs of pixels inside the image */

/* Pixels [p, p + n) of one row; returns how many the direct tiles did. */
static int64_t direct_panel(const conv_run *r, int panel, int64_t p, int64_t n) {
  const mx_geometry *s = &r->s;
  const mx_task *t = r->task;
  int blocks, mode;
  tile x = panel_tile(r, panel, &blocks, &mode);
  const int rows = tile_rows(blocks, n);
  const int64_t row = p / s->out_w, tiles = rows == 1 ? 0 : n / rows;
  const int64_t iy = row % s->out_h * s->sh - s->pt, ix = p % s->out_w * s->sw - s->pl;
  x.a = r->in + row / s->out_h * s->in_n + iy * s->in_row + ix * s->in_px, x.a_step = s->sw * s->in_px;
  if (mode != TILE_SUMS) {
    x.out = mx_pixel_at(s, &t->out[0], p) + r->group * s->out_c + x.column, x.out_step = t->out[0].stride[2];
    if (mode == TILE_RESIDUAL)
      x.res = mx_pixel_at(s, &t->in[1], p) + r->group * s->out_c + x.column, x.res_step = t->in[1].stride[2];
    tile_direct(blocks, rows, mode, &x, tiles);
    return tiles * rows;
  }
  const int64_t chunk = LIST_MAX / rows;
  x.out = (uint8_t *)r->mem.sums, x.out_step = 64 * blocks;
  for (int64_t done = 0; done < tiles; done += chunk) {
    const int64_t now = tiles - done < chunk ? tiles - done : chunk;
    tile_direct(blocks, rows, mode, &x, now);
    for (int64_t m = 0; m < now * rows; m++) list_outputs(r, p + done * rows + m, (int)m);
    finish_sums(r, panel, now * rows);
    x.a += now * rows * x.a_step;
  }
  return tiles * rows;
}

typedef struct conv_span {
  int64_t p, end;           /* of the row's pixels in the block */
  int64_t direct, direct_end;
} conv_span;

/* The part of pixel p's row that lies before `end`, and in it the pixels for the direct tiles. */
static conv_span span_at(const conv_run *r, int64_t p, int64_t end) {
  const mx_geometry *s = &r->s;
  const int64_t row = p / s->out_w, first = row * s->out_w;
  const int64_t y = row % s->out_h * s->sh - s->pt;
  conv_span x = {.p = p, .end = first + s->out_w < end ? first + s->out_w : end};
  const int inside = y >= 0 && y + (s->kh - 1) * s->dh < s->in_h;
  x.direct = p > first + r->interior_lo ? p : first + r->interior_lo;
  x.direct_end = x.end < first + r->interior_hi ? x.end : first + r->interior_hi;
  if (!inside || x.direct >= x.direct_end) x.direct = x.direct_end = p;
  if (!s->flat)
    x.direct_end -= (x.direct_end - x.direct) % 8; /* a multiple of every usual tile: no remainder per row */
  return x;
}

static void block_direct(const conv_run *r, int64_t lo, int64_t hi) {
  for (int panel = r->panel_lo; panel < r->panel_hi; panel++) {
    for (int64_t p = lo; p < hi;) {
      const conv_span x = span_at(r, p, hi);
      const int64_t n = x.direct_end - x.direct, done = n > 0 ? direct_panel(r, panel, x.direct, n) : 0;
      const int left = (int)(n - done);
      for (int i = 0; i < left; i++) list_add(r, x.direct + done + i, i);
      if (left > 0) list_close(r, left), list_panel(r, panel, left);
      p = x.end;
    }
  }
}

static void block_list(const conv_run *r, int64_t lo, int64_t hi) {
  int n = 0;
  for (int64_t p = lo; p < hi;) {
    const conv_span x = span_at(r, p, hi);
    for (; p < x.end; p++) {
      if (p == x.direct && x.direct_end > p) p = x.direct_end;
      if (p == x.end) break;
      list_add(r, p, n++);
      if (n == LIST_MAX) list_run(r, n), n = 0;
    }
  }
  list_run(r, n);
}

static void block_table(const conv_run *r, int64_t lo, int64_t hi) {
  const uint8_t *table = (const uint8_t *)r->task->cst[3];
  const int first = 64 * r->panel_lo, last = 64 * r->panel_hi < r->s.out_c ? 64 * r->panel_hi : r->s.out_c;
  for (int64_t p = lo; p < hi; p++) {
    uint8_t *row = mx_pixel_at(&r->s, &r->task->out[0], p) + (int64_t)r->group * r->s.out_c;
    for (int c = first; c < last; c++) row[c] = table[row[c]];
  }
}

/* Pixels whose inputs and outputs stay in the second-level cache while the panels pass over them. */
static int64_t block_pixels(const conv_run *r) {
  const int64_t bytes = (int64_t)r->s.in_c * r->s.sh * r->s.sw + r->s.out_c;
  const int64_t n = BLOCK_BYTES / (bytes > 0 ? bytes : 1);
  return n < LIST_MAX ? LIST_MAX : n / 56 * 56;
}

static void run_range(const conv_run *r, int64_t lo, int64_t hi) {
  const int64_t step = block_pixels(r);
  for (int64_t p = lo; p < hi; p += step) {
    const int64_t end = hi - p < step ? hi : p + step;
    block_direct(r, p, end);
    block_list(r, p, end);
    if (r->mode != TILE_SUMS && r->task->cst[3]) block_table(r, p, end);
  }
}

static void run(const mx_task *t, int part, int parts) {
  conv_run r = {.task = t, .s = mx_geometry_of(t, 1)};
  uint8_t *at = (uint8_t *)t->scratch, *base = conv_packed_base(t->packed);
  r.layout = conv_layout_of(&r.s);
  r.mem = scratch_layout(&r.s, &at);
  r.zero_row = base;
  r.linear = row_is_linear(t);
  r.mode = !is_fast(t) ? TILE_SUMS : t->insn->in[1] != MXP_NONE ? TILE_RESIDUAL : TILE_SATURATE;
  mx_geometry_interior(&r.s, &r.interior_lo, &r.interior_hi);
  for (int k = 0; k < r.s.taps; k++) {
    const int ky = r.s.segment ? k : k / r.s.kw, kx = r.s.segment ? 0 : k % r.s.kw;
    r.mem.tap_offset[k] = ky * r.s.dh * r.s.in_row + kx * r.s.dw * r.s.in_px;
  }
  int64_t lo = 0, hi = mx_geometry_pixels(&r.s), panel_lo = 0, panel_hi = r.layout.panels;
  if (hi < 64 * parts && r.layout.panels >= 2 * parts)
    mx_share_units(panel_hi, 1, part, parts, &panel_lo, &panel_hi);
  else
    mx_share_units(hi, 8, part, parts, &lo, &hi);
  r.panel_lo = (int)panel_lo, r.panel_hi = (int)panel_hi;
  for (r.group = 0; r.group < r.s.groups; r.group++) {
    r.in = t->in[0].data + (int64_t)r.group * r.s.in_c;
    r.packed = conv_group_at(&r.layout, base, r.group);
    run_range(&r, lo, hi);
  }
}

const mx_kernel mx_conv_u8s8_avx512vnni = {
    "u8s8-conv-4x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
