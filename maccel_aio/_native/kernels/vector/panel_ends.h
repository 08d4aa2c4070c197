/* panel_ends.h - the end of a convolution for many pixels, in registers of eight lanes: sums in channel order -> outputs.
 *
 * What row.h does 16 channels of a pixel at a time, without a branch for each type: a residual of integers or none, an activation,
 * an output of integers or floats, and perhaps a second one of integers. What a task needs is made whole vectors once; columns are
 * outside and pixels inside. Bits are those of row.h: its clamp behind the rounding has whole bounds, so it is the same in
 * front of it, and then covers the clamp to what a conversion takes. */
#ifndef MX_VECTOR_PANEL_ENDS_H
#define MX_VECTOR_PANEL_ENDS_H

#include "row.h"

enum { PANEL_ENDS_PIXELS = 16 };

typedef struct panel_ends_out {
  const mx_view *view;
  __m256 low, high; /* before rounding */
  __m256i zero;
} panel_ends_out;

typedef struct panel_ends {
  const mx_task *task;
  int fit; /* 0: the task needs row_finish() */
  int act, after; /* after: the residual is added behind the activation */
  __m256 factor, second_factor, residual_factor;
  __m256i residual_zero;
  panel_ends_out out[2];
} panel_ends;

static int panel_ends_fit(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const int both = n->out[1] != MXP_NONE, first = t->out[0].dtype;
  return row_is_linear(t) && !t->cst[3] && (row_integer(first) || first == MACCEL_F32) &&
         (!both || row_integer(t->out[1].dtype)) && n->i[12] <= n->i[13] && (!both || n->i[14] <= n->i[15]);
}

static panel_ends_out panel_ends_out_of(const mx_view *v, int low, int high) {
  return (panel_ends_out){.view = v,
                          .low = _mm256_set1_ps((float)(low - v->zero)),
                          .high = _mm256_set1_ps((float)(high - v->zero)),
                          .zero = _mm256_set1_epi32(v->zero)};
}

static panel_ends panel_ends_of(const mx_task *t) {
  const mxp_insn *n = t->insn;
  panel_ends e = {.task = t,
                  .fit = panel_ends_fit(t),
                  .act = n->i[11] != MX_ACT_NONE,
                  .after = (n->flags & MX_INSN_RES_AFTER_ACT) != 0};
  e.factor = _mm256_set1_ps(n->f[3]), e.second_factor = _mm256_set1_ps(n->f[4]);
  e.residual_factor = _mm256_set1_ps(n->f[2]);
  e.residual_zero = _mm256_set1_epi32(t->in[1].zero);
  e.out[0] = panel_ends_out_of(&t->out[0], n->i[12], n->i[13]);
  e.out[1] = panel_ends_out_of(&t->out[1], n->i[14], n->i[15]);
  return e;
}

/* Eight elements of the residual as numbers; behind the last of n < 8 may lie what another part writes now. */
MX_INLINE __m256 panel_ends_residual(const panel_ends *e, int n, const uint8_t *p) {
  const int dtype = e->task->in[1].dtype;
  uint8_t copy[16] = {0};
  if (n < 8) {
    memcpy(copy, p, (size_t)(n * mx_dtype_bytes(dtype)));
    p = copy;
  }
  const __m256i q = dtype == MACCEL_S16  ? _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p))
                    : dtype == MACCEL_U8 ? _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))
                                         : _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(q, e->residual_zero)), e->residual_factor);
}

MX_INLINE __m256i panel_ends_round(const panel_ends_out *o, __m256 v) {
  const __m256 whole = _mm256_min_ps(_mm256_max_ps(v, o->low), o->high);
  return _mm256_add_epi32(_mm256_cvtps_epi32(whole), o->zero);
}

/* 16 integers of two vectors, or 8 of one. */
MX_INLINE void panel_ends_integers(const panel_ends_out *o, int dtype, int halves, uint8_t *p,
                                   const __m256 v[2]) {
  const __m256i a = panel_ends_round(o, v[0]), b = halves == 2 ? panel_ends_round(o, v[1]) : a;
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  const __m128i first = _mm256_castsi256_si128(words), second = _mm256_extracti128_si256(words, 1);
  if (dtype == MACCEL_S16) {
    _mm_storeu_si128((__m128i *)p, first);
    if (halves == 2) _mm_storeu_si128((__m128i *)(p + 16), second);
    return;
  }
  const __m128i bytes = dtype == MACCEL_U8 ? _mm_packus_epi16(first, second) : _mm_packs_epi16(first, second);
  if (halves == 2)
    _mm_storeu_si128((__m128i *)p, bytes);
  else
    _mm_storel_epi64((__m128i *)p, bytes);
}

/* n elements: 16, or up to 8. */
MX_INLINE void panel_ends_store(const panel_ends_out *o, int halves, int n, uint8_t *p, const __m256 v[2]) {
  const int dtype = o->view->dtype, whole = n == 8 * halves;
  uint8_t copy[32], *to = whole ? p : copy;
  if (dtype == MACCEL_F32)
    for (int h = 0; h < halves; h++) _mm256_storeu_ps((float *)(void *)(to + 32 * h), v[h]);
  else
    panel_ends_integers(o, dtype, halves, to, v);
  if (!whole) memcpy(p, copy, (size_t)(n * mx_dtype_bytes(dtype)));
}

