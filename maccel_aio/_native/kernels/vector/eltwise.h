/* eltwise.h - ELTWISE of two u8 or s16 images of the same shape without an activation: residual additions.
 *
 * 16 elements at a time over the longest runs that the layouts allow. The padding behind the last channel counts as part of a
 * run when the output says that it may be written; operands are read there too. Included after f32x16.h by one source
 * file of a level. */
#ifndef MX_VECTOR_ELTWISE_H
#define MX_VECTOR_ELTWISE_H

#include "../generic/strip.h"
#include "i32x16.h"

typedef struct elt_plan {
  int64_t runs, length; /* elements */
  int inner;            /* leading dimensions that are not part of a run */
} elt_plan;

static int elt_typed(const mx_view *v) {
  return (v->dtype == MACCEL_U8 || v->dtype == MACCEL_S16) && v->channel_scale == NULL;
}

static int elt_small(float m) {
  return m > -1048576.0f && m < 1048576.0f;
} /* products stay finite; NaN is refused */

enum { ELT_SLACK = 64 }; /* bytes behind the last channel that can be read, whoever owns them (mxq.h) */

/* Elements of the last dimension that are touched: all of the pixel when every operand has room for whole pixels. */
static int64_t elt_channels(const mx_task *t) {
  const mx_view *o = &t->out[0];
  const int64_t pixel = o->rank >= 2 ? o->stride[o->rank - 2] / mx_dtype_bytes(o->dtype) : o->dims[0];
  if (o->rank < 2 || !(o->flags & MX_TENSOR_PAD_CHANNELS)) return o->dims[o->rank - 1];
  for (int k = 0; k < 2; k++) {
    const int64_t bytes = mx_dtype_bytes(t->in[k].dtype), gap = (pixel - o->dims[o->rank - 1]) * bytes;
    if (gap > ELT_SLACK || t->in[k].stride[o->rank - 2] != pixel * bytes || t->in[k].data == o->data)
      return o->dims[o->rank - 1];
  }
  return pixel;
}

/* Outer dimensions join the run while every operand is dense in them. */
static elt_plan elt_plan_of(const mx_task *t) {
  const mx_view *v[3] = {&t->out[0], &t->in[0], &t->in[1]};
  const int rank = v[0]->rank;
  elt_plan p = {.runs = 1, .length = elt_channels(t), .inner = rank - 1};
  for (; p.inner > 0; p.inner--) {
    const int d = p.inner - 1;
    int dense = 1;
    for (int k = 0; k < 3; k++)
      dense &= v[k]->dims[d] == 1 || v[k]->stride[d] == p.length * mx_dtype_bytes(v[k]->dtype);
    if (!dense) break;
    p.length *= v[0]->dims[d];
  }
  for (int d = 0; d < p.inner; d++) p.runs *= v[0]->dims[d];
  return p;
}

static int elt_accepts(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const mx_view *o = &t->out[0];
  if (n->in[1] == MXP_NONE || n->i[11] != MX_ACT_NONE || n->f[3] != 1.0f || n->i[10] > MX_ELT_MUL) return 0;
  if (!elt_typed(o) || !elt_typed(&t->in[0]) || !elt_typed(&t->in[1]) || !elt_small(n->f[4]) ||
      !elt_small(n->f[5]))
    return 0;
  for (int k = 0; k < 2; k++) {
    if (t->in[k].stride[o->rank - 1] != mx_dtype_bytes(t->in[k].dtype)) return 0;
    for (int d = 0; d < o->rank; d++)
      if (t->in[k].dims[d] != o->dims[d]) return 0;
  }
  return o->stride[o->rank - 1] == mx_dtype_bytes(o->dtype);
}

MX_INLINE i16 elt_load(const uint8_t *p, int wide) {
  return wide ? i16_load_s16((const int16_t *)(const void *)p) : i16_load_u8(p);
}

typedef struct elt_constants {
  i16 zero_x, zero_y, zero;
  int lo, hi;
  f16 mx, my;
} elt_constants;

MX_INLINE i16 elt_step(int kind, int wide_x, int wide_y, const uint8_t *x, const uint8_t *y,
                       const elt_constants *c) {
  const f16 a = f16_mul(f16_from(i16_sub(elt_load(x, wide_x), c->zero_x)), c->mx);
  const f16 b = f16_mul(f16_from(i16_sub(elt_load(y, wide_y), c->zero_y)), c->my);
  const f16 v = kind == MX_ELT_ADD ? f16_add(a, b) : kind == MX_ELT_SUB ? f16_sub(a, b) : f16_mul(a, b);
  return i16_add(i16_round(v), c->zero);
}

