/* conv_tile.h - the tile of u8 x s8 convolutions: six pixels x 16 (or 8) channels of vpdpbusd. */
#ifndef MX_AVXVNNI_CONV_TILE_H
#define MX_AVXVNNI_CONV_TILE_H

#include "../vector/panel_bytes.h"
#include "../vector/panel_plain.h"
#include "table.h"

enum { PANEL_ROWS = 6 };

static int32_t panel_bias(const panel_source *p, int column) {
  (void)p, (void)column;
  return 0;
}

/* As an intrinsic, gcc 12 copies and spills the accumulators; one instruction of asm cannot be split. */
MX_INLINE void tile_dot(__m256i *acc, __m256i a, __m256i b) {
  __asm__ volatile(MX_AVXVNNI_ENCODING "vpdpbusd %2, %1, %0" : "+x"(*acc) : "x"(a), "x"(b));
}

MX_INLINE const int8_t *tile_tap(int rows, int blocks, __m256i acc[][2], const uint8_t *const p[],
                                 const int8_t *w, int k4) {
  for (int64_t k = 0; k < 4 * (int64_t)k4; k += 4, w += PANEL_VECTOR * blocks) {
    __m256i b[2];
    MX_UNROLL for (int n = 0; n < blocks; n++) b[n] =
        _mm256_loadu_si256((const __m256i *)(w + PANEL_VECTOR * n));
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const __m256i x = panel_broadcast4(p[m] + k);
      MX_UNROLL for (int n = 0; n < blocks; n++) tile_dot(&acc[m][n], x, b[n]);
    }
  }
  return w;
}

MX_INLINE void tile_run(int rows, int blocks, const panel_tile *given, int64_t tiles) {
  panel_tile t = *given;
  for (; tiles > 0; tiles--, panel_advance(&t, rows)) {
    __m256i acc[PANEL_ROWS][2];
    const int8_t *w = (const int8_t *)t.weights;
    panel_start(&t, rows, blocks, acc);
    for (int tap = 0; tap < t.taps; tap++) {
      const uint8_t *p[PANEL_ROWS];
      MX_UNROLL for (int m = 0; m < rows; m++) {
        p[m] = panel_pixel(&t, tap, m);
        __asm__ volatile("" : "+r"(p[m])); /* else gcc recomputes the addresses from fewer registers */
      }
      w = tile_tap(rows, blocks, acc, p, w, t.k4);
    }
    __asm__ volatile(""
                     : "+m"(t)); /* the constants of the end stay in memory while sums need the registers */
    panel_store(&t, rows, blocks, acc);
  }
}

static __attribute__((noinline)) void tile_6x16(const panel_tile *t, int64_t n) { tile_run(6, 2, t, n); }
static __attribute__((noinline)) void tile_6x8(const panel_tile *t, int64_t n) { tile_run(6, 1, t, n); }
static __attribute__((noinline)) void tile_1x16(const panel_tile *t, int64_t n) { tile_run(1, 2, t, n); }
static __attribute__((noinline)) void tile_1x8(const panel_tile *t, int64_t n) { tile_run(1, 1, t, n); }

static void panel_run(const panel_tile *t, int rows, int64_t tiles) {
  if (tiles <= 0) return;
  if (rows == 1)
    (t->blocks == 2 ? tile_1x16 : tile_1x8)(t, tiles);
  else
    (t->blocks == 2 ? tile_6x16 : tile_6x8)(t, tiles);
}

#endif
