/* attention.h - ATTENTION in products of codes: u8 by s8 on AVX-512 VNNI, s16 by s16 on AVX2.
 *
 * Keys and values of one matrix become panels of 16 columns, [steps][16][group] codes, with a scale for every column: a step
 * is 64 bytes, and 32 bits of a row are broadcast to meet it. ATT_ROWS queries at a time are multiplied with all keys, their
 * shares go to scratch as codes and are multiplied with the values; scores never leave the first-level cache. */
#ifndef MX_VECTOR_ATTENTION_H
#define MX_VECTOR_ATTENTION_H

#include "../generic/attention.h"
#include "rows.h"

#ifdef __AVX512F__
#include "../avx512vnni/dot.h"
enum { ATT_GROUP = 4, ATT_ROWS = 6, ATT_PANELS = 2 };
typedef uint8_t att_code;
/* queries are shifted by 128 to be unsigned, and sums begin at -128 times those of the keys' codes */
enum { ATT_SHIFT = 128 };
MX_INLINE void att_dot(i16 *sum, const att_code *row, i16 column) {
  dot_add(sum, dot_broadcast(row), column);
}
MX_INLINE i16 att_step(const att_code *panel) { return _mm512_loadu_si512(panel); }
MX_INLINE void att_store(att_code *to, i16 v) {
  _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(v));
}
MX_INLINE i16 att_join(const i16 rows[ATT_GROUP]) {
  const i16 low = i16_all(255);
  const i16 a = i16_or(i16_and(rows[0], low), _mm512_slli_epi32(i16_and(rows[1], low), 8));
  return i16_or(a, i16_or(_mm512_slli_epi32(i16_and(rows[2], low), 16), _mm512_slli_epi32(rows[3], 24)));
}
MX_INLINE void att_store_step(att_code *to, i16 v) { _mm512_storeu_si512(to, v); }
MX_INLINE void att_store_sums(int32_t *to, i16 v) { _mm512_storeu_si512(to, v); }
#else
enum { ATT_GROUP = 2, ATT_ROWS = 3, ATT_PANELS = 1 };
typedef int16_t att_code;
enum { ATT_SHIFT = 0 };
MX_INLINE void att_dot(i16 *sum, const att_code *row, i16 column) {
  int32_t pair;
  memcpy(&pair, row, sizeof pair);
  const __m256i x = _mm256_set1_epi32(pair);
  sum->lo = _mm256_add_epi32(sum->lo, _mm256_madd_epi16(x, column.lo));
  sum->hi = _mm256_add_epi32(sum->hi, _mm256_madd_epi16(x, column.hi));
}
MX_INLINE i16 att_step(const att_code *panel) { return i16_load((const int32_t *)(const void *)panel); }
MX_INLINE void att_store(att_code *to, i16 v) { i16_store_s16(to, v, -32768, 32767); }
MX_INLINE void att_store_sums(int32_t *to, i16 v) {
  _mm256_storeu_si256((__m256i *)(void *)to, v.lo), _mm256_storeu_si256((__m256i *)(void *)(to + 8), v.hi);
}
MX_INLINE void att_store_step(att_code *to, i16 v) { att_store_sums((int32_t *)(void *)to, v); }
MX_INLINE i16 att_join(const i16 rows[ATT_GROUP]) {
  const i16 low = i16_all(65535), a = i16_and(rows[0], low);
  return (i16){_mm256_or_si256(a.lo, _mm256_slli_epi32(rows[1].lo, 16)),
               _mm256_or_si256(a.hi, _mm256_slli_epi32(rows[1].hi, 16))};
}
#endif

enum { ATT_STEP = 16 * ATT_GROUP };

typedef struct att_plan {
  int last; /* dimension */
  int64_t rows, depth, keys, width;
  int64_t depth_steps, key_steps, key_panels, width_panels;
} att_plan;

typedef struct att_run {
  const mx_task *task;
  att_plan p;
  att_code *key_codes, *value_codes, *query, *share; /* panels; ATT_ROWS rows */
  float *key_scale, *value_scale, *scores;
  int32_t *start; /* of the sums of each key */
} att_run;

static int64_t att_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static att_plan att_plan_of(const mx_task *t) {
  const int last = t->out[0].rank - 1;
  att_plan p = {.last = last, .rows = t->out[0].dims[last - 1], .depth = t->in[0].dims[last]};
  p.keys = t->in[1].dims[last - 1], p.width = t->out[0].dims[last];
  p.key_panels = att_up(p.keys, 16 * ATT_PANELS) / 16, p.width_panels = att_up(p.width, 16 * ATT_PANELS) / 16;
  p.depth_steps = att_up(p.depth, ATT_GROUP) / ATT_GROUP, p.key_steps = p.key_panels * 16 / ATT_GROUP;
  return p;
}

