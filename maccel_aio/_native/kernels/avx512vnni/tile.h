/* tile.h - the u8 x s8 register tiles: ROWS pixels x BLOCKS * 16 output channels, a loop over tiles inside.
 *
 * Weights of one panel: [taps][k4][BLOCKS][16][4] bytes. The columns of a panel are permuted when it is packed, so
 * that packing s32 -> s16 -> u8, which works inside 128-bit lanes, needs at most one permutation per 64 bytes:
 *   vector j, lane L, element i  holds column  4 * BLOCKS * L + 4 * j + i       (tile_column)
 * The epilogue runs row by row behind its own tile: a whole tile of s32 is never live, nothing is spilled. */
#ifndef MX_AVX512VNNI_TILE_H
#define MX_AVX512VNNI_TILE_H

#include <immintrin.h>
#include <string.h>

#include "../vector/geometry.h"

enum tile_mode {
  TILE_SATURATE, /* u8, zero 0, clamp 0..255: packing does it all */
  TILE_CLAMP,    /* u8, any zero and clamp */
  TILE_RESIDUAL, /* u8 plus a u8 residual, any zero and clamp */
  TILE_SUMS,     /* s32 sums in natural column order */
  TILE_MODES
};

typedef struct tile {
  const int8_t *weights;    /* of the panel */
  const int32_t *bias;      /* of the panel, permuted */
  const float *scale;       /* of the panel, permuted */
  int k4, taps;             /* steps of four elements in a tap */
  /* direct form: pixel m at a + m * a_step, tap t at + tap_offset[t] */
  const uint8_t *a;
  int64_t a_step;
  const int64_t *tap_offset;
  uint8_t *out;             /* at the panel's first column; s32 rows for TILE_SUMS */
  int64_t out_step;
  const uint8_t *res;
  int64_t res_step;
  /* list form: pixel m of tap t at rows[t * list_step + m], outputs and residuals at channel 0 of the group */
  const uint8_t *const *rows;
  int64_t list_step;
  uint8_t *const *outs;
  const uint8_t *const *ress;
  int64_t column;           /* of the panel, in bytes */
  /* output */
  __mmask64 mask;           /* columns that exist, when not all of the panel may be written */
  int whole;                /* 1: all columns of the panel may be written */
  int zero, low, high;
  int res_zero;
  float res_scale;
} tile;

MX_INLINE int tile_column(int blocks, int position) {
  const int j = position >> 4, lane = (position >> 2) & 3, i = position & 3;
  return 4 * blocks * lane + 4 * j + i;
}

/* As an intrinsic, gcc 12 copies and spills the accumulators; one instruction of asm cannot be split. */
MX_INLINE void tile_dot(__m512i *acc, __m512i a, __m512i b) {
  __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(b));
}

MX_INLINE __m512i tile_broadcast4(const uint8_t *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return _mm512_set1_epi32(v);
}

MX_INLINE void tile_start(int rows, int blocks, __m512i acc[8][4], const int32_t *bias) {
  __m512i start[4];
  MX_UNROLL for (int n = 0; n < blocks; n++) start[n] = _mm512_loadu_si512(bias + 16 * n);
  MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < blocks; n++) acc[m][n] = start[n];
}

/* One tap of a direct tile. Three base registers and two steps address up to eight rows. */
MX_INLINE const int8_t *tile_direct_tap(int rows, int blocks, __m512i acc[8][4], const uint8_t *a,
                                        int64_t step, const int8_t *w, int k4) {
  const uint8_t *p0 = a, *p1 = a + 3 * step, *p2 = a + 6 * step;
  int64_t step2 = 2 * step;
  __asm__ volatile("" : "+r"(p0), "+r"(p1), "+r"(p2), "+r"(step2));
  for (int k = 0; k < k4; k++) {
    __m512i b[4];
    MX_UNROLL for (int n = 0; n < blocks; n++) b[n] = _mm512_loadu_si512(w + 64 * n);
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const uint8_t *base = m < 3 ? p0 : m < 6 ? p1 : p2;
      const __m512i v = tile_broadcast4(base + (m % 3 == 0 ? 0 : m % 3 == 1 ? step : step2));
      MX_UNROLL for (int n = 0; n < blocks; n++) tile_dot(&acc[m][n], v, b[n]);
    }
    w += 64 * blocks, p0 += 4, p1 += 4, p2 += 4;
  }
  return w;
}

