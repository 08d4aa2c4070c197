/* strip.h - deq(), act() and put() of mxq.h over a strip of elements held as floats in the first-level cache.
 *
 * Kernels that are not worth intrinsics are written with these and compiled once per instruction set: the loops
 * over contiguous elements vectorise. Strided ones work for any view. */
#ifndef MX_STRIP_H
#define MX_STRIP_H

#include "../scalar/act.h"
#include "kernels.h"
#include "loop.h"

/* The vector levels do what is contiguous with intrinsics; MX_PLAIN says that this level is the reference. */
#if defined(__AVX2__) && defined(__FMA__) && !defined(MX_PLAIN)
#include "../vector/strip.h"
#define MX_STRIP_TRY(call) \
  if (call) return
#else
#define MX_STRIP_TRY(call) (void)0
#endif

/* dst[i] = (float)(q - zero) of integer types, the value of float types. */
#define MX_DEFINE_LOAD(NAME, TYPE, EXPR)                                                                  \
  static inline void NAME(float *restrict dst, const uint8_t *src, int64_t stride, int n, int32_t zero) { \
    (void)zero;                                                                                           \
    if (stride == (int64_t)sizeof(TYPE)) {                                                                \
      const TYPE *p = (const TYPE *)(const void *)src;                                                    \
      for (int i = 0; i < n; ++i) {                                                                       \
        const TYPE q = p[i];                                                                              \
        dst[i] = (EXPR);                                                                                  \
      }                                                                                                   \
    } else {                                                                                              \
      for (int i = 0; i < n; ++i) {                                                                       \
        const TYPE q = *(const TYPE *)(const void *)(src + i * stride);                                   \
        dst[i] = (EXPR);                                                                                  \
      }                                                                                                   \
    }                                                                                                     \
  }
MX_DEFINE_LOAD(mx_load_u8, uint8_t, (float)((int32_t)q - zero))
MX_DEFINE_LOAD(mx_load_s8, int8_t, (float)((int32_t)q - zero))
MX_DEFINE_LOAD(mx_load_s16, int16_t, (float)((int32_t)q - zero))
MX_DEFINE_LOAD(mx_load_s32, int32_t, (float)q)
MX_DEFINE_LOAD(mx_load_s64, int64_t, (float)q)
MX_DEFINE_LOAD(mx_load_f32, float, q)
MX_DEFINE_LOAD(mx_load_bf16, uint16_t, mx_bf16_load(q))

static inline void mx_strip_load(float *restrict dst, const uint8_t *src, int dtype, int64_t stride, int n,
                                 int32_t zero) {
  MX_STRIP_TRY(strip_load(dst, src, dtype, stride, n, zero));
  switch (dtype) {
    case MACCEL_U8: mx_load_u8(dst, src, stride, n, zero); break;
    case MACCEL_S8: mx_load_s8(dst, src, stride, n, zero); break;
    case MACCEL_S16: mx_load_s16(dst, src, stride, n, zero); break;
    case MACCEL_S32: mx_load_s32(dst, src, stride, n, zero); break;
    case MACCEL_S64: mx_load_s64(dst, src, stride, n, zero); break;
    case MACCEL_BF16: mx_load_bf16(dst, src, stride, n, zero); break;
    default: mx_load_f32(dst, src, stride, n, zero); break;
  }
}

static inline void mx_strip_scale(float *v, int n, float m) {
  if (m == 1.0f) return;
  for (int i = 0; i < n; ++i) v[i] = v[i] * m;
}

/* deq(): `cs` holds the channel scales of these elements (every cs_stride bytes), or is NULL. */
static inline void mx_strip_deq(float *restrict dst, const mx_view *t, const uint8_t *src, int64_t stride,
                                int n, float m, const uint8_t *cs, int64_t cs_stride) {
  mx_strip_load(dst, src, t->dtype, stride, n, t->zero);
  if (cs == NULL) {
    mx_strip_scale(dst, n, m);
    return;
  }
  for (int i = 0; i < n; ++i) {
    const float s = m * *(const float *)(const void *)(cs + i * cs_stride);
    dst[i] = dst[i] * s;
  }
}

/* put() of an integer type: clamp(rne(v) + zero, lo, hi) */
#define MX_DEFINE_STORE(NAME, TYPE)                                                                       \
  static inline void NAME(uint8_t *dst, int64_t stride, const float *restrict v, int n, int32_t zero,     \
                          int32_t lo, int32_t hi) {                                                       \
    if (stride == (int64_t)sizeof(TYPE)) {                                                                \
      TYPE *p = (TYPE *)(void *)dst;                                                                      \
      for (int i = 0; i < n; ++i) p[i] = (TYPE)mx_put(v[i], zero, lo, hi);                                \
    } else {                                                                                              \
      for (int i = 0; i < n; ++i) *(TYPE *)(void *)(dst + i * stride) = (TYPE)mx_put(v[i], zero, lo, hi); \
    }                                                                                                     \
  }
MX_DEFINE_STORE(mx_store_u8, uint8_t)
MX_DEFINE_STORE(mx_store_s8, int8_t)
MX_DEFINE_STORE(mx_store_s16, int16_t)
MX_DEFINE_STORE(mx_store_s32, int32_t)
MX_DEFINE_STORE(mx_store_s64, int64_t)