static int att_accepts(const mx_task *t) {
  const int last = t->out[0].rank - 1;
  int adjacent = t->out[0].stride[last] == 4;
  for (int k = 0; k < 3; k++) adjacent = adjacent && t->in[k].stride[last] == 4;
  return adjacent && (t->in[3].rank == 0 || t->in[3].stride[last] == 4);
}

/* Lays the parts of scratch memory out from `base` on; returns its size. */
static size_t att_lay_out(att_run *r, uint8_t *base) {
  const att_plan *p = &r->p;
  const int64_t n = p->key_panels * 16, w = p->width_panels * 16, code = (int64_t)sizeof(att_code);
  const int64_t sizes[] = {p->key_panels * p->depth_steps * ATT_STEP * code,
                           p->width_panels * p->key_steps * ATT_STEP * code,
                           att_up(ATT_ROWS * att_up(p->depth, 16) * code, 64),
                           ATT_ROWS * n * code,
                           n * 4,
                           w * 4,
                           ATT_ROWS * n * 4,
                           n * 4};
  int64_t at[9] = {0};
  for (int k = 0; k < 8; k++) at[k + 1] = at[k] + att_up(sizes[k], 64);
  if (base == NULL) return (size_t)at[8];
  r->key_codes = (att_code *)(void *)(base + at[0]), r->value_codes = (att_code *)(void *)(base + at[1]);
  r->query = (att_code *)(void *)(base + at[2]), r->share = (att_code *)(void *)(base + at[3]);
  r->key_scale = (float *)(void *)(base + at[4]), r->value_scale = (float *)(void *)(base + at[5]);
  r->scores = (float *)(void *)(base + at[6]), r->start = (int32_t *)(void *)(base + at[7]);
  return (size_t)at[8];
}

static size_t att_scratch_bytes(const mx_task *t) {
  att_run r = {.task = t, .p = att_plan_of(t)};
  return att_lay_out(&r, NULL);
}

/* ---- codes */

/* Codes of v times `inverse`, NaN being 0. */
MX_INLINE i16 att_codes(f16 v, f16 inverse) {
  return i16_clamp(i16_round(f16_number(f16_mul(v, inverse))), -127, 127);
}

MX_INLINE f16 att_part(const float *row, int64_t i, int64_t n) {
  return i + 16 <= n ? f16_load(row + i) : f16_load_first(row + i, f16_first((int)(n - i)));
}

/* Codes of a row of n floats, plus `shift`, to `to` in whole vectors; *sum gets that of the codes. Returns the scale. */
static float att_quantise(const float *from, int64_t n, int shift, att_code *to, int32_t *sum) {
  const float most = row_most_magnitude(from, n);
  const f16 inverse = f16_all(most == 0.0f ? 0.0f : 127.0f / most);
  i16 total = i16_all(0);
  for (int64_t i = 0; i < n; i += 16) {
    const i16 codes = att_codes(att_part(from, i, n), inverse);
    total = i16_add(total, codes);
    att_store(to + i, i16_add(codes, i16_all(shift)));
  }
  int32_t sums[16];
  att_store_sums(sums, total);
  *sum = 0;
  for (int k = 0; k < 16; k++) *sum += sums[k];
  return most / 127.0f;
}

/* Key j becomes column j % 16 of panel j / 16. */
static void att_pack_keys(const att_run *r, const uint8_t *from) {
  const att_plan *p = &r->p;
  const int64_t pitch = r->task->in[1].stride[p->last - 1], panel = p->depth_steps * ATT_STEP;
  memset(r->key_codes, 0, (size_t)(p->key_panels * panel) * sizeof(att_code));
  memset(r->key_scale, 0, (size_t)p->key_panels * 16 * sizeof(float));
  memset(r->start, 0, (size_t)p->key_panels * 16 * sizeof(int32_t));
  for (int64_t j = 0; j < p->keys; j++, from += pitch) {
    att_code *to = r->key_codes + j / 16 * panel + j % 16 * ATT_GROUP;
    int32_t sum;
    r->key_scale[j] = att_quantise((const float *)(const void *)from, p->depth, 0, r->query, &sum);
    r->start[j] = -ATT_SHIFT * sum;
    for (int64_t s = 0; s < p->depth_steps; s++) memcpy(to + s * ATT_STEP, r->query + s * ATT_GROUP, 4);
  }
}

