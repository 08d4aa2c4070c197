/* dw_tile.h - depthwise tiles: 32 channels of four output columns, from columns whose rows are interleaved.
 *
 * A 32-bit lane of an interleaved vector holds two vertically adjacent pixels of one channel as words; vpmaddwd adds two
 * taps of a window column and is exact for s8 and s16 weights. A window takes `groups` such vectors per column.
 * Interleaving once serves all taps of a row of the window and several output rows, each with its own weights.
 *
 * Unpacking bytes works inside 128-bit lanes: vector j (of 4), lane L, element i is channel 16 * L + 4 * j + i, and
 * packing s32 -> s16 -> u8 undoes exactly that order. */
#ifndef MX_AVX2_DW_TILE_H
#define MX_AVX2_DW_TILE_H

#include <immintrin.h>
#include <string.h>

#include "../vector/panel_tile.h"

enum { DW_CHANNELS = 32, DW_COLUMNS = 4, DW_COLUMN = 128 /* bytes of one interleaved group */ };

static int dw_channel(int j, int element) { return 16 * (element >> 2) + 4 * j + (element & 3); }

typedef struct dw_tile {
  const uint8_t *columns; /* interleaved: [column][group][4] vectors */
  const int16_t *weights; /* of the output row: [4][group][kw] vectors */
  const int32_t *bias;    /* [4][8] */
  const float *scale;     /* [4][8] */
  uint8_t *out;           /* first column, first channel of the block */
  int64_t out_px;
  int count;              /* output columns */
  int from, to;           /* channels of the block that may be written */
  int zero, low, high;
  int32_t *sums;          /* if not NULL, the output: [count][32] in channel order */
} dw_tile;

/* The first n of 32 bytes, and perhaps up to three more. */
MX_INLINE __m256i dw_load(const uint8_t *p, int n) {
  if (n >= DW_CHANNELS) return _mm256_loadu_si256((const __m256i *)p);
  const __m256i index = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
  return _mm256_maskload_epi32((const int *)(const void *)p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), index));
}

MX_INLINE void dw_interleave(uint8_t *to, __m256i r0, __m256i r1) {
  const __m256i none = _mm256_setzero_si256();
  const __m256i a = _mm256_unpacklo_epi8(r0, r1), b = _mm256_unpackhi_epi8(r0, r1);
  _mm256_storeu_si256((__m256i *)to, _mm256_unpacklo_epi8(a, none));
  _mm256_storeu_si256((__m256i *)(to + 32), _mm256_unpackhi_epi8(a, none));
  _mm256_storeu_si256((__m256i *)(to + 64), _mm256_unpacklo_epi8(b, none));
  _mm256_storeu_si256((__m256i *)(to + 96), _mm256_unpackhi_epi8(b, none));
}

