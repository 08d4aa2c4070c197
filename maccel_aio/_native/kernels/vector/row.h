/* row.h - the end of an integer convolution for one pixel: up to 64 sums in channel order -> the outputs.
 *
 * The sums go straight to integers or floats, 16 at a time, with residual, activation, table and second output. The types
 * and activations that have no form for 16 lanes are left to mx_conv_finish(), in strips of floats. */
#ifndef MX_VECTOR_ROW_H
#define MX_VECTOR_ROW_H

#include "../generic/finish.h"
#include "i32x16.h"
#if !defined(__aarch64__)
#include "act.h"
#endif

enum { ROW_CHANNELS = 64 };

static int row_integer(int dtype) { return dtype == MACCEL_U8 || dtype == MACCEL_S8 || dtype == MACCEL_S16; }

/* Activations here: those that make numbers of numbers, at least where their parameters are small enough. */
static inline int row_has_act(const mxp_insn *n) {
#if defined(__aarch64__)
  return n->i[11] == MX_ACT_NONE;
#else
  const float a = n->f[0], b = n->f[1];
  switch (n->i[11]) {
    case MX_ACT_NONE:
    case MX_ACT_SIGMOID:
    case MX_ACT_SILU:
    case MX_ACT_TANH: return 1;
    case MX_ACT_CLAMP: return a <= b;
    case MX_ACT_LEAKY:
    case MX_ACT_HARDSIGMOID:
    case MX_ACT_HARDSWISH: return a > -65536.0f && a < 65536.0f && b > -65536.0f && b < 65536.0f;
    default: return 0;
  }
#endif
}

/* A float residual may be NaN, which the conversion here does not turn into 0 as put() does. */
static inline int row_is_linear(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const mx_view *r = &t->in[1];
  const int residual_ok =
      n->in[1] == MXP_NONE ||
      (row_integer(r->dtype) && r->stride[3] == mx_dtype_bytes(r->dtype) && !r->channel_scale);
  const int second_ok =
      n->out[1] == MXP_NONE || row_integer(t->out[1].dtype) || t->out[1].dtype == MACCEL_F32;
  const int first_ok = row_integer(t->out[0].dtype) || t->out[0].dtype == MACCEL_F32;
  const int scale_ok = n->f[3] > -1048576.0f && n->f[3] < 1048576.0f;
  return n->op != MX_OP_CONVDYN && row_has_act(n) && scale_ok && residual_ok && first_ok && second_ok;
}

/* (float)(q - zero) of 16 elements */
MX_INLINE f16 row_load(int dtype, const uint8_t *p, int zero) {
  const i16 q = dtype == MACCEL_U8   ? i16_load_u8(p)
                : dtype == MACCEL_S8 ? i16_load_s8((const int8_t *)p)
                                     : i16_load_s16((const int16_t *)(const void *)p);
  return f16_from(i16_sub(q, i16_all(zero)));
}

/* n <= 16 of them: behind the last one may lie what another part writes now. */
MX_INLINE f16 row_load_some(const mx_view *r, const uint8_t *p, int n) {
  uint8_t copy[32] = {0};
  if (n >= 16) return row_load(r->dtype, p, r->zero);
  memcpy(copy, p, (size_t)(n * mx_dtype_bytes(r->dtype)));
  return row_load(r->dtype, copy, r->zero);
}

MX_INLINE void row_store(const mx_view *o, uint8_t *p, f16 v, int lo, int hi) {
  if (o->dtype == MACCEL_F32) {
    f16_store((float *)(void *)p, v);
    return;
  }
  const i16 q = i16_add(i16_round(v), i16_all(o->zero));
  if (o->dtype == MACCEL_S16)
    i16_store_s16((int16_t *)(void *)p, q, lo, hi);
  else
    i16_store_u8(p, q, lo, hi); /* the low byte, also of s8 */
}

/* n <= 16 elements, or all 16 when the row has room for them */
MX_INLINE void row_store_some(const mx_view *o, uint8_t *p, f16 v, int lo, int hi, int n, int room) {
  uint8_t copy[64];
  const int whole = n >= 16 || room;
  row_store(o, whole ? p : copy, v, lo, hi);
  if (!whole) memcpy(p, copy, (size_t)(n * mx_dtype_bytes(o->dtype)));
}

/* Padding behind the last channel may be written: is there room for whole vectors? */
MX_INLINE int row_room(const mx_view *o, int c0, int n) {
  const int end = c0 + (n + 15) / 16 * 16;
  return (o->flags & MX_TENSOR_PAD_CHANNELS) && c0 + n == o->dims[3] &&
         end * mx_dtype_bytes(o->dtype) <= o->stride[2];
}

