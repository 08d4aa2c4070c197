/* recurrent.h - RECURRENT: all steps of an RNN, LSTM or GRU layer, one direction and row after the other. */
#ifndef MX_GENERIC_RECURRENT_H
#define MX_GENERIC_RECURRENT_H

#include "convf.h"

/* Scratch memory of one part, and where the row that is computed lies. */
typedef struct mx_recurrence {
  const mx_task *task;
  int64_t units, gates, direction, row;
  float *hidden, *cell, *reset; /* [units] */
  float *sums;                  /* [gates * units] */
} mx_recurrence;

static inline int mx_recurrent_gates(const mx_task *t) { return t->in[0].dims[3] / t->out[0].dims[3]; }

static size_t mx_recurrent_scratch(const mx_task *t) {
  return (size_t)(3 + mx_recurrent_gates(t)) * (size_t)t->out[0].dims[3] * sizeof(float);
}

/* A row of a state [D][B][H]; NULL when there is none. */
static inline float *mx_recurrent_state(const mx_view *v, int64_t direction, int64_t row) {
  return v->data ? (float *)(void *)(v->data + direction * v->stride[0] + row * v->stride[1]) : NULL;
}

/* A row of x or y [D][T][B][..]. */
static inline float *mx_recurrent_step(const mx_view *v, int64_t direction, int64_t step, int64_t row) {
  return (float *)(void *)(v->data + direction * v->stride[0] + step * v->stride[1] + row * v->stride[2]);
}

/* Step number k in the order in which they are computed. */
static inline int64_t mx_recurrent_order(const mx_task *t, int64_t direction, int64_t k) {
  return t->insn->i[0] >> direction & 1 ? t->out[0].dims[1] - 1 - k : k;
}

/* sums = products of h with the weights of gates lo ... hi - 1, scaled */
static void mx_recurrent_products(const mx_recurrence *r, const float *h, int64_t lo, int64_t hi) {
  const mx_task *t = r->task;
  const float *scale = t->cst[2];
  const int64_t first = r->direction * r->gates * r->units;
  for (int64_t j = lo * r->units; j < hi * r->units; j += MX_MATMUL_BLOCK) {
    const int64_t left = hi * r->units - j;
    const int n = (int)(left < MX_MATMUL_BLOCK ? left : MX_MATMUL_BLOCK);
    mx_chain(h, t->cst[0], t->cst_info[0].dtype, first + j, r->units, r->sums + j, n);
    for (int k = 0; scale != NULL && k < n; ++k) r->sums[j + k] = r->sums[j + k] * scale[first + j + k];
  }
}

static void mx_recurrent_rnn(const mx_recurrence *r, const float *x, float *y) {
  const mxp_insn *in = r->task->insn;
  for (int64_t u = 0; u < r->units; ++u)
    y[u] = mx_act(in->i[11], x[u] + r->sums[u], in->f[0], in->f[1], 0.0f);
}

static void mx_recurrent_lstm(const mx_recurrence *r, const float *x, float *y) {
  const int64_t n = r->units;
  for (int64_t u = 0; u < n; ++u) {
    const float i = mx_sigmoid(x[u] + r->sums[u]), o = mx_sigmoid(x[n + u] + r->sums[n + u]);
    const float f = mx_sigmoid(x[2 * n + u] + r->sums[2 * n + u]),
                g = mx_tanh(x[3 * n + u] + r->sums[3 * n + u]);
    const float kept = f * r->cell[u], added = i * g;
    r->cell[u] = kept + added;
    y[u] = o * mx_tanh(r->cell[u]);
  }
}

static void mx_recurrent_gru(const mx_recurrence *r, const float *x, float *y) {
  const int64_t n = r->units;
  const int linear = r->task->insn->i[10] == MX_RECURRENT_GRU_LINEAR;
  const float *bias = r->task->cst[1];
  for (int64_t u = 0; u < n; ++u) r->reset[u] = mx_sigmoid(x[n + u] + r->sums[n + u]);
  if (!linear) {
    for (int64_t u = 0; u < n; ++u) r->reset[u] = r->reset[u] * r->hidden[u];
    mx_recurrent_products(r, r->reset, 2, 3);
  }
  for (int64_t u = 0; u < n; ++u) {
    float p = r->sums[2 * n + u];
    if (linear) {
      p = p + bias[r->direction * n + u];
      p = r->reset[u] * p;
    }
    const float z = mx_sigmoid(x[u] + r->sums[u]), candidate = mx_tanh(x[2 * n + u] + p);
    const float fresh = (1.0f - z) * candidate, kept = z * r->hidden[u];
    y[u] = fresh + kept;
  }
}

static void mx_recurrent_row(mx_recurrence *r) {
  const mx_task *t = r->task;
  const int kind = t->insn->i[10];
  const size_t bytes = (size_t)r->units * sizeof(float);
  const float *h = mx_recurrent_state(&t->in[1], r->direction, r->row),
              *c = mx_recurrent_state(&t->in[2], r->direction, r->row);
  memset(r->hidden, 0, bytes), memset(r->cell, 0, bytes);
  if (h) memcpy(r->hidden, h, bytes);
  if (c) memcpy(r->cell, c, bytes);
  for (int64_t k = 0; k < t->out[0].dims[1]; ++k) {
    const int64_t step = mx_recurrent_order(t, r->direction, k);
    const float *x = mx_recurrent_step(&t->in[0], r->direction, step, r->row);
    float *y = mx_recurrent_step(&t->out[0], r->direction, step, r->row);
    mx_recurrent_products(r, r->hidden, 0, kind == MX_RECURRENT_GRU ? 2 : r->gates);
    switch (kind) {
      case MX_RECURRENT_RNN: mx_recurrent_rnn(r, x, y); break;
      case MX_RECURRENT_LSTM: mx_recurrent_lstm(r, x, y); break;
      default: mx_recurrent_gru(r, x, y); break;
    }
    memcpy(r->hidden, y, bytes);
  }
  float *last = mx_recurrent_state(&t->out[1], r->direction, r->row);
  if (last) memcpy(last, r->cell, bytes);
}

static void mx_recurrent_run(const mx_task *t, int part, int parts) {
  mx_recurrence r = {.task = t, .units = t->out[0].dims[3], .gates = mx_recurrent_gates(t)};
  const int64_t rows = t->out[0].dims[2], total = rows * t->out[0].dims[0],
                end = mx_share(total, part + 1, parts);
  r.hidden = t->scratch;
  r.cell = r.hidden + r.units;
  r.reset = r.cell + r.units;
  r.sums = r.reset + r.units;
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    r.direction = u / rows;
    r.row = u % rows;
    mx_recurrent_row(&r);
  }
}

static const mx_kernel mx_generic_recurrent = {.name = "f32-recurrent-row-" MX_GENERIC_ISA,
                                               .scratch_bytes = mx_recurrent_scratch,
                                               .run = mx_recurrent_run};

#endif
