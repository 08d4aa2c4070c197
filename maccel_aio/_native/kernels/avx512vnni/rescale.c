/* rescale.c - integers times a number, or with a row of floats: MAP from one integer type to another, and ELTWISE of an
 * image by a float per channel or one for all (docs/kernels.md).
 *
 * The row of floats is made once per run, repeated to whole vectors in scratch. Tensors without gaps are one long run that
 * goes through it again and again, so narrow images fill the vectors; other ones go pixel by pixel, the last vector masked. */
#include <immintrin.h>
#include <string.h>

#include "../scalar/num.h"
#include "../vector/geometry.h"
#include "table.h"

enum { NO_OPERAND = MX_ELT_MUL + 1, KINDS, PATTERN_MIN = 256, PATTERN_MAX = 8192 };

typedef struct rescale_plan {
  int64_t rows, tail; /* rows of `length` elements; elements behind the last one, of a tensor without gaps */
  int64_t length, step_x, step_o; /* bytes from row to row */
  int inner; /* leading dimensions that are walked one by one */
} rescale_plan;

typedef struct rescale {
  __m512i zero_x, zero;
  __m512 by, low, high;
  const float *row;
} rescale;

/* ---- which tasks */

static int is_integer(const mx_view *v) {
  return (v->dtype == MACCEL_U8 || v->dtype == MACCEL_S8 || v->dtype == MACCEL_S16) && !v->channel_scale &&
         v->zero >= -65536 && v->zero <= 65536 && v->stride[v->rank - 1] == mx_dtype_bytes(v->dtype);
}

/* in1 or cst5: every dimension but the last is broadcast, and the last one may be. */
static int is_row(const mx_task *t) {
  const mx_view *o = &t->out[0], *y = &t->in[1];
  const int last = o->rank - 1;
  if (t->insn->in[1] == MXP_NONE) {
    const mxp_const *info = &t->cst_info[5];
    for (int d = 0; d + 1 < info->rank; d++)
      if (info->dims[d] != 1) return 0;
    return info->rank >= 1;
  }
  if (y->dtype != MACCEL_F32 || y->channel_scale) return 0;
  for (int d = 0; d < last; d++)
    if (o->dims[d] != 1 && y->stride[d] != 0) return 0;
  return y->stride[last] == 4 || y->stride[last] == 0;
}

static int accepts(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const mx_view *o = &t->out[0], *x = &t->in[0];
  if (!is_integer(x) || !is_integer(o) || n->i[11] != MX_ACT_NONE || n->f[3] != 1.0f) return 0;
  for (int d = 0; d < o->rank; d++)
    if (x->dims[d] != o->dims[d]) return 0;
  if (n->op == MX_OP_ELTWISE) return n->i[10] <= MX_ELT_MUL && is_row(t);
  return n->cst[3] == MXP_NONE && !(x->dtype == o->dtype && n->f[4] == 1.0f && x->zero == o->zero);
}

/* ---- the row of floats */

static int row_repeats(const mx_task *t) {
  const int last = t->out[0].rank - 1;
  if (t->insn->op != MX_OP_ELTWISE) return 1;
  if (t->insn->in[1] == MXP_NONE) return t->cst_info[5].dims[t->cst_info[5].rank - 1] == 1;
  return t->in[1].stride[last] == 0;
}

/* Elements after which the row starts again at the first lane of a vector. */
static int64_t row_period(const mx_task *t) {
  const int64_t channels = t->out[0].dims[t->out[0].rank - 1];
  if (row_repeats(t)) return PATTERN_MIN;
  int64_t period = channels;
  while (period % 16) period *= 2;
  return period >= PATTERN_MIN ? period : (PATTERN_MIN + period - 1) / period * period;
}

static size_t scratch_bytes(const mx_task *t) {
  const int64_t channels = t->out[0].dims[t->out[0].rank - 1], period = row_period(t);
  const int64_t floats = period > channels ? period : channels;
  return t->insn->op == MX_OP_ELTWISE ? (size_t)(floats + 16) * sizeof(float) : 0;
}

