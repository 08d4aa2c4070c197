/* conv_list.h - pixels for the list tiles: borders, remainders, one address per pixel and tap. */
#ifndef MX_AVX512VNNI_CONV_LIST_H
#define MX_AVX512VNNI_CONV_LIST_H

#include "conv_run.h"

static int64_t pixel_offset(const conv_run *r, const mx_view *v, int64_t p) {
  return mx_pixel_at(&r->s, v, p) - v->data;
}

/* Where the results of pixel p go becomes entry `at` of the list. */
static void list_outputs(const conv_run *r, int64_t p, int at) {
  const mx_task *t = r->task;
  const int residual = t->insn->in[1] != MXP_NONE;
  if (t->insn->op == MX_OP_CONVDYN)
    memcpy(&r->mem.row_scales[at], mx_pixel_at(&r->s, &t->in[2], p), sizeof(float));
  if (!r->staged) {
    r->mem.outs[at] = conv_pixel(r, &t->out[0], p);
    if (residual) r->mem.ress[at] = conv_pixel(r, &t->in[1], p);
    if (t->insn->out[1] != MXP_NONE) r->mem.outs1[at] = conv_pixel(r, &t->out[1], p);
    return;
  }
  mx_place *place = &r->mem.places[at];
  place->out0 = pixel_offset(r, &t->out[0], p);
  place->out1 = t->insn->out[1] != MXP_NONE ? pixel_offset(r, &t->out[1], p) : 0;
  place->res = residual ? pixel_offset(r, &t->in[1], p) : 0;
}

static void list_panel(const conv_run *r, int panel, int class_number, int n) {
  const int mode = panel_tile(r, panel, class_number);
  const tile_shape shape = panel_shape(r, panel, n);
  tile_list(shape, mode, r->tile, (n + shape.rows - 1) / shape.rows);
  if (r->staged) finish_staged(r, panel, n);
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
  for (int i = n; i < n + 7; i++) {
    r->mem.row_scales[i] = 0.0f;
    r->mem.outs[i] = r->mem.outs1[i] = r->mem.sink, r->mem.ress[i] = r->mem.sink;
  }
}

static void list_run(const conv_run *r, int class_number, int n) {
  if (n == 0) return;
  list_close(r, n);
  for (int panel = r->panel_lo; panel < r->panel_hi; panel++) list_panel(r, panel, class_number, n);
}

#endif