/* 16 columns of the values from column c on. */
static void att_pack_column(const att_run *r, const uint8_t *from, int64_t c, att_code *to) {
  const att_plan *p = &r->p;
  const int64_t pitch = r->task->in[2].stride[p->last - 1];
  f16 most = f16_zero();
  for (int64_t j = 0; j < p->keys; j++)
    most = f16_max(f16_abs(att_part((const float *)(const void *)(from + j * pitch), c, p->width)), most);
  const f16_where none = f16_eq(most, f16_zero());
  const f16 inverse = f16_select(none, f16_zero(), f16_div(f16_all(127.0f), most));
  f16_store(r->value_scale + c, f16_div(most, f16_all(127.0f)));
  for (int64_t s = 0; s < p->key_steps; s++, to += ATT_STEP) {
    i16 rows[ATT_GROUP];
    MX_UNROLL for (int g = 0; g < ATT_GROUP; g++) {
      const int64_t j = s * ATT_GROUP + g;
      const float *row = (const float *)(const void *)(from + j * pitch);
      rows[g] = j < p->keys ? att_codes(att_part(row, c, p->width), inverse) : i16_all(0);
    }
    att_store_step(to, att_join(rows));
  }
}

static void att_pack_values(const att_run *r, const uint8_t *from) {
  const att_plan *p = &r->p;
  const int64_t panel = p->key_steps * ATT_STEP;
  for (int64_t c = 0; c < p->width_panels * 16; c += 16) {
    att_code *to = r->value_codes + c / 16 * panel;
    if (c < p->width)
      att_pack_column(r, from, c, to);
    else
      memset(to, 0, (size_t)panel * sizeof(att_code));
  }
}

/* ---- products */

/* sums[m][n] += row m by panel n, ATT_ROWS rows `pitch` apart by ATT_PANELS panels of `steps` */
MX_INLINE void att_tile(const att_code *rows, int64_t pitch, const att_code *panel, int64_t steps,
                        i16 sums[ATT_ROWS][ATT_PANELS]) {
  for (int64_t s = 0; s < steps; s++, rows += ATT_GROUP, panel += ATT_STEP) {
    i16 w[ATT_PANELS];
    MX_UNROLL for (int n = 0; n < ATT_PANELS; n++) w[n] = att_step(panel + n * steps * ATT_STEP);
    MX_UNROLL for (int m = 0; m < ATT_ROWS; m++) {
      MX_UNROLL for (int n = 0; n < ATT_PANELS; n++) att_dot(&sums[m][n], rows + m * pitch, w[n]);
    }
  }
}

/* Scores of ATT_ROWS queries, of which `some` are wanted; scale[m] is that of a query times f5. */
static void att_scores(const att_run *r, const float *scale, const uint8_t *mask, int some) {
  const att_plan *p = &r->p;
  const int64_t n = p->key_panels * 16, pitch = att_up(p->depth, 16);
  for (int64_t j = 0; j < n; j += 16 * ATT_PANELS) {
    i16 sums[ATT_ROWS][ATT_PANELS];
    MX_UNROLL for (int m = 0; m < ATT_ROWS; m++) {
      MX_UNROLL for (int k = 0; k < ATT_PANELS; k++) sums[m][k] = i16_load(r->start + j + 16 * k);
    }
    att_tile(r->query, pitch, r->key_codes + j / 16 * p->depth_steps * ATT_STEP, p->depth_steps, sums);
    MX_UNROLL for (int m = 0; m < ATT_ROWS; m++) {
      MX_UNROLL for (int k = 0; k < ATT_PANELS; k++) {
        const int64_t at = j + 16 * k;
        f16 x = f16_mul(f16_mul(f16_from(sums[m][k]), f16_all(scale[m])), f16_load(r->key_scale + at));
        if (mask != NULL && m < some && at < p->keys)
          x = f16_add(
              x, att_part((const float *)(const void *)(mask + m * r->task->in[3].stride[p->last - 1]), at,
                          p->keys));
        f16_store(r->scores + m * n + at, x);
      }
    }
  }
}

