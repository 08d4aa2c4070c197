/* gemm_weights.h - constant weights [n][k] as panels of gemm.h: wide ones first where few rows are multiplied with them,
 * then usual ones, the last one filled up with zeros. */
#ifndef MX_VECTOR_GEMM_WEIGHTS_H
#define MX_VECTOR_GEMM_WEIGHTS_H

#include "gemm.h"

typedef struct gemm_weights {
  int kind; /* GEMM_* */
  int64_t n, k; /* columns (outputs), depth */
  int64_t wide; /* columns in wide panels */
} gemm_weights;

/* For products with at most `rows` rows at a time. */
static inline gemm_weights gemm_weights_of(int kind, int64_t n, int64_t k, int64_t rows) {
  return (gemm_weights){kind, n, k, rows <= GEMM_WIDE_ROWS ? n / GEMM_WIDE * GEMM_WIDE : 0};
}

static inline int64_t gemm_weights_columns(const gemm_weights *w) {
  return (w->n + GEMM_COLUMNS - 1) / GEMM_COLUMNS * GEMM_COLUMNS;
}

static inline int64_t gemm_weights_bytes(const gemm_weights *w) {
  return gemm_weights_columns(w) * w->k * gemm_bytes(w->kind);
}

/* from: [n][k] of the weights' type; to: zeroed */
static void gemm_weights_pack(const gemm_weights *w, const void *from, void *to) {
  const int64_t bytes = gemm_bytes(w->kind);
  for (int64_t o = 0; o < w->n; o++) {
    const int64_t width = o < w->wide ? GEMM_WIDE : GEMM_COLUMNS, first = o / width * width;
    const uint8_t *source = (const uint8_t *)from + o * w->k * bytes;
    uint8_t *at = (uint8_t *)to + (first * w->k + gemm_place(w->kind, o - first)) * bytes;
    for (int64_t i = 0; i < w->k; i++) memcpy(at + i * width * bytes, source + i * bytes, (size_t)bytes);
  }
}

/* v[m][j - lo] for outputs j in [lo, hi) and rows <= GEMM_ROWS rows of a; `lo` is where a panel starts, and whole panels
 * are stored. */
static void gemm_weights_run(const gemm_weights *w, const void *packed, int rows, const float *a, int64_t lda,
                             int64_t lo, int64_t hi, float *v, int64_t ldv) {
  const uint8_t *weights = (const uint8_t *)packed;
  for (int64_t c = lo; c < hi;) {
    const int wide = c < w->wide;
    gemm_rows(rows, wide, w->kind, a, lda, weights + c * w->k * gemm_bytes(w->kind), w->k, 1.0f, v + c - lo,
              ldv);
    c += wide ? GEMM_WIDE : GEMM_COLUMNS;
  }
}

#endif
