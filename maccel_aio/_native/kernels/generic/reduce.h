/* reduce.h - REDUCE: sum, mean, maximum, minimum over any set of dimensions.
 *
 * Two shapes of work. When the last dimension stays, a strip of it is reduced together: element i of the reduction is
 * a strip. When it is reduced, one output element is made at a time from rows. Element i goes to partial i mod 16. */
#ifndef MX_GENERIC_REDUCE_H
#define MX_GENERIC_REDUCE_H

#include "rows.h"

#define MX_REDUCE_STRIP 64

/* The reduced dimensions of the input, outermost first, without the last dimension. */
typedef struct mx_reduced {
  int rank;
  int64_t count; /* positions */
  int64_t dims[MXP_MAX_RANK], stride[MXP_MAX_RANK];
} mx_reduced;

static inline int mx_reduces(const mx_task *t, int d) { return t->insn->i[14] >> d & 1; }

static inline mx_reduced mx_reduced_of(const mx_task *t) {
  mx_reduced r = {.count = 1};
  for (int d = 0; d < t->in[0].rank - 1; ++d) {
    if (!mx_reduces(t, d)) continue;
    r.dims[r.rank] = t->in[0].dims[d];
    r.stride[r.rank++] = t->in[0].stride[d];
    r.count *= t->in[0].dims[d];
  }
  return r;
}

static inline int64_t mx_reduced_offset(const mx_reduced *r, int64_t k) {
  int64_t off = 0;
  for (int d = r->rank - 1; d >= 0; --d) {
    off += k % r->dims[d] * r->stride[d];
    k /= r->dims[d];
  }
  return off;
}

/* Where the elements of output row `row` begin in the input. */
static inline int64_t mx_reduce_origin(const mx_task *t, int64_t row) {
  const mx_view *o = &t->out[0];
  int64_t off = 0;
  for (int d = o->rank - 2; d >= 0; --d) {
    off += row % o->dims[d] * (mx_reduces(t, d) ? 0 : t->in[0].stride[d]);
    row /= o->dims[d];
  }
  return off;
}

static inline void mx_reduce_combine(float *restrict acc, const float *restrict v, int n, int kind) {
  if (kind <= 1) {
    for (int i = 0; i < n; ++i) acc[i] = acc[i] + v[i];
  } else if (kind == 2) {
    for (int i = 0; i < n; ++i) acc[i] = v[i] > acc[i] ? v[i] : acc[i];
  } else {
    for (int i = 0; i < n; ++i) acc[i] = v[i] < acc[i] ? v[i] : acc[i];
  }
}

static inline void mx_reduce_tree(float acc[16][MX_REDUCE_STRIP], int n, int kind) {
  for (int half = 8; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) mx_reduce_combine(acc[j], acc[j + half], n, kind);
  }
}

static inline void mx_reduce_finish(const mx_task *t, float *v, int n, uint8_t *dst, int64_t stride,
                                    int64_t c0) {
  const uint8_t *slopes = t->cst[4];
  if (t->insn->i[10] == 1) mx_strip_scale(v, n, t->insn->f[2]);
  mx_strip_finish(t, v, n, dst, stride, slopes ? slopes + 4 * c0 : NULL, 4);
}

/* The last dimension stays: n outputs from channel c0 of one row. */
static void mx_reduce_strip(const mx_task *t, const mx_reduced *r, int64_t row, int64_t c0, int n) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int last = x->rank - 1, kind = t->insn->i[10];
  const uint8_t *src = x->data + mx_reduce_origin(t, row) + c0 * x->stride[last];
  const uint8_t *scales = x->channel_scale ? (const uint8_t *)(x->channel_scale + c0) : NULL;
  float acc[16][MX_REDUCE_STRIP], v[MX_REDUCE_STRIP];
  memset(acc, 0, sizeof acc);
  for (int64_t k = 0; k < r->count; ++k) {
    mx_strip_deq(v, x, src + mx_reduced_offset(r, k), x->stride[last], n, t->insn->f[4], scales, 4);
    if (kind >= 2 && k == 0) {
      for (int j = 0; j < 16; ++j) memcpy(acc[j], v, sizeof v[0] * (size_t)n);
    }
    mx_reduce_combine(acc[k & 15], v, n, kind);
  }
  mx_reduce_tree(acc, n, kind);
  uint8_t *dst = o->data + mx_row_offset(o, row) + c0 * o->stride[last];
  mx_reduce_finish(t, acc[0], n, dst, o->stride[last], c0);
}

/* The last dimension is reduced: one output from the rows of the input. */
static void mx_reduce_rows(const mx_task *t, const mx_reduced *r, int64_t row) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int last = x->rank - 1, kind = t->insn->i[10];
  const uint8_t *src = x->data + mx_reduce_origin(t, row), *scales = (const uint8_t *)x->channel_scale;
  float acc[16] = {0}, v[MX_STRIP];
  int64_t done = 0;
  for (int64_t k = 0; k < r->count; ++k) {
    const uint8_t *p = src + mx_reduced_offset(r, k);
    for (int64_t i = 0; i < x->dims[last]; i += MX_STRIP) {
      const int n = (int)(x->dims[last] - i < MX_STRIP ? x->dims[last] - i : MX_STRIP);
      mx_strip_deq(v, x, p + i * x->stride[last], x->stride[last], n, t->insn->f[4],
                   scales ? scales + 4 * i : NULL, 4);
      for (int j = 0; done == 0 && kind >= 2 && j < 16; ++j) acc[j] = v[0];
      int j = 0;
      for (; j < n && ((done + j) & 15) != 0; ++j) mx_reduce_combine(acc + ((done + j) & 15), v + j, 1, kind);
      for (; j + 16 <= n; j += 16) mx_reduce_combine(acc, v + j, 16, kind);
      mx_reduce_combine(acc, v + j, n - j, kind);
      done += n;
    }
  }
  for (int half = 8; half > 0; half /= 2) mx_reduce_combine(acc, acc + half, half, kind);
  mx_reduce_finish(t, acc, 1, o->data + mx_row_offset(o, row), o->stride[last], 0);
}

static void mx_reduce_run(const mx_task *t, int part, int parts) {
  const mx_view *o = &t->out[0];
  const mx_reduced r = mx_reduced_of(t);
  const int whole = mx_reduces(t, o->rank - 1);
  const int64_t channels = o->dims[o->rank - 1];
  const int64_t strips = whole ? 1 : (channels + MX_REDUCE_STRIP - 1) / MX_REDUCE_STRIP;
  const int64_t total = mx_row_count(o) * strips, end = mx_share(total, part + 1, parts);
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    if (whole) {
      mx_reduce_rows(t, &r, u);
      continue;
    }
    const int64_t c0 = u % strips * MX_REDUCE_STRIP;
    mx_reduce_strip(t, &r, u / strips, c0,
                    (int)(channels - c0 < MX_REDUCE_STRIP ? channels - c0 : MX_REDUCE_STRIP));
  }
}

static const mx_kernel mx_generic_reduce = {.name = "any-reduce-strip-" MX_GENERIC_ISA, .run = mx_reduce_run};

#endif