#if defined(__aarch64__)
MX_INLINE f16 row_act(const mxp_insn *n, f16 v) {
  (void)n;
  return v;
}
#else
/* What is long stays out of the loops. */
static __attribute__((noinline)) f16 row_long_act(int act, f16 v) {
  const f16 none = f16_zero();
  if (act == MX_ACT_SIGMOID) return f16_act(MX_ACT_SIGMOID, v, none, none);
  return act == MX_ACT_SILU ? f16_act(MX_ACT_SILU, v, none, none) : f16_act(MX_ACT_TANH, v, none, none);
}

MX_INLINE f16 row_act(const mxp_insn *n, f16 v) {
  const f16 a = f16_all(n->f[0]), b = f16_all(n->f[1]);
  switch (n->i[11]) {
    case MX_ACT_NONE: return v;
    case MX_ACT_CLAMP: return f16_act(MX_ACT_CLAMP, v, a, b);
    case MX_ACT_LEAKY: return f16_act(MX_ACT_LEAKY, v, a, b);
    case MX_ACT_HARDSIGMOID: return f16_act(MX_ACT_HARDSIGMOID, v, a, b);
    case MX_ACT_HARDSWISH: return f16_act(MX_ACT_HARDSWISH, v, a, b);
    default: return row_long_act(n->i[11], v);
  }
}
#endif

static inline void row_linear(const mx_task *t, const int32_t *sums, const float *scale, int n,
                              const mx_place *place) {
  const mxp_insn *i = t->insn;
  const mx_view *o = &t->out[0], *second = &t->out[1], *r = &t->in[1];
  const int residual = i->in[1] != MXP_NONE, both = i->out[1] != MXP_NONE;
  const int after = (i->flags & MX_INSN_RES_AFTER_ACT) != 0;
  const int bo = mx_dtype_bytes(o->dtype), bs = mx_dtype_bytes(second->dtype), br = mx_dtype_bytes(r->dtype);
  const int room = row_room(o, place->c0, n), room1 = both && row_room(second, place->c0, n);
  uint8_t *to = o->data + place->out0;
  for (int c = 0; c < n; c += 16) {
    f16 v = f16_mul(f16_from(i16_load(sums + c)), f16_load(scale + c)), d = v;
    if (residual) d = f16_mul(row_load_some(r, r->data + place->res + c * br, n - c), f16_all(i->f[2]));
    if (residual && !after) v = f16_add(v, d);
    v = row_act(i, v);
    if (residual && after) v = f16_add(v, d);
    v = f16_mul(v, f16_all(i->f[3]));
    row_store_some(o, to + c * bo, v, i->i[12], i->i[13], n - c, room);
    if (both)
      row_store_some(second, second->data + place->out1 + c * bs, f16_mul(v, f16_all(i->f[4])), i->i[14],
                     i->i[15], n - c, room1);
  }
  const uint8_t *table = (const uint8_t *)t->cst[3];
  for (int c = 0; table && c < n; c++) to[c] = table[to[c]];
}

/* `place` of channel 0 -> of channel c0 */
static inline mx_place row_place(const mx_task *t, mx_place place, int c0) {
  place.c0 = c0;
  place.out0 += (int64_t)c0 * mx_dtype_bytes(t->out[0].dtype);
  place.out1 += (int64_t)c0 * mx_dtype_bytes(t->out[1].dtype);
  place.res += c0 * t->in[1].stride[3];
  return place;
}

/* n <= ROW_CHANNELS channels from c0 on; `place` is of channel 0. sums and scale are in channel order and readable up to a
 * multiple of 16. */
static inline void row_finish(const mx_task *t, int linear, const int32_t *sums, const float *scale, int c0,
                              int n, mx_place place) {
  place = row_place(t, place, c0);
  if (linear) {
    row_linear(t, sums, scale, n, &place);
    return;
  }
  float v[ROW_CHANNELS];
  for (int j = 0; j < n; j++) v[j] = (float)sums[j] * scale[j];
  mx_conv_finish(t, v, n, &place);
}

/* The same for CONVDYN: the scale of the pixel and the float bias come in between. */
static inline void row_finish_dynamic(const mx_task *t, const int32_t *sums, const float *scale,
                                      float row_scale, int c0, int n, mx_place place) {
  const float *bias = t->cst[5] ? (const float *)t->cst[5] + c0 : NULL;
  float v[ROW_CHANNELS];
  place = row_place(t, place, c0);
  for (int j = 0; j < n; j++) v[j] = (float)sums[j] * scale[j];
  for (int j = 0; j < n; j++) v[j] = v[j] * row_scale;
  for (int j = 0; bias && j < n; j++) v[j] = v[j] + bias[j];
  mx_conv_finish(t, v, n, &place);
}

#endif
