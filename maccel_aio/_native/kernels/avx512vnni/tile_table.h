/* tile_table.h - the two forms of a tile, an instance of each shape, and the choice among them.
 *
 * Names: form, rows x blocks, a trailing h for a half last block. The tails of lists are filled up by the caller. */
#ifndef MX_AVX512VNNI_TILE_TABLE_H
#define MX_AVX512VNNI_TILE_TABLE_H

#include "tile_store.h"

/* A step reads `blocks` lines of weights and asks for one of the panel ahead: so many tiles fetch it. */
MX_INLINE void tile_run_direct(int rows, int blocks, int half, int mode, const tile *t, int64_t tiles) {
  const int64_t last = t->ahead + 64 * (blocks - 1);
  const uint8_t *a = t->a;
  tile_place at = t->at;
  int64_t ahead = t->ahead;
  for (; tiles > 0; tiles--) {
    __m512i acc[8][4];
    const int8_t *w = t->weights;
    tile_start(rows, blocks, acc, t->bias);
    for (int k = 0; k < t->taps; k++)
      w = tile_direct_tap(rows, blocks, half, acc, a + t->tap_offset[k], t->a_step, w, t->k4, ahead);
    ahead = ahead != 0 && ahead < last ? ahead + 64 : 0;
    tile_store(rows, blocks, half, mode, 0, acc, t, at);
    a += rows * t->a_step, at.out += rows * t->out_step, at.out1 += rows * t->out1_step;
    at.res += rows * t->res_step, at.row_scale += rows * t->row_scale_step;
  }
}

MX_INLINE void tile_run_list(int rows, int blocks, int half, int mode, const tile *t, int64_t tiles) {
  const uint8_t *const *list = t->rows;
  tile_place at = t->at;
  for (; tiles > 0; tiles--) {
    __m512i acc[8][4];
    const int8_t *w = t->weights;
    tile_start(rows, blocks, acc, t->bias);
    for (int k = 0; k < t->taps; k++)
      w = tile_list_tap(rows, blocks, half, acc, list + k * t->list_step, w, t->k4);
    tile_store(rows, blocks, half, mode, 1, acc, t, at);
    list += rows, at.first += rows, at.out += rows * t->out_step;
  }
}

typedef void (*tile_fn)(const tile *t, int64_t tiles);

#define MX_TILE_INSTANCE(form, name, rows, blocks, half, mode)                                        \
  static __attribute__((noinline)) void tile_##form##_##name##_##mode(const tile *t, int64_t tiles) { \
    tile_run_##form(rows, blocks, half, mode, t, tiles);                                              \
  }
#define MX_TILE_FORM(form, name, rows, blocks, half)              \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_SATURATE) \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_CLAMP)    \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_RESIDUAL) \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_NARROW)   \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_WIDE)     \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_FLOAT)    \
  MX_TILE_INSTANCE(form, name, rows, blocks, half, TILE_SUMS)
#define MX_TILE_SHAPE(name, rows, blocks, half)  \
  MX_TILE_FORM(direct, name, rows, blocks, half) \
  MX_TILE_FORM(list, name, rows, blocks, half)
#define MX_TILE_ROW(form, name)                                              \
  {tile_##form##_##name##_TILE_SATURATE, tile_##form##_##name##_TILE_CLAMP,  \
   tile_##form##_##name##_TILE_RESIDUAL, tile_##form##_##name##_TILE_NARROW, \
   tile_##form##_##name##_TILE_WIDE,     tile_##form##_##name##_TILE_FLOAT,  \
   tile_##form##_##name##_TILE_SUMS}
#define MX_TILE_ROWS(form)                                                                              \
  MX_TILE_ROW(form, 8x1), MX_TILE_ROW(form, 8x1h), MX_TILE_ROW(form, 8x2), MX_TILE_ROW(form, 8x2h),     \
      MX_TILE_ROW(form, 4x3), MX_TILE_ROW(form, 4x3h), MX_TILE_ROW(form, 4x4), MX_TILE_ROW(form, 4x4h), \
      MX_TILE_ROW(form, 7x4)

MX_TILE_SHAPE(8x1, 8, 1, 0)
MX_TILE_SHAPE(8x1h, 8, 1, 1)
MX_TILE_SHAPE(8x2, 8, 2, 0)
MX_TILE_SHAPE(8x2h, 8, 2, 1)
MX_TILE_SHAPE(4x3, 4, 3, 0)
MX_TILE_SHAPE(4x3h, 4, 3, 1)
MX_TILE_SHAPE(4x4, 4, 4, 0)
MX_TILE_SHAPE(4x4h, 4, 4, 1)
MX_TILE_SHAPE(7x4, 7, 4, 0)
MX_TILE_FORM(direct, 6x4, 6, 4, 0)
MX_TILE_FORM(direct, 4x2, 4, 2, 0)
MX_TILE_FORM(direct, 4x2h, 4, 2, 1)

enum { TILE_SEVEN = 8, TILE_SIX = 9, TILE_SHALLOW = 10, TILE_SHAPES = 12, TILE_SHALLOW_STEPS = 12 };

typedef struct tile_shape {
  int blocks, half, rows;
} tile_shape;

/* For n pixels: the rows that leave no remainder for 7 x 7 images, or the usual ones. */
static tile_shape tile_shape_for(int blocks, int half, int64_t n) {
  const int seven = blocks == 4 && !half && n % 7 == 0 && n % 4 != 0;
  return (tile_shape){blocks, half, seven ? 7 : blocks >= 3 ? 4 : 8};
}

static int tile_shape_index(tile_shape s) {
  if (s.blocks == 4 && s.rows > 4) return s.rows == 7 ? TILE_SEVEN : TILE_SIX;
  return s.blocks == 2 && s.rows == 4 ? TILE_SHALLOW + s.half : 2 * (s.blocks - 1) + s.half;
}

/* The same in the direct form: where sums are short, two tiles of two blocks fit in the reorder buffer. */
static tile_shape tile_shape_direct(tile_shape s, const tile *t) {
  if (s.blocks == 2 && t->taps * t->k4 <= TILE_SHALLOW_STEPS) s.rows = 4;
  return s;
}

/* How many of n pixels go to tiles of six rows before the rest goes to those of four: these read panels that exceed
 * the first-level cache fewer times. */
static int64_t tile_sixes(tile_shape s, const tile *t, int64_t n) {
  if (s.blocks != 4 || s.half || s.rows != 4 || t->taps > 1 || t->k4 <= 96) return 0;
  const int64_t sixes = n / 6;
  return sixes > 0 && (n - 6 * sixes) % 4 > (n - 6 * (sixes - 1)) % 4 ? sixes - 1 : sixes;
}

static void tile_direct(tile_shape s, int mode, const tile *t, int64_t tiles) {
  static const tile_fn table[TILE_SHAPES][TILE_MODES] = {MX_TILE_ROWS(direct), MX_TILE_ROW(direct, 6x4),
                                                         MX_TILE_ROW(direct, 4x2), MX_TILE_ROW(direct, 4x2h)};
  table[tile_shape_index(s)][mode](t, tiles);
}

static void tile_list(tile_shape s, int mode, const tile *t, int64_t tiles) {
  static const tile_fn table[TILE_SEVEN + 1][TILE_MODES] = {MX_TILE_ROWS(list)};
  table[tile_shape_index(s)][mode](t, tiles);
}

#endif
