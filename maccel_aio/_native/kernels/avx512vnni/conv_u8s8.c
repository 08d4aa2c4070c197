/* conv_u8s8.c - u8 x s8 convolution and fully connected layers, no im2col (docs/kernels.md).
 *
 * Pixels are numbered over the whole output. A block of them is worked on panel by panel: runs of pixels whose
 * windows lie inside the image go to the direct tiles, all others (borders, remainders) to the list tiles, which
 * take one address per pixel and tap. A share of the team is a range of pixels, or of panels when pixels are few. */
#include "../vector/table.h"
#include "conv_list.h"
#include "table.h"

enum { BLOCK_BYTES = 256 << 10, WEIGHT_BYTES = 512 << 10, HEAVY_BLOCK_BYTES = 384 << 10 };

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
  conv_pack_all(t, &s, packed);
}

static size_t scratch_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 1);
  uint8_t *end = NULL;
  scratch_layout(&s, &end);
  return (size_t)(uintptr_t)end;
}

/* ---- runs of pixels inside the image */

/* Moves the start of a direct tile n pixels on. */
static void direct_advance(tile *x, int64_t n) {
  x->a += n * x->a_step;
  x->at.out += n * x->out_step, x->at.out1 += n * x->out1_step;
  x->at.res += n * x->res_step, x->at.row_scale += n * x->row_scale_step;
}

/* In chunks that fit in scratch, each finished at once. */
static void direct_staged(const conv_run *r, int panel, int64_t p, tile_shape shape, int64_t tiles) {
  tile *x = r->tile;
  const int64_t chunk = LIST_MAX / shape.rows;
  for (int64_t done = 0; done < tiles; done += chunk) {
    const int64_t now = tiles - done < chunk ? tiles - done : chunk, n = now * shape.rows;
    tile_direct(shape, r->mode, x, now);
    for (int64_t m = 0; m < n; m++) list_outputs(r, p + done * shape.rows + m, (int)m);
    finish_staged(r, panel, n);
    x->a += n * x->a_step, x->at.row_scale += n * x->row_scale_step;
  }
}

/* Returns how many of n pixels fill whole tiles. */
static int64_t direct_tiles(tile *x, tile_shape shape, int mode, int64_t n) {
  shape = tile_shape_direct(shape, x);
  const int64_t sixes = tile_sixes(shape, x, n), left = n - 6 * sixes, tiles = left / shape.rows;
  if (sixes > 0) {
    tile_direct((tile_shape){4, 0, 6}, mode, x, sixes);
    direct_advance(x, 6 * sixes);
  }
  if (tiles > 0) tile_direct(shape, mode, x, tiles);
  return n - left % shape.rows;
}

/* Places and steps of the pixels from p on, of a panel of so many columns. */
static void direct_places(const conv_run *r, tile *x, int columns, int64_t p) {
  const mx_task *t = r->task;
  if (x->dynamic) x->at.row_scale = mx_pixel_at(&r->s, &t->in[2], p), x->row_scale_step = t->in[2].stride[2];
  if (r->staged) return;
  x->at.out = conv_pixel(r, &t->out[0], p) + x->out_at, x->out_step = t->out[0].stride[2];
  x->dense = r->mode <= TILE_NARROW && x->out_step == columns && x->bytes.mask == conv_first_columns(columns);
  if (x->second) x->at.out1 = conv_pixel(r, &t->out[1], p) + x->out1_at, x->out1_step = t->out[1].stride[2];
  if (x->residual) x->at.res = conv_pixel(r, &t->in[1], p) + x->res_at, x->res_step = t->in[1].stride[2];
}

