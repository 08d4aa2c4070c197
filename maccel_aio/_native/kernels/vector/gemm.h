/* gemm.h - float products in the order of mxq.h: one chain of fused multiply-adds per output, along k.
 *
 * A tile is a few rows by one panel of columns. Elements of a row are broadcast from where they lie; a panel holds its columns
 * side by side, [k][columns], as floats or, for weights, as s8 or bf16. Most panels have GEMM_COLUMNS columns. Few rows
 * are multiplied with panels of GEMM_WIDE: weights are then one long stream, and one row has enough chains of its own. */
#ifndef MX_VECTOR_GEMM_H
#define MX_VECTOR_GEMM_H

#include "transpose.h"

#ifdef __AVX512F__
enum { GEMM_ROWS = 12, GEMM_LANES = 2, GEMM_WIDE_ROWS = 3 };
#else
enum { GEMM_ROWS = 6, GEMM_LANES = 1, GEMM_WIDE_ROWS = 1 };
#endif
enum {
  GEMM_COLUMNS = 16 * GEMM_LANES,
  GEMM_WIDE = 4 * GEMM_COLUMNS,
  GEMM_BLOCK = 256,
  GEMM_CACHE = 384 << 10
};

/* How the elements of a panel are stored. */
enum { GEMM_F32, GEMM_S8, GEMM_BF16, GEMM_KINDS };

static inline int gemm_kind(int dtype) {
  return dtype == MACCEL_S8 ? GEMM_S8 : dtype == MACCEL_BF16 ? GEMM_BF16 : GEMM_F32;
}
static inline int64_t gemm_bytes(int kind) { return kind == GEMM_S8 ? 1 : kind == GEMM_BF16 ? 2 : 4; }

/* Where column c lies in a row of a panel. Two halves of bf16 columns are interleaved: a shift and a mask widen them. */
static inline int64_t gemm_place(int kind, int64_t c) {
  enum { HALF = 8 * GEMM_LANES };
  if (kind != GEMM_BF16) return c;
  return c / (2 * HALF) * (2 * HALF) + c % HALF * 2 + c / HALF % 2;
}

/* 16 * lanes columns of one step from column c of the panel on */
MX_INLINE void gemm_load(int kind, const void *panel, int64_t c, int lanes, f16 *w) {
  if (kind == GEMM_BF16) {
    const uint16_t *p = (const uint16_t *)panel + c;
#ifdef __AVX512F__
    MX_UNROLL for (int n = 0; n < lanes; n += 2) f16_load_bf16_pair(p + 16 * n, w + n);
#else
    MX_UNROLL for (int n = 0; n < lanes; n++) w[n] = f16_load_bf16_halves(p + 16 * n);
#endif
  } else if (kind == GEMM_S8) {
    MX_UNROLL for (int n = 0; n < lanes; n++) w[n] = f16_load_s8((const int8_t *)panel + c + 16 * n);
  } else {
    MX_UNROLL for (int n = 0; n < lanes; n++) w[n] = f16_load((const float *)panel + c + 16 * n);
  }
}

/* c[m][n] = scale * sum of a[m][i] * panel[i][n]; lda and ldc count floats. */
MX_INLINE void gemm_tile(int rows, int lanes, int kind, const float *a, int64_t lda, const void *panel,
                         int64_t k, float scale, float *c, int64_t ldc) {
  /* every third row has an address of its own: lda and 2 lda reach the others */
  const float *base[4] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda};
  f16 s[GEMM_ROWS][8];
  _Pragma("GCC unroll 12") for (int m = 0; m < rows; m++) {
    MX_UNROLL for (int n = 0; n < lanes; n++) s[m][n] = f16_zero();
  }
  for (int64_t i = 0; i < k; i++) {
    f16 w[8];
    gemm_load(kind, panel, i * 16 * lanes, lanes, w);
    _Pragma("GCC unroll 12") for (int m = 0; m < rows; m++) {
      const f16 x = f16_all(base[m / 3][m % 3 * lda + i]);
      MX_UNROLL for (int n = 0; n < lanes; n++) s[m][n] = f16_fma(x, w[n], s[m][n]);
    }
  }
  _Pragma("GCC unroll 12") for (int m = 0; m < rows; m++) {
    MX_UNROLL for (int n = 0; n < lanes; n++)
        f16_store(c + m * ldc + 16 * n, f16_mul(s[m][n], f16_all(scale)));
  }
}