static const float *row_of(const mx_task *t, int64_t length) {
  float *row = (float *)t->scratch;
  const int64_t channels = t->out[0].dims[t->out[0].rank - 1];
  const float *from = (const float *)(t->insn->in[1] == MXP_NONE ? t->cst[5] : (const void *)t->in[1].data);
  const int step = !row_repeats(t);
  if (t->insn->op != MX_OP_ELTWISE) return NULL;
  for (int64_t k = 0; k < length && k < channels; k++) row[k] = from[k * step] * t->insn->f[5];
  for (int64_t k = channels; k < length; k++) row[k] = row[k - channels];
  return row;
}

/* ---- 16 elements */

MX_INLINE __m512i load_some(int dtype, const uint8_t *p, __mmask16 m) {
  if (dtype == MACCEL_S16) return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(m, p));
  const __m128i b = _mm_maskz_loadu_epi8(m, p);
  return dtype == MACCEL_U8 ? _mm512_cvtepu8_epi32(b) : _mm512_cvtepi8_epi32(b);
}

MX_INLINE void store_some(int wide, uint8_t *p, __m512i v, __mmask16 m) {
  if (wide)
    _mm256_mask_storeu_epi16(p, m, _mm512_cvtepi32_epi16(v));
  else
    _mm_mask_storeu_epi8(p, m, _mm512_cvtepi32_epi8(v));
}

/* The range of the output holds whole numbers, so clamping before rounding is the same; what is not a number becomes 0. */
MX_INLINE void rescale_16(int kind, int dtype, int wide, const rescale *c, const uint8_t *x, uint8_t *o,
                          int64_t k, __mmask16 m) {
  __m512 v = _mm512_cvtepi32_ps(_mm512_sub_epi32(load_some(dtype, x, m), c->zero_x));
  v = _mm512_mul_ps(v, c->by);
  if (kind != NO_OPERAND) {
    const __m512 y = _mm512_loadu_ps(c->row + k);
    v = kind == MX_ELT_ADD   ? _mm512_add_ps(v, y)
        : kind == MX_ELT_SUB ? _mm512_sub_ps(v, y)
                             : _mm512_mul_ps(v, y);
  }
  v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
  v = _mm512_min_ps(_mm512_max_ps(v, c->low), c->high);
  store_some(wide, o, _mm512_add_epi32(_mm512_cvtps_epi32(v), c->zero), m);
}

MX_INLINE void rescale_row(int kind, int dtype, int wide, const rescale *c, const uint8_t *x, uint8_t *o,
                           int64_t n) {
  const int bx = dtype == MACCEL_S16 ? 2 : 1, bo = 1 + wide;
  int64_t k = 0;
  for (; k + 16 <= n; k += 16) rescale_16(kind, dtype, wide, c, x + k * bx, o + k * bo, k, 0xffff);
  if (k < n) rescale_16(kind, dtype, wide, c, x + k * bx, o + k * bo, k, (__mmask16)((1u << (n - k)) - 1));
}

typedef void (*rescale_fn)(const rescale *c, const uint8_t *x, uint8_t *o, int64_t n);

#define RESCALE(kind, dtype, wide)                                                                           \
  static void rescale_##kind##_##dtype##_##wide(const rescale *c, const uint8_t *x, uint8_t *o, int64_t n) { \
    rescale_row(kind, dtype, wide, c, x, o, n);                                                              \
  }
#define RESCALES(kind)         \
  RESCALE(kind, MACCEL_U8, 0)  \
  RESCALE(kind, MACCEL_U8, 1)  \
  RESCALE(kind, MACCEL_S8, 0)  \
  RESCALE(kind, MACCEL_S8, 1)  \
  RESCALE(kind, MACCEL_S16, 0) \
  RESCALE(kind, MACCEL_S16, 1)
