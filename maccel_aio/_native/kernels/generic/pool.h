/* pool.h - POOL: max and average over windows of an image.
 *
 * One output pixel and one strip of channels at a time. The verifier proves that every window has a valid tap. */
#ifndef MX_GENERIC_POOL_H
#define MX_GENERIC_POOL_H

#include "strip.h"

typedef struct mx_window {
  int64_t y0, y1, x0, x1; /* valid rows and columns: first and one past the last tap, in tap numbers */
} mx_window;

/* Taps t in [0, k) with 0 <= origin + t * dilation < size. */
static inline void mx_valid_taps(int64_t origin, int64_t k, int64_t dilation, int64_t size, int64_t *first,
                                 int64_t *last) {
  int64_t lo = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
  int64_t hi = origin >= size ? 0 : (size - 1 - origin) / dilation + 1;
  if (hi > k) hi = k;
  *first = lo;
  *last = hi > lo ? hi : lo;
}

#define MX_DEFINE_MAX(NAME, TYPE)                                                      \
  static inline void NAME(uint8_t *restrict acc, const uint8_t *restrict src, int n) { \
    TYPE *a = (TYPE *)(void *)acc;                                                     \
    const TYPE *s = (const TYPE *)(const void *)src;                                   \
    for (int i = 0; i < n; ++i) a[i] = s[i] > a[i] ? s[i] : a[i];                      \
  }
MX_DEFINE_MAX(mx_max_u8, uint8_t)
MX_DEFINE_MAX(mx_max_s8, int8_t)
MX_DEFINE_MAX(mx_max_s16, int16_t)
MX_DEFINE_MAX(mx_max_s32, int32_t)
MX_DEFINE_MAX(mx_max_f32, float)

static inline void mx_max_bf16(uint8_t *acc, const uint8_t *src, int n) {
  for (int i = 0; i < n; ++i) {
    uint16_t a, s;
    memcpy(&a, acc + 2 * i, 2);
    memcpy(&s, src + 2 * i, 2);
    if (mx_bf16_load(s) > mx_bf16_load(a)) memcpy(acc + 2 * i, &s, 2);
  }
}

static inline void mx_strip_max(uint8_t *acc, const uint8_t *src, int n, int dtype) {
  switch (dtype) {
    case MACCEL_U8: mx_max_u8(acc, src, n); break;
    case MACCEL_S8: mx_max_s8(acc, src, n); break;
    case MACCEL_S16: mx_max_s16(acc, src, n); break;
    case MACCEL_S32: mx_max_s32(acc, src, n); break;
    case MACCEL_BF16: mx_max_bf16(acc, src, n); break;
    default: mx_max_f32(acc, src, n); break;
  }
}

static void mx_pool_max_strip(const mx_task *t, const uint8_t *src, mx_window w, uint8_t *dst, int n) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0];
  const int64_t sy = x->stride[1] * in->i[8], sx = x->stride[2] * in->i[9];
  _Alignas(64) uint8_t acc[MX_STRIP * 4];
  const size_t bytes = (size_t)n * (size_t)mx_dtype_bytes(x->dtype);
  memcpy(acc, src + w.y0 * sy + w.x0 * sx, bytes);
  for (int64_t ky = w.y0; ky < w.y1; ++ky) {
    for (int64_t kx = w.x0; kx < w.x1; ++kx) mx_strip_max(acc, src + ky * sy + kx * sx, n, x->dtype);
  }
  memcpy(dst, acc, bytes);
}

/* v = (float)s * (f2 / (float)count), s in s32 */
static void mx_pool_average_int(const mx_task *t, const uint8_t *src, mx_window w, float *restrict v, int n) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0];
  const int64_t sy = x->stride[1] * in->i[8], sx = x->stride[2] * in->i[9];
  int32_t s[MX_STRIP] = {0};
  for (int64_t ky = w.y0; ky < w.y1; ++ky) {
    for (int64_t kx = w.x0; kx < w.x1; ++kx) {
      const uint8_t *p = src + ky * sy + kx * sx;
      if (x->dtype == MACCEL_U8) {
        for (int i = 0; i < n; ++i) s[i] += (int32_t)p[i] - x->zero;
      } else if (x->dtype == MACCEL_S8) {
        for (int i = 0; i < n; ++i) s[i] += (int32_t)((const int8_t *)p)[i] - x->zero;
      } else {
        const int16_t *h = (const int16_t *)(const void *)p;
        for (int i = 0; i < n; ++i) s[i] += (int32_t)h[i] - x->zero;
      }
    }
  }
  for (int i = 0; i < n; ++i) v[i] = (float)s[i];
}

