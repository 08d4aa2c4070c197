/* dw_strip.h - strips of a depthwise convolution: what its kernels load, interleave, requantise and store.
 *
 * A vector holds 64 bytes: one band of 64 channels, two bands of 32 or four bands of 16. A band is a few output rows; the
 * bands of a strip lie below each other. So images of few channels, and the rest of a channel count, fill the vectors
 * with rows instead of channels, and columns stay columns.
 *
 * A 32-bit lane of an interleaved vector holds four vertically adjacent pixels of one channel, which one vpdpbusd adds.
 * Unpacking bytes and words works inside 128-bit lanes, so vector j (of 4), lane L, element i is byte 16 * L + 4 * j + i
 * of the loaded vectors; packing s32 -> s16 -> u8 undoes exactly that order, and no permutation is needed. */
#ifndef MX_AVX512VNNI_DW_STRIP_H
#define MX_AVX512VNNI_DW_STRIP_H

#include <immintrin.h>

#include "../vector/geometry.h"

enum { DW_BANDS = 4, DW_SLOTS = 8, DW_ROWS = 4, DW_LANES = 64 };

/* Channels of a block. The last width is of fewer than 16 channels: their bytes are loaded and stored by a mask. */
enum dw_width { DW_64, DW_32, DW_16, DW_SOME, DW_WIDTHS };

MX_INLINE int dw_width_channels(int width) { return width == DW_64 ? 64 : width == DW_32 ? 32 : 16; }

/* DW_HARD: hard swish, a multiplier and a clamp, all in float, in front of the packs. */
enum dw_mode { DW_SATURATE, DW_CLAMP, DW_SUMS, DW_HARD, DW_MODES };

typedef struct dw_strip {
  /* Input row `slot` of each band at column 0, first channel of the block. `keep` is -1, or 0 for a row of padding:
   * its address does not move with the column. */
  const uint8_t *row[DW_SLOTS][DW_BANDS];
  int64_t keep[DW_SLOTS][DW_BANDS];
  /* Output rows likewise; those behind the last row of the image are a sink. */
  uint8_t *out[DW_ROWS][DW_BANDS];
  int64_t out_keep[DW_ROWS][DW_BANDS];
  const uint8_t *packed; /* of the block */
  int rows;              /* output rows of the first band that exist */
  int x0, x1;            /* output columns */
  int in_w, pl;
  int64_t in_px, out_px;
  __mmask16 some; /* channels of a DW_SOME block */
  uint8_t zero_in, low, high;
  int16_t zero;
  float hard_a, hard_b, times, least, most; /* DW_HARD: of the activation, f3, the range without its zero */
  uint8_t *columns; /* scratch for interleaved columns */
  int32_t *sums;    /* DW_SUMS: [row][column - x0][64] */
  int64_t sums_row; /* of one row, in elements */
} dw_strip;

MX_INLINE void dw_dot(__m512i *acc, __m512i a, __m512i w) {
  __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(w));
}

/* The value is made here, in a register: the compiler would rather make it where it is used, and keep its larger sources. */
MX_INLINE void dw_settle(__m512i *v) { __asm__ volatile("" : "+v"(*v)); }

/* ---- loading */

MX_INLINE __m128i dw_load_16(int width, const dw_strip *t, int slot, int band, int64_t at) {
  const uint8_t *p = t->row[slot][band] + (at & t->keep[slot][band]);
  return width == DW_SOME ? _mm_maskz_loadu_epi8(t->some, p)
                          : _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* The pixels `at` bytes behind column 0 of row `slot` of all bands. */
MX_INLINE __m512i dw_load(int width, const dw_strip *t, int slot, int64_t at) {
  if (width == DW_64) return _mm512_loadu_si512(t->row[slot][0] + (at & t->keep[slot][0]));
  if (width == DW_32) {
    const uint8_t *p = t->row[slot][0] + (at & t->keep[slot][0]),
                  *q = t->row[slot][1] + (at & t->keep[slot][1]);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)p)),
                              _mm256_loadu_si256((const __m256i *)(const void *)q), 1);
  }
  __m512i v = _mm512_castsi128_si512(dw_load_16(width, t, slot, 0, at));
  v = _mm512_inserti32x4(v, dw_load_16(width, t, slot, 1, at), 1);
  v = _mm512_inserti32x4(v, dw_load_16(width, t, slot, 2, at), 2);
  return _mm512_inserti32x4(v, dw_load_16(width, t, slot, 3, at), 3);
}

