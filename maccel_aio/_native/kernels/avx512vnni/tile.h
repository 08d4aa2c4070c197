/* tile.h - the u8 x s8 register tiles: ROWS pixels x BLOCKS * 16 output channels, a loop over tiles inside.
 *
 * Weights of one panel: [taps][k4][BLOCKS][16][4] bytes; with `half` the last block has 8 columns only and lives in the
 * low half of its registers. Columns are in their order, except in panels of four whole blocks whose results are bytes: there
 *   vector j, 128-bit lane L, element i  holds column  16 * L + 4 * j + i       (tile_column)
 * and packing s32 -> s16 -> bytes, which works inside lanes, leaves a row of 64 channels without a permutation. */
#ifndef MX_AVX512VNNI_TILE_H
#define MX_AVX512VNNI_TILE_H

#include <immintrin.h>
#include <string.h>

#include "../vector/geometry.h"

enum tile_mode {
  TILE_SATURATE, /* u8, zero 0, clamp 0..255, all columns written: packing does it all */
  TILE_CLAMP,    /* u8 or s8, any zero and clamp */
  TILE_RESIDUAL, /* the same plus an image of bytes */
  TILE_NARROW,   /* the same plus an s16 image, with an optional clamp in float; or with hard swish */
  TILE_WIDE,     /* s16, plus an s16 image or not, with a second output of bytes or not */
  TILE_FLOAT,    /* f32: times a scale of the row, plus a bias, plus an f32 image, each if there is one */
  TILE_SUMS,     /* s32 sums */
  TILE_MODES
};

/* A constant in all elements: an operand in memory costs less than a register that has to be filled again. */
typedef struct tile_all {
  __m512i v;
} tile_all;

/* Bytes from values: clamp(rne(v) + zero, low, high), for s8 all in u8 shifted by 128. */
typedef struct tile_bytes {
  tile_all zero;      /* s16 */
  tile_all low, high; /* u8 */
  tile_all flip;      /* 128 for s8, 0 for u8 */
  __mmask64 mask;     /* columns that may be written */
  int saturate;       /* u8, zero 0, 0 to 255: packing clamps */
} tile_bytes;

/* Where a row of a tile finds its other inputs and leaves its results. */
typedef struct tile_place {
  uint8_t *out, *out1;
  const uint8_t *res, *row_scale;
  int64_t first; /* list form: entry of the tile's first pixel */
} tile_place;

typedef struct tile {
  const int8_t *weights;    /* of the panel */
  const int32_t *bias;      /* of the panel */
  const float *scale;       /* of the panel */
  int k4, taps;             /* steps of four elements in a tap */
  int64_t ahead;            /* direct form: from the panel to one that is fetched meanwhile; 0: none */
  /* direct form: pixel m at a + m * a_step, tap t at + tap_offset[t] */
  const uint8_t *a;
  int64_t a_step;
  const int64_t *tap_offset;
  tile_place at;            /* at the panel's first column; rows of scratch for staged results */
  int64_t out_step, out1_step, res_step, row_scale_step;
  /* list form: pixel m of tap t at rows[t * list_step + m], the others at channel 0 of the group */
  const uint8_t *const *rows;
  int64_t list_step;
  uint8_t *const *outs;
  uint8_t *const *outs1;
  const uint8_t *const *ress;
  const float *row_scales;
  int64_t out_at, out1_at, res_at; /* of the panel, in bytes */
  /* output */
  int dense; /* direct form, bytes alone: no gaps between rows, all columns may be written? */
  tile_bytes bytes; /* of the only output, or of the second one of TILE_WIDE */
  __mmask64 wide_mask; /* columns that may be written of the s16 or f32 output */
  tile_all wide_low, wide_high;
  int wide_floor, wide_ceiling; /* above the least s16? below the greatest? Otherwise packing clamps. */
  int second; /* TILE_WIDE: is there a second output? */
  int whole; /* TILE_WIDE: does no column of the panel need a mask? */
  tile_all second_scale;
  int residual; /* TILE_WIDE, TILE_FLOAT: is there a residual? */
  int dynamic; /* TILE_FLOAT: are there row scales? */
  int staged; /* TILE_FLOAT: do rows go to scratch, in the list form too? */
  const float *float_bias; /* of the panel, or NULL */
  __mmask64 res_mask; /* columns that exist */
  tile_all res_zero, res_flip, res_scale;
  int clamp_before, clamp_after; /* TILE_NARROW, TILE_WIDE: min(max(v, a), b) on this side of the residual */
  tile_all clamp_a, clamp_b;
  int hard; /* TILE_NARROW without a residual: v * min(max(v * a + b, 0), 1) * times, then the clamp */
  tile_all hard_a, hard_b, times;
} tile;

