/* convf.h - CONVF and MATMUL: float products summed by fmaf(), one chain per output in the order of k. */
#ifndef MX_GENERIC_CONVF_H
#define MX_GENERIC_CONVF_H

#include "conv.h"
#include "rows.h"

#define MX_MATMUL_BLOCK 32

/* v[j] = sum of x[i] * w[j * pitch + i]: one chain per output, all of the block together. */
#define MX_DEFINE_CHAIN(NAME, WT, WIDEN)                                                                     \
  static inline void NAME(const float *restrict x, const WT *restrict w, int64_t pitch, int64_t k, float *v, \
                          int n) {                                                                           \
    for (int j = 0; j < n; ++j) v[j] = 0.0f;                                                                 \
    for (int64_t i = 0; i < k; ++i) {                                                                        \
      for (int j = 0; j < n; ++j) v[j] = __builtin_fmaf(x[i], WIDEN(w[j * pitch + i]), v[j]);                \
    }                                                                                                        \
  }
MX_DEFINE_CHAIN(mx_chain_f32, float, (float))
MX_DEFINE_CHAIN(mx_chain_s8, int8_t, (float))
MX_DEFINE_CHAIN(mx_chain_bf16, uint16_t, mx_bf16_load)

/* The products of x with rows first ... first + n - 1 of the weights [..][k]. */
static inline void mx_chain(const float *x, const void *weights, int dtype, int64_t first, int64_t k,
                            float *v, int n) {
  switch (dtype) {
    case MACCEL_S8: mx_chain_s8(x, (const int8_t *)weights + first * k, k, k, v, n); break;
    case MACCEL_BF16: mx_chain_bf16(x, (const uint16_t *)weights + first * k, k, k, v, n); break;
    default: mx_chain_f32(x, (const float *)weights + first * k, k, k, v, n); break;
  }
}

/* ---- CONVF */

static size_t mx_convf_scratch(const mx_task *t) {
  const mx_conv_shape s = mx_conv_shape_of(t);
  return (size_t)(s.kh * s.kw * s.channels_in) * sizeof(float);
}

/* The inputs of one output pixel and group, in the order of the weights. A 1x1 window is read in place. */
static const float *mx_convf_patch(const mx_task *t, const mx_conv_shape *s, int64_t b, int64_t oy,
                                   int64_t ox, int64_t group) {
  const int64_t offset = group * s->channels_in;
  if (s->kh == 1 && s->kw == 1) {
    return (const float *)(const void *)mx_conv_tap(t, s, b, oy, ox, 0, 0) + offset;
  }
  float *patch = t->scratch;
  for (int64_t tap = 0; tap < s->kh * s->kw; ++tap) {
    const float *x = (const float *)(const void *)mx_conv_tap(t, s, b, oy, ox, tap / s->kw, tap % s->kw);
    memcpy(patch + tap * s->channels_in, x + offset, (size_t)s->channels_in * sizeof(float));
  }
  return patch;
}

static void mx_convf_block(const mx_task *t, const mx_conv_shape *s, int64_t b, int64_t oy, int64_t ox,
                           int o0, int n, float *v) {
  const float *bias = t->cst[1], *scale = t->cst[2];
  const int64_t taps = s->kh * s->kw * s->channels_in;
  for (int j = 0; j < n;) {
    const int64_t group = (o0 + j) / s->channels_out, left = (group + 1) * s->channels_out - (o0 + j);
    const int some = left < n - j ? (int)left : n - j;
    const float *patch = mx_convf_patch(t, s, b, oy, ox, group);
    mx_chain(patch, t->cst[0], t->cst_info[0].dtype, o0 + j, taps, v + j, some);
    j += some;
  }
  for (int j = 0; scale != NULL && j < n; ++j) v[j] = v[j] * scale[o0 + j];
  for (int j = 0; bias != NULL && j < n; ++j) v[j] = v[j] + bias[o0 + j];
}

static void mx_convf_run(const mx_task *t, int part, int parts) {
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
    float v[MX_CONV_BLOCK];
    mx_convf_block(t, &s, b, oy, ox, o0, n, v);
    const mx_place place = mx_place_at(t, b, oy, ox, o0);
    mx_conv_finish(t, v, n, &place);
  }
}

static const mx_kernel mx_generic_convf = {
    .name = "f32-conv-pixel-" MX_GENERIC_ISA, .scratch_bytes = mx_convf_scratch, .run = mx_convf_run};

/* ---- MATMUL */

static void mx_matmul_columns(const mx_task *t, const uint8_t *a, const uint8_t *b, float *v, int n) {
  const int last = t->out[0].rank - 1;
  const int64_t column = t->in[1].stride[last];
  for (int j = 0; j < n; ++j) v[j] = 0.0f;
  for (int64_t i = 0; i < t->in[0].dims[last]; ++i) {
    const float x = *(const float *)(const void *)(a + i * t->in[0].stride[last]);
    const uint8_t *row = b + i * t->in[1].stride[last - 1];
    for (int j = 0; j < n; ++j) {
      v[j] = __builtin_fmaf(x, *(const float *)(const void *)(row + j * column), v[j]);
    }
  }
}

static void mx_matmul_run(const mx_task *t, int part, int parts) {
  const mx_view *a = &t->in[0], *b = &t->in[1], *o = &t->out[0];
  const int last = o->rank - 1;
  const int64_t blocks = (o->dims[last] + MX_MATMUL_BLOCK - 1) / MX_MATMUL_BLOCK;
  const int64_t total = mx_row_count(o) * blocks, end = mx_share(total, part + 1, parts);
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    const int64_t row = u / blocks, n0 = u % blocks * MX_MATMUL_BLOCK;
    const int n = (int)(o->dims[last] - n0 < MX_MATMUL_BLOCK ? o->dims[last] - n0 : MX_MATMUL_BLOCK);
    mx_view batch = *b; /* in1 has no rows of its own: the row number only chooses the batch */
    batch.dims[last - 1] = o->dims[last - 1];
    batch.stride[last - 1] = 0;
    float v[MX_MATMUL_BLOCK];
    mx_matmul_columns(t, a->data + mx_row_offset(a, row),
                      b->data + mx_row_offset(&batch, row) + n0 * b->stride[last], v, n);
    mx_strip_finish(t, v, n, o->data + mx_row_offset(o, row) + n0 * o->stride[last], o->stride[last], NULL,
                    0);
  }
}

static const mx_kernel mx_generic_matmul = {.name = "f32-matmul-row-" MX_GENERIC_ISA, .run = mx_matmul_run};

#endif
