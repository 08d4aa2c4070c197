/* conv_tile.h - the tile of u8 x s8 convolutions: four pixels x 16 (or 8) channels.
 *
 * Two steps of the depth meet as words (split.h makes that exact), so three multiplications do the work of four. */
#ifndef MX_AVX2_CONV_TILE_H
#define MX_AVX2_CONV_TILE_H

#include "../vector/panel_bytes.h"
#include "conv_weights.h"

enum { PANEL_ROWS = 4 };

MX_INLINE __m256i tile_load(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* The products of two steps as words. */
MX_INLINE __m256i tile_words(__m256i x0, __m256i x1, __m256i w0, __m256i w1) {
  return _mm256_add_epi16(_mm256_maddubs_epi16(x0, w0), _mm256_maddubs_epi16(x1, w1));
}

MX_INLINE __m256i tile_add(__m256i acc, __m256i words) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}

/* The main weights of one tap; returns those of the next. */
MX_INLINE const int8_t *tile_tap(int rows, int blocks, int centred, __m256i acc[][2],
                                 const uint8_t *const p[], const int8_t *w, int pairs) {
  const int step = conv_pair_bytes(centred);
  for (int64_t k = 0; k < 8 * (int64_t)pairs; k += 8, w += step * blocks)
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const __m256i x0 = panel_broadcast4(p[m] + k), x1 = panel_broadcast4(p[m] + k + 4);
      MX_UNROLL for (int n = 0; n < blocks; n++) {
        const int8_t *v = w + step * n;
        __m256i words = _mm256_maddubs_epi16(x0, tile_load(v));
        if (centred) words = _mm256_add_epi16(words, tile_load(v + 64));
        words = _mm256_add_epi16(words, _mm256_maddubs_epi16(x1, tile_load(v + 32)));
        acc[m][n] = tile_add(acc[m][n], words);
      }
    }
  return w;
}

/* `count` rests of block n; returns those of the next. */
MX_INLINE const conv_rest *tile_rests(int rows, int n, __m256i acc[][2], const uint8_t *const p[],
                                      const conv_rest *r, int count) {
  for (; count > 0; count--, r++) {
    const int64_t k0 = r->at[0], k1 = r->at[1];
    const __m256i w0 = tile_load(r->weights[0]), w1 = tile_load(r->weights[1]);
    MX_UNROLL for (int m = 0; m < rows; m++) acc[m][n] =
        tile_add(acc[m][n], tile_words(panel_broadcast4(p[m] + k0), panel_broadcast4(p[m] + k1), w0, w1));
  }
  return r;
}

MX_INLINE void tile_start(const conv_head *head, int rows, int blocks, __m256i acc[][2]) {
  MX_UNROLL for (int n = 0; n < blocks; n++) {
    const __m256i more = _mm256_loadu_si256((const __m256i *)(head->bias + PANEL_BLOCK * n));
    MX_UNROLL for (int m = 0; m < rows; m++) acc[m][n] = _mm256_add_epi32(acc[m][n], more);
  }
}

MX_INLINE void tile_run(int rows, int blocks, int centred, const panel_tile *given, int64_t tiles) {
  panel_tile t = *given;
  const conv_head *head = (const conv_head *)(const void *)t.weights;
  const int8_t *main = (const int8_t *)t.weights + conv_head_bytes(t.taps);
  const void *rests = main + conv_main_bytes(t.taps, t.k4, blocks, centred);
  const int pairs = (t.k4 + 1) / 2;
  for (; tiles > 0; tiles--, panel_advance(&t, rows)) {
    __m256i acc[PANEL_ROWS][2];
    const int8_t *w = main;
    const conv_rest *r = (const conv_rest *)rests;
    panel_start(&t, rows, blocks, acc);
    if (centred) tile_start(head, rows, blocks, acc);
    for (int tap = 0; tap < t.taps; tap++) {
      const uint8_t *p[PANEL_ROWS];
      MX_UNROLL for (int m = 0; m < rows; m++) {
        p[m] = panel_pixel(&t, tap, m);
        __asm__ volatile("" : "+r"(p[m])); /* else gcc recomputes the addresses from fewer registers */
      }
      w = tile_tap(rows, blocks, centred, acc, p, w, pairs);
      MX_UNROLL for (int n = 0; n < blocks; n++) r =
          tile_rests(rows, n, acc, p, r, head->counts[2 * tap + n]);
    }
    __asm__ volatile(""
                     : "+m"(t)); /* the constants of the end stay in memory while sums need the registers */
    panel_store(&t, rows, blocks, acc);
  }
}

#define TILE_INSTANCE(name, rows, blocks)                                                \
  static __attribute__((noinline)) void tile_##name(const panel_tile *t, int64_t n) {    \
    tile_run(rows, blocks, 0, t, n);                                                     \
  }                                                                                      \
  static __attribute__((noinline)) void tile_##name##c(const panel_tile *t, int64_t n) { \
    tile_run(rows, blocks, 1, t, n);                                                     \
  }
TILE_INSTANCE(4x16, 4, 2)
TILE_INSTANCE(4x8, 4, 1)
TILE_INSTANCE(1x16, 1, 2)
TILE_INSTANCE(1x8, 1, 1)

static void panel_run(const panel_tile *t, int rows, int64_t tiles) {
  static void (*const table[2][2][2])(const panel_tile *, int64_t) = {
      {{tile_1x8, tile_1x8c}, {tile_1x16, tile_1x16c}}, {{tile_4x8, tile_4x8c}, {tile_4x16, tile_4x16c}}};
  const int centred = ((const conv_head *)(const void *)t->weights)->centred;
  if (tiles > 0) table[rows > 1][t->blocks - 1][centred](t, tiles);
}

#endif
