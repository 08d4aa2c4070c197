/* rows.h - SOFTMAX, LAYERNORM and DYNQUANT, 16 lanes along the row: lane j is partial sum j of mxq.h.
 *
 * A row of floats is read where it lies, and results of plain float rows are written there; others pass through scratch. */
#ifndef MX_VECTOR_ROWS_H
#define MX_VECTOR_ROWS_H

#include "../generic/rows.h"
#include "act.h"

typedef struct row_walk {
  int64_t in_pitch, out_pitch; /* bytes from row to row; -1: not constant */
  int in_place, out_place;     /* rows of floats, read and written without scratch */
} row_walk;

static int64_t row_pitch(const mx_view *v) {
  int64_t pitch = -1, rows = 1;
  for (int d = v->rank - 2; d >= 0; d--) {
    if (v->dims[d] == 1) continue;
    if (pitch < 0)
      pitch = v->stride[d];
    else if (v->stride[d] != pitch * rows)
      return -1;
    rows *= v->dims[d];
  }
  return pitch < 0 ? 0 : pitch;
}

static row_walk row_walk_of(const mx_task *t) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  row_walk w = {row_pitch(x), row_pitch(o), 0, 0};
  w.in_place =
      x->dtype == MACCEL_F32 && x->stride[x->rank - 1] == 4 && t->insn->f[4] == 1.0f && !x->channel_scale;
  w.out_place = o->dtype == MACCEL_F32 && o->stride[o->rank - 1] == 4 && t->insn->f[3] == 1.0f;
  return w;
}

MX_INLINE int64_t row_at(const mx_view *v, int64_t pitch, int64_t row) {
  return pitch >= 0 ? row * pitch : mx_row_offset(v, row);
}

static const float *row_source(const mx_task *t, const row_walk *w, int64_t row) {
  if (w->in_place) return (const float *)(const void *)(t->in[0].data + row_at(&t->in[0], w->in_pitch, row));
  mx_row_load(t, &t->in[0], row, (float *)t->scratch);
  return (const float *)t->scratch;
}

static float *row_target(const mx_task *t, const row_walk *w, int64_t row) {
  if (!w->out_place) return (float *)t->scratch;
  return (float *)(void *)(t->out[0].data + row_at(&t->out[0], w->out_pitch, row));
}

/* v[i] = EXPR of x[i] for a whole row; `x` names 16 elements, `i` the first. */
#define ROW_EACH(EXPR)                               \
  do {                                               \
    int64_t i = 0;                                   \
    for (; i + 16 <= n; i += 16) {                   \
      const f16 x = f16_load(from + i);              \
      f16_store(to + i, EXPR);                       \
    }                                                \
    if (i < n) {                                     \
      const f16_mask some = f16_first((int)(n - i)); \
      const f16 x = f16_load_first(from + i, some);  \
      f16_store_first(to + i, EXPR, some);           \
    }                                                \
  } while (0)

/* Elements i ... i + 15 of another row of n elements. */
MX_INLINE f16 row_part(const float *row, int64_t i, int64_t n) {
  return i + 16 <= n ? f16_load(row + i) : f16_load_first(row + i, f16_first((int)(n - i)));
}

/* The sum of EXPR over a row. */
#define ROW_SUM(SUM, EXPR)                           \
  do {                                               \
    f16 total = f16_zero();                          \
    int64_t i = 0;                                   \
    for (; i + 16 <= n; i += 16) {                   \
      const f16 x = f16_load(from + i);              \
      total = f16_add(total, EXPR);                  \
    }                                                \
    if (i < n) {                                     \
      const f16_mask some = f16_first((int)(n - i)); \
      const f16 x = f16_load_first(from + i, some);  \
      total = f16_add(total, f16_keep(EXPR, some));  \
    }                                                \
    (SUM) = f16_tree(total);                         \
  } while (0)

static float row_most(const float *from, int64_t n) {
  f16 most = f16_all(from[0]);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) most = f16_max(f16_load(from + i), most);
  if (n >= 16) return f16_most(f16_max(f16_load(from + n - 16), most)); /* some for the second time */
  for (; i < n; i++) most = f16_max(f16_all(from[i]), most);
  return f16_most(most);
}

/* ---- SOFTMAX */

