/* panel_tile.h - what the tiles of a u8 x s8 convolution are told: pixels times one panel of 16 (or 8) channels.
 *
 * The levels with small vectors share the walk over pixels and panels (panel_conv.h) and the memory layout
 * (panel_pack.h). Before it includes panel_conv.h, a level defines
 *   PANEL_ROWS                   pixels of its tile
 *   panel_column()               the column of the panel that a position holds when packing to bytes
 *   panel_bias()                 what is added to a bias because of the level's own form of the image
 *   panel_weights()              packs the weights of a panel, or measures what they take
 *   panel_run()                  runs tiles. */
#ifndef MX_VECTOR_PANEL_TILE_H
#define MX_VECTOR_PANEL_TILE_H

#include <string.h>

#include "geometry.h"

enum { PANEL_BLOCK = 8, PANEL_COLUMNS = 16 };

typedef struct panel_tile {
  const uint8_t *weights; /* of the panel, in the level's own form */
  const int32_t *bias; /* of the panel, by position */
  const float *scale;
  int blocks; /* of 8 columns: 2, or 1 in the last panel */
  int k4, taps; /* steps of four elements in a tap */
  int sums; /* 1: the outputs are rows of s32, else bytes */
  int columns; /* that may be written */
  int zero, low, high;
  int list;
  /* direct form: pixel m at a + m * a_step, tap t at + tap_offset[t] */
  const uint8_t *a;
  int64_t a_step;
  const int64_t *tap_offset;
  uint8_t *out; /* at the panel's first column; s32 rows always lie this way */
  int64_t out_step;
  /* list form: pixel m of tap t at rows[t * list_step + m], outputs at channel 0 of the group */
  const uint8_t *const *rows;
  int64_t list_step;
  uint8_t *const *outs;
  int64_t column; /* of the panel, in bytes */
} panel_tile;

MX_INLINE const uint8_t *panel_pixel(const panel_tile *t, int tap, int m) {
  return t->list ? t->rows[tap * t->list_step + m] : t->a + t->tap_offset[tap] + m * t->a_step;
}

MX_INLINE uint8_t *panel_out(const panel_tile *t, int m) {
  return t->list && !t->sums ? t->outs[m] + t->column : t->out + m * t->out_step;
}

/* To the next tile of `rows` pixels. */
MX_INLINE void panel_advance(panel_tile *t, int rows) {
  t->a += rows * t->a_step, t->out += rows * t->out_step;
  t->rows += rows, t->outs += rows;
}

/* The first n of 16 bytes. */
MX_INLINE void panel_store_some(uint8_t *to, const uint8_t *from, int n) {
  if (n & 8) memcpy(to, from, 8), to += 8, from += 8;
  if (n & 4) memcpy(to, from, 4), to += 4, from += 4;
  for (int k = 0; k < (n & 3); k++) to[k] = from[k];
}

#endif
