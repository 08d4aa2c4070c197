/* panel_bytes.h - from sums to bytes, in registers of eight lanes.
 *
 * Packing s32 -> s16 -> u8 works inside 128-bit lanes. With vector j, lane L, element i of a panel of two blocks holding
 * column 8 * L + 4 * j + i the result is in order after one permutation per two rows. A single block is in order. */
#ifndef MX_VECTOR_PANEL_BYTES_H
#define MX_VECTOR_PANEL_BYTES_H

#include <immintrin.h>

#include "panel_tile.h"

static int panel_column(int blocks, int position) {
  const int j = position >> 3, lane = (position >> 2) & 1, i = position & 3;
  return blocks == 2 ? 8 * lane + 4 * j + i : position;
}

MX_INLINE void panel_store_row(const panel_tile *t, int whole, int blocks, uint8_t *to, __m128i v) {
  uint8_t copy[16];
  if (whole && blocks == 2) {
    _mm_storeu_si128((__m128i *)to, v);
  } else if (whole) {
    _mm_storel_epi64((__m128i *)to, v);
  } else {
    _mm_storeu_si128((__m128i *)copy, v);
    panel_store_some(to, copy, t->columns);
  }
}

MX_INLINE __m256i panel_scaled(__m256i sum, __m256 scale) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
}

/* u8 of 32 packed words */
MX_INLINE __m256i panel_clamped(const panel_tile *t, __m256i x, __m256i y) {
  const __m256i zero = _mm256_set1_epi16((short)t->zero);
  const __m256i v = _mm256_packus_epi16(_mm256_adds_epi16(x, zero), _mm256_adds_epi16(y, zero));
  return _mm256_min_epu8(_mm256_max_epu8(v, _mm256_set1_epi8((char)t->low)), _mm256_set1_epi8((char)t->high));
}

/* Two rows of 16 columns, or one twice. */
MX_INLINE void panel_bytes2(const panel_tile *t, int whole, const __m256i a[2], const __m256i b[2],
                            uint8_t *to, uint8_t *to1) {
  const __m256 s0 = _mm256_loadu_ps(t->scale), s1 = _mm256_loadu_ps(t->scale + 8);
  const __m256i x = _mm256_packs_epi32(panel_scaled(a[0], s0), panel_scaled(a[1], s1));
  const __m256i y = _mm256_packs_epi32(panel_scaled(b[0], s0), panel_scaled(b[1], s1));
  const __m256i v = _mm256_permute4x64_epi64(panel_clamped(t, x, y), 0xd8);
  panel_store_row(t, whole, 2, to, _mm256_castsi256_si128(v));
  panel_store_row(t, whole, 2, to1, _mm256_extracti128_si256(v, 1));
}

/* Up to four rows from m on, 8 columns each; rows behind the last are not stored. */
MX_INLINE void panel_bytes4(const panel_tile *t, int whole, const __m256i z[4], uint8_t *const to[], int m,
                            int rows) {
  const __m256 s = _mm256_loadu_ps(t->scale);
  const __m256i x = _mm256_packs_epi32(panel_scaled(z[0], s), panel_scaled(z[1], s));
  const __m256i y = _mm256_packs_epi32(panel_scaled(z[2], s), panel_scaled(z[3], s));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i v = _mm256_permutevar8x32_epi32(panel_clamped(t, x, y), order);
  const __m128i lo = _mm256_castsi256_si128(v), hi = _mm256_extracti128_si256(v, 1);
  panel_store_row(t, whole, 1, to[m], lo);
  if (m + 1 < rows) panel_store_row(t, whole, 1, to[m + 1], _mm_unpackhi_epi64(lo, lo));
  if (m + 2 < rows) panel_store_row(t, whole, 1, to[m + 2], hi);
  if (m + 3 < rows) panel_store_row(t, whole, 1, to[m + 3], _mm_unpackhi_epi64(hi, hi));
}

MX_INLINE void panel_bytes(const panel_tile *t, int whole, int rows, int blocks, __m256i acc[][2],
                           uint8_t *const to[]) {
  if (blocks == 2) {
    MX_UNROLL for (int m = 0; m < rows; m += 2) {
      const int n = m + 1 < rows ? m + 1 : m;
      panel_bytes2(t, whole, acc[m], acc[n], to[m], to[n]);
    }
    return;
  }
  MX_UNROLL for (int m = 0; m < rows; m += 4) {
    __m256i z[4];
    MX_UNROLL for (int k = 0; k < 4; k++) z[k] = acc[m + k < rows ? m + k : rows - 1][0];
    panel_bytes4(t, whole, z, to, m, rows);
  }
}

/* The end of a tile: `rows` and `blocks` are constants of each instance. What the tile is told is read before the first store,
 * which might change it for all the compiler knows. */
MX_INLINE void panel_store(const panel_tile *t, int rows, int blocks, __m256i acc[][2]) {
  const int whole = t->columns == PANEL_BLOCK * blocks, listed = t->list && !t->sums;
  const int64_t step = t->out_step, column = t->column;
  uint8_t *to[8];
  MX_UNROLL for (int m = 0; m < rows; m++) to[m] = listed ? t->outs[m] + column : t->out + m * step;
  if (t->sums) {
    MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < blocks; n++)
        _mm256_storeu_si256((__m256i *)(to[m] + 32 * n), acc[m][n]);
  } else if (whole) {
    panel_bytes(t, 1, rows, blocks, acc, to);
  } else {
    panel_bytes(t, 0, rows, blocks, acc, to);
  }
}

MX_INLINE void panel_start(const panel_tile *t, int rows, int blocks, __m256i acc[][2]) {
  MX_UNROLL for (int n = 0; n < blocks; n++) {
    const __m256i start = _mm256_loadu_si256((const __m256i *)(t->bias + PANEL_BLOCK * n));
    MX_UNROLL for (int m = 0; m < rows; m++) acc[m][n] = start;
  }
}

MX_INLINE __m256i panel_broadcast4(const uint8_t *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return _mm256_set1_epi32(v);
}

#endif