typedef void (*gemm_fn)(const float *a, int64_t lda, const void *panel, int64_t k, float scale, float *c,
                        int64_t ldc);

#define GEMM_TILE_OF(name, rows, lanes, kind)                                                           \
  static __attribute__((noinline)) void name(const float *a, int64_t lda, const void *panel, int64_t k, \
                                             float scale, float *c, int64_t ldc) {                      \
    gemm_tile(rows, lanes, kind, a, lda, panel, k, scale, c, ldc);                                      \
  }
#define GEMM_TILES(name, rows, lanes)                    \
  GEMM_TILE_OF(name##_f32_##rows, rows, lanes, GEMM_F32) \
  GEMM_TILE_OF(name##_s8_##rows, rows, lanes, GEMM_S8)   \
  GEMM_TILE_OF(name##_bf16_##rows, rows, lanes, GEMM_BF16)
GEMM_TILES(gemm, 1, GEMM_LANES)
GEMM_TILES(gemm, 2, GEMM_LANES)
GEMM_TILES(gemm, 3, GEMM_LANES)
GEMM_TILES(gemm, 4, GEMM_LANES)
GEMM_TILES(gemm, 6, GEMM_LANES)
GEMM_TILES(gemm_wide, 1, 4 * GEMM_LANES)
#ifdef __AVX512F__
GEMM_TILES(gemm, 8, GEMM_LANES)
GEMM_TILES(gemm, 12, GEMM_LANES)
GEMM_TILES(gemm_wide, 2, 4 * GEMM_LANES)
GEMM_TILES(gemm_wide, 3, 4 * GEMM_LANES)
#endif
#undef GEMM_TILES
#undef GEMM_TILE_OF

typedef struct gemm_step {
  int rows;
  gemm_fn run[GEMM_KINDS];
} gemm_step;

#define GEMM_STEP(name, rows)                                         \
  {                                                                   \
    rows, { name##_f32_##rows, name##_s8_##rows, name##_bf16_##rows } \
  }

/* The tallest tile for what is left of `rows`. */
MX_INLINE const gemm_step *gemm_step_for(int64_t rows, int wide) {
  static const gemm_step steps[] = {
#ifdef __AVX512F__
      GEMM_STEP(gemm, 12), GEMM_STEP(gemm, 8),
#endif
      GEMM_STEP(gemm, 6),  GEMM_STEP(gemm, 4), GEMM_STEP(gemm, 3), GEMM_STEP(gemm, 2), GEMM_STEP(gemm, 1)};
  static const gemm_step wides[] = {
#ifdef __AVX512F__
      GEMM_STEP(gemm_wide, 3), GEMM_STEP(gemm_wide, 2),
#endif
      GEMM_STEP(gemm_wide, 1)};
  const gemm_step *s = wide ? wides : steps;
  while (s->rows > rows) s++;
  return s;
}
#undef GEMM_STEP

/* rows <= GEMM_ROWS rows by one panel */
MX_INLINE void gemm_rows(int rows, int wide, int kind, const float *a, int64_t lda, const void *panel,
                         int64_t k, float scale, float *c, int64_t ldc) {
  while (rows > 0) {
    const gemm_step *s = gemm_step_for(rows, wide);
    s->run[kind](a, lda, panel, k, scale, c, ldc);
    a += s->rows * lda, c += s->rows * ldc, rows -= s->rows;
  }
}

/* Columns worked on together: their panels stay in the second-level cache while the rows pass. */
static inline int64_t gemm_block(int64_t k, int64_t n) {
  int64_t columns = GEMM_CACHE / (4 * (k > 0 ? k : 1)) / GEMM_COLUMNS * GEMM_COLUMNS;
  const int64_t most = (n + GEMM_COLUMNS - 1) / GEMM_COLUMNS * GEMM_COLUMNS;
  if (columns < GEMM_COLUMNS) columns = GEMM_COLUMNS;
  if (columns > GEMM_BLOCK) columns = GEMM_BLOCK;
  return columns < most ? columns : most;
}

/* Rows whose distance is a multiple of 2 KiB meet in a few sets of the first-level cache. */
MX_INLINE int gemm_collides(int64_t bytes) { return (bytes & 2047) == 0; }

/* Distance of rows that are copied, in floats. */
MX_INLINE int64_t gemm_row_pitch(int64_t k) {
  const int64_t pitch = (k + 15) / 16 * 16;
  return gemm_collides(pitch * 4) ? pitch + 16 : pitch;
}

#endif