MX_INLINE __m512 tile_floats(const tile_all *c) { return _mm512_castsi512_ps(c->v); }
MX_INLINE tile_all tile_all_bytes(int v) { return (tile_all){_mm512_set1_epi8((char)v)}; }
MX_INLINE tile_all tile_all_words(int v) { return (tile_all){_mm512_set1_epi16((short)v)}; }
MX_INLINE tile_all tile_all_ints(int v) { return (tile_all){_mm512_set1_epi32(v)}; }
MX_INLINE tile_all tile_all_floats(float v) { return (tile_all){_mm512_castps_si512(_mm512_set1_ps(v))}; }

MX_INLINE int tile_column(int position) {
  const int j = position >> 4, lane = (position >> 2) & 3, i = position & 3;
  return 16 * lane + 4 * j + i;
}

/* Does the panel hold its columns in the order of tile_column()? */
MX_INLINE int tile_permuted(int mode, int blocks, int half) {
  return blocks == 4 && !half && mode <= TILE_RESIDUAL;
}

/* Bytes of one step of four elements of all columns. */
MX_INLINE int tile_step(int blocks, int half) { return 64 * blocks - 32 * half; }

/* As an intrinsic, gcc 12 copies and spills the accumulators; one instruction of asm cannot be split. */
MX_INLINE void tile_dot(__m512i *acc, __m512i a, __m512i b, int half) {
  if (half)
    __asm__ volatile("vpdpbusd %t2, %t1, %t0" : "+v"(*acc) : "v"(a), "v"(b));
  else
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(b));
}

MX_INLINE __m512i tile_broadcast4(const uint8_t *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return _mm512_set1_epi32(v);
}

MX_INLINE void tile_load_weights(int blocks, int half, __m512i b[4], const int8_t *w) {
  MX_UNROLL for (int n = 0; n < blocks; n++) b[n] =
      half && n == blocks - 1
          ? _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)(w + 64 * n)))
          : _mm512_loadu_si512(w + 64 * n);
}

MX_INLINE void tile_start(int rows, int blocks, __m512i acc[8][4], const int32_t *bias) {
  __m512i start[4];
  MX_UNROLL for (int n = 0; n < blocks; n++) start[n] = _mm512_loadu_si512(bias + 16 * n);
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < blocks; n++) acc[m][n] = start[n];
}

/* Asks for a line that will be read from the second-level cache. As an intrinsic the compiler may move it. */
MX_INLINE void tile_fetch(const int8_t *w, int64_t ahead) {
  __asm__ volatile("prefetcht1 (%0,%1)" ::"r"(w), "r"(ahead));
}

/* One tap of a direct tile. Three base registers and two steps address up to eight rows. */
MX_INLINE const int8_t *tile_direct_tap(int rows, int blocks, int half, __m512i acc[8][4], const uint8_t *a,
                                        int64_t step, const int8_t *w, int k4, int64_t ahead) {
  const uint8_t *p0 = a, *p1 = a + 3 * step, *p2 = a + 6 * step;
  int64_t step2 = 2 * step;
  __asm__ volatile("" : "+r"(p0), "+r"(p1), "+r"(p2), "+r"(step2));
  for (int k = 0; k < k4; k++) {
    __m512i b[4];
    tile_load_weights(blocks, half, b, w);
    if (rows == 7) tile_fetch(w, ahead); /* in shorter tiles it costs more than it gains */
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const uint8_t *base = m < 3 ? p0 : m < 6 ? p1 : p2;
      const __m512i v = tile_broadcast4(base + (m % 3 == 0 ? 0 : m % 3 == 1 ? step : step2));
      MX_UNROLL for (int n = 0; n < blocks; n++) tile_dot(&acc[m][n], v, b[n], half && n == blocks - 1);
    }
    w += tile_step(blocks, half), p0 += 4, p1 += 4, p2 += 4;
  }
  return w;
}

MX_INLINE const int8_t *tile_list_tap(int rows, int blocks, int half, __m512i acc[8][4],
                                      const uint8_t *const *list, const int8_t *w, int k4) {
  const uint8_t *p[8];
  MX_UNROLL for (int m = 0; m < rows; m++) p[m] = list[m];
  for (int64_t k = 0; k < 4 * (int64_t)k4; k += 4) {
    __m512i b[4];
    tile_load_weights(blocks, half, b, w);
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const __m512i v = tile_broadcast4(p[m] + k);
      MX_UNROLL for (int n = 0; n < blocks; n++) tile_dot(&acc[m][n], v, b[n], half && n == blocks - 1);
    }
    w += tile_step(blocks, half);
  }
  return w;
}

#endif