/* Column x, which may lie in the padding. */
MX_INLINE __m512i dw_pixel(int width, const dw_strip *t, int slot, int x) {
  if ((unsigned)x >= (unsigned)t->in_w) return _mm512_set1_epi8((char)t->zero_in);
  return dw_load(width, t, slot, x * t->in_px);
}

/* ---- storing */

MX_INLINE void dw_store_16(int width, const dw_strip *t, int row, int band, int64_t at, __m128i v) {
  uint8_t *p = t->out[row][band] + (at & t->out_keep[row][band]);
  if (width == DW_SOME)
    _mm_mask_storeu_epi8(p, t->some, v);
  else
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

MX_INLINE void dw_store(int width, const dw_strip *t, int row, int64_t at, __m512i v) {
  if (width == DW_64) {
    _mm512_storeu_si512(t->out[row][0] + (at & t->out_keep[row][0]), v);
  } else if (width == DW_32) {
    uint8_t *p = t->out[row][0] + (at & t->out_keep[row][0]),
            *q = t->out[row][1] + (at & t->out_keep[row][1]);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_castsi512_si256(v));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm512_extracti64x4_epi64(v, 1));
  } else {
    dw_store_16(width, t, row, 0, at, _mm512_castsi512_si128(v));
    dw_store_16(width, t, row, 1, at, _mm512_extracti32x4_epi32(v, 1));
    dw_store_16(width, t, row, 2, at, _mm512_extracti32x4_epi32(v, 2));
    dw_store_16(width, t, row, 3, at, _mm512_extracti32x4_epi32(v, 3));
  }
}

/* Sums of vector j into natural order. */
MX_INLINE void dw_store_sums(const dw_strip *t, int row, int x, int j, __m512i z) {
  int32_t *to = t->sums + row * t->sums_row + (int64_t)(x - t->x0) * DW_LANES + 4 * j;
  _mm_storeu_si128((__m128i *)to, _mm512_castsi512_si128(z));
  _mm_storeu_si128((__m128i *)(to + 16), _mm512_extracti32x4_epi32(z, 1));
  _mm_storeu_si128((__m128i *)(to + 32), _mm512_extracti32x4_epi32(z, 2));
  _mm_storeu_si128((__m128i *)(to + 48), _mm512_extracti32x4_epi32(z, 3));
}

/* ---- the end: s32 -> s32 of the output's scale -> s16 -> u8 */

MX_INLINE __m512 dw_clamped(__m512 v, float low, float high) {
  return _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(low)), _mm512_set1_ps(high));
}

MX_INLINE __m512i dw_scaled(int mode, const dw_strip *t, __m512i z, __m512 scale) {
  __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(z), scale);
  if (mode == DW_HARD) {
    const __m512 line = _mm512_add_ps(_mm512_mul_ps(v, _mm512_set1_ps(t->hard_a)), _mm512_set1_ps(t->hard_b));
    v = _mm512_mul_ps(_mm512_mul_ps(v, dw_clamped(line, 0.0f, 1.0f)), _mm512_set1_ps(t->times));
    v = dw_clamped(v, t->least, t->most);
  }
  return _mm512_cvtps_epi32(v);
}

MX_INLINE __m512i dw_words(int mode, const dw_strip *t, __m512i a, __m512i b) {
  const __m512i v = _mm512_packs_epi32(a, b);
  return mode != DW_SATURATE ? _mm512_adds_epi16(v, _mm512_set1_epi16(t->zero)) : v;
}

MX_INLINE __m512i dw_bytes(int mode, const dw_strip *t, __m512i a, __m512i b) {
  const __m512i v = _mm512_packus_epi16(a, b);
  if (mode != DW_CLAMP) return v;
  return _mm512_min_epu8(_mm512_max_epu8(v, _mm512_set1_epi8((char)t->low)), _mm512_set1_epi8((char)t->high));
}

#endif