#define RESCALE_ROW(kind)                                               \
  {                                                                     \
    {rescale_##kind##_MACCEL_U8_0, rescale_##kind##_MACCEL_U8_1},       \
        {rescale_##kind##_MACCEL_S8_0, rescale_##kind##_MACCEL_S8_1}, { \
      rescale_##kind##_MACCEL_S16_0, rescale_##kind##_MACCEL_S16_1      \
    }                                                                   \
  }
RESCALES(MX_ELT_ADD)
RESCALES(MX_ELT_SUB)
RESCALES(MX_ELT_MUL)
RESCALES(NO_OPERAND)

static const rescale_fn table[KINDS][3][2] = {RESCALE_ROW(MX_ELT_ADD), RESCALE_ROW(MX_ELT_SUB),
                                              RESCALE_ROW(MX_ELT_MUL), RESCALE_ROW(NO_OPERAND)};

/* ---- the walk */

static int is_dense(const mx_view *v) {
  int64_t stride = mx_dtype_bytes(v->dtype);
  for (int d = v->rank - 1; d >= 0; d--) {
    if (v->dims[d] != 1 && v->stride[d] != stride) return 0;
    stride *= v->dims[d];
  }
  return 1;
}

static rescale_plan plan_of(const mx_task *t) {
  const mx_view *o = &t->out[0], *x = &t->in[0];
  const int bx = mx_dtype_bytes(x->dtype), bo = mx_dtype_bytes(o->dtype);
  rescale_plan p = {.rows = 1, .length = o->dims[o->rank - 1], .inner = o->rank - 1};
  int64_t all = 1;
  for (int d = 0; d < o->rank; d++) all *= o->dims[d];
  if (is_dense(o) && is_dense(x) && row_period(t) <= PATTERN_MAX) {
    p.length = row_period(t), p.rows = all / p.length, p.tail = all % p.length, p.inner = 0;
    p.step_x = p.length * bx, p.step_o = p.length * bo;
    return p;
  }
  if (p.inner == 0) return p;
  p.inner--, p.rows = o->dims[p.inner], p.step_x = x->stride[p.inner], p.step_o = o->stride[p.inner];
  for (; p.inner > 0; p.inner--) {
    const int d = p.inner - 1;
    if (x->stride[d] != p.rows * p.step_x || o->stride[d] != p.rows * p.step_o) break;
    p.rows *= o->dims[d];
  }
  return p;
}

/* Rows [lo, hi) of the walk over all dimensions. */
static void run_rows(const mx_task *t, const rescale_plan *p, const rescale *c, rescale_fn fn, int64_t lo,
                     int64_t hi) {
  const mx_view *o = &t->out[0], *x = &t->in[0];
  while (lo < hi) {
    int64_t outer = lo / p->rows, k = lo % p->rows, end = p->rows, ox = 0, oo = 0;
    if (end - k > hi - lo) end = k + hi - lo;
    for (int d = p->inner - 1; d >= 0; outer /= o->dims[d], d--)
      ox += outer % o->dims[d] * x->stride[d], oo += outer % o->dims[d] * o->stride[d];
    lo += end - k;
    for (; k < end; k++) fn(c, x->data + ox + k * p->step_x, o->data + oo + k * p->step_o, p->length);
  }
}

static void run(const mx_task *t, int part, int parts) {
  const mxp_insn *n = t->insn;
  const mx_view *o = &t->out[0], *x = &t->in[0];
  const rescale_plan p = plan_of(t);
  const int kind = n->op == MX_OP_ELTWISE ? n->i[10] : NO_OPERAND;
  const rescale c = {.zero_x = _mm512_set1_epi32(x->zero),
                     .zero = _mm512_set1_epi32(o->zero),
                     .by = _mm512_set1_ps(n->f[4]),
                     .low = _mm512_set1_ps((float)(n->i[12] - o->zero)),
                     .high = _mm512_set1_ps((float)(n->i[13] - o->zero)),
                     .row = row_of(t, p.length)};
  const rescale_fn fn = table[kind][x->dtype - MACCEL_U8][o->dtype == MACCEL_S16];
  int64_t rows = p.rows, lo, hi;
  for (int d = 0; d < p.inner; d++) rows *= o->dims[d];
  mx_share_units(rows, 1, part, parts, &lo, &hi);
  run_rows(t, &p, &c, fn, lo, hi);
  if (p.tail && part == parts - 1) fn(&c, x->data + rows * p.step_x, o->data + rows * p.step_o, p.tail);
}

const mx_kernel mx_rescale_avx512vnni = {
    "int-rescale-row-avx512vnni", accepts, NULL, NULL, scratch_bytes, run};
