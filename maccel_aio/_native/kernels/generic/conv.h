/* conv.h - CONV, CONVDYN and DWCONV, as mxq.h defines them: the reference of every faster convolution. */
#ifndef MX_GENERIC_CONV_H
#define MX_GENERIC_CONV_H

#include "finish.h"

#define MX_CONV_BLOCK 32 /* output channels computed together at one pixel */

/* Sum of x * w over n input channels. The verifier proves that no sum can overflow. */
#define MX_DEFINE_DOT(NAME, XT, WT)                                             \
  static inline int32_t NAME(const uint8_t *xp, const uint8_t *wp, int64_t n) { \
    const XT *x = (const XT *)(const void *)xp;                                 \
    const WT *w = (const WT *)(const void *)wp;                                 \
    int32_t s = 0;                                                              \
    for (int64_t i = 0; i < n; ++i) s += (int32_t)x[i] * (int32_t)w[i];         \
    return s;                                                                   \
  }
MX_DEFINE_DOT(mx_dot_u8_s8, uint8_t, int8_t)
MX_DEFINE_DOT(mx_dot_u8_s16, uint8_t, int16_t)
MX_DEFINE_DOT(mx_dot_s16_s8, int16_t, int8_t)
MX_DEFINE_DOT(mx_dot_s16_s16, int16_t, int16_t)

static inline int32_t mx_dot(const uint8_t *x, const uint8_t *w, int64_t n, int wide_x, int wide_w) {
  if (wide_x) return wide_w ? mx_dot_s16_s16(x, w, n) : mx_dot_s16_s8(x, w, n);
  return wide_w ? mx_dot_u8_s16(x, w, n) : mx_dot_u8_s8(x, w, n);
}

typedef struct mx_conv_shape {
  int64_t kh, kw, sh, sw, pt, pl, dh, dw, groups;
  int64_t channels_in, channels_out; /* of one group */
  int xb, wb;                        /* bytes of an input and of a weight */
} mx_conv_shape;

static inline mx_conv_shape mx_conv_shape_of(const mx_task *t) {
  const int32_t *i = t->insn->i;
  mx_conv_shape s = {.kh = i[0],
                     .kw = i[1],
                     .sh = i[2],
                     .sw = i[3],
                     .pt = i[4],
                     .pl = i[5],
                     .dh = i[8],
                     .dw = i[9],
                     .groups = i[10]};
  s.channels_in = t->in[0].dims[3] / s.groups;
  s.channels_out = t->out[0].dims[3] / s.groups;
  s.xb = mx_dtype_bytes(t->in[0].dtype);
  s.wb = mx_dtype_bytes(t->cst_info[0].dtype);
  return s;
}

/* The pixel that tap (ky, kx) of output pixel (b, oy, ox) reads; padding reads the row of zeros. */
static inline const uint8_t *mx_conv_tap(const mx_task *t, const mx_conv_shape *s, int64_t b, int64_t oy,
                                         int64_t ox, int64_t ky, int64_t kx) {
  const mx_view *x = &t->in[0];
  const int64_t y = oy * s->sh - s->pt + ky * s->dh, xx = ox * s->sw - s->pl + kx * s->dw;
  if (y < 0 || y >= x->dims[1] || xx < 0 || xx >= x->dims[2]) return t->zero_row;
  return x->data + mx_pixel_offset(x, b, y, xx);
}

static void mx_conv_block(const mx_task *t, const mx_conv_shape *s, int64_t b, int64_t oy, int64_t ox, int o0,
                          int n, int32_t *acc) {
  const uint8_t *weights = t->cst[0];
  const int32_t *bias = t->cst[1];
  const int64_t taps = s->kh * s->kw, tap_bytes = s->channels_in * s->wb;
  for (int j = 0; j < n; ++j) acc[j] = bias ? bias[o0 + j] : 0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const uint8_t *pixel = mx_conv_tap(t, s, b, oy, ox, tap / s->kw, tap % s->kw);
    for (int j = 0; j < n; ++j) {
      const int64_t group = (o0 + j) / s->channels_out;
      acc[j] += mx_dot(pixel + group * s->channels_in * s->xb, weights + ((o0 + j) * taps + tap) * tap_bytes,
                       s->channels_in, s->xb == 2, s->wb == 2);
    }
  }
}

static void mx_conv_scale(const mx_task *t, const int32_t *acc, float *v, int o0, int n) {
  const float *scale = t->cst[2];
  for (int j = 0; j < n; ++j) v[j] = (float)acc[j] * scale[o0 + j];
}

/* CONVDYN: * row scale, + float bias. Row scales are one per pixel. */
static void mx_conv_dynamic(const mx_task *t, float *v, int o0, int n, int64_t b, int64_t oy, int64_t ox) {
  const float *bias = t->cst[5];
  const float row = *(const float *)(const void *)(t->in[2].data + mx_pixel_offset(&t->in[2], b, oy, ox));
  for (int j = 0; j < n; ++j) v[j] = v[j] * row;
  for (int j = 0; bias != NULL && j < n; ++j) v[j] = v[j] + bias[o0 + j];
}

