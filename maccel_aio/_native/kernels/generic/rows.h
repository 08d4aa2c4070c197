/* rows.h - SOFTMAX, LAYERNORM and DYNQUANT: whatever looks at a whole row (the last dimension) before it writes. */
#ifndef MX_GENERIC_ROWS_H
#define MX_GENERIC_ROWS_H

#include "strip.h"

static inline int64_t mx_row_count(const mx_view *v) {
  int64_t n = 1;
  for (int d = 0; d < v->rank - 1; ++d) n *= v->dims[d];
  return n;
}

/* Byte offset of row number `row`, counted in physical order over all dimensions but the last. */
static inline int64_t mx_row_offset(const mx_view *v, int64_t row) {
  int64_t off = 0;
  for (int d = v->rank - 2; d >= 0; --d) {
    off += row % v->dims[d] * v->stride[d];
    row /= v->dims[d];
  }
  return off;
}

static inline size_t mx_row_scratch(const mx_task *t) { return (size_t)t->in[0].dims[t->in[0].rank - 1] * 4; }

/* deq(in0; f4) of a whole row. */
static void mx_row_load(const mx_task *t, const mx_view *x, int64_t row, float *dst) {
  const int last = x->rank - 1;
  const uint8_t *src = x->data + mx_row_offset(x, row), *scales = (const uint8_t *)x->channel_scale;
  for (int64_t i = 0; i < x->dims[last]; i += MX_STRIP) {
    const int n = (int)(x->dims[last] - i < MX_STRIP ? x->dims[last] - i : MX_STRIP);
    mx_strip_deq(dst + i, x, src + i * x->stride[last], x->stride[last], n, t->insn->f[4],
                 scales ? scales + 4 * i : NULL, 4);
  }
}

/* * f3, put. The row is used up. */
static void mx_row_store(const mx_task *t, int64_t row, float *v) {
  const mx_view *o = &t->out[0];
  const int last = o->rank - 1;
  uint8_t *dst = o->data + mx_row_offset(o, row);
  for (int64_t i = 0; i < o->dims[last]; i += MX_STRIP) {
    const int n = (int)(o->dims[last] - i < MX_STRIP ? o->dims[last] - i : MX_STRIP);
    mx_strip_scale(v + i, n, t->insn->f[3]);
    mx_strip_put(dst + i * o->stride[last], o->dtype, o->stride[last], v + i, n, o->zero, t->insn->i[12],
                 t->insn->i[13]);
  }
}

static inline float mx_row_max(const float *x, int64_t n) {
  float m[16];
  for (int j = 0; j < 16; ++j) m[j] = x[0];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  }
  for (int j = 0; i + j < n; ++j) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  for (int j = 1; j < 16; ++j) m[0] = m[j] > m[0] ? m[j] : m[0];
  return m[0];
}

static void mx_softmax_row(float *v, int64_t n, int logarithm) {
  const float m = mx_row_max(v, n);
  for (int64_t i = 0; i < n; ++i) v[i] = v[i] - m;
  if (!logarithm) {
    for (int64_t i = 0; i < n; ++i) v[i] = mx_exp(v[i]);
    const float inverse = 1.0f / mx_sum16(v, n);
    for (int64_t i = 0; i < n; ++i) v[i] = v[i] * inverse;
    return;
  }
  float s[16] = {0}, e[16];
  for (int64_t i = 0; i < n; i += 16) {
    const int k = (int)(n - i < 16 ? n - i : 16);
    for (int j = 0; j < k; ++j) e[j] = mx_exp(v[i + j]);
    for (int j = 0; j < k; ++j) s[j] = s[j] + e[j];
  }
  const float log_sum = mx_log(mx_tree16(s));
  for (int64_t i = 0; i < n; ++i) v[i] = v[i] - log_sum;
}

/* + in1, the mask, where there is one */
static void mx_softmax_mask(const mx_task *t, int64_t row, float *v) {
  if (t->in[1].data == NULL) return;
  const mx_view *mask = &t->in[1];
  const int64_t stride = mask->stride[mask->rank - 1], n = mask->dims[mask->rank - 1];
  const uint8_t *src = mask->data + mx_row_offset(mask, row);
  for (int64_t i = 0; i < n; ++i) v[i] = v[i] + *(const float *)(const void *)(src + i * stride);
}

static void mx_softmax_run(const mx_task *t, int part, int parts) {
  const int64_t rows = mx_row_count(&t->in[0]), end = mx_share(rows, part + 1, parts);
  float *v = t->scratch;
  for (int64_t row = mx_share(rows, part, parts); row < end; ++row) {
    mx_row_load(t, &t->in[0], row, v);
    mx_softmax_mask(t, row, v);
    mx_softmax_row(v, t->in[0].dims[t->in[0].rank - 1], t->insn->i[10]);
    mx_row_store(t, row, v);
  }
}

