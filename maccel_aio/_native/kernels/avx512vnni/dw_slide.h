/* dw_slide.h - what the 3x3 kernels of 8-bit and 16-bit weights share: constants, pairs of columns, the ends of a step.
 *
 * A packed block holds for each j bias, scale and weights, as vectors; `vectors` below is how many a j has. */
#ifndef MX_AVX512VNNI_DW_SLIDE_H
#define MX_AVX512VNNI_DW_SLIDE_H

#include "dw_strip.h"

MX_INLINE __m512i dw_vector(const dw_strip *t, int k) { return _mm512_load_si512(t->packed + 64 * k); }
MX_INLINE __m512 dw_floats(const dw_strip *t, int k) {
  return _mm512_load_ps((const float *)(const void *)(t->packed + 64 * k));
}

/* Constants are read where they are used: what was read before the loop, too, the compiler would carry around it, and spill. */
MX_INLINE void dw_step(void) { __asm__ volatile("" ::: "memory"); }

/* Lanes of four bytes of lanes of two. */
MX_INLINE void dw_words_of(__m512i v[4], const __m512i top[2], const __m512i bottom[2]) {
  v[0] = _mm512_unpacklo_epi16(top[0], bottom[0]), v[1] = _mm512_unpackhi_epi16(top[0], bottom[0]);
  v[2] = _mm512_unpacklo_epi16(top[1], bottom[1]), v[3] = _mm512_unpackhi_epi16(top[1], bottom[1]);
}

/* Columns x and x + 1 of the first `slots` rows. */
MX_INLINE void dw_columns(int width, int slots, __m512i v[][2], const dw_strip *t, int x) {
  const int inside = (unsigned)x < (unsigned)(t->in_w - 1);
  MX_UNROLL for (int slot = 0; slot < slots && inside; slot++) MX_UNROLL for (int k = 0; k < 2; k++)
      v[slot][k] = dw_load(width, t, slot, (x + k) * t->in_px);
  MX_UNROLL for (int slot = 0; slot < slots && !inside; slot++) MX_UNROLL for (int k = 0; k < 2; k++)
      v[slot][k] = dw_pixel(width, t, slot, x + k);
}

/* ---- stride 1: two rows by two columns */

/* Sums of vectors j and j + 1, z[j][row][column], to words; or into scratch. */
MX_INLINE void dw_half_s1(int mode, __m512i h[2][2], const dw_strip *t, __m512i z[2][2][2], int vectors,
                          int j, int x) {
  MX_UNROLL for (int i = 0; i < 2; i++) MX_UNROLL for (int r = 0; r < 2; r++)
      MX_UNROLL for (int k = 0; k < 2; k++) {
    if (mode == DW_SUMS)
      dw_store_sums(t, r, x + k, j + i, z[i][r][k]);
    else
      z[i][r][k] = dw_scaled(mode, t, z[i][r][k], dw_floats(t, (j + i) * vectors + 1));
  }
  MX_UNROLL for (int r = 0; r < 2; r++) MX_UNROLL for (int k = 0; k < 2; k++) h[r][k] =
      dw_words(mode, t, z[0][r][k], z[1][r][k]);
}

MX_INLINE void dw_finish_s1(int width, int mode, const dw_strip *t, __m512i h[2][2][2], int x) {
  MX_UNROLL for (int k = 0; k < 2 && mode != DW_SUMS; k++) if (x + k < t->x1)
      MX_UNROLL for (int r = 0; r < 2; r++)
          dw_store(width, t, r, (x + k) * t->out_px, dw_bytes(mode, t, h[0][r][k], h[1][r][k]));
}

/* ---- stride 2: two rows, one column */

/* Sums of vectors j and j + 1, z[row][j], to words; or into scratch. */
MX_INLINE void dw_half_s2(int mode, __m512i h[2], const dw_strip *t, __m512i z[2][4], int vectors, int j,
                          int x) {
  MX_UNROLL for (int i = j; i < j + 2; i++) {
    __m512 scale = dw_floats(t, i * vectors + 1);
    __asm__ volatile("" : "+v"(scale)); /* in a register: as an operand it would be loaded for each row */
    MX_UNROLL for (int r = 0; r < 2; r++) {
      if (mode == DW_SUMS)
        dw_store_sums(t, r, x, i, z[r][i]);
      else
        z[r][i] = dw_scaled(mode, t, z[r][i], scale);
    }
  }
  MX_UNROLL for (int r = 0; r < 2; r++) h[r] = dw_words(mode, t, z[r][j], z[r][j + 1]);
}

MX_INLINE void dw_finish_s2(int width, int mode, const dw_strip *t, __m512i h[2][2], int x) {
  MX_UNROLL for (int r = 0; r < 2 && mode != DW_SUMS; r++)
      dw_store(width, t, r, x * t->out_px, dw_bytes(mode, t, h[0][r], h[1][r]));
}

#endif
