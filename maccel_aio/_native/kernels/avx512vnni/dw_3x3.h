/* dw_3x3.h - depthwise 3x3: columns are interleaved once, stay in registers and slide along the row (dw_strip.h, dw_slide.h).
 *
 * Stride 1: four input rows hold the windows of two output rows; a step makes two columns of both. Vector by vector j the
 * weights and the scale are loaded once for four outputs.
 * Stride 2: five input rows for two output rows. A column is the right tap of one output and the left tap of the next, so
 * the accumulators slide and not the columns: a step interleaves two columns and finishes one. */
#ifndef MX_AVX512VNNI_DW_3X3_H
#define MX_AVX512VNNI_DW_3X3_H

#include "dw_slide.h"

/* Packed block: for each j bias, scale, weights [weight rows][3]; as vectors. With stride 2 both output rows use the
 * same weights. */
enum { DW_3X3_S1 = 2 + 2 * 3, DW_3X3_S2 = 2 + 3 };

MX_INLINE void dw_pair(int width, __m512i v[2], const dw_strip *t, int slot, int other, int64_t at) {
  const __m512i a = dw_load(width, t, slot, at), b = other == slot ? a : dw_load(width, t, other, at);
  v[0] = _mm512_unpacklo_epi8(a, b), v[1] = _mm512_unpackhi_epi8(a, b);
}

MX_INLINE void dw_fill(__m512i v[4], const dw_strip *t) {
  v[0] = v[1] = v[2] = v[3] = _mm512_set1_epi8((char)t->zero_in);
}

/* ---- stride 1 */

MX_INLINE void dw_column_s1(int width, __m512i v[4], const dw_strip *t, int x) {
  if ((unsigned)x >= (unsigned)t->in_w) {
    dw_fill(v, t);
    return;
  }
  __m512i top[2], bottom[2];
  dw_pair(width, top, t, 0, 1, x * t->in_px);
  dw_pair(width, bottom, t, 2, 3, x * t->in_px);
  dw_words_of(v, top, bottom);
}

/* Vector j of two rows by two columns: z[row][column]. */
MX_INLINE void dw_sums_s1(__m512i z[2][2], const dw_strip *t, __m512i c[4][4], int j) {
  const int k = j * DW_3X3_S1;
  z[0][0] = z[0][1] = z[1][0] = z[1][1] = dw_vector(t, k);
  MX_UNROLL for (int kx = 0; kx < 3; kx++) MX_UNROLL for (int r = 0; r < 2; r++) {
    const __m512i w = dw_vector(t, k + 2 + 3 * r + kx);
    dw_dot(&z[r][0], c[kx][j], w);
    dw_dot(&z[r][1], c[kx + 1][j], w);
  }
}

MX_INLINE void dw_slide_s1(int width, int mode, const dw_strip *t) {
  __m512i c[4][4];
  dw_column_s1(width, c[0], t, t->x0 - t->pl);
  dw_column_s1(width, c[1], t, t->x0 - t->pl + 1);
  for (int x = t->x0; x < t->x1; x += 2) {
    dw_column_s1(width, c[2], t, x - t->pl + 2);
    dw_column_s1(width, c[3], t, x - t->pl + 3);
    __m512i h[2][2][2];
    MX_UNROLL for (int j = 0; j < 4; j += 2) {
      __m512i z[2][2][2];
      dw_sums_s1(z[0], t, c, j), dw_sums_s1(z[1], t, c, j + 1);
      dw_half_s1(mode, h[j / 2], t, z, DW_3X3_S1, j, x);
    }
    dw_finish_s1(width, mode, t, h, x);
    MX_UNROLL for (int j = 0; j < 4; j++) c[0][j] = c[2][j], c[1][j] = c[3][j];
  }
}

/* ---- stride 2: slots 0..3 of the first output row, 2..4 of the second */

MX_INLINE void dw_column_s2(int width, __m512i v[2][4], const dw_strip *t, int x) {
  if ((unsigned)x >= (unsigned)t->in_w) {
    dw_fill(v[0], t), dw_fill(v[1], t);
    return;
  }
  __m512i top[2], middle[2], bottom[2];
  dw_pair(width, top, t, 0, 1, x * t->in_px);
  dw_pair(width, middle, t, 2, 3, x * t->in_px);
  dw_pair(width, bottom, t, 4, 4, x * t->in_px);
  dw_words_of(v[0], top, middle);
  dw_words_of(v[1], middle, bottom);
}

MX_INLINE void dw_add_s2(__m512i acc[2][4], const dw_strip *t, __m512i c[2][4], int kx) {
  MX_UNROLL for (int j = 0; j < 4; j++) {
    const __m512i w = dw_vector(t, j * DW_3X3_S2 + 2 + kx);
    dw_dot(&acc[0][j], c[0][j], w);
    dw_dot(&acc[1][j], c[1][j], w);
  }
}

MX_INLINE void dw_start_s2(__m512i acc[2][4], const dw_strip *t) {
  MX_UNROLL for (int j = 0; j < 4; j++) acc[0][j] = acc[1][j] = dw_vector(t, j * DW_3X3_S2);
}

/* restrict: the strip is not read again after each store of bytes. */
MX_INLINE void dw_slide_s2(int width, int mode, const dw_strip *restrict t) {
  __m512i acc[2][4], next[2][4], c[2][4];
  dw_column_s2(width, c, t, 2 * t->x0 - t->pl);
  dw_start_s2(acc, t), dw_add_s2(acc, t, c, 0);
  for (int x = t->x0; x < t->x1; x++) {
    dw_column_s2(width, c, t, 2 * x - t->pl + 1);
    dw_add_s2(acc, t, c, 1);
    dw_column_s2(width, c, t, 2 * x - t->pl + 2);
    dw_add_s2(acc, t, c, 2);
    dw_start_s2(next, t), dw_add_s2(next, t, c, 0);
    __m512i h[2][2];
    dw_half_s2(mode, h[0], t, acc, DW_3X3_S2, 0, x);
    dw_half_s2(mode, h[1], t, acc, DW_3X3_S2, 2, x);
    dw_finish_s2(width, mode, t, h, x);
    MX_UNROLL for (int j = 0; j < 4; j++) acc[0][j] = next[0][j], acc[1][j] = next[1][j];
  }
}

#include "dw_instances.h"

#endif
