/* eltwise.h - ELTWISE: two operands, broadcast by strides, or one operand and a constant. */
#ifndef MX_GENERIC_ELTWISE_H
#define MX_GENERIC_ELTWISE_H

#include "strip.h"

static inline void mx_strip_op(float *restrict a, const float *restrict b, int n, int kind) {
  switch (kind) {
    case MX_ELT_ADD:
      for (int i = 0; i < n; ++i) a[i] = a[i] + b[i];
      break;
    case MX_ELT_SUB:
      for (int i = 0; i < n; ++i) a[i] = a[i] - b[i];
      break;
    case MX_ELT_MUL:
      for (int i = 0; i < n; ++i) a[i] = a[i] * b[i];
      break;
    case MX_ELT_DIV:
      for (int i = 0; i < n; ++i) a[i] = a[i] / b[i];
      break;
    case MX_ELT_MAX:
      for (int i = 0; i < n; ++i) a[i] = a[i] > b[i] ? a[i] : b[i];
      break;
    case MX_ELT_MIN:
      for (int i = 0; i < n; ++i) a[i] = a[i] < b[i] ? a[i] : b[i];
      break;
    default:
      for (int i = 0; i < n; ++i) a[i] = mx_pow(a[i], b[i]);
      break;
  }
}

/* The constant cst5 as a view: row-major, dimensions of 1 are broadcast. */
static inline mx_view mx_eltwise_const(const mx_task *t) {
  const mxp_const *info = &t->cst_info[5];
  mx_view v = {
      .data = (uint8_t *)(uintptr_t)t->cst[5], .dtype = MACCEL_F32, .rank = info->rank, .scale = 1.0f};
  int64_t stride = 4;
  for (int d = info->rank - 1; d >= 0; --d) {
    v.dims[d] = info->dims[d];
    v.stride[d] = info->dims[d] == 1 ? 0 : stride;
    stride *= info->dims[d];
  }
  return v;
}

static void mx_eltwise_run(const mx_task *t, int part, int parts) {
  const mxp_insn *in = t->insn;
  const mx_view *o = &t->out[0], *x = &t->in[0];
  const mx_view y = t->cst[5] != NULL ? mx_eltwise_const(t) : t->in[1];
  const uint8_t *xs = (const uint8_t *)x->channel_scale, *ys = (const uint8_t *)y.channel_scale,
                *ps = t->cst[4];
  mx_loop l = mx_loop_begin(o->rank, o->dims);
  mx_loop_add(&l, o->stride);
  mx_loop_add(&l, x->stride);
  mx_loop_add(&l, y.stride);
  mx_loop_add_channels(&l, xs ? 4 : 0);
  mx_loop_add_channels(&l, ys ? 4 : 0);
  mx_loop_add_channels(&l, ps ? 4 : 0);
  mx_loop_finish(&l);
  const int64_t total = mx_loop_strips(&l), last = l.rank - 1, end = mx_share(total, part + 1, parts);
  int64_t strip = mx_share(total, part, parts);
  mx_cursor c = mx_cursor_at(&l, strip);
  float a[MX_STRIP], b[MX_STRIP];
  for (; strip < end; ++strip, mx_cursor_next(&l, &c)) {
    mx_strip_deq(a, x, x->data + c.off[1], l.stride[1][last], c.n, in->f[4], xs ? xs + c.off[3] : NULL,
                 l.stride[3][last]);
    mx_strip_deq(b, &y, y.data + c.off[2], l.stride[2][last], c.n, in->f[5], ys ? ys + c.off[4] : NULL,
                 l.stride[4][last]);
    mx_strip_op(a, b, c.n, in->i[10]);
    mx_strip_finish(t, a, c.n, o->data + c.off[0], l.stride[0][last], ps ? ps + c.off[5] : NULL,
                    l.stride[5][last]);
  }
}

static const mx_kernel mx_generic_eltwise = {.name = "any-eltwise-strip-" MX_GENERIC_ISA,
                                             .run = mx_eltwise_run};

#endif