MX_INLINE __m256i dw_vector(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Sums of DW_COLUMNS outputs for vector j. */
MX_INLINE void dw_sums(int kw, int groups, int stride, __m256i acc[DW_COLUMNS], const dw_tile *t,
                       const uint8_t *columns, int j) {
  const int16_t *w = t->weights + j * groups * kw * 16;
  MX_UNROLL for (int x = 0; x < DW_COLUMNS; x++) acc[x] = dw_vector(t->bias + 8 * j);
  _Pragma("GCC unroll 16") for (int c = 0; c < (DW_COLUMNS - 1) * stride + kw; c++)
      MX_UNROLL for (int g = 0; g < groups; g++) {
    const __m256i a = dw_vector(columns + (c * groups + g) * DW_COLUMN + 32 * j);
    MX_UNROLL for (int x = 0; x < DW_COLUMNS; x++) if (c - x * stride >= 0 && c - x * stride < kw) acc[x] =
        _mm256_add_epi32(acc[x], _mm256_madd_epi16(a, dw_vector(w + (g * kw + c - x * stride) * 16)));
  }
}

MX_INLINE void dw_store(const dw_tile *t, uint8_t *to, __m256i v) {
  uint8_t copy[DW_CHANNELS];
  if (t->from == 0 && t->to == DW_CHANNELS) {
    _mm256_storeu_si256((__m256i *)to, v);
    return;
  }
  if (t->from == 16 && t->to == DW_CHANNELS) {
    _mm_storeu_si128((__m128i *)(to + 16), _mm256_extracti128_si256(v, 1));
    return;
  }
  int k = t->from;
  _mm256_storeu_si256((__m256i *)copy, v);
  for (; k + 16 <= t->to; k += 16) memcpy(to + k, copy + k, 16);
  panel_store_some(to + k, copy + k, t->to - k);
}

MX_INLINE void dw_store_sums(int32_t *to, __m256i z, int j) {
  _mm_storeu_si128((__m128i *)(to + 4 * j), _mm256_castsi256_si128(z));
  _mm_storeu_si128((__m128i *)(to + 16 + 4 * j), _mm256_extracti128_si256(z, 1));
}

MX_INLINE __m256i dw_words(const dw_tile *t, __m256i a, __m256i b, int j) {
  const __m256 s0 = _mm256_loadu_ps(t->scale + 8 * j), s1 = _mm256_loadu_ps(t->scale + 8 * j + 8);
  const __m256i q = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(a), s0)),
                                       _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(b), s1)));
  return _mm256_adds_epi16(q, _mm256_set1_epi16((short)t->zero));
}

MX_INLINE void dw_run(int kw, int groups, int stride, const dw_tile *t) {
  const uint8_t *columns = t->columns;
  for (int x = 0; x < t->count; x += DW_COLUMNS, columns += DW_COLUMNS * stride * groups * DW_COLUMN) {
    const int left = t->count - x < DW_COLUMNS ? t->count - x : DW_COLUMNS;
    __m256i words[2][DW_COLUMNS];
    MX_UNROLL for (int half = 0; half < 2; half++) {
      __m256i a[DW_COLUMNS], b[DW_COLUMNS];
      dw_sums(kw, groups, stride, a, t, columns, 2 * half);
      dw_sums(kw, groups, stride, b, t, columns, 2 * half + 1);
      MX_UNROLL for (int k = 0; k < DW_COLUMNS; k++) words[half][k] = dw_words(t, a[k], b[k], 2 * half);
      for (int k = 0; t->sums && k < left; k++) {
        dw_store_sums(t->sums + (x + k) * DW_CHANNELS, a[k], 2 * half);
        dw_store_sums(t->sums + (x + k) * DW_CHANNELS, b[k], 2 * half + 1);
      }
    }
    const __m256i low = _mm256_set1_epi8((char)t->low), high = _mm256_set1_epi8((char)t->high);
    for (int k = 0; !t->sums && k < left; k++) {
      const __m256i v = _mm256_packus_epi16(words[0][k], words[1][k]);
      dw_store(t, t->out + (x + k) * t->out_px, _mm256_min_epu8(_mm256_max_epu8(v, low), high));
    }
  }
}

typedef struct dw_shape {
  int kw, groups, stride;
  void (*run)(const dw_tile *t);
} dw_shape;

#define DW_INSTANCE(kw, groups, stride)                                                       \
  static __attribute__((noinline)) void dw_run_##kw##_##groups##_##stride(const dw_tile *t) { \
    dw_run(kw, groups, stride, t);                                                            \
  }
DW_INSTANCE(3, 2, 1)
DW_INSTANCE(3, 2, 2)
DW_INSTANCE(5, 3, 1)
DW_INSTANCE(5, 3, 2)

/* The first row that is large enough serves a window; the surplus taps have zero weights. */
static const dw_shape dw_shapes[] = {
    {3, 2, 1, dw_run_3_2_1}, {3, 2, 2, dw_run_3_2_2}, {5, 3, 1, dw_run_5_3_1}, {5, 3, 2, dw_run_5_3_2}};

#endif
