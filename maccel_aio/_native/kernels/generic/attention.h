/* attention.h - ATTENTION as mxq.h defines it, one row of the queries at a time. */
#ifndef MX_GENERIC_ATTENTION_H
#define MX_GENERIC_ATTENTION_H

#include "rows.h"

/* Byte offset of matrix number `batch` of a view: the leading dimensions are those of out0, the strides its own. */
static inline int64_t mx_attention_offset(const mx_task *t, const mx_view *v, int64_t batch) {
  const mx_view *o = &t->out[0];
  int64_t off = 0;
  for (int d = o->rank - 3; d >= 0; --d) {
    off += batch % o->dims[d] * v->stride[d];
    batch /= o->dims[d];
  }
  return off;
}

static inline float mx_attention_at(const uint8_t *p, int64_t at) {
  return *(const float *)(const void *)(p + at);
}

/* The scale of n floats `stride` apart, as codes of 8 bits; *inverse gets what they are multiplied by. */
static inline float mx_attention_scale(const uint8_t *p, int64_t stride, int64_t n, float *inverse) {
  float most = 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    const float a = mx_fabs(mx_attention_at(p, i * stride));
    most = a > most ? a : most;
  }
  *inverse = most == 0.0f ? 0.0f : 127.0f / most;
  return most / 127.0f;
}

static inline int32_t mx_attention_code(float v, float inverse) {
  return mx_clamp_i(mx_rne(v * inverse), -127, 127);
}

/* One matrix of every operand. */
typedef struct mx_attention_heads {
  const uint8_t *q, *k, *v, *mask; /* mask: NULL for none */
  uint8_t *out;
} mx_attention_heads;

static inline mx_attention_heads mx_attention_heads_of(const mx_task *t, int64_t batch) {
  const mx_view *mask = &t->in[3];
  mx_attention_heads h = {.q = t->in[0].data + mx_attention_offset(t, &t->in[0], batch),
                          .k = t->in[1].data + mx_attention_offset(t, &t->in[1], batch),
                          .v = t->in[2].data + mx_attention_offset(t, &t->in[2], batch)};
  if (mask->data != NULL) h.mask = mask->data + mx_attention_offset(t, mask, batch);
  h.out = t->out[0].data + mx_attention_offset(t, &t->out[0], batch);
  return h;
}

/* x[j]: the scaled products of one query with all keys, and the mask */
static void mx_attention_scores(const mx_task *t, const mx_attention_heads *h, int64_t row, float *x) {
  const mx_view *q = &t->in[0], *k = &t->in[1], *mask = &t->in[3];
  const int last = q->rank - 1;
  const int64_t depth = q->dims[last], keys = k->dims[last - 1];
  const uint8_t *from = h->q + row * q->stride[last - 1];
  float own, other;
  const float scale = mx_attention_scale(from, q->stride[last], depth, &own) * t->insn->f[5];
  for (int64_t j = 0; j < keys; ++j) {
    const uint8_t *key = h->k + j * k->stride[last - 1];
    const float key_scale = mx_attention_scale(key, k->stride[last], depth, &other);
    int32_t sum = 0;
    for (int64_t i = 0; i < depth; ++i) {
      sum += mx_attention_code(mx_attention_at(from, i * q->stride[last]), own) *
             mx_attention_code(mx_attention_at(key, i * k->stride[last]), other);
    }
    x[j] = (float)sum * scale * key_scale;
    if (h->mask != NULL) {
      x[j] = x[j] + mx_attention_at(h->mask, row * mask->stride[last - 1] + j * mask->stride[last]);
    }
  }
}

/* The values by the shares that the scores x give them; x is used up. */
static void mx_attention_values(const mx_task *t, const mx_attention_heads *h, int64_t row, float *x) {
  const mx_view *v = &t->in[2], *o = &t->out[0];
  const int last = v->rank - 1;
  const int64_t keys = v->dims[last - 1];
  const float most = mx_row_max(x, keys);
  int32_t total = 0, *share = (int32_t *)(void *)x;
  for (int64_t j = 0; j < keys; ++j) {
    share[j] = mx_clamp_i(mx_rne(mx_exp(x[j] - most) * 255.0f), 0, 255);
    total += share[j];
  }
  const float inverse = 1.0f / (float)(total > 1 ? total : 1);
  for (int64_t c = 0; c < v->dims[last]; ++c) {
    const uint8_t *column = h->v + c * v->stride[last];
    float factor;
    const float scale = mx_attention_scale(column, v->stride[last - 1], keys, &factor);
    int32_t sum = 0;
    for (int64_t j = 0; j < keys; ++j) {
      sum += share[j] * mx_attention_code(mx_attention_at(column, j * v->stride[last - 1]), factor);
    }
    *(float *)(void *)(h->out + row * o->stride[last - 1] + c * o->stride[last]) =
        (float)sum * (scale * inverse);
  }
}

static size_t mx_attention_scratch(const mx_task *t) {
  return (size_t)t->in[1].dims[t->in[1].rank - 2] * sizeof(float);
}

static void mx_attention_run(const mx_task *t, int part, int parts) {
  const mx_view *o = &t->out[0];
  const int64_t rows = mx_row_count(o), each = o->dims[o->rank - 2], end = mx_share(rows, part + 1, parts);
  for (int64_t row = mx_share(rows, part, parts); row < end; ++row) {
    const mx_attention_heads h = mx_attention_heads_of(t, row / each);
    mx_attention_scores(t, &h, row % each, t->scratch);
    mx_attention_values(t, &h, row % each, t->scratch);
  }
}

static const mx_kernel mx_generic_attention = {.name = "f32-attention-row-" MX_GENERIC_ISA,
                                               .scratch_bytes = mx_attention_scratch,
                                               .run = mx_attention_run};

#endif