MX_INLINE const int8_t *tile_list_tap(int rows, int blocks, __m512i acc[8][4], const uint8_t *const *list,
                                      const int8_t *w, int k4) {
  const uint8_t *p[8];
  MX_UNROLL for (int m = 0; m < rows; m++) p[m] = list[m];
  for (int64_t k = 0; k < 4 * (int64_t)k4; k += 4) {
    __m512i b[4];
    MX_UNROLL for (int n = 0; n < blocks; n++) b[n] = _mm512_loadu_si512(w + 64 * n);
    MX_UNROLL for (int m = 0; m < rows; m++) {
      const __m512i v = tile_broadcast4(p[m] + k);
      MX_UNROLL for (int n = 0; n < blocks; n++) tile_dot(&acc[m][n], v, b[n]);
    }
    w += 64 * blocks;
  }
  return w;
}

/* ---- from sums to bytes. A "pack" is 64 bytes: one row of 3 or 4 blocks, two rows of 2, four rows of 1. */

MX_INLINE __m512i tile_pack_order(int blocks, __m512i x) {
  if (blocks == 1)
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                                    x);
  if (blocks == 2) return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), x);
  if (blocks == 3)
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15),
                                    x);
  return x;
}

/* The inverse: rows in memory order -> the lanes that packing works in. */
MX_INLINE __m512i tile_unpack_order(int blocks, __m512i x) {
  if (blocks == 1)
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                                    x);
  if (blocks == 2) return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), x);
  if (blocks == 3)
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 12, 3, 4, 5, 13, 6, 7, 8, 14, 9, 10, 11, 15),
                                    x);
  return x;
}

MX_INLINE int tile_rows_per_pack(int blocks) { return blocks >= 3 ? 1 : blocks == 2 ? 2 : 4; }

MX_INLINE uint8_t *tile_out_row(int list, const tile *t, uint8_t *out, int m) {
  return list ? t->outs[m] + t->column : out + m * t->out_step;
}
MX_INLINE const uint8_t *tile_res_row(int list, const tile *t, const uint8_t *res, int m) {
  return list ? t->ress[m] + t->column : res + m * t->res_step;
}

/* The columns of the panel that exist, of one residual row. */
MX_INLINE __m512i tile_residual_row(int blocks, const tile *t, const uint8_t *row) {
  if (t->whole && blocks == 4) return _mm512_loadu_si512(row);
  const __mmask64 panel = blocks == 4 ? ~(__mmask64)0 : ((__mmask64)1 << (16 * blocks)) - 1;
  return _mm512_maskz_loadu_epi8(t->whole ? panel : t->mask & panel, row);
}

/* Residual bytes of the pack that starts at row m, in pack lanes. Behind the last column another part may write. */
MX_INLINE __m512i tile_load_residual(int rows, int blocks, int list, const tile *t, const uint8_t *res,
                                     int m) {
  if (blocks >= 3)
    return tile_unpack_order(blocks, tile_residual_row(blocks, t, tile_res_row(list, t, res, m)));
  const int last = rows - 1;
  if (blocks == 2) {
    const __m512i lo = tile_residual_row(2, t, tile_res_row(list, t, res, m));
    const __m512i hi = tile_residual_row(2, t, tile_res_row(list, t, res, m + 1 < rows ? m + 1 : last));
    return tile_unpack_order(2, _mm512_inserti64x4(lo, _mm512_castsi512_si256(hi), 1));
  }
  __m512i x = tile_residual_row(1, t, tile_res_row(list, t, res, m));
  MX_UNROLL for (int g = 1; g < 4; g++) {
    const __m128i y = _mm512_castsi512_si128(
        tile_residual_row(1, t, tile_res_row(list, t, res, m + g < rows ? m + g : last)));
    x = g == 1   ? _mm512_inserti32x4(x, y, 1)
        : g == 2 ? _mm512_inserti32x4(x, y, 2)
                 : _mm512_inserti32x4(x, y, 3);
  }
  return tile_unpack_order(1, x);
}

/* (float)(q - zero) * m for vector j of a pack */
MX_INLINE __m512 tile_residual(__m512i pack, int j, const tile *t) {
  const __m128i pick = _mm_setr_epi8((char)(4 * j), -1, -1, -1, (char)(4 * j + 1), -1, -1, -1,
                                     (char)(4 * j + 2), -1, -1, -1, (char)(4 * j + 3), -1, -1, -1);
  const __m512i q = _mm512_shuffle_epi8(pack, _mm512_broadcast_i32x4(pick));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(t->res_zero))),
                       _mm512_set1_ps(t->res_scale));
}

