/* dw_5x5.h - depthwise 5x5: four rows of the window lie in the lanes of columns, the fifth one across them (dw_strip.h).
 *
 * A window column of five rows would take two lanes of four. Instead four rows make vertical lanes (five multiplications
 * for all their taps), and of the fifth row four neighbouring pixels are one lane: two multiplications for its five taps,
 * seven in all, where 25 taps need at least that many. With stride 1 two output rows even share the vertical lanes:
 * they hold the last four rows of the upper window, which are the first four of the lower one.
 *
 * The interleaved vectors lie in scratch; a tile makes up to seven columns of one output row, vector by vector, with the
 * weights of the whole window in registers. They are interleaved just before the tile that needs them, a few at a time: the
 * stores, which take two cycles each, then drain while the tile multiplies. */
#ifndef MX_AVX512VNNI_DW_5X5_H
#define MX_AVX512VNNI_DW_5X5_H

#include "dw_strip.h"

/* Packed block: for each j bias, scale, weights [weight rows][5 columns, 4 taps of the fifth row, its last tap]. */
enum { DW_5X5_WEIGHTS = 7, DW_5X5_TILE = 7 };

/* Scratch: vertical lanes of a chunk of columns, [output row with stride 2][column][4] vectors, then the lanes across of one
 * tile, [output column and one more][4]. */
MX_INLINE int dw_chunk_of(int stride) { return stride == 1 ? 28 : 14; }
MX_INLINE int64_t dw_columns_row(int stride) { return 256 * ((dw_chunk_of(stride) - 1) * stride + 5); }
MX_INLINE uint8_t *dw_across_at(int stride, const dw_strip *t) {
  return t->columns + stride * dw_columns_row(stride);
}
enum { DW_5X5_BYTES = 256 * (2 * (13 * 2 + 5) + DW_5X5_TILE + 1) };

/* ---- interleaving */

MX_INLINE void dw_pair(__m512i v[2], __m512i a, __m512i b) {
  v[0] = _mm512_unpacklo_epi8(a, b), v[1] = _mm512_unpackhi_epi8(a, b);
}

MX_INLINE void dw_put_words(uint8_t *to, const __m512i a[2], const __m512i b[2]) {
  _mm512_store_si512(to, _mm512_unpacklo_epi16(a[0], b[0]));
  _mm512_store_si512(to + 64, _mm512_unpackhi_epi16(a[0], b[0]));
  _mm512_store_si512(to + 128, _mm512_unpacklo_epi16(a[1], b[1]));
  _mm512_store_si512(to + 192, _mm512_unpackhi_epi16(a[1], b[1]));
}

MX_INLINE void dw_rows_pair(int width, __m512i v[2], const dw_strip *t, int slot, int64_t at) {
  dw_pair(v, dw_load(width, t, slot, at), dw_load(width, t, slot + 1, at));
}

/* Vertical lanes of input columns [x, x + n): slots 1..4, with stride 2 slots 0..3 and 2..5. */
MX_INLINE void dw_down(int width, int stride, const dw_strip *t, uint8_t *to, int x, int n) {
  const __m512i zero = _mm512_set1_epi8((char)t->zero_in);
  for (const int end = x + n; x < end; x++, to += 256) {
    __m512i p[3][2] = {{zero, zero}, {zero, zero}, {zero, zero}};
    if ((unsigned)x < (unsigned)t->in_w) {
      dw_rows_pair(width, p[0], t, stride == 1 ? 1 : 0, x * t->in_px);
      dw_rows_pair(width, p[1], t, stride == 1 ? 3 : 2, x * t->in_px);
      if (stride == 2) dw_rows_pair(width, p[2], t, 4, x * t->in_px);
    }
    dw_put_words(to, p[0], p[1]);
    if (stride == 2) dw_put_words(to + dw_columns_row(2), p[1], p[2]);
  }
}

