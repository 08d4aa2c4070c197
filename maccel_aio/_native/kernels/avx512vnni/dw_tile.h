/* dw_tile.h - depthwise tiles: 64 channels of four output columns, from columns whose rows are interleaved.
 *
 * A 32-bit lane of an interleaved vector holds `depth` vertically adjacent pixels of one channel: four bytes for
 * s8 weights (vpdpbusd) or two words for s16 weights (vpdpwssd). One instruction thus adds `depth` taps of a window
 * column. A window of kh rows takes `groups` such vectors. Interleaving once serves all kw taps of a column, and
 * several output rows, each with its own shift of the weights inside the lanes.
 *
 * Unpacking bytes and words works inside 128-bit lanes, so vector j (of 4), lane L, element i is channel
 * 16 * L + 4 * j + i; packing s32 -> s16 -> u8 undoes exactly that order, and no permutation is needed. */
#ifndef MX_AVX512VNNI_DW_TILE_H
#define MX_AVX512VNNI_DW_TILE_H

#include <immintrin.h>
#include <string.h>

#include "../vector/geometry.h"

enum { DW_CHANNELS = 64, DW_COLUMNS = 4 };

MX_INLINE int dw_channel(int j, int element) { return 16 * (element >> 2) + 4 * j + (element & 3); }

typedef struct dw_tile {
  const uint8_t *columns;  /* interleaved: [column][group][4] vectors */
  const int8_t *weights;   /* of the output row: [4][group][kw] vectors */
  const int32_t *bias;     /* [4][16] */
  const float *scale;      /* [4][16] */
  int sw, dw;              /* used when not constants of the instance */
  uint8_t *out;            /* first column, first channel of the block */
  int64_t out_px;
  int count;               /* output columns */
  __mmask64 mask;          /* channels that may be written */
  int zero, low, high;
  int32_t *sums;           /* DW_SUMS: [count][64] in channel order */
} dw_tile;

enum dw_mode { DW_SATURATE, DW_CLAMP, DW_SUMS };

MX_INLINE void dw_dot(int wide, __m512i *acc, __m512i a, __m512i w) {
  if (wide)
    __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(w));
  else
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(w));
}

/* ---- interleaving. rows[b] + x * step[b] is the pixel of row b; rows that do not exist have step 0. */

/* `some` selects the channels that exist: behind them may lie what another part writes now. */
MX_INLINE __m512i dw_load(const uint8_t *p, __mmask64 some) {
  return some == ~(__mmask64)0 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(some, p);
}

MX_INLINE void dw_interleave_bytes(uint8_t *to, const uint8_t *const rows[4], const int64_t step[4],
                                   int64_t x, __mmask64 some) {
  const __m512i r0 = dw_load(rows[0] + x * step[0], some), r1 = dw_load(rows[1] + x * step[1], some);
  const __m512i r2 = dw_load(rows[2] + x * step[2], some), r3 = dw_load(rows[3] + x * step[3], some);
  const __m512i a = _mm512_unpacklo_epi8(r0, r1), b = _mm512_unpackhi_epi8(r0, r1);
  const __m512i c = _mm512_unpacklo_epi8(r2, r3), d = _mm512_unpackhi_epi8(r2, r3);
  _mm512_store_si512(to, _mm512_unpacklo_epi16(a, c));
  _mm512_store_si512(to + 64, _mm512_unpackhi_epi16(a, c));
  _mm512_store_si512(to + 128, _mm512_unpacklo_epi16(b, d));
  _mm512_store_si512(to + 192, _mm512_unpackhi_epi16(b, d));
}

MX_INLINE void dw_interleave_words(uint8_t *to, const uint8_t *const rows[2], const int64_t step[2],
                                   int64_t x, __mmask64 some) {
  const __m512i r0 = dw_load(rows[0] + x * step[0], some), r1 = dw_load(rows[1] + x * step[1], some);
  const __m512i none = _mm512_setzero_si512();
  const __m512i a = _mm512_unpacklo_epi8(r0, none), b = _mm512_unpackhi_epi8(r0, none);
  const __m512i c = _mm512_unpacklo_epi8(r1, none), d = _mm512_unpackhi_epi8(r1, none);
  _mm512_store_si512(to, _mm512_unpacklo_epi16(a, c));
  _mm512_store_si512(to + 64, _mm512_unpackhi_epi16(a, c));
  _mm512_store_si512(to + 128, _mm512_unpacklo_epi16(b, d));
  _mm512_store_si512(to + 192, _mm512_unpackhi_epi16(b, d));
}

/* ---- sums of DW_COLUMNS outputs for vector j. stride 0: the steps are run-time values. */
MX_INLINE void dw_sums(int kw, int groups, int stride, int wide, __m512i acc[DW_COLUMNS], const dw_tile *t,
                       const uint8_t *columns, int j) {
  __m512i w[16];
  const int8_t *weights = t->weights + (int64_t)j * groups * kw * 64;
  const __m512i start = _mm512_loadu_si512(t->bias + 16 * j);
  _Pragma("GCC unroll 16") for (int k = 0; k < groups * kw; k++) w[k] = _mm512_loadu_si512(weights + 64 * k);
  MX_UNROLL for (int x = 0; x < DW_COLUMNS; x++) acc[x] = start;
  if (stride == 0) {
    MX_UNROLL for (int x = 0; x < DW_COLUMNS; x++) MX_UNROLL for (int kx = 0; kx < kw; kx++)
        MX_UNROLL for (int g = 0; g < groups; g++) {
      const uint8_t *column = columns + ((int64_t)(x * t->sw + kx * t->dw) * groups + g) * 256;
      dw_dot(wide, &acc[x], _mm512_load_si512(column + 64 * j), w[g * kw + kx]);
    }
    return;
  }
  _Pragma("GCC unroll 16") for (int c = 0; c < (DW_COLUMNS - 1) * stride + kw; c++)
      MX_UNROLL for (int g = 0; g < groups; g++) {
    const __m512i a = _mm512_load_si512(columns + ((int64_t)c * groups + g) * 256 + 64 * j);
    MX_UNROLL for (int x = 0; x < DW_COLUMNS; x++) if (c - x * stride >= 0 && c - x * stride < kw)
        dw_dot(wide, &acc[x], a, w[g * kw + c - x * stride]);
  }
}