/* The shares of one query as codes; returns 1 / their sum. */
static float att_shares(const float *scores, att_code *to, int64_t n, int64_t whole) {
  const f16 most = f16_all(row_most(scores, n)), top = f16_all(255.0f);
  i16 total = i16_all(0);
  for (int64_t i = 0; i < whole; i += 16) {
    i16 codes = i16_all(0);
    if (i < n) {
      f16 e = f16_exp(f16_sub(f16_load(scores + i), most));
      if (i + 16 > n) e = f16_keep(e, f16_first((int)(n - i)));
      codes = i16_clamp(i16_round(f16_number(f16_mul(e, top))), 0, 255);
    }
    total = i16_add(total, codes);
    att_store(to + i, codes);
  }
  int32_t sums[16], sum = 0;
  att_store_sums(sums, total);
  for (int k = 0; k < 16; k++) sum += sums[k];
  return 1.0f / (float)(sum > 1 ? sum : 1);
}

static void att_mix(const att_run *r, const float *inverse, uint8_t *out, int some) {
  const att_plan *p = &r->p;
  const int64_t n = p->key_panels * 16, row = r->task->out[0].stride[p->last - 1];
  for (int64_t c = 0; c < p->width_panels * 16; c += 16 * ATT_PANELS) {
    i16 sums[ATT_ROWS][ATT_PANELS];
    MX_UNROLL for (int m = 0; m < ATT_ROWS; m++) {
      MX_UNROLL for (int k = 0; k < ATT_PANELS; k++) sums[m][k] = i16_all(0);
    }
    att_tile(r->share, n, r->value_codes + c / 16 * p->key_steps * ATT_STEP, p->key_steps, sums);
    MX_UNROLL for (int m = 0; m < ATT_ROWS; m++) {
      MX_UNROLL for (int k = 0; k < ATT_PANELS; k++) {
        const int64_t at = c + 16 * k;
        if (m >= some || at >= p->width) continue;
        const f16 scale = f16_mul(f16_load(r->value_scale + at), f16_all(inverse[m]));
        const f16 v = f16_mul(f16_from(sums[m][k]), scale);
        float *to = (float *)(void *)(out + m * row) + at;
        if (at + 16 <= p->width)
          f16_store(to, v);
        else
          f16_store_first(to, v, f16_first((int)(p->width - at)));
      }
    }
  }
}

static void att_block(const att_run *r, const mx_attention_heads *h, int64_t row) {
  const att_plan *p = &r->p;
  const mx_task *t = r->task;
  const int some = (int)(p->rows - row < ATT_ROWS ? p->rows - row : ATT_ROWS);
  const int64_t n = p->key_panels * 16, pitch = att_up(p->depth, 16);
  float scale[ATT_ROWS] = {0}, inverse[ATT_ROWS] = {0};
  for (int m = 0; m < some; m++) {
    const uint8_t *from = h->q + (row + m) * t->in[0].stride[p->last - 1];
    int32_t unused;
    scale[m] =
        att_quantise((const float *)(const void *)from, p->depth, ATT_SHIFT, r->query + m * pitch, &unused) *
        t->insn->f[5];
  }
  att_scores(r, scale, h->mask == NULL ? NULL : h->mask + row * t->in[3].stride[p->last - 1], some);
  for (int m = 0; m < some; m++) inverse[m] = att_shares(r->scores + m * n, r->share + m * n, p->keys, n);
  att_mix(r, inverse, h->out + row * t->out[0].stride[p->last - 1], some);
}

static void att_kernel_run(const mx_task *t, int part, int parts) {
  att_run r = {.task = t, .p = att_plan_of(t)};
  att_lay_out(&r, (uint8_t *)t->scratch);
  const int64_t blocks = (r.p.rows + ATT_ROWS - 1) / ATT_ROWS;
  const int64_t total = mx_row_count(&t->out[0]) / r.p.rows * blocks, end = mx_share(total, part + 1, parts);
  const uint8_t *keys = NULL, *values = NULL; /* that are packed; heads that share them follow each other */
  for (int64_t u = mx_share(total, part, parts); u < end; u++) {
    const mx_attention_heads h = mx_attention_heads_of(t, u / blocks);
    if (h.k != keys) att_pack_keys(&r, h.k);
    if (h.v != values) att_pack_values(&r, h.v);
    keys = h.k, values = h.v;
    att_block(&r, &h, u % blocks * ATT_ROWS);
  }
}

static const mx_kernel mx_vector_attention = {.name = "f32-attention-tile-" MX_GENERIC_ISA,
                                              .accepts = att_accepts,
                                              .scratch_bytes = att_scratch_bytes,
                                              .run = att_kernel_run};

#endif