/* Lanes of four neighbours of the row across of output row r, n of them from input column x on. */
MX_INLINE void dw_across(int width, int stride, const dw_strip *t, int r, int x, int n) {
  const int slot = stride == 1 ? 5 * r : 4 + 2 * r;
  uint8_t *to = dw_across_at(stride, t);
  __m512i p[2][2], next[2], last = dw_pixel(width, t, slot, x + 2);
  dw_pair(p[0], dw_pixel(width, t, slot, x), dw_pixel(width, t, slot, x + 1));
  if (stride == 1) dw_pair(p[1], dw_pixel(width, t, slot, x + 1), last);
  for (int k = 0; k < n; k++, x += stride, to += 256) {
    const __m512i a = stride == 1 ? last : dw_pixel(width, t, slot, x + 2);
    last = dw_pixel(width, t, slot, x + 3);
    dw_pair(next, a, last);
    dw_put_words(to, p[0], next);
    MX_UNROLL for (int i = 0; i < 2; i++) {
      p[0][i] = stride == 1 ? p[1][i] : next[i];
      p[1][i] = next[i];
    }
  }
}

/* ---- tiles */

/* Sums of vector j of `tile` columns of output row r. */
MX_INLINE void dw_sums_5x5(int tile, int stride, __m512i z[DW_5X5_TILE], const dw_strip *t,
                           const uint8_t *columns, int r, int j) {
  const int vectors = 2 + (stride == 1 ? 2 : 1) * DW_5X5_WEIGHTS;
  const uint8_t *packed = t->packed + 64 * vectors * j;
  const uint8_t *weights = packed + 128 + (stride == 1 ? r * 64 * DW_5X5_WEIGHTS : 0);
  const uint8_t *across = dw_across_at(stride, t) + 64 * j;
  __m512i w[DW_5X5_WEIGHTS];
  const __m512i bias = _mm512_load_si512(packed);
  MX_UNROLL for (int i = 0; i < DW_5X5_WEIGHTS; i++) w[i] = _mm512_load_si512(weights + 64 * i);
  MX_UNROLL for (int x = 0; x < tile; x++) z[x] = bias;
  _Pragma("GCC unroll 20") for (int c = 0; c < (tile - 1) * stride + 5; c++) {
    const __m512i v = _mm512_load_si512(columns + 256 * c + 64 * j);
    MX_UNROLL for (int x = 0; x < tile; x++) if (c - x * stride >= 0 && c - x * stride < 5)
        dw_dot(&z[x], v, w[c - x * stride]);
  }
  MX_UNROLL for (int c = 0; c <= tile; c++) {
    const __m512i v = _mm512_load_si512(across + 256 * c);
    if (c < tile) dw_dot(&z[c], v, w[5]);
    if (c > 0) dw_dot(&z[c - 1], v, w[6]);
  }
}

/* Vectors j and j + 1 as words. */
MX_INLINE void dw_half_5x5(int tile, int stride, int mode, __m512i h[DW_5X5_TILE], const dw_strip *t,
                           const uint8_t *columns, int r, int x, int j) {
  const int vectors = 2 + (stride == 1 ? 2 : 1) * DW_5X5_WEIGHTS;
  __m512i z[2][DW_5X5_TILE];
  MX_UNROLL for (int i = 0; i < 2; i++) {
    dw_sums_5x5(tile, stride, z[i], t, columns, r, j + i);
    const __m512 scale =
        _mm512_load_ps((const float *)(const void *)(t->packed + 64 * (vectors * (j + i) + 1)));
    MX_UNROLL for (int c = 0; c < tile; c++) {
      if (mode == DW_SUMS)
        dw_store_sums(t, r, x + c, j + i, z[i][c]);
      else
        z[i][c] = dw_scaled(mode, t, z[i][c], scale), dw_settle(&z[i][c]);
    }
  }
  MX_UNROLL for (int c = 0; c < tile; c++) h[c] = dw_words(mode, t, z[0][c], z[1][c]), dw_settle(&h[c]);
}

MX_INLINE void dw_store_any(int width, const dw_strip *t, int row, int64_t at, __m512i v) {
  switch (width) {
    case DW_64: dw_store(DW_64, t, row, at, v); break;
    case DW_32: dw_store(DW_32, t, row, at, v); break;
    case DW_16: dw_store(DW_16, t, row, at, v); break;
    default: dw_store(DW_SOME, t, row, at, v); break;
  }
}