MX_INLINE void elt_run(int kind, int wide_x, int wide_y, int wide_o, const uint8_t *x, const uint8_t *y,
                       uint8_t *o, int64_t n, const elt_constants *c) {
  const int bx = 1 + wide_x, by = 1 + wide_y, bo = 1 + wide_o;
  int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    const i16 q = elt_step(kind, wide_x, wide_y, x + k * bx, y + k * by, c);
    if (wide_o)
      i16_store_s16((int16_t *)(void *)(o + k * bo), q, c->lo, c->hi);
    else
      i16_store_u8(o + k, q, c->lo, c->hi);
  }
  if (k == n) return;
  uint8_t tx[32] = {0}, ty[32] = {0}, to[32];
  memcpy(tx, x + k * bx, (size_t)((n - k) * bx));
  memcpy(ty, y + k * by, (size_t)((n - k) * by));
  const i16 q = elt_step(kind, wide_x, wide_y, tx, ty, c);
  if (wide_o)
    i16_store_s16((int16_t *)(void *)to, q, c->lo, c->hi);
  else
    i16_store_u8(to, q, c->lo, c->hi);
  memcpy(o + k * bo, to, (size_t)((n - k) * bo));
}

typedef void (*elt_fn)(const uint8_t *x, const uint8_t *y, uint8_t *o, int64_t n, const elt_constants *c);

#define ELT_INSTANCE(kind, wx, wy, wo)                                                             \
  static void elt_##kind##_##wx##wy##wo(const uint8_t *x, const uint8_t *y, uint8_t *o, int64_t n, \
                                        const elt_constants *c) {                                  \
    elt_run(kind, wx, wy, wo, x, y, o, n, c);                                                      \
  }
#define ELT_INSTANCES(kind)   \
  ELT_INSTANCE(kind, 0, 0, 0) \
  ELT_INSTANCE(kind, 0, 0, 1) \
  ELT_INSTANCE(kind, 0, 1, 0) \
  ELT_INSTANCE(kind, 0, 1, 1) \
  ELT_INSTANCE(kind, 1, 0, 0) \
  ELT_INSTANCE(kind, 1, 0, 1) ELT_INSTANCE(kind, 1, 1, 0) ELT_INSTANCE(kind, 1, 1, 1)
#define ELT_ROW(kind)                                                      \
  {elt_##kind##_000, elt_##kind##_001, elt_##kind##_010, elt_##kind##_011, \
   elt_##kind##_100, elt_##kind##_101, elt_##kind##_110, elt_##kind##_111}
ELT_INSTANCES(MX_ELT_ADD)
ELT_INSTANCES(MX_ELT_SUB)
ELT_INSTANCES(MX_ELT_MUL)

static void elt_kernel_run(const mx_task *t, int part, int parts) {
  static const elt_fn table[3][8] = {ELT_ROW(MX_ELT_ADD), ELT_ROW(MX_ELT_SUB), ELT_ROW(MX_ELT_MUL)};
  const mxp_insn *n = t->insn;
  const mx_view *o = &t->out[0], *x = &t->in[0], *y = &t->in[1];
  const elt_plan p = elt_plan_of(t);
  const elt_constants c = {i16_all(x->zero), i16_all(y->zero), i16_all(o->zero), n->i[12],
                           n->i[13],         f16_all(n->f[4]), f16_all(n->f[5])};
  const elt_fn run =
      table[n->i[10]][(x->dtype == MACCEL_S16) * 4 + (y->dtype == MACCEL_S16) * 2 + (o->dtype == MACCEL_S16)];
  const int bx = mx_dtype_bytes(x->dtype), by = mx_dtype_bytes(y->dtype), bo = mx_dtype_bytes(o->dtype);
  int64_t lo, hi, first = 0, last = p.length;
  mx_share_units(p.runs, 1, part, parts, &lo, &hi);
  if (p.runs == 1) lo = 0, hi = 1, mx_share_units(p.length, 64, part, parts, &first, &last);
  for (int64_t k = lo; k < hi && first < last; k++) {
    int64_t left = k, ox = first * bx, oy = first * by, oo = first * bo;
    for (int d = p.inner - 1; d >= 0; d--) {
      const int64_t i = left % o->dims[d];
      left /= o->dims[d];
      ox += i * x->stride[d], oy += i * y->stride[d], oo += i * o->stride[d];
    }
    run(x->data + ox, y->data + oy, o->data + oo, last - first, &c);
  }
}

static const mx_kernel mx_vector_eltwise = {
    .name = "int-eltwise-run-" MX_GENERIC_ISA, .accepts = elt_accepts, .run = elt_kernel_run};

#endif