/* Pixels [p, p + n) of one row; returns how many the direct tiles did. */
static int64_t direct_panel(const conv_run *r, int panel, int class_number, int64_t p, int64_t n) {
  const mx_geometry *s = &r->s;
  const tile_shape shape = panel_shape(r, panel, n);
  const int64_t row = p / s->out_w;
  const int64_t iy = row % s->out_h * s->sh - s->pt, ix = p % s->out_w * s->sw - s->pl;
  const int mode = panel_tile(r, panel, class_number);
  tile *x = r->tile;
  x->a = r->in + row / s->out_h * s->in_n + iy * s->in_row + ix * s->in_px, x->a_step = s->sw * s->in_px;
  x->ahead = s->taps == 1 && panel + 1 < r->panel_hi ? (int64_t)r->layout.panel_bytes : 0;
  direct_places(r, x, 16 * shape.blocks, p);
  if (!r->staged) return direct_tiles(x, shape, mode, n);
  direct_staged(r, panel, p, shape, n / shape.rows);
  return n - n % shape.rows;
}

typedef struct conv_span {
  int64_t p, end;           /* of the row's pixels in the block */
  int64_t direct, direct_end;
  int class_number;         /* of the row */
} conv_span;

/* The part of pixel p's row that lies before `end`, and in it the pixels for the direct tiles. */
static conv_span span_at(const conv_run *r, int64_t p, int64_t end) {
  const mx_geometry *s = &r->s;
  const int64_t row = p / s->out_w, first = row * s->out_w;
  const int64_t y = row % s->out_h * s->sh - s->pt;
  const int whole = y >= 0 && y + (s->kh - 1) * s->dh < s->in_h;
  conv_span x = {.p = p, .end = first + s->out_w < end ? first + s->out_w : end};
  if (!whole) x.class_number = conv_class_number(&r->layout, conv_class_of(s, (int)(row % s->out_h)));
  const int inside =
      whole || (x.class_number > 0 && s->out_w >= 16); /* narrow: lists have the fuller tiles */
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
      const int64_t n = x.direct_end - x.direct,
                    done = n > 0 ? direct_panel(r, panel, x.class_number, x.direct, n) : 0;
      const int left = (int)(n - done);
      for (int i = 0; i < left; i++) list_add(r, x.direct + done + i, i);
      if (left > 0) list_close(r, left), list_panel(r, panel, x.class_number, left);
      p = x.end;
    }
  }
}

/* A list holds rows of one class. */
static void block_list(const conv_run *r, int64_t lo, int64_t hi) {
  int n = 0, class_number = 0;
  for (int64_t p = lo; p < hi;) {
    const conv_span x = span_at(r, p, hi);
    if (x.class_number != class_number) list_run(r, class_number, n), n = 0, class_number = x.class_number;
    for (; p < x.end; p++) {
      if (p == x.direct && x.direct_end > p) p = x.direct_end;
      if (p == x.end) break;
      list_add(r, p, n++);
      if (n == LIST_MAX) list_run(r, class_number, n), n = 0;
    }
  }
  list_run(r, class_number, n);
}

/* Through the padding between pixels, where it may be written. */
static void block_table(const conv_run *r, int64_t lo, int64_t hi) {
  const uint8_t *table = (const uint8_t *)r->task->cst[3];
  const mx_view *o = &r->task->out[0];
  const int first = 64 * r->panel_lo, last = 64 * r->panel_hi < r->s.out_c ? 64 * r->panel_hi : r->s.out_c;
  const int64_t step = o->stride[2];
  const int dense = first == 0 && last == o->dims[3] && (step == last || (o->flags & MX_TENSOR_PAD_CHANNELS));
  for (int64_t p = lo; p < hi;) {
    const int64_t in_row = r->s.out_w - p % r->s.out_w, left = in_row < hi - p ? in_row : hi - p;
    uint8_t *to = conv_pixel(r, o, p) + first;
    if (dense) table_bytes(table, to, to, (left - 1) * step + last);
    for (int64_t m = 0; m < left && !dense; m++, to += step) table_bytes(table, to, to, last - first);
    p += left;
  }
}

/* Pixels whose inputs and outputs stay in the second-level cache while the panels pass over them. Weights that do not
 * fit beside them come from further away at each pass: then there are fewer passes, and only inputs count. */
