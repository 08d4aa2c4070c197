/* table.h - look-ups of bytes in tables of 256, a register at a time where the processor permutes bytes across registers. */
#ifndef MX_VECTOR_TABLE_H
#define MX_VECTOR_TABLE_H

#include "lanes.h"

#ifdef __AVX512F__
/* Not part of the level: asked for once per call. */
#define TABLE_WIDE __attribute__((target("avx512vbmi")))

typedef struct table_wide {
  __m512i quarter[4];
} table_wide;

MX_INLINE TABLE_WIDE table_wide table_wide_of(const uint8_t *table) {
  return (table_wide){{_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64),
                       _mm512_loadu_si512(table + 128), _mm512_loadu_si512(table + 192)}};
}

/* The low seven bits choose in each half, the eighth between them. */
MX_INLINE TABLE_WIDE __m512i table_wide_at(const table_wide *t, __m512i index) {
  const __m512i low = _mm512_permutex2var_epi8(t->quarter[0], index, t->quarter[1]);
  const __m512i high = _mm512_permutex2var_epi8(t->quarter[2], index, t->quarter[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
}

static inline TABLE_WIDE void table_wide_bytes(const uint8_t *table, const uint8_t *src, uint8_t *dst,
                                               int64_t n) {
  const table_wide t = table_wide_of(table);
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) _mm512_storeu_si512(dst + i, table_wide_at(&t, _mm512_loadu_si512(src + i)));
  if (i == n) return;
  const __mmask64 some = ((__mmask64)1 << (n - i)) - 1;
  _mm512_mask_storeu_epi8(dst + i, some, table_wide_at(&t, _mm512_maskz_loadu_epi8(some, src + i)));
}

/* Three tables for pixels of three bytes, 16 pixels at a time; order: the source byte of each destination byte. */
static inline TABLE_WIDE void table_wide_rgb(const uint8_t *tables, const int32_t order[3],
                                             const uint8_t *src, uint8_t *dst, int64_t pixels) {
  uint8_t from[64] = {0};
  for (int k = 0; k < 48; k++) from[k] = (uint8_t)(k / 3 * 3 + order[k % 3]);
  const __m512i turn = _mm512_loadu_si512(from);
  const table_wide t[3] = {table_wide_of(tables), table_wide_of(tables + 256), table_wide_of(tables + 512)};
  const __mmask64 second = 0x0000492492492492u, third = 0x0000924924924924u;
  for (int64_t i = 0; i < pixels; i += 16) {
    const int64_t left = pixels - i < 16 ? pixels - i : 16;
    const int whole = 3 * (pixels - i) >= 64; /* the next pixels overwrite what is stored too much */
    const __mmask64 some = ((__mmask64)1 << (3 * left)) - 1;
    const __m512i read = whole ? _mm512_loadu_si512(src + 3 * i) : _mm512_maskz_loadu_epi8(some, src + 3 * i);
    const __m512i index = _mm512_permutexvar_epi8(turn, read);
    __m512i v = table_wide_at(&t[0], index);
    v = _mm512_mask_mov_epi8(v, second, table_wide_at(&t[1], index));
    v = _mm512_mask_mov_epi8(v, third, table_wide_at(&t[2], index));
    if (whole)
      _mm512_storeu_si512(dst + 3 * i, v);
    else
      _mm512_mask_storeu_epi8(dst + 3 * i, some, v);
  }
}

MX_INLINE int table_is_wide(void) { return __builtin_cpu_supports("avx512vbmi"); }
#endif

/* dst[i] = table[src[i]] */
static inline void table_bytes(const uint8_t *table, const uint8_t *src, uint8_t *dst, int64_t n) {
#ifdef __AVX512F__
  if (n >= 16 && table_is_wide()) {
    table_wide_bytes(table, src, dst, n);
    return;
  }
#endif
  for (int64_t i = 0; i < n; i++) dst[i] = table[src[i]];
}

#endif