MX_INLINE void tile_store_row(int blocks, const tile *t, uint8_t *row, __m512i pack, int part, int whole) {
  if (blocks == 4) {
    if (whole)
      _mm512_storeu_si512(row, pack);
    else
      _mm512_mask_storeu_epi8(row, t->mask, pack);
  } else if (blocks == 3) {
    if (whole)
      _mm512_mask_storeu_epi32(row, 0x0fff, pack);
    else
      _mm512_mask_storeu_epi8(row, t->mask, pack);
  } else if (blocks == 2) {
    const __m256i v = part ? _mm512_extracti64x4_epi64(pack, 1) : _mm512_castsi512_si256(pack);
    if (whole)
      _mm256_storeu_si256((__m256i *)row, v);
    else
      _mm256_mask_storeu_epi8(row, (__mmask32)t->mask, v);
  } else {
    const __m128i v = part == 0   ? _mm512_castsi512_si128(pack)
                      : part == 1 ? _mm512_extracti32x4_epi32(pack, 1)
                      : part == 2 ? _mm512_extracti32x4_epi32(pack, 2)
                                  : _mm512_extracti32x4_epi32(pack, 3);
    if (whole)
      _mm_storeu_si128((__m128i *)row, v);
    else
      _mm_mask_storeu_epi8(row, (__mmask16)t->mask, v);
  }
}

MX_INLINE void tile_store(int rows, int blocks, int mode, int list, __m512i acc[8][4], const tile *t,
                          uint8_t *out, const uint8_t *res) {
  if (mode == TILE_SUMS) {
    MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < blocks; n++)
        _mm512_storeu_si512(out + m * t->out_step + 64 * n, acc[m][n]);
    return;
  }
  const int group = tile_rows_per_pack(blocks), whole = mode == TILE_SATURATE ? 1 : t->whole;
  __m512 scale[4];
  MX_UNROLL for (int n = 0; n < blocks; n++) scale[n] = _mm512_loadu_ps(t->scale + 16 * n);
  MX_UNROLL for (int m = 0; m < rows; m += group) {
    __m512i bytes = _mm512_setzero_si512(), z[4];
    if (mode == TILE_RESIDUAL) bytes = tile_load_residual(rows, blocks, list, t, res, m);
    MX_UNROLL for (int q = 0; q < 4; q++) {
      const int row = m + (blocks >= 3 ? 0 : q / blocks), n = blocks == 3 ? (q < 3 ? q : 2) : q % blocks;
      __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[row < rows ? row : rows - 1][n]), scale[n]);
      if (mode == TILE_RESIDUAL) v = _mm512_add_ps(v, tile_residual(bytes, q, t));
      z[q] = _mm512_cvtps_epi32(v);
    }
    __m512i x = _mm512_packs_epi32(z[0], z[1]), y = _mm512_packs_epi32(z[2], z[3]);
    if (mode != TILE_SATURATE) {
      const __m512i zero = _mm512_set1_epi16((short)t->zero);
      x = _mm512_adds_epi16(x, zero), y = _mm512_adds_epi16(y, zero);
    }
    x = _mm512_packus_epi16(x, y);
    if (mode != TILE_SATURATE)
      x = _mm512_min_epu8(_mm512_max_epu8(x, _mm512_set1_epi8((char)t->low)),
                          _mm512_set1_epi8((char)t->high));
    x = tile_pack_order(blocks, x);
    MX_UNROLL for (int g = 0; g < group; g++) if (m + g < rows)
        tile_store_row(blocks, t, tile_out_row(list, t, out, m + g), x, g, whole);
    __asm__ volatile("" ::: "memory"); /* keeps the rows apart: see the head of the file */
  }
}

/* ---- the two forms; `rows`, `blocks` and `mode` are constants of each instance */

MX_INLINE void tile_run_direct(int rows, int blocks, int mode, const tile *t, int64_t tiles) {
  const uint8_t *a = t->a, *res = t->res;
  uint8_t *out = t->out;
  for (; tiles > 0; tiles--) {
    __m512i acc[8][4];
    const int8_t *w = t->weights;
    tile_start(rows, blocks, acc, t->bias);
    for (int k = 0; k < t->taps; k++)
      w = tile_direct_tap(rows, blocks, acc, a + t->tap_offset[k], t->a_step, w, t->k4);
    tile_store(rows, blocks, mode, 0, acc, t, out, res);
    a += rows * t->a_step, out += rows * t->out_step, res += rows * t->res_step;
  }
}

