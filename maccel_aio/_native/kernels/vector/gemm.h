/* gemm.h - float products in the order of mxq.h: one chain of fused multiply-adds per output, along k.
 *
 * A tile is a few rows by one panel of columns. Elements of a row are broadcast from where they lie; a panel holds its columns
 * side by side, [k][GEMM_COLUMNS], as floats or (weights) as s8. */
#ifndef MX_VECTOR_GEMM_H
#define MX_VECTOR_GEMM_H

#include "transpose.h"

#ifdef __AVX512F__
enum { GEMM_ROWS = 12, GEMM_LANES = 2 };
#else
enum { GEMM_ROWS = 6, GEMM_LANES = 1 };
#endif
enum { GEMM_COLUMNS = 16 * GEMM_LANES, GEMM_BLOCK = 256, GEMM_CACHE = 384 << 10 };

/* c[m][n] = scale * sum of a[m][i] * panel[i][n]; lda and ldc count floats. */
MX_INLINE void gemm_tile(int rows, int narrow, const float *a, int64_t lda, const void *panel, int64_t k,
                         float scale, float *c, int64_t ldc) {
  const float *wf = (const float *)panel;
  const int8_t *wi = (const int8_t *)panel;
  /* every third row has an address of its own: lda and 2 lda reach the others */
  const float *base[4] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda};
  f16 s[GEMM_ROWS][GEMM_LANES];
  _Pragma("GCC unroll 12") for (int m = 0; m < rows; m++) {
    MX_UNROLL for (int n = 0; n < GEMM_LANES; n++) s[m][n] = f16_zero();
  }
  for (int64_t i = 0; i < k; i++) {
    f16 w[GEMM_LANES];
    MX_UNROLL for (int n = 0; n < GEMM_LANES; n++) w[n] =
        narrow ? f16_load_s8(wi + i * GEMM_COLUMNS + 16 * n) : f16_load(wf + i * GEMM_COLUMNS + 16 * n);
    _Pragma("GCC unroll 12") for (int m = 0; m < rows; m++) {
      const f16 x = f16_all(base[m / 3][m % 3 * lda + i]);
      MX_UNROLL for (int n = 0; n < GEMM_LANES; n++) s[m][n] = f16_fma(x, w[n], s[m][n]);
    }
  }
  _Pragma("GCC unroll 12") for (int m = 0; m < rows; m++) {
    MX_UNROLL for (int n = 0; n < GEMM_LANES; n++)
        f16_store(c + m * ldc + 16 * n, f16_mul(s[m][n], f16_all(scale)));
  }
}

typedef void (*gemm_fn)(const float *a, int64_t lda, const void *panel, int64_t k, float scale, float *c,
                        int64_t ldc);

#define GEMM_TILE(rows)                                                                                  \
  static __attribute__((noinline)) void gemm_f32_##rows(const float *a, int64_t lda, const void *panel,  \
                                                        int64_t k, float scale, float *c, int64_t ldc) { \
    gemm_tile(rows, 0, a, lda, panel, k, scale, c, ldc);                                                 \
  }                                                                                                      \
  static __attribute__((noinline)) void gemm_s8_##rows(const float *a, int64_t lda, const void *panel,   \
                                                       int64_t k, float scale, float *c, int64_t ldc) {  \
    gemm_tile(rows, 1, a, lda, panel, k, scale, c, ldc);                                                 \
  }
GEMM_TILE(1)
GEMM_TILE(2)
GEMM_TILE(3)
GEMM_TILE(4)
GEMM_TILE(6)
#ifdef __AVX512F__
GEMM_TILE(8)
GEMM_TILE(12)
#endif

typedef struct gemm_step {
  int rows;
  gemm_fn run[2]; /* float, s8 */
} gemm_step;

/* The tallest tile for what is left of `rows`. */
MX_INLINE const gemm_step *gemm_step_for(int64_t rows) {
  static const gemm_step steps[] = {
#ifdef __AVX512F__
      {12, {gemm_f32_12, gemm_s8_12}}, {8, {gemm_f32_8, gemm_s8_8}},
#endif
      {6, {gemm_f32_6, gemm_s8_6}},    {4, {gemm_f32_4, gemm_s8_4}}, {3, {gemm_f32_3, gemm_s8_3}},
      {2, {gemm_f32_2, gemm_s8_2}},    {1, {gemm_f32_1, gemm_s8_1}}};
  const gemm_step *s = steps;
  while (s->rows > rows) s++;
  return s;
}

/* rows <= GEMM_ROWS rows by one panel */
MX_INLINE void gemm_rows(int rows, int narrow, const float *a, int64_t lda, const void *panel, int64_t k,
                         float scale, float *c, int64_t ldc) {
  while (rows > 0) {
    const gemm_step *s = gemm_step_for(rows);
    s->run[narrow](a, lda, panel, k, scale, c, ldc);
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
