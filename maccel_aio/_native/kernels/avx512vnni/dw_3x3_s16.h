/* dw_3x3_s16.h - depthwise 3x3 with weights of 16 bits: two taps to a lane and a multiplication (dw_strip.h, dw_slide.h).
 *
 * Nine taps take five multiplications: two rows of the window lie in the lanes (one for each column), the third row lies
 * across, two columns to a lane. Columns come in pairs; a pair is interleaved as bytes, in which form it fits in four
 * registers, and a lane of four bytes is split into two lanes of two words where it is multiplied.
 *
 * Stride 1: four input rows a b c d hold the windows of two output rows; b and c lie in the lanes of both, a and d across. A
 * step takes one pair of columns and makes two columns of both rows.
 * Stride 2: five input rows; the first two lie in the lanes of the first output row, the last two in those of the second
 * one, and the middle one across for both. A step takes one pair, finishes one column and begins the next. */
#ifndef MX_AVX512VNNI_DW_3X3_S16_H
#define MX_AVX512VNNI_DW_3X3_S16_H

#include "dw_slide.h"

/* Weights of one output row and one j: three columns of two rows, then the row across: for an even column of stride 1 its two
 * pairs, and with stride 1 for an odd one likewise. */
enum { DW_S16_S1 = 7, DW_S16_S2 = 5 };

MX_INLINE void dw_multiply(__m512i *acc, __m512i a, __m512i w) {
  __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(w));
}

/* Bytes (p, q, r, s) of a lane -> words (p, r) and (q, s). */
MX_INLINE void dw_split(__m512i to[2], __m512i v) {
  to[0] = _mm512_and_si512(v, _mm512_set1_epi32(0x00ff00ff));
  to[1] = _mm512_srli_epi16(v, 8);
}

/* ---- stride 1: p[0] holds lanes (b0, b1, c0, c1), p[1] lanes (a0, d0, a1, d1), where 0 and 1 are the columns */

/* Lanes of four bytes (a, b, c, d): the lower or the upper half of the vectors j. */
MX_INLINE void dw_lanes(int half, __m512i v[2], __m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i top = half ? _mm512_unpackhi_epi8(a, b) : _mm512_unpacklo_epi8(a, b);
  const __m512i bottom = half ? _mm512_unpackhi_epi8(c, d) : _mm512_unpacklo_epi8(c, d);
  v[0] = _mm512_unpacklo_epi16(top, bottom), v[1] = _mm512_unpackhi_epi16(top, bottom);
}

MX_INLINE void dw_pair_s1(int width, __m512i p[2][4], const dw_strip *t, int x) {
  __m512i v[4][2];
  dw_columns(width, 4, v, t, x);
  MX_UNROLL for (int half = 0; half < 2; half++) {
    dw_lanes(half, p[0] + 2 * half, v[1][0], v[1][1], v[2][0], v[2][1]);
    dw_lanes(half, p[1] + 2 * half, v[0][0], v[3][0], v[0][1], v[3][1]);
  }
}

/* Vector j of two rows by two columns, of two pairs: z[row][column]. */
MX_INLINE void dw_sums_s1(__m512i z[2][2], const dw_strip *t, __m512i p[2][2][4], int j) {
  const int k = j * (2 + 2 * DW_S16_S1);
  __m512i column[4], across[2][2];
  z[0][0] = z[0][1] = z[1][0] = z[1][1] = dw_vector(t, k);
  dw_split(column, p[0][0][j]), dw_split(column + 2, p[1][0][j]);
  MX_UNROLL for (int kx = 0; kx < 3; kx++) MX_UNROLL for (int r = 0; r < 2; r++) {
    const __m512i w = dw_vector(t, k + 2 + DW_S16_S1 * r + kx);
    dw_multiply(&z[r][0], column[kx], w);
    dw_multiply(&z[r][1], column[kx + 1], w);
  }
  dw_split(across[0], p[0][1][j]), dw_split(across[1], p[1][1][j]);
  MX_UNROLL for (int i = 0; i < 2; i++) MX_UNROLL for (int r = 0; r < 2; r++) {
    const int w = k + 2 + DW_S16_S1 * r + 3 + i;
    dw_multiply(&z[r][0], across[i][r], dw_vector(t, w));
    dw_multiply(&z[r][1], across[i][r], dw_vector(t, w + 2));
  }
}