/* exp(x - m) to `to`, and its sum */
static float softmax_powers(const float *from, float *to, int64_t n, f16 m) {
  f16 total = f16_zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const f16 e = f16_exp(f16_sub(f16_load(from + i), m));
    f16_store(to + i, e);
    total = f16_add(total, e);
  }
  if (i < n) {
    const f16_mask some = f16_first((int)(n - i));
    const f16 e = f16_exp(f16_sub(f16_load_first(from + i, some), m));
    f16_store_first(to + i, e, some);
    total = f16_add(total, f16_keep(e, some));
  }
  return f16_tree(total);
}

static void softmax_row(const float *from, float *to, int64_t n, int logarithm) {
  const f16 m = f16_all(row_most(from, n));
  if (!logarithm) {
    const f16 inverse = f16_all(1.0f / softmax_powers(from, to, n, m));
    from = to;
    ROW_EACH(f16_mul(x, inverse));
    return;
  }
  float sum;
  ROW_SUM(sum, f16_exp(f16_sub(x, m)));
  const f16 l = f16_all(mx_log(sum));
  ROW_EACH(f16_sub(f16_sub(x, m), l));
}

/* Whether rows are floats side by side, to be multiplied by f4 and not yet masked. */
static int softmax_is_raw(const mx_task *t) {
  const mx_view *x = &t->in[0], *mask = &t->in[1];
  const int masked = t->in[1].data != NULL;
  const int plain = x->dtype == MACCEL_F32 && x->stride[x->rank - 1] == 4 && !x->channel_scale;
  if (masked && mask->stride[mask->rank - 1] != 4) return 0;
  return plain && (masked || t->insn->f[4] != 1.0f);
}

/* The scaled and masked row, in scratch memory. */
static const float *softmax_prepared(const mx_task *t, const row_walk *w, int64_t row, int64_t n) {
  const mx_view *in = &t->in[0], *mask = &t->in[1];
  const float *from = (const float *)(const void *)(in->data + row_at(in, w->in_pitch, row));
  const f16 factor = f16_all(t->insn->f[4]);
  float *to = (float *)t->scratch;
  if (t->in[1].data == NULL) {
    ROW_EACH(f16_mul(x, factor));
    return to;
  }
  const float *add = (const float *)(const void *)(mask->data + mx_row_offset(mask, row));
  ROW_EACH(f16_add(f16_mul(x, factor), row_part(add, i, n)));
  return to;
}

static const float *softmax_source(const mx_task *t, const row_walk *w, int raw, int64_t row, int64_t n) {
  if (raw) return softmax_prepared(t, w, row, n);
  if (t->in[1].data == NULL) return row_source(t, w, row);
  mx_row_load(t, &t->in[0], row, (float *)t->scratch);
  mx_softmax_mask(t, row, (float *)t->scratch);
  return (const float *)t->scratch;
}

static void softmax_kernel_run(const mx_task *t, int part, int parts) {
  const row_walk w = row_walk_of(t);
  const int raw = softmax_is_raw(t);
  const int64_t rows = mx_row_count(&t->in[0]), end = mx_share(rows, part + 1, parts);
  const int64_t n = t->in[0].dims[t->in[0].rank - 1];
  for (int64_t row = mx_share(rows, part, parts); row < end; row++) {
    softmax_row(softmax_source(t, &w, raw, row, n), row_target(t, &w, row), n, t->insn->i[10]);
    if (!w.out_place) mx_row_store(t, row, (float *)t->scratch);
  }
}

static const mx_kernel mx_vector_softmax = {
    .name = "any-softmax-lanes-" MX_GENERIC_ISA, .scratch_bytes = mx_row_scratch, .run = softmax_kernel_run};

/* ---- LAYERNORM */

static void layernorm_scale(const float *from, float *to, int64_t n, float scale, const float *weight,
                            const float *bias) {
  const f16 factor = f16_all(scale);
  if (weight != NULL && bias != NULL) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
      f16_store(to + i, f16_add(f16_mul(f16_mul(f16_load(from + i), factor), f16_load(weight + i)),
                                f16_load(bias + i)));
    for (; i < n; i++) to[i] = (from[i] * scale) * weight[i] + bias[i];
    return;
  }
  ROW_EACH(f16_mul(x, factor));
  for (int64_t i = 0; weight != NULL && i < n; i++) to[i] = to[i] * weight[i];
  for (int64_t i = 0; bias != NULL && i < n; i++) to[i] = to[i] + bias[i];
}