/* n columns of `pixels`: 16 in two vectors, or up to 8 in one. sums and scale are of the first, channel c of the tensors. */
MX_INLINE void panel_ends_columns(const panel_ends *e, int halves, int residual, int both,
                                  const int32_t *sums, const float *scale, const mx_place *places,
                                  int64_t pixels, int c, int n) {
  const mx_view *o = e->out[0].view, *second = e->out[1].view, *r = &e->task->in[1];
  uint8_t *to = o->data + (int64_t)c * mx_dtype_bytes(o->dtype);
  uint8_t *to1 = both ? second->data + (int64_t)c * mx_dtype_bytes(second->dtype) : NULL;
  const int64_t br = mx_dtype_bytes(r->dtype);
  for (int64_t m = 0; m < pixels; m++, sums += ROW_CHANNELS) {
    __m256 v[2], d[2];
    MX_UNROLL for (int h = 0; h < halves; h++) {
      const __m256i sum = _mm256_loadu_si256((const __m256i *)(sums + 8 * h));
      v[h] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(scale + 8 * h));
      if (residual) d[h] = panel_ends_residual(e, n, r->data + places[m].res + (c + 8 * h) * br);
      if (residual && !e->after) v[h] = _mm256_add_ps(v[h], d[h]);
    }
    if (e->act) {
      const f16 w = row_act(e->task->insn, (f16){v[0], v[halves - 1]});
      v[0] = w.lo, v[halves - 1] = w.hi;
    }
    MX_UNROLL for (int h = 0; h < halves; h++) {
      if (residual && e->after) v[h] = _mm256_add_ps(v[h], d[h]);
      v[h] = _mm256_mul_ps(v[h], e->factor);
    }
    panel_ends_store(&e->out[0], halves, n, to + places[m].out0, v);
    if (!both) continue;
    MX_UNROLL for (int h = 0; h < halves; h++) v[h] = _mm256_mul_ps(v[h], e->second_factor);
    panel_ends_store(&e->out[1], halves, n, to1 + places[m].out1, v);
  }
}

#define PANEL_ENDS_INSTANCE(name, halves, residual, both)                                                \
  static __attribute__((noinline)) void panel_ends_##name(const panel_ends *e, const int32_t *sums,      \
                                                          const float *scale, const mx_place *places,    \
                                                          int64_t pixels, int c, int n) {                \
    panel_ends_columns(e, halves, residual, both, sums, scale, places, pixels, c, halves == 2 ? 16 : n); \
  }
PANEL_ENDS_INSTANCE(8, 1, 0, 0)
PANEL_ENDS_INSTANCE(8b, 1, 0, 1)
PANEL_ENDS_INSTANCE(8r, 1, 1, 0)
PANEL_ENDS_INSTANCE(8rb, 1, 1, 1)
PANEL_ENDS_INSTANCE(16, 2, 0, 0)
PANEL_ENDS_INSTANCE(16b, 2, 0, 1)
PANEL_ENDS_INSTANCE(16r, 2, 1, 0)
PANEL_ENDS_INSTANCE(16rb, 2, 1, 1)

/* Asks for the lines of all tensors that a few pixels will touch. */
static void panel_ends_prefetch(const panel_ends *e, const mx_place *places, int64_t pixels, int c0,
                                int count) {
  const mxp_insn *i = e->task->insn;
  const mx_view *o = e->out[0].view, *second = e->out[1].view, *r = &e->task->in[1];
  const int residual = i->in[1] != MXP_NONE, both = i->out[1] != MXP_NONE;
  const int b0 = mx_dtype_bytes(o->dtype), b1 = mx_dtype_bytes(second->dtype), br = mx_dtype_bytes(r->dtype);
  for (int64_t m = 0; m < pixels; m++, places++) {
    for (int k = 0; k < count * b0; k += 64) __builtin_prefetch(o->data + places->out0 + c0 * b0 + k, 1);
    for (int k = 0; residual && k < count * br; k += 64)
      __builtin_prefetch(r->data + places->res + c0 * br + k, 0);
    for (int k = 0; both && k < count * b1; k += 64)
      __builtin_prefetch(second->data + places->out1 + c0 * b1 + k, 1);
  }
}

/* Rows of ROW_CHANNELS sums of n pixels, of which `count` are channels c0 and the following. `places` are of channel 0. A
 * few pixels at a time go through all columns, so that the lines of memory they share stay in the first-level cache. */
static void panel_ends_run(const panel_ends *e, const int32_t *sums, const float *scale,
                           const mx_place *places, int64_t n, int c0, int count) {
  typedef void (*instance)(const panel_ends *, const int32_t *, const float *, const mx_place *, int64_t, int,
                           int);
  static const instance table[2][2][2] = {
      {{panel_ends_8, panel_ends_8b}, {panel_ends_8r, panel_ends_8rb}},
      {{panel_ends_16, panel_ends_16b}, {panel_ends_16r, panel_ends_16rb}}};
  const mxp_insn *i = e->task->insn;
  const int residual = i->in[1] != MXP_NONE, both = i->out[1] != MXP_NONE;
  for (; n > 0;
       n -= PANEL_ENDS_PIXELS, sums += PANEL_ENDS_PIXELS * ROW_CHANNELS, places += PANEL_ENDS_PIXELS) {
    const int64_t now = n < PANEL_ENDS_PIXELS ? n : PANEL_ENDS_PIXELS;
    for (int c = 0, take; c < count; c += take) {
      take = count - c >= 16 ? 16 : count - c >= 8 ? 8 : count - c;
      table[take == 16][residual][both](e, sums + c, scale + c, places, now, c0 + c, take);
    }
  }
}

#endif