MX_INLINE void dw_slide_s1(int width, int mode, const dw_strip *t) {
  __m512i p[2][2][4];
  dw_pair_s1(width, p[0], t, t->x0 - t->pl);
  for (int x = t->x0; x < t->x1; x += 2) {
    dw_step();
    __m512i h[2][2][2];
    dw_pair_s1(width, p[1], t, x - t->pl + 2);
    MX_UNROLL for (int j = 0; j < 4; j += 2) {
      __m512i z[2][2][2];
      dw_sums_s1(z[0], t, p, j), dw_sums_s1(z[1], t, p, j + 1);
      dw_half_s1(mode, h[j / 2], t, z, 2 + 2 * DW_S16_S1, j, x);
    }
    dw_finish_s1(width, mode, t, h, x);
    MX_UNROLL for (int i = 0; i < 2; i++) MX_UNROLL for (int j = 0; j < 4; j++) p[0][i][j] = p[1][i][j];
  }
}

/* ---- stride 2. The vectors of a pair are made and used in halves: all of them, and the sums, would not fit in the registers. */

/* p[0] holds lanes (row 0, row 0, row 1, row 1) of both columns, p[1] those of rows 3 and 4, p[2] words of row 2. */
MX_INLINE void dw_half_pair(int half, __m512i p[3][2], __m512i v[5][2]) {
  const __m512i none = _mm512_setzero_si512();
  const __m512i middle =
      half ? _mm512_unpackhi_epi8(v[2][0], v[2][1]) : _mm512_unpacklo_epi8(v[2][0], v[2][1]);
  dw_lanes(half, p[0], v[0][0], v[0][1], v[1][0], v[1][1]);
  dw_lanes(half, p[1], v[3][0], v[3][1], v[4][0], v[4][1]);
  p[2][0] = _mm512_unpacklo_epi8(middle, none), p[2][1] = _mm512_unpackhi_epi8(middle, none);
}

/* The first of the two columns is the last one of the output that `acc` sums; both begin the next output. */
MX_INLINE void dw_add_s2(__m512i acc[2][4], const dw_strip *t, __m512i p[3][2], int first, int j) {
  MX_UNROLL for (int i = 0; i < 2; i++) MX_UNROLL for (int r = 0; r < 2; r++) {
    const int k = (j + i) * (2 + 2 * DW_S16_S2), w = k + 2 + r * DW_S16_S2;
    __m512i column[2];
    dw_split(column, p[r][i]);
    if (first) {
      acc[r][j + i] = dw_vector(t, k);
      dw_multiply(&acc[r][j + i], column[0], dw_vector(t, w));
      dw_multiply(&acc[r][j + i], column[1], dw_vector(t, w + 1));
      dw_multiply(&acc[r][j + i], p[2][i], dw_vector(t, w + 3));
    } else {
      dw_multiply(&acc[r][j + i], column[0], dw_vector(t, w + 2));
      dw_multiply(&acc[r][j + i], p[2][i], dw_vector(t, w + 4));
    }
  }
}

/* restrict: the strip is not read again after each store of bytes. */
MX_INLINE void dw_slide_s2(int width, int mode, const dw_strip *restrict t) {
  __m512i acc[2][4], v[5][2], p[3][2], h[2][2];
  dw_columns(width, 5, v, t, 2 * t->x0 - t->pl);
  MX_UNROLL for (int half = 0; half < 2; half++) {
    dw_half_pair(half, p, v);
    dw_add_s2(acc, t, p, 1, 2 * half);
  }
  for (int x = t->x0; x < t->x1; x++) {
    dw_step();
    dw_columns(width, 5, v, t, 2 * x - t->pl + 2);
    MX_UNROLL for (int half = 0; half < 2; half++) {
      dw_half_pair(half, p, v);
      dw_add_s2(acc, t, p, 0, 2 * half);
      dw_half_s2(mode, h[half], t, acc, 2 + 2 * DW_S16_S2, 2 * half, x);
      dw_add_s2(acc, t, p, 1, 2 * half);
    }
    dw_finish_s2(width, mode, t, h, x);
  }
}

#include "dw_instances.h"

#endif