/* Columns [x, x + n), n <= tile, of output row r, whose vertical lanes begin at `columns`. */
MX_INLINE void dw_tile_5x5(int tile, int stride, int mode, const dw_strip *t, const uint8_t *columns,
                           int width, int r, int x, int n) {
  __m512i h[2][DW_5X5_TILE];
  columns += stride == 2 ? r * dw_columns_row(2) : 0;
  dw_half_5x5(tile, stride, mode, h[0], t, columns, r, x, 0);
  dw_half_5x5(tile, stride, mode, h[1], t, columns, r, x, 2);
  int64_t to = x * t->out_px;
  MX_UNROLL for (int c = 0; c < tile && mode != DW_SUMS; c++, to += t->out_px) {
    if (c >= n) break;
    dw_store_any(width, t, r, to, dw_bytes(mode, t, h[0][c], h[1][c]));
  }
}

/* ---- instances */

typedef void (*dw_down_fn)(const dw_strip *t, uint8_t *to, int x, int n);
typedef void (*dw_across_fn)(const dw_strip *t, int r, int x, int n);
typedef void (*dw_tile_fn)(const dw_strip *t, const uint8_t *columns, int width, int r, int x, int n);

#define DW_INTERLEAVE(stride, width)                                                                      \
  static __attribute__((noinline)) void dw_down_##stride##_##width(const dw_strip *t, uint8_t *to, int x, \
                                                                   int n) {                               \
    dw_down(width, stride, t, to, x, n);                                                                  \
  }                                                                                                       \
  static __attribute__((noinline)) void dw_across_##stride##_##width(const dw_strip *t, int r, int x,     \
                                                                     int n) {                             \
    dw_across(width, stride, t, r, x, n);                                                                 \
  }
/* Each a function of its own: the compiler would load what two of them have in common in front of both, and spill it. */
#define DW_TILE(tile, stride, mode)                                                \
  static __attribute__((noinline)) void dw_tile_##tile##_##stride##_##mode(        \
      const dw_strip *t, const uint8_t *columns, int width, int r, int x, int n) { \
    dw_tile_5x5(tile, stride, mode, t, columns, width, r, x, n);                   \
  }
#define DW_TILES(tile, stride)       \
  DW_TILE(tile, stride, DW_SATURATE) \
  DW_TILE(tile, stride, DW_CLAMP)    \
  DW_TILE(tile, stride, DW_SUMS)     \
  DW_TILE(tile, stride, DW_HARD)
#define DW_TILE_ROW(tile, stride)                                                 \
  {dw_tile_##tile##_##stride##_DW_SATURATE, dw_tile_##tile##_##stride##_DW_CLAMP, \
   dw_tile_##tile##_##stride##_DW_SUMS, dw_tile_##tile##_##stride##_DW_HARD}

DW_INTERLEAVE(1, DW_64)
DW_INTERLEAVE(1, DW_32)
DW_INTERLEAVE(1, DW_16)
DW_INTERLEAVE(1, DW_SOME)
DW_INTERLEAVE(2, DW_64)
DW_INTERLEAVE(2, DW_32)
DW_INTERLEAVE(2, DW_16)
DW_INTERLEAVE(2, DW_SOME)
DW_TILES(4, 1)
DW_TILES(7, 1)
DW_TILES(4, 2)
DW_TILES(7, 2)

static const dw_down_fn dw_downs[2][DW_WIDTHS] = {
    {dw_down_1_DW_64, dw_down_1_DW_32, dw_down_1_DW_16, dw_down_1_DW_SOME},
    {dw_down_2_DW_64, dw_down_2_DW_32, dw_down_2_DW_16, dw_down_2_DW_SOME}};
static const dw_across_fn dw_acrosses[2][DW_WIDTHS] = {
    {dw_across_1_DW_64, dw_across_1_DW_32, dw_across_1_DW_16, dw_across_1_DW_SOME},
    {dw_across_2_DW_64, dw_across_2_DW_32, dw_across_2_DW_16, dw_across_2_DW_SOME}};
/* [stride - 1][7 columns, not 4][mode] */
static const dw_tile_fn dw_tiles[2][2][DW_MODES] = {{DW_TILE_ROW(4, 1), DW_TILE_ROW(7, 1)},
                                                    {DW_TILE_ROW(4, 2), DW_TILE_ROW(7, 2)}};

#endif
