/* convf.h - CONVF over the tiles of gemm.h: a few pixels by a panel of outputs.
 *
 * Weights are packed at load, panel by panel. The window of a pixel is one run of floats: in place for 1x1, gathered
 * otherwise. A level includes this in one source file. */
#ifndef MX_CONVF_H
#define MX_CONVF_H

#include "../generic/finish.h"
#include "gemm_weights.h"

typedef struct convf_run {
  const mx_task *task;
  mx_geometry s;
  gemm_weights weights; /* of one group */
  int group;
  const float *pixels; /* of the tile, lda floats apart */
  int64_t lda;
  mx_place places[GEMM_ROWS];
} convf_run;

static int convf_accepts(const mx_task *t) {
  const int w = t->cst_info[0].dtype;
  return t->in[0].rank == 4 && t->in[0].dtype == MACCEL_F32 &&
         (w == MACCEL_F32 || w == MACCEL_S8 || w == MACCEL_BF16);
}

static gemm_weights convf_weights(const mx_task *t, const mx_geometry *s) {
  return gemm_weights_of(gemm_kind(t->cst_info[0].dtype), s->out_c, (int64_t)s->kh * s->kw * s->in_c,
                         mx_geometry_pixels(s));
}

static size_t convf_scratch_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 4);
  return (size_t)gemm_row_pitch((int64_t)s.kh * s.kw * s.in_c) * GEMM_ROWS * sizeof(float);
}

/* ---- weights: group by group */

static size_t convf_pack_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 4);
  const gemm_weights w = convf_weights(t, &s);
  return (size_t)(gemm_weights_bytes(&w) * s.groups);
}

static void convf_pack(const mx_task *t, void *packed) {
  const mx_geometry s = mx_geometry_of(t, 4);
  const gemm_weights w = convf_weights(t, &s);
  const int64_t group = w.n * w.k * gemm_bytes(w.kind);
  memset(packed, 0, convf_pack_bytes(t));
  for (int64_t g = 0; g < s.groups; g++)
    gemm_weights_pack(&w, (const uint8_t *)t->cst[0] + g * group,
                      (uint8_t *)packed + g * gemm_weights_bytes(&w));
}

/* ---- pixels */

static void convf_gather(const convf_run *r, int64_t pixel, float *to) {
  const mx_geometry *s = &r->s;
  const int row = (int)(pixel / s->out_w), y = row % s->out_h * s->sh - s->pt,
            x = (int)(pixel % s->out_w) * s->sw - s->pl;
  const uint8_t *image = r->task->in[0].data + row / s->out_h * s->in_n + (int64_t)r->group * s->in_c * 4;
  for (int ky = 0; ky < s->kh; ky++)
    for (int kx = 0; kx < s->kw; kx++, to += s->in_c) {
      const int iy = y + ky * s->dh, ix = x + kx * s->dw;
      if (iy >= 0 && iy < s->in_h && ix >= 0 && ix < s->in_w)
        memcpy(to, image + iy * s->in_row + ix * s->in_px, (size_t)s->in_c * 4);
      else
        memset(to, 0, (size_t)s->in_c * 4);
    }
}

static void convf_place(convf_run *r, int64_t pixel, int m) {
  const mx_task *t = r->task;
  const mx_geometry *s = &r->s;
  mx_place *p = &r->places[m];
  *p = (mx_place){.out0 = mx_pixel_at(s, &t->out[0], pixel) - t->out[0].data};
  if (t->out[1].data) p->out1 = mx_pixel_at(s, &t->out[1], pixel) - t->out[1].data;
  if (t->in[1].data) p->res = mx_pixel_at(s, &t->in[1], pixel) - t->in[1].data;
}

/* Loads `rows` pixels: in place when they lie well, else as copies of their windows. */
static void convf_load(convf_run *r, int64_t pixel, int rows) {
  const mx_geometry *s = &r->s;
  float *copies = (float *)r->task->scratch;
  for (int m = 0; m < rows; m++) convf_place(r, pixel + m, m);
  if (s->flat && (rows == 1 || !gemm_collides(s->in_px))) {
    r->lda = s->in_px / 4;
    r->pixels =
        (const float *)(const void *)(r->task->in[0].data + pixel * s->in_px) + (int64_t)r->group * s->in_c;
    return;
  }
  r->lda = gemm_row_pitch(r->weights.k);
  r->pixels = copies;
  for (int m = 0; m < rows; m++) convf_gather(r, pixel + m, copies + m * r->lda);
}

/* n <= GEMM_BLOCK outputs of the group from c on, where a panel starts, for `rows` loaded pixels */
static void convf_outputs(const convf_run *r, int rows, int64_t c, int n) {
  const mx_task *t = r->task;
  const int64_t first = (int64_t)r->group * r->s.out_c + c;
  const float *scale = (const float *)t->cst[2], *bias = (const float *)t->cst[1];
  float v[GEMM_ROWS * GEMM_BLOCK];
  gemm_weights_run(&r->weights, (const uint8_t *)t->packed + r->group * gemm_weights_bytes(&r->weights), rows,
                   r->pixels, r->lda, c, c + n, v, GEMM_BLOCK);
  for (int m = 0; m < rows; m++) {
    float *row = v + m * GEMM_BLOCK;
    for (int j = 0; scale && j < n; j++) row[j] = row[j] * scale[first + j];
    for (int j = 0; bias && j < n; j++) row[j] = row[j] + bias[first + j];
    mx_place place = r->places[m];
    place.c0 = (int)first;
    place.out0 += first * mx_dtype_bytes(t->out[0].dtype);
    place.out1 += first * mx_dtype_bytes(t->out[1].dtype);
    place.res += first * t->in[1].stride[3];
    mx_conv_finish(t, row, n, &place);
  }
}

/* Blocks of outputs whose weights stay in the cache while the pixels pass. */
static void convf_run_part(const mx_task *t, int part, int parts) {
  convf_run r = {.task = t, .s = mx_geometry_of(t, 4)};
  r.weights = convf_weights(t, &r.s);
  int64_t lo = 0, hi = mx_geometry_pixels(&r.s), c_lo = 0, c_hi = r.s.out_c;
  const int wide = r.weights.wide > 0;
  const int64_t block = wide ? GEMM_BLOCK : gemm_block(r.weights.k, r.s.out_c);
  if (hi < GEMM_ROWS * parts)
    mx_share_units(c_hi, wide ? GEMM_WIDE : GEMM_COLUMNS, part, parts, &c_lo, &c_hi);
  else
    mx_share_units(hi, GEMM_ROWS, part, parts, &lo, &hi);
  for (r.group = 0; r.group < r.s.groups; r.group++)
    for (int64_t c = c_lo; c < c_hi; c += block)
      for (int64_t p = lo; p < hi; p += GEMM_ROWS) {
        const int rows = (int)(hi - p < GEMM_ROWS ? hi - p : GEMM_ROWS);
        convf_load(&r, p, rows);
        convf_outputs(&r, rows, c, (int)(c_hi - c < block ? c_hi - c : block));
      }
}

#endif
