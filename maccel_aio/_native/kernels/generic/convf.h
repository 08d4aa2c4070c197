/* convf.h - CONVF and MATMUL: float products summed by fmaf() into 16 partials, element i into partial i mod 16. */
#ifndef MX_GENERIC_CONVF_H
#define MX_GENERIC_CONVF_H

#include "conv.h"
#include "rows.h"

#define MX_MATMUL_BLOCK 32

static inline float mx_dot16_f32(const float *restrict x, const float *restrict w, int64_t n) {
  float s[16] = {0};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) s[j] = __builtin_fmaf(x[i + j], w[i + j], s[j]);
  }
  for (int j = 0; i + j < n; ++j) s[j] = __builtin_fmaf(x[i + j], w[i + j], s[j]);
  return mx_tree16(s);
}

static inline float mx_dot16_s8(const float *restrict x, const int8_t *restrict w, int64_t n) {
  float s[16] = {0};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) s[j] = __builtin_fmaf(x[i + j], (float)w[i + j], s[j]);
  }
  for (int j = 0; i + j < n; ++j) s[j] = __builtin_fmaf(x[i + j], (float)w[i + j], s[j]);
  return mx_tree16(s);
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
  const float *patch = NULL;
  int64_t loaded = -1;
  for (int j = 0; j < n; ++j) {
    const int64_t group = (o0 + j) / s->channels_out;
    if (group != loaded) patch = mx_convf_patch(t, s, b, oy, ox, group);
    loaded = group;
    v[j] = s->wb == 1 ? mx_dot16_s8(patch, (const int8_t *)t->cst[0] + (o0 + j) * taps, taps)
                      : mx_dot16_f32(patch, (const float *)t->cst[0] + (o0 + j) * taps, taps);
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

/* Two rows of k: of in0, and a column of in1 where its elements are not adjacent. */
static size_t mx_matmul_scratch(const mx_task *t) {
  return 2 * (size_t)t->in[0].dims[t->in[0].rank - 1] * sizeof(float);
}

static const float *mx_matmul_vector(const uint8_t *p, int64_t stride, int64_t n, float *copy) {
  if (stride == 4) return (const float *)(const void *)p;
  for (int64_t i = 0; i < n; ++i) copy[i] = *(const float *)(const void *)(p + i * stride);
  return copy;
}

/* Columns that lie next to each other: all of the block advance together along k. */
static void mx_matmul_columns(const float *a, const uint8_t *b, int64_t k_stride, int64_t k, float *v,
                              int n) {
  float s[16][MX_MATMUL_BLOCK];
  memset(s, 0, sizeof s);
  for (int64_t i = 0; i < k; ++i) {
    const float *row = (const float *)(const void *)(b + i * k_stride);
    float *restrict acc = s[i & 15];
    const float x = a[i];
    for (int j = 0; j < n; ++j) acc[j] = __builtin_fmaf(x, row[j], acc[j]);
  }
  for (int half = 8; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) {
      for (int j = 0; j < n; ++j) s[p][j] = s[p][j] + s[p + half][j];
    }
  }
  memcpy(v, s[0], (size_t)n * sizeof *v);
}

static void mx_matmul_run(const mx_task *t, int part, int parts) {
  const mx_view *a = &t->in[0], *b = &t->in[1], *o = &t->out[0];
  const int last = o->rank - 1;
  const int64_t k = a->dims[last], blocks = (o->dims[last] + MX_MATMUL_BLOCK - 1) / MX_MATMUL_BLOCK;
  const int64_t total = mx_row_count(o) * blocks, end = mx_share(total, part + 1, parts);
  float *copies = t->scratch;
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    const int64_t row = u / blocks, n0 = u % blocks * MX_MATMUL_BLOCK;
    const int n = (int)(o->dims[last] - n0 < MX_MATMUL_BLOCK ? o->dims[last] - n0 : MX_MATMUL_BLOCK);
    mx_view batch = *b; /* in1 has no rows of its own: the row number only chooses the batch */
    batch.dims[last - 1] = o->dims[last - 1];
    batch.stride[last - 1] = 0;
    const uint8_t *bp = b->data + mx_row_offset(&batch, row) + n0 * b->stride[last];
    const float *x = mx_matmul_vector(a->data + mx_row_offset(a, row), a->stride[last], k, copies);
    float v[MX_MATMUL_BLOCK];
    if (b->stride[last] == 4 && b->stride[last - 1] != 4) {
      mx_matmul_columns(x, bp, b->stride[last - 1], k, v, n);
    } else {
      for (int j = 0; j < n; ++j) {
        v[j] = mx_dot16_f32(x, mx_matmul_vector(bp + j * b->stride[last], b->stride[last - 1], k, copies + k),
                            k);
      }
    }
    uint8_t *dst = o->data + mx_row_offset(o, row) + n0 * o->stride[last];
    mx_strip_finish(t, v, n, dst, o->stride[last], NULL, 0);
  }
}

static const mx_kernel mx_generic_matmul = {
    .name = "f32-matmul-row-" MX_GENERIC_ISA, .scratch_bytes = mx_matmul_scratch, .run = mx_matmul_run};

#endif