/* The valid taps in order, tap i into partial i mod 16. Partials that no tap reaches are +0, and no partial is ever -0,
 * so leaving them out of the tree changes nothing. */
static void mx_pool_average_float(const mx_task *t, const uint8_t *src, mx_window w, float *restrict v,
                                  int n) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0];
  const int64_t sy = x->stride[1] * in->i[8], sx = x->stride[2] * in->i[9];
  const int64_t taps = (w.y1 - w.y0) * (w.x1 - w.x0);
  const int used = taps < 16 ? (int)taps : 16;
  float s[16][MX_STRIP], d[MX_STRIP];
  for (int j = 0; j < used; ++j) memset(s[j], 0, (size_t)n * sizeof(float));
  int tap = 0;
  for (int64_t ky = w.y0; ky < w.y1; ++ky) {
    for (int64_t kx = w.x0; kx < w.x1; ++kx, tap = (tap + 1) & 15) {
      mx_strip_load(d, src + ky * sy + kx * sx, x->dtype, mx_dtype_bytes(x->dtype), n, 0);
      for (int i = 0; i < n; ++i) s[tap][i] = s[tap][i] + d[i];
    }
  }
  for (int half = 8; half > 0; half /= 2) {
    for (int j = 0; j < half && j + half < used; ++j) {
      for (int i = 0; i < n; ++i) s[j][i] = s[j][i] + s[j + half][i];
    }
  }
  memcpy(v, s[0], (size_t)n * sizeof *v);
}

static void mx_pool_strip(const mx_task *t, const uint8_t *src, mx_window w, uint8_t *dst, int c0, int n) {
  const mxp_insn *in = t->insn;
  if (in->i[10] == 0) {
    mx_pool_max_strip(t, src, w, dst, n);
    return;
  }
  float v[MX_STRIP];
  if (mx_dtype_is_float(t->in[0].dtype)) {
    mx_pool_average_float(t, src, w, v, n);
  } else {
    mx_pool_average_int(t, src, w, v, n);
  }
  const int64_t valid = (w.y1 - w.y0) * (w.x1 - w.x0);
  const int64_t count = in->i[10] == 1 ? valid : (int64_t)in->i[0] * in->i[1];
  const float m = in->f[2] / (float)count;
  for (int i = 0; i < n; ++i) v[i] = v[i] * m;
  const uint8_t *slopes = t->cst[4];
  mx_strip_finish(t, v, n, dst, mx_dtype_bytes(t->out[0].dtype), slopes ? slopes + 4 * (int64_t)c0 : NULL, 4);
}

static void mx_pool_run(const mx_task *t, int part, int parts) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int64_t channels = o->dims[3], strips = (channels + MX_STRIP - 1) / MX_STRIP;
  const int64_t total = strips * o->dims[0] * o->dims[1] * o->dims[2], end = mx_share(total, part + 1, parts);
  const int xb = mx_dtype_bytes(x->dtype), ob = mx_dtype_bytes(o->dtype);
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    const int64_t c0 = u % strips * MX_STRIP, pixel = u / strips;
    const int64_t ox = pixel % o->dims[2], oy = pixel / o->dims[2] % o->dims[1];
    const int64_t b = pixel / o->dims[2] / o->dims[1];
    const int64_t y = oy * in->i[2] - in->i[4], xx = ox * in->i[3] - in->i[5];
    mx_window w;
    mx_valid_taps(y, in->i[0], in->i[8], x->dims[1], &w.y0, &w.y1);
    mx_valid_taps(xx, in->i[1], in->i[9], x->dims[2], &w.x0, &w.x1);
    const uint8_t *src = x->data + b * x->stride[0] + y * x->stride[1] + xx * x->stride[2] + c0 * xb;
    uint8_t *dst = o->data + b * o->stride[0] + oy * o->stride[1] + ox * o->stride[2] + c0 * ob;
    mx_pool_strip(t, src, w, dst, (int)c0, (int)(channels - c0 < MX_STRIP ? channels - c0 : MX_STRIP));
  }
}

static const mx_kernel mx_generic_pool = {.name = "any-pool-strip-" MX_GENERIC_ISA, .run = mx_pool_run};

#endif