static inline void mx_store_f32(uint8_t *dst, int64_t stride, const float *restrict v, int n) {
  if (stride == 4) {
    memcpy(dst, v, (size_t)n * 4);
    return;
  }
  for (int i = 0; i < n; ++i) *(float *)(void *)(dst + i * stride) = v[i];
}

static inline void mx_store_bf16(uint8_t *dst, int64_t stride, const float *restrict v, int n) {
  for (int i = 0; i < n; ++i) *(uint16_t *)(void *)(dst + i * stride) = mx_bf16_store(v[i]);
}

static inline void mx_strip_put(uint8_t *dst, int dtype, int64_t stride, const float *restrict v, int n,
                                int32_t zero, int32_t lo, int32_t hi) {
  MX_STRIP_TRY(strip_put(dst, dtype, stride, v, n, zero, lo, hi));
  switch (dtype) {
    case MACCEL_U8: mx_store_u8(dst, stride, v, n, zero, lo, hi); break;
    case MACCEL_S8: mx_store_s8(dst, stride, v, n, zero, lo, hi); break;
    case MACCEL_S16: mx_store_s16(dst, stride, v, n, zero, lo, hi); break;
    case MACCEL_S32: mx_store_s32(dst, stride, v, n, zero, lo, hi); break;
    case MACCEL_S64: mx_store_s64(dst, stride, v, n, zero, lo, hi); break;
    case MACCEL_BF16: mx_store_bf16(dst, stride, v, n); break;
    default: mx_store_f32(dst, stride, v, n); break;
  }
}

static inline void mx_strip_prelu(float *v, int n, const uint8_t *slope, int64_t slope_stride) {
  for (int i = 0; i < n; ++i) {
    const float s = *(const float *)(const void *)(slope + i * slope_stride);
    v[i] = v[i] < 0.0f ? v[i] * s : v[i];
  }
}

#define MX_ACT_CASE(ACT)                                              \
  case ACT:                                                           \
    for (int i = 0; i < n; ++i) v[i] = mx_act(ACT, v[i], a, b, 0.0f); \
    break

/* `slope`: PRELU slopes of these elements, every slope_stride bytes. One loop per function, so that each vectorises. */
static inline void mx_strip_act(float *v, int n, int act, float a, float b, const uint8_t *slope,
                                int64_t slope_stride) {
  MX_STRIP_TRY(strip_act(v, n, act, a, b));
  switch (act) {
    case MX_ACT_PRELU:
      mx_strip_prelu(v, n, slope, slope_stride);
      break;
      MX_ACT_CASE(MX_ACT_CLAMP);
      MX_ACT_CASE(MX_ACT_LEAKY);
      MX_ACT_CASE(MX_ACT_SIGMOID);
      MX_ACT_CASE(MX_ACT_HARDSIGMOID);
      MX_ACT_CASE(MX_ACT_HARDSWISH);
      MX_ACT_CASE(MX_ACT_SILU);
      MX_ACT_CASE(MX_ACT_TANH);
      MX_ACT_CASE(MX_ACT_GELU_ERF);
      MX_ACT_CASE(MX_ACT_GELU_TANH);
      MX_ACT_CASE(MX_ACT_ELU);
      MX_ACT_CASE(MX_ACT_SOFTPLUS);
      MX_ACT_CASE(MX_ACT_EXP);
      MX_ACT_CASE(MX_ACT_LOG);
      MX_ACT_CASE(MX_ACT_SQRT);
      MX_ACT_CASE(MX_ACT_RECIPROCAL);
      MX_ACT_CASE(MX_ACT_ABS);
      MX_ACT_CASE(MX_ACT_NEG);
      MX_ACT_CASE(MX_ACT_ERF);
      MX_ACT_CASE(MX_ACT_MISH);
      MX_ACT_CASE(MX_ACT_FLOOR);
      MX_ACT_CASE(MX_ACT_CEIL);
      MX_ACT_CASE(MX_ACT_ROUND);
      MX_ACT_CASE(MX_ACT_SIN);
      MX_ACT_CASE(MX_ACT_COS);
      MX_ACT_CASE(MX_ACT_SQUARE);
      MX_ACT_CASE(MX_ACT_RSQRT);
    default: break;
  }
}

/* The common end of elementwise and reducing instructions: act i11, * f3, put with i12 and i13. */
static inline void mx_strip_finish(const mx_task *t, float *v, int n, uint8_t *dst, int64_t stride,
                                   const uint8_t *slope, int64_t slope_stride) {
  const mxp_insn *in = t->insn;
  const mx_view *o = &t->out[0];
  mx_strip_act(v, n, in->i[11], in->f[0], in->f[1], slope, slope_stride);
  mx_strip_scale(v, n, in->f[3]);
  mx_strip_put(dst, o->dtype, stride, v, n, o->zero, in->i[12], in->i[13]);
}

/* The 16 partial sums of mxq.h: element i goes to partial i mod 16, then a fixed tree. */
static inline float mx_tree16(float *s) {
  for (int j = 0; j < 8; ++j) s[j] = s[j] + s[j + 8];
  for (int j = 0; j < 4; ++j) s[j] = s[j] + s[j + 4];
  for (int j = 0; j < 2; ++j) s[j] = s[j] + s[j + 2];
  return s[0] + s[1];
}

static inline float mx_sum16(const float *restrict x, int64_t n) {
  float s[16] = {0};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) s[j] = s[j] + x[i + j];
  }
  for (int j = 0; i + j < n; ++j) s[j] = s[j] + x[i + j];
  return mx_tree16(s);
}

#endif