static void mx_conv_run(const mx_task *t, int part, int parts) {
  const mx_conv_shape s = mx_conv_shape_of(t);
  const mx_view *o = &t->out[0];
  const int64_t blocks = (o->dims[3] + MX_CONV_BLOCK - 1) / MX_CONV_BLOCK;
  const int64_t total = blocks * o->dims[0] * o->dims[1] * o->dims[2], end = mx_share(total, part + 1, parts);
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    const int64_t pixel = u / blocks;
    const int64_t ox = pixel % o->dims[2], oy = pixel / o->dims[2] % o->dims[1],
                  b = pixel / o->dims[2] / o->dims[1];
    const int o0 = (int)(u % blocks) * MX_CONV_BLOCK;
    const int n = o->dims[3] - o0 < MX_CONV_BLOCK ? o->dims[3] - o0 : MX_CONV_BLOCK;
    int32_t acc[MX_CONV_BLOCK];
    float v[MX_CONV_BLOCK];
    mx_conv_block(t, &s, b, oy, ox, o0, n, acc);
    mx_conv_scale(t, acc, v, o0, n);
    if (t->insn->op == MX_OP_CONVDYN) mx_conv_dynamic(t, v, o0, n, b, oy, ox);
    const mx_place place = mx_place_at(t, b, oy, ox, o0);
    mx_conv_finish(t, v, n, &place);
  }
}

static const mx_kernel mx_generic_conv = {.name = "int-conv-pixel-" MX_GENERIC_ISA, .run = mx_conv_run};

#define MX_DEFINE_MAC(NAME, XT, WT)                                                             \
  static inline void NAME(int32_t *restrict acc, const uint8_t *xp, const uint8_t *wp, int n) { \
    const XT *x = (const XT *)(const void *)xp;                                                 \
    const WT *w = (const WT *)(const void *)wp;                                                 \
    for (int i = 0; i < n; ++i) acc[i] += (int32_t)x[i] * (int32_t)w[i];                        \
  }
MX_DEFINE_MAC(mx_mac_u8_s8, uint8_t, int8_t)
MX_DEFINE_MAC(mx_mac_u8_s16, uint8_t, int16_t)
MX_DEFINE_MAC(mx_mac_s16_s8, int16_t, int8_t)
MX_DEFINE_MAC(mx_mac_s16_s16, int16_t, int16_t)

static inline void mx_mac(int32_t *acc, const uint8_t *x, const uint8_t *w, int n, int wide_x, int wide_w) {
  if (wide_x && wide_w) {
    mx_mac_s16_s16(acc, x, w, n);
  } else if (wide_x) {
    mx_mac_s16_s8(acc, x, w, n);
  } else if (wide_w) {
    mx_mac_u8_s16(acc, x, w, n);
  } else {
    mx_mac_u8_s8(acc, x, w, n);
  }
}

static void mx_dwconv_strip(const mx_task *t, const mx_conv_shape *s, int64_t b, int64_t oy, int64_t ox,
                            int c0, int n) {
  const uint8_t *weights = t->cst[0];
  const int32_t *bias = t->cst[1];
  const int64_t channels = t->out[0].dims[3];
  int32_t acc[MX_STRIP];
  float v[MX_STRIP];
  for (int j = 0; j < n; ++j) acc[j] = bias ? bias[c0 + j] : 0;
  for (int64_t tap = 0; tap < s->kh * s->kw; ++tap) {
    const uint8_t *pixel = mx_conv_tap(t, s, b, oy, ox, tap / s->kw, tap % s->kw);
    mx_mac(acc, pixel + (int64_t)c0 * s->xb, weights + (tap * channels + c0) * s->wb, n, s->xb == 2,
           s->wb == 2);
  }
  mx_conv_scale(t, acc, v, c0, n);
  const mx_place place = mx_place_at(t, b, oy, ox, c0);
  mx_conv_finish(t, v, n, &place);
}

static void mx_dwconv_run(const mx_task *t, int part, int parts) {
  const mx_conv_shape s = mx_conv_shape_of(t);
  const mx_view *o = &t->out[0];
  const int64_t strips = (o->dims[3] + MX_STRIP - 1) / MX_STRIP;
  const int64_t total = strips * o->dims[0] * o->dims[1] * o->dims[2], end = mx_share(total, part + 1, parts);
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    const int64_t pixel = u / strips;
    const int64_t ox = pixel % o->dims[2], oy = pixel / o->dims[2] % o->dims[1],
                  b = pixel / o->dims[2] / o->dims[1];
    const int c0 = (int)(u % strips) * MX_STRIP;
    mx_dwconv_strip(t, &s, b, oy, ox, c0, o->dims[3] - c0 < MX_STRIP ? o->dims[3] - c0 : MX_STRIP);
  }
}

static const mx_kernel mx_generic_dwconv = {.name = "int-dwconv-strip-" MX_GENERIC_ISA, .run = mx_dwconv_run};

#endif
