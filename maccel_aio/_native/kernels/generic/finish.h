/* finish.h - what every convolution does after its sum: residual, activation, out0, table, out1. */
#ifndef MX_GENERIC_FINISH_H
#define MX_GENERIC_FINISH_H

#include "strip.h"

/* Where n values of one output pixel go: byte offsets of their first channel in each view, and its number. */
typedef struct mx_place {
  int64_t out0, out1, res;
  int c0;
} mx_place;

static inline int64_t mx_pixel_offset(const mx_view *v, int64_t b, int64_t y, int64_t x) {
  return b * v->stride[0] + y * v->stride[1] + x * v->stride[2];
}

static inline mx_place mx_place_at(const mx_task *t, int64_t b, int64_t y, int64_t x, int c0) {
  mx_place p = {.c0 = c0};
  p.out0 = mx_pixel_offset(&t->out[0], b, y, x) + (int64_t)c0 * mx_dtype_bytes(t->out[0].dtype);
  if (t->out[1].data != NULL) {
    p.out1 = mx_pixel_offset(&t->out[1], b, y, x) + (int64_t)c0 * mx_dtype_bytes(t->out[1].dtype);
  }
  if (t->in[1].data != NULL) {
    p.res = mx_pixel_offset(&t->in[1], b, y, x) + c0 * t->in[1].stride[3];
  }
  return p;
}

static inline void mx_finish_residual(const mx_task *t, float *v, int n, const mx_place *p) {
  const mx_view *r = &t->in[1];
  float d[MX_STRIP];
  const uint8_t *scales = r->channel_scale ? (const uint8_t *)(r->channel_scale + p->c0) : NULL;
  mx_strip_deq(d, r, r->data + p->res, r->stride[3], n, t->insn->f[2], scales, 4);
  for (int i = 0; i < n; ++i) v[i] = v[i] + d[i];
}

/* v holds n <= MX_STRIP scaled sums of one pixel; it is used up. */
static inline void mx_conv_finish(const mx_task *t, float *v, int n, const mx_place *p) {
  const mxp_insn *in = t->insn;
  const mx_view *o = &t->out[0], *o1 = &t->out[1];
  const int residual = t->in[1].data != NULL, after = (in->flags & MX_INSN_RES_AFTER_ACT) != 0;
  const uint8_t *slopes = t->cst[4], *table = t->cst[3];
  if (residual && !after) mx_finish_residual(t, v, n, p);
  mx_strip_act(v, n, in->i[11], in->f[0], in->f[1], slopes ? slopes + 4 * (int64_t)p->c0 : NULL, 4);
  if (residual && after) mx_finish_residual(t, v, n, p);
  mx_strip_scale(v, n, in->f[3]);
  uint8_t *dst = o->data + p->out0;
  mx_strip_put(dst, o->dtype, mx_dtype_bytes(o->dtype), v, n, o->zero, in->i[12], in->i[13]);
  if (table != NULL) {
    for (int i = 0; i < n; ++i) dst[i] = table[dst[i]];
  }
  if (o1->data == NULL) return;
  mx_strip_scale(v, n, in->f[4]);
  mx_strip_put(o1->data + p->out1, o1->dtype, mx_dtype_bytes(o1->dtype), v, n, o1->zero, in->i[14],
               in->i[15]);
}

#endif