MX_INLINE void tile_run_list(int rows, int blocks, int mode, const tile *given, int64_t tiles) {
  tile t = *given;
  for (; tiles > 0; tiles--) {
    __m512i acc[8][4];
    const int8_t *w = t.weights;
    tile_start(rows, blocks, acc, t.bias);
    for (int k = 0; k < t.taps; k++) w = tile_list_tap(rows, blocks, acc, t.rows + k * t.list_step, w, t.k4);
    tile_store(rows, blocks, mode, 1, acc, &t, t.out, NULL);
    t.rows += rows, t.outs += rows, t.ress += rows, t.out += rows * t.out_step;
  }
}

typedef void (*tile_fn)(const tile *t, int64_t tiles);

#define MX_TILE_INSTANCE(form, rows, blocks, mode)                                                \
  static __attribute__((noinline)) void tile_##form##_##rows##x##blocks##_##mode(const tile *t,   \
                                                                                 int64_t tiles) { \
    tile_run_##form(rows, blocks, mode, t, tiles);                                                \
  }
#define MX_TILE_INSTANCES(form, rows, blocks)         \
  MX_TILE_INSTANCE(form, rows, blocks, TILE_SATURATE) \
  MX_TILE_INSTANCE(form, rows, blocks, TILE_CLAMP)    \
  MX_TILE_INSTANCE(form, rows, blocks, TILE_RESIDUAL) \
  MX_TILE_INSTANCE(form, rows, blocks, TILE_SUMS)
#define MX_TILE_ROW(form, rows, blocks)                                                           \
  {tile_##form##_##rows##x##blocks##_TILE_SATURATE, tile_##form##_##rows##x##blocks##_TILE_CLAMP, \
   tile_##form##_##rows##x##blocks##_TILE_RESIDUAL, tile_##form##_##rows##x##blocks##_TILE_SUMS}

MX_TILE_INSTANCES(direct, 4, 4)
MX_TILE_INSTANCES(direct, 7, 4)
MX_TILE_INSTANCES(direct, 4, 3)
MX_TILE_INSTANCES(direct, 8, 2)
MX_TILE_INSTANCES(direct, 8, 1)
MX_TILE_INSTANCES(list, 4, 4)
MX_TILE_INSTANCES(list, 7, 4)
MX_TILE_INSTANCES(list, 4, 3)
MX_TILE_INSTANCES(list, 8, 2)
MX_TILE_INSTANCES(list, 8, 1)
MX_TILE_INSTANCES(list, 1, 4)
MX_TILE_INSTANCES(list, 1, 3)
MX_TILE_INSTANCES(list, 1, 2)
MX_TILE_INSTANCES(list, 1, 1)

/* Rows of a tile for n pixels: one, the size that leaves no remainder for 7 x 7 images, or the usual one. */
static int tile_rows(int blocks, int64_t n) {
  if (n == 1) return 1;
  if (blocks == 4 && n % 7 == 0 && n % 4 != 0) return 7;
  return blocks >= 3 ? 4 : 8;
}

static void tile_direct(int blocks, int rows, int mode, const tile *t, int64_t tiles) {
  static const tile_fn usual[5][TILE_MODES] = {{NULL},
                                               MX_TILE_ROW(direct, 8, 1),
                                               MX_TILE_ROW(direct, 8, 2),
                                               MX_TILE_ROW(direct, 4, 3),
                                               MX_TILE_ROW(direct, 4, 4)};
  static const tile_fn seven[TILE_MODES] = MX_TILE_ROW(direct, 7, 4);
  (rows == 7 ? seven : usual[blocks])[mode](t, tiles);
}

static void tile_list(int blocks, int rows, int mode, const tile *t, int64_t tiles) {
  static const tile_fn usual[5][TILE_MODES] = {{NULL},
                                               MX_TILE_ROW(list, 8, 1),
                                               MX_TILE_ROW(list, 8, 2),
                                               MX_TILE_ROW(list, 4, 3),
                                               MX_TILE_ROW(list, 4, 4)};
  static const tile_fn single[5][TILE_MODES] = {{NULL},
                                                MX_TILE_ROW(list, 1, 1),
                                                MX_TILE_ROW(list, 1, 2),
                                                MX_TILE_ROW(list, 1, 3),
                                                MX_TILE_ROW(list, 1, 4)};
  static const tile_fn seven[TILE_MODES] = MX_TILE_ROW(list, 7, 4);
  (rows == 7 ? seven : (rows == 1 ? single : usual)[blocks])[mode](t, tiles);
}

#endif