static int64_t block_pixels(const conv_run *r) {
  const int64_t input = (int64_t)r->s.in_c * r->s.sh * r->s.sw;
  const int heavy = r->layout.group_bytes > WEIGHT_BYTES;
  const int64_t bytes = heavy ? input : input + r->s.out_c;
  const int64_t n = (heavy ? HEAVY_BLOCK_BYTES : BLOCK_BYTES) / (bytes > 0 ? bytes : 1);
  return n < LIST_MAX ? LIST_MAX : n / 56 * 56;
}

static void run_range(const conv_run *r, int64_t lo, int64_t hi) {
  const int64_t step = block_pixels(r);
  for (int64_t p = lo; p < hi; p += step) {
    const int64_t end = hi - p < step ? hi : p + step;
    block_direct(r, p, end);
    block_list(r, p, end);
    if (!r->staged && r->task->cst[3]) block_table(r, p, end);
  }
}

/* Tiles of few pixels, numbered panel by panel, from `lo` on: whole panels as far as there are any. */
static int64_t run_units(conv_run *r, int64_t lo, int64_t hi, int64_t pixels, int rows) {
  const int64_t units = (pixels + rows - 1) / rows, first = lo % units;
  r->panel_lo = (int)(lo / units);
  if (first == 0 && hi - lo >= units) {
    r->panel_hi = r->panel_lo + (int)((hi - lo) / units);
    run_range(r, 0, pixels);
    return lo + (r->panel_hi - r->panel_lo) * units;
  }
  const int64_t last = first + hi - lo < units ? first + hi - lo : units;
  r->panel_hi = r->panel_lo + 1;
  run_range(r, first * rows, last * rows < pixels ? last * rows : pixels);
  return lo + last - first;
}

/* The team shares pixels; where these are few, the tiles of all panels. */
static void run_share(conv_run *r, int part, int parts) {
  const int64_t pixels = mx_geometry_pixels(&r->s);
  const int panels = r->layout.panels;
  int64_t lo = 0, hi;
  if (parts == 1 || pixels >= 64 * parts || panels < parts) {
    mx_share_units(pixels, 4, part, parts, &lo, &hi);
    r->panel_lo = 0, r->panel_hi = panels;
    run_range(r, lo, hi);
    return;
  }
  const int rows = panel_shape(r, 0, pixels).rows;
  mx_share_units((pixels + rows - 1) / rows * panels, 1, part, parts, &lo, &hi);
  while (lo < hi) lo = run_units(r, lo, hi, pixels, rows);
}

static void run(const mx_task *t, int part, int parts) {
  tile shared;
  conv_run r = {.task = t, .s = mx_geometry_of(t, 1), .tile = &shared};
  uint8_t *at = (uint8_t *)t->scratch, *base = conv_packed_base(t->packed);
  r.layout = conv_layout_of(&r.s);
  r.mem = scratch_layout(&r.s, &at);
  r.zero_row = base;
  r.linear = row_is_linear(t);
  r.mode = conv_mode(t), r.staged = conv_staged(t, r.mode);
  tile_begin(&r);
  mx_geometry_interior(&r.s, &r.interior_lo, &r.interior_hi);
  for (int k = 0; k < r.s.taps; k++) {
    const int ky = r.s.segment ? k : k / r.s.kw, kx = r.s.segment ? 0 : k % r.s.kw;
    r.mem.tap_offset[k] = ky * r.s.dh * r.s.in_row + kx * r.s.dw * r.s.in_px;
  }
  for (r.group = 0; r.group < r.s.groups; r.group++) {
    r.in = t->in[0].data + (int64_t)r.group * r.s.in_c;
    r.packed = conv_group_at(&r.layout, base, r.group);
    run_share(&r, part, parts);
  }
}

const mx_kernel mx_conv_u8s8_avx512vnni = {
    "u8s8-conv-4x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
