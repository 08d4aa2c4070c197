/* u8s8_case.h - one convolution of a u8 image with s8 (or s16) weights, of a given shape and a random end, on every kernel of
 * the highest level that accepts it. */
#ifndef TEST_U8S8_CASE_H
#define TEST_U8S8_CASE_H

#include "test_vector.h"

typedef struct u8s8_shape {
  int op, batch, h, w, c, o;
  int kh, kw, s, pt, pl, pb, pr;
  int groups; /* 0 stands for 1 */
  int in_pixel; /* bytes from pixel to pixel, 0 = c */
  int words; /* of weights, not bytes */
  int plain; /* 1: u8 out by scale, zero and clamp alone; 0: any type, activation, residual, second output */
} u8s8_shape;

static inline void u8s8_range(mx_view *v, int32_t *lo, int32_t *hi) {
  *lo = v->dtype == MACCEL_U8 ? 0 : v->dtype == MACCEL_S8 ? -128 : -32768;
  *hi = v->dtype == MACCEL_U8 ? 255 : v->dtype == MACCEL_S8 ? 127 : 32767;
  v->zero = v->dtype == MACCEL_F32 ? 0 : vt_chance(40) && *lo == 0 ? 0 : vt_range(*lo, *hi);
  if (vt_chance(40)) *lo = v->zero < *hi ? v->zero : *lo;
  if (vt_chance(30)) *hi -= vt_range(0, *hi - *lo);
}

static inline int u8s8_type(void) {
  static const int types[4] = {MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32};
  return types[vt_range(0, 3)];
}

static inline void u8s8_end(vt_case *c, const u8s8_shape *s, const int out[4]) {
  mxp_insn *n = &c->insn;
  mx_task *t = &c->task;
  vt_image(c, &t->out[0], &c->out[0], s->plain ? MACCEL_U8 : u8s8_type(), out, 1);
  u8s8_range(&t->out[0], &n->i[12], &n->i[13]);
  if (t->out[0].dtype == MACCEL_U8 && vt_chance(15)) vt_constant(c, 3, MACCEL_U8, (int[]){256}, 1);
  n->f[3] = 1.0f;
  if (s->plain) return;
  if (vt_chance(40)) {
    int32_t lo, hi;
    vt_image(c, &t->in[1], &c->in[1], u8s8_type(), out, 1);
    u8s8_range(&t->in[1], &lo, &hi);
    n->in[1] = 1, n->f[2] = vt_float(-0.5f, 0.5f), n->flags = vt_chance(50) ? MX_INSN_RES_AFTER_ACT : 0;
  }
  if (vt_chance(30)) {
    n->i[11] = vt_chance(40) ? MX_ACT_HARDSWISH : vt_range(0, MX_ACT_COUNT - 1);
    n->f[0] = vt_float(-1.0f, 1.0f), n->f[1] = n->f[0] + 1.0f;
    n->f[3] = vt_float(0.1f, 9.0f);
    if (n->i[11] == MX_ACT_PRELU) vt_constant(c, 4, MACCEL_F32, &out[3], 1);
  }
  if (vt_chance(30)) {
    vt_image(c, &t->out[1], &c->out[1], u8s8_type(), out, 1);
    u8s8_range(&t->out[1], &n->i[14], &n->i[15]);
    n->out[1] = 1, n->f[4] = vt_float(0.01f, 4.0f);
  }
}

/* The input with its own distance of pixels; the gaps hold anything. */
static inline void u8s8_input(vt_case *c, const u8s8_shape *s) {
  const int pixel = s->in_pixel ? s->in_pixel : s->c;
  mx_view *v = &c->task.in[0];
  vt_image(c, v, &c->in[0], MACCEL_U8, (int[]){s->batch, s->h, s->w, pixel}, 0);
  v->dims[3] = s->c, v->zero = vt_range(0, 255);
  c->insn.in[0] = 0;
}

static inline void u8s8_case(vt_case *c, const u8s8_shape *s) {
  const int groups = s->groups ? s->groups : 1, per = s->c / groups;
  const int out[4] = {s->batch, (s->h + s->pt + s->pb - s->kh) / s->s + 1,
                      (s->w + s->pl + s->pr - s->kw) / s->s + 1, s->o};
  const int32_t i[11] = {s->kh, s->kw, s->s, s->s, s->pt, s->pl, s->pb, s->pr, 1, 1, groups};
  vt_begin(c, s->op);
  memcpy(c->insn.i, i, sizeof i);
  c->insn.out[0] = 0;
  u8s8_input(c, s);
  vt_constant(c, 0, s->words ? MACCEL_S16 : MACCEL_S8, (int[]){s->o, s->kh, s->kw, per}, 4);
  int32_t *bias = (int32_t *)vt_constant(c, 1, MACCEL_S32, &s->o, 1);
  float *scale = (float *)vt_constant(c, 2, MACCEL_F32, &s->o, 1);
  const int unit = s->words ? 256 : 1;
  for (int k = 0; k < s->o; k++)
    bias[k] = vt_range(-9000, 9000) * unit,
    scale[k] = vt_float(0.2f, 1.4f) / (60.0f * (float)(per * s->kh * s->kw * unit));
  u8s8_end(c, s, out);
  if (s->op == MX_OP_CONVDYN) {
    vt_image(c, &c->task.in[2], &c->in[2], MACCEL_F32, (int[]){s->batch, out[1], out[2], 1}, 0);
    c->insn.in[2] = 2;
    if (vt_chance(70)) vt_constant(c, 5, MACCEL_F32, &s->o, 1);
  }
  const size_t bytes = (size_t)s->c + 64;
  c->zero_row = (uint8_t *)vt_alloc(bytes);
  memset(c->zero_row, c->task.in[0].zero, bytes);
  c->task.zero_row = c->zero_row, c->task.zero_row_bytes = bytes;
}

/* 1 when `kernel` must take the shape and does, and its bytes are those of the reference. */
static inline int u8s8_agrees(const u8s8_shape *s, const mx_kernel *kernel, int parts) {
  vt_case c;
  u8s8_case(&c, s);
  const int bad = !kernel->accepts(&c.task) || vt_compare(&c, mx_kernels_scalar(s->op)[0], kernel, parts);
  if (bad)
    printf(
        "%s: op %d in %dx%dx%dx%d (pixel %d) out %d type %d kernel %dx%d stride %d pad %d %d %d %d groups %d "
        "parts %d\n",
        kernel->name, s->op, s->batch, s->h, s->w, s->c, (int)c.task.in[0].stride[2], s->o,
        c.task.out[0].dtype, s->kh, s->kw, s->s, s->pt, s->pl, s->pb, s->pr, s->groups, parts);
  vt_end(&c);
  return !bad;
}

/* The kernel of that name on the highest level, or NULL. */
static inline const mx_kernel *u8s8_kernel(const char *name) {
  const mx_kernel *const *k = mx_kernels_of(MX_ISA_AVX512VNNI, MX_OP_CONV);
  for (; k && *k; k++)
    if (!strcmp((*k)->name, name)) return *k;
  return NULL;
}

#endif