static void layernorm_row(const mx_task *t, const float *from, float *to, int64_t n) {
  const float inverse = 1.0f / (float)n;
  float sum;
  if (t->insn->i[10] == 0) {
    ROW_SUM(sum, x);
    const f16 mean = f16_all(sum * inverse);
    ROW_EACH(f16_sub(x, mean));
    from = to;
  }
  ROW_SUM(sum, f16_mul(x, x));
  const float factor = 1.0f / mx_sqrt(sum * inverse + t->insn->f[5]);
  layernorm_scale(from, to, n, factor, (const float *)t->cst[0], (const float *)t->cst[1]);
}

static void layernorm_kernel_run(const mx_task *t, int part, int parts) {
  const row_walk w = row_walk_of(t);
  const int64_t rows = mx_row_count(&t->in[0]), end = mx_share(rows, part + 1, parts);
  const int64_t n = t->in[0].dims[t->in[0].rank - 1];
  for (int64_t row = mx_share(rows, part, parts); row < end; row++) {
    layernorm_row(t, row_source(t, &w, row), row_target(t, &w, row), n);
    if (!w.out_place) mx_row_store(t, row, (float *)t->scratch);
  }
}

static const mx_kernel mx_vector_layernorm = {.name = "any-layernorm-lanes-" MX_GENERIC_ISA,
                                              .scratch_bytes = mx_row_scratch,
                                              .run = layernorm_kernel_run};

/* ---- DYNQUANT */

static float row_most_magnitude(const float *from, int64_t n) {
  f16 most = f16_zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) most = f16_max(f16_abs(f16_load(from + i)), most);
  if (i < n) most = f16_max(f16_abs(f16_load_first(from + i, f16_first((int)(n - i)))), most);
  return f16_most(most);
}

/* What DYNQUANT rounds, before the division: less the lower bound, times the columns' multipliers; `to` may get it. */
static const float *dynquant_values(const mx_task *t, const float *from, float *to, int64_t n) {
  const float *columns = (const float *)t->cst[0];
  if (t->insn->i[10]) {
    const f16 low = f16_all(t->insn->f[0]);
    ROW_EACH(f16_sub(x, low));
    from = to;
  }
  if (columns) {
    ROW_EACH(f16_mul(x, row_part(columns, i, n)));
    from = to;
  }
  return from;
}

static float row_most_positive(const float *from, int64_t n) {
  f16 most = f16_zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) most = f16_max(f16_load(from + i), most);
  if (i < n) most = f16_max(f16_load_first(from + i, f16_first((int)(n - i))), most);
  return f16_most(most);
}

static void dynquant_row(const mx_task *t, const row_walk *w, int64_t row) {
  const mx_view *o = &t->out[0], *scales = &t->out[1];
  const mx_dynquant_range r = mx_dynquant_range_of(t);
  const int last = o->rank - 1;
  const int64_t n = o->dims[last];
  const mx_view *in = &t->in[0];
  const uint8_t *src = in->data + row_at(in, w->in_pitch, row);
  float *to = (float *)t->scratch;
  const float *from = in->stride[last] == 4 ? (const float *)(const void *)src : to;
  if (from == to) mx_load_f32(to, src, in->stride[last], (int)n, 0);
  from = dynquant_values(t, from, to, n);
  const float most = r.bottom == 0 ? row_most_positive(from, n) : row_most_magnitude(from, n);
  const float s = most / (float)r.top, divisor = s == 0.0f ? 1.0f : s;
  *(float *)(void *)(scales->data + mx_row_offset(scales, row)) = divisor;
  const f16 d = f16_all(divisor);
  ROW_EACH(f16_div(x, d));
  uint8_t *dst = o->data + row_at(o, w->out_pitch, row);
  for (int64_t i = 0; i < n; i += MX_STRIP)
    mx_strip_put(dst + i * o->stride[last], o->dtype, o->stride[last], to + i,
                 (int)(n - i < MX_STRIP ? n - i : MX_STRIP), r.shift, r.bottom + r.shift, r.top + r.shift);
}

static void dynquant_kernel_run(const mx_task *t, int part, int parts) {
  const row_walk w = row_walk_of(t);
  const int64_t rows = mx_row_count(&t->in[0]), end = mx_share(rows, part + 1, parts);
  for (int64_t row = mx_share(rows, part, parts); row < end; row++) dynquant_row(t, &w, row);
}

static const mx_kernel mx_vector_dynquant = {.name = "f32-dynquant-lanes-" MX_GENERIC_ISA,
                                             .scratch_bytes = mx_row_scratch,
                                             .run = dynquant_kernel_run};

#endif