static const mx_kernel mx_generic_softmax = {
    .name = "any-softmax-row-" MX_GENERIC_ISA, .scratch_bytes = mx_row_scratch, .run = mx_softmax_run};

static inline float mx_sum16_squares(const float *restrict x, int64_t n) {
  float s[16] = {0};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) s[j] = s[j] + x[i + j] * x[i + j];
  }
  for (int j = 0; i + j < n; ++j) s[j] = s[j] + x[i + j] * x[i + j];
  return mx_tree16(s);
}

static void mx_layernorm_row(const mx_task *t, float *restrict v, int64_t n) {
  const float inverse = 1.0f / (float)n;
  const float *weight = t->cst[0], *bias = t->cst[1];
  if (t->insn->i[10] == 0) {
    const float mean = mx_sum16(v, n) * inverse;
    for (int64_t i = 0; i < n; ++i) v[i] = v[i] - mean;
  }
  const float var = mx_sum16_squares(v, n) * inverse;
  const float factor = 1.0f / mx_sqrt(var + t->insn->f[5]);
  for (int64_t i = 0; i < n; ++i) v[i] = v[i] * factor;
  for (int64_t i = 0; weight != NULL && i < n; ++i) v[i] = v[i] * weight[i];
  for (int64_t i = 0; bias != NULL && i < n; ++i) v[i] = v[i] + bias[i];
}

static void mx_layernorm_run(const mx_task *t, int part, int parts) {
  const int64_t rows = mx_row_count(&t->in[0]), end = mx_share(rows, part + 1, parts);
  float *v = t->scratch;
  for (int64_t row = mx_share(rows, part, parts); row < end; ++row) {
    mx_row_load(t, &t->in[0], row, v);
    mx_layernorm_row(t, v, t->in[0].dims[t->in[0].rank - 1]);
    mx_row_store(t, row, v);
  }
}

static const mx_kernel mx_generic_layernorm = {
    .name = "any-layernorm-row-" MX_GENERIC_ISA, .scratch_bytes = mx_row_scratch, .run = mx_layernorm_run};

/* How DYNQUANT writes codes: values are divided by most / top, rounded and clamped to bottom ... top, then shifted. */
typedef struct mx_dynquant_range {
  int32_t bottom, top, shift;
} mx_dynquant_range;

static inline mx_dynquant_range mx_dynquant_range_of(const mx_task *t) {
  if (t->insn->i[10] != 0) return (mx_dynquant_range){0, 255, 0};
  return (mx_dynquant_range){-127, 127, t->out[0].dtype == MACCEL_U8 ? 128 : 0};
}

static void mx_dynquant_row(const mx_task *t, int64_t row, float *v) {
  const mx_view *x = &t->in[0], *o = &t->out[0], *scales = &t->out[1];
  const mx_dynquant_range r = mx_dynquant_range_of(t);
  const int last = x->rank - 1;
  const int64_t n = x->dims[last];
  const uint8_t *src = x->data + mx_row_offset(x, row);
  uint8_t *dst = o->data + mx_row_offset(o, row);
  const float *columns = t->cst[0];
  float most = 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    v[i] = *(const float *)(const void *)(src + i * x->stride[last]);
    if (r.bottom == 0) v[i] = v[i] - t->insn->f[0];
    if (columns != NULL) v[i] = v[i] * columns[i];
    const float a = r.bottom == 0 ? v[i] : mx_fabs(v[i]);
    most = a > most ? a : most;
  }
  float s = most / (float)r.top;
  s = s == 0.0f ? 1.0f : s;
  *(float *)(void *)(scales->data + mx_row_offset(scales, row)) = s;
  for (int64_t i = 0; i < n; ++i) {
    dst[i * o->stride[last]] = (uint8_t)(mx_clamp_i(mx_rne(v[i] / s), r.bottom, r.top) + r.shift);
  }
}

static void mx_dynquant_run(const mx_task *t, int part, int parts) {
  const int64_t rows = mx_row_count(&t->in[0]), end = mx_share(rows, part + 1, parts);
  for (int64_t row = mx_share(rows, part, parts); row < end; ++row) mx_dynquant_row(t, row, t->scratch);
}

static const mx_kernel mx_generic_dynquant = {
    .name = "f32-dynquant-row-" MX_GENERIC_ISA, .scratch_bytes = mx_row_scratch, .run = mx_dynquant_run};

#endif