MX_INLINE void dw_store_sums(int32_t *to, const __m512i z[4]) {
  MX_UNROLL for (int j = 0; j < 4; j++) {
    _mm_storeu_si128((__m128i *)(to + 4 * j), _mm512_castsi512_si128(z[j]));
    _mm_storeu_si128((__m128i *)(to + 16 + 4 * j), _mm512_extracti32x4_epi32(z[j], 1));
    _mm_storeu_si128((__m128i *)(to + 32 + 4 * j), _mm512_extracti32x4_epi32(z[j], 2));
    _mm_storeu_si128((__m128i *)(to + 48 + 4 * j), _mm512_extracti32x4_epi32(z[j], 3));
  }
}

MX_INLINE __m512i dw_requantise(int mode, const __m512i z[4], const dw_tile *t) {
  __m512i q[4];
  MX_UNROLL for (int j = 0; j < 4; j++) q[j] =
      _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(z[j]), _mm512_loadu_ps(t->scale + 16 * j)));
  __m512i x = _mm512_packs_epi32(q[0], q[1]), y = _mm512_packs_epi32(q[2], q[3]);
  if (mode == DW_SATURATE) return _mm512_packus_epi16(x, y);
  const __m512i zero = _mm512_set1_epi16((short)t->zero);
  x = _mm512_packus_epi16(_mm512_adds_epi16(x, zero), _mm512_adds_epi16(y, zero));
  return _mm512_min_epu8(_mm512_max_epu8(x, _mm512_set1_epi8((char)t->low)), _mm512_set1_epi8((char)t->high));
}

MX_INLINE void dw_store(uint8_t *to, __m512i v, __mmask64 mask) {
  if (mask == ~(__mmask64)0)
    _mm512_storeu_si512(to, v);
  else
    _mm512_mask_storeu_epi8(to, mask, v);
}

MX_INLINE void dw_run(int kw, int groups, int stride, int wide, int mode, const dw_tile *t) {
  const uint8_t *columns = t->columns;
  uint8_t *out = t->out;
  const int64_t advance = (int64_t)DW_COLUMNS * (stride ? stride : t->sw) * groups * 256;
  for (int x = 0; x < t->count; x += DW_COLUMNS, columns += advance) {
    __m512i acc[4][DW_COLUMNS];
    MX_UNROLL for (int j = 0; j < 4; j++) dw_sums(kw, groups, stride, wide, acc[j], t, columns, j);
    const int left = t->count - x;
    MX_UNROLL for (int k = 0; k < DW_COLUMNS; k++) {
      const __m512i z[4] = {acc[0][k], acc[1][k], acc[2][k], acc[3][k]};
      if (k >= left) break;
      if (mode == DW_SUMS)
        dw_store_sums(t->sums + (int64_t)(x + k) * DW_CHANNELS, z);
      else
        dw_store(out, dw_requantise(mode, z, t), t->mask), out += t->out_px;
    }
  }
}

typedef void (*dw_fn)(const dw_tile *t);

#define DW_INSTANCE(kw, groups, stride, wide, mode)                                                         \
  static __attribute__((noinline)) void dw_##kw##_##groups##_##stride##_##wide##_##mode(const dw_tile *t) { \
    dw_run(kw, groups, stride, wide, mode, t);                                                              \
  }
#define DW_INSTANCES(kw, groups, stride, wide)       \
  DW_INSTANCE(kw, groups, stride, wide, DW_SATURATE) \
  DW_INSTANCE(kw, groups, stride, wide, DW_CLAMP)    \
  DW_INSTANCE(kw, groups, stride, wide, DW_SUMS)
#define DW_ROW(kw, groups, stride, wide)                     \
  {                                                          \
    kw, groups, stride, wide, {                              \
      dw_##kw##_##groups##_##stride##_##wide##_DW_SATURATE,  \
          dw_##kw##_##groups##_##stride##_##wide##_DW_CLAMP, \
          dw_##kw##_##groups##_##stride##_##wide##_DW_SUMS   \
    }                                                        \
  }

DW_INSTANCES(3, 1, 0, 0)
DW_INSTANCES(5, 2, 0, 0)
DW_INSTANCES(7, 2, 1, 0)
DW_INSTANCES(3, 2, 1, 1)
DW_INSTANCES(3, 2, 2, 1)
DW_INSTANCES(5, 3, 1, 1)
DW_INSTANCES(5, 3, 2, 1)

typedef struct dw_shape {
  int kw, groups, stride, wide;
  dw_fn run[3];
} dw_shape;

/* The first row that is large enough serves a window; the surplus taps have zero weights. */
static const dw_shape dw_shapes[] = {DW_ROW(3, 1, 0, 0), DW_ROW(5, 2, 0, 0), DW_ROW(7, 2, 1, 0),
                                     DW_ROW(3, 2, 1, 1), DW_ROW(3, 2, 2, 1), DW_ROW(5, 3, 1, 1),
                                     DW_ROW(5, 3, 2, 1)};

#endif
