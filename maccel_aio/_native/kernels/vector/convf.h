/* convf.h - CONVF: float products in the fixed order of mxq.h, a few pixels by a few outputs at a time.
 *
 * Weights are read where they lie, [output][window]. The window of a pixel is one run of floats: in place for 1x1,
 * gathered otherwise. A level includes this in one source file. */
#ifndef MX_CONVF_H
#define MX_CONVF_H

#include "../generic/finish.h"
#include "f32x16.h"

enum { CONVF_CHANNELS = 64 };

typedef struct convf_run {
  const mx_task *task;
  mx_geometry s;
  int64_t window; /* floats */
  int group, narrow; /* narrow: s8 weights */
  const float *pixels[F16_ROWS];
  mx_place places[F16_ROWS];
} convf_run;

/* v[m][n] = sum over the window, for rows x outputs, from output o of the weights on. */
MX_INLINE void convf_tile(int rows, int outputs, int narrow, const float *const *x, const void *weights,
                          int64_t o, int64_t window, float v[F16_ROWS][CONVF_CHANNELS], int at) {
  const float *wf = (const float *)weights + o * window;
  const int8_t *wi = (const int8_t *)weights + o * window;
  f16 s[F16_ROWS][F16_OUTPUTS];
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < outputs; n++) s[m][n] = f16_zero();
  int64_t k = 0;
  for (; k + 16 <= window; k += 16) {
    f16 w[F16_OUTPUTS];
    MX_UNROLL for (int n = 0; n < outputs; n++) w[n] =
        narrow ? f16_load_s8(wi + n * window + k) : f16_load(wf + n * window + k);
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const f16 a = f16_load(x[m] + k);
      MX_UNROLL for (int n = 0; n < outputs; n++) s[m][n] = f16_fma(a, w[n], s[m][n]);
    }
  }
  if (k < window) {
    const f16_mask some = f16_first((int)(window - k));
    MX_UNROLL for (int n = 0; n < outputs; n++) {
      const f16 w =
          narrow ? f16_load_first_s8(wi + n * window + k, some) : f16_load_first(wf + n * window + k, some);
      MX_UNROLL for (int m = 0; m < rows; m++) s[m][n] =
          f16_fma_first(f16_load_first(x[m] + k, some), w, s[m][n], some);
    }
  }
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < outputs; n++) v[m][at + n] =
      f16_tree(s[m][n]);
}

#define CONVF_TILE(rows, outputs, narrow)                                                                 \
  static __attribute__((noinline)) void convf_##rows##_##outputs##_##narrow(                              \
      const float *const *x, const void *w, int64_t o, int64_t window, float v[F16_ROWS][CONVF_CHANNELS], \
      int at) {                                                                                           \
    convf_tile(rows, outputs, narrow, x, w, o, window, v, at);                                            \
  }
CONVF_TILE(F16_ROWS, F16_OUTPUTS, 0)
CONVF_TILE(F16_ROWS, F16_OUTPUTS, 1)
CONVF_TILE(F16_ROWS, 1, 0)
CONVF_TILE(F16_ROWS, 1, 1)
CONVF_TILE(1, F16_OUTPUTS, 0)
CONVF_TILE(1, F16_OUTPUTS, 1)
CONVF_TILE(1, 1, 0)
CONVF_TILE(1, 1, 1)

typedef void (*convf_fn)(const float *const *x, const void *w, int64_t o, int64_t window,
                         float v[F16_ROWS][CONVF_CHANNELS], int at);
static const convf_fn convf_tiles[2][2][2] = {
    /* [one row][one output][narrow] */
    {{convf_F16_ROWS_F16_OUTPUTS_0, convf_F16_ROWS_F16_OUTPUTS_1}, {convf_F16_ROWS_1_0, convf_F16_ROWS_1_1}},
    {{convf_1_F16_OUTPUTS_0, convf_1_F16_OUTPUTS_1}, {convf_1_1_0, convf_1_1_1}}};

static int convf_accepts(const mx_task *t) {
  const int w = t->cst_info[0].dtype;
  return t->in[0].rank == 4 && t->in[0].dtype == MACCEL_F32 && (w == MACCEL_F32 || w == MACCEL_S8);
}

static int64_t convf_window(const mx_geometry *s) { return (int64_t)s->kh * s->kw * s->in_c; }

static size_t convf_scratch_bytes(const mx_task *t) {
  const mx_geometry s = mx_geometry_of(t, 4);
  return (size_t)convf_window(&s) * F16_ROWS * sizeof(float);
}

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

static void convf_load(convf_run *r, int64_t pixel, int m) {
  const mx_task *t = r->task;
  const mx_geometry *s = &r->s;
  mx_place *p = &r->places[m];
  *p = (mx_place){.out0 = mx_pixel_at(s, &t->out[0], pixel) - t->out[0].data};
  if (t->out[1].data) p->out1 = mx_pixel_at(s, &t->out[1], pixel) - t->out[1].data;
  if (t->in[1].data) p->res = mx_pixel_at(s, &t->in[1], pixel) - t->in[1].data;
  if (s->flat) {
    r->pixels[m] =
        (const float *)(const void *)(t->in[0].data + pixel * s->in_px) + (int64_t)r->group * s->in_c;
    return;
  }
  float *to = (float *)t->scratch + m * r->window;
  convf_gather(r, pixel, to);
  r->pixels[m] = to;
}

/* n <= CONVF_CHANNELS outputs of the group from c on, for `rows` loaded pixels */
static void convf_outputs(const convf_run *r, int rows, int c, int n) {
  const mx_task *t = r->task;
  const int first = r->group * r->s.out_c + c;
  const float *scale = (const float *)t->cst[2], *bias = (const float *)t->cst[1];
  float v[F16_ROWS][CONVF_CHANNELS];
  int k = 0;
  for (; k + F16_OUTPUTS <= n; k += F16_OUTPUTS)
    convf_tiles[rows == 1][0][r->narrow](r->pixels, t->cst[0], first + k, r->window, v, k);
  for (; k < n; k++) convf_tiles[rows == 1][1][r->narrow](r->pixels, t->cst[0], first + k, r->window, v, k);
  for (int m = 0; m < rows; m++) {
    for (int j = 0; scale && j < n; j++) v[m][j] = v[m][j] * scale[first + j];
    for (int j = 0; bias && j < n; j++) v[m][j] = v[m][j] + bias[first + j];
    mx_place place = r->places[m];
    place.c0 = first;
    place.out0 += (int64_t)first * mx_dtype_bytes(t->out[0].dtype);
    place.out1 += (int64_t)first * mx_dtype_bytes(t->out[1].dtype);
    place.res += first * t->in[1].stride[3];
    mx_conv_finish(t, v[m], n, &place);
  }
}

static void convf_run_part(const mx_task *t, int part, int parts) {
  convf_run r = {.task = t, .s = mx_geometry_of(t, 4), .narrow = t->cst_info[0].dtype == MACCEL_S8};
  r.window = convf_window(&r.s);
  int64_t lo = 0, hi = mx_geometry_pixels(&r.s), c_lo = 0, c_hi = r.s.out_c;
  if (hi < F16_ROWS * parts)
    mx_share_units(c_hi, 16, part, parts, &c_lo, &c_hi);
  else
    mx_share_units(hi, F16_ROWS, part, parts, &lo, &hi);
  for (r.group = 0; r.group < r.s.groups && c_lo < c_hi; r.group++)
    for (int64_t p = lo; p < hi;) {
      const int rows = hi - p >= F16_ROWS ? F16_ROWS : 1;
      for (int m = 0; m < rows; m++) convf_load(&r, p + m, m);
      for (int64_t c = c_lo; c < c_hi; c += CONVF_CHANNELS)
        convf_outputs(&r, rows, (int)c, (int)(c_hi - c < CONVF_CHANNELS ? c_hi - c : CONVF_CHANNELS));
      p += rows;
    }
}

#endif
