/* interleave.h - 2, 3 or 4 rows of bytes become one row of pixels. */
#ifndef MX_VECTOR_INTERLEAVE_H
#define MX_VECTOR_INTERLEAVE_H

#include "lanes.h"

/* The bytes of three rows that go to bytes 16 k .. 16 k + 15 of the pixels; 0x80 leaves a zero. */
MX_INLINE void interleave_3(const uint8_t *const rows[3], uint8_t *to) {
  static const uint8_t places[3][3][16] = {
#define Z 0x80
      {{0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z, Z, 5},
       {Z, 0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z, Z},
       {Z, Z, 0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z}},
      {{Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z, 10, Z},
       {5, Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z, 10},
       {Z, 5, Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z}},
      {{Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15, Z, Z},
       {Z, Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15, Z},
       {10, Z, Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15}}
#undef Z
  };
  __m128i r[3];
  MX_UNROLL for (int k = 0; k < 3; k++) r[k] = _mm_loadu_si128((const __m128i *)(const void *)rows[k]);
  MX_UNROLL for (int k = 0; k < 3; k++) {
    __m128i v = _mm_setzero_si128();
    MX_UNROLL for (int c = 0; c < 3; c++) v =
        _mm_or_si128(v, _mm_shuffle_epi8(r[c], _mm_loadu_si128((const __m128i *)(const void *)places[k][c])));
    _mm_storeu_si128((__m128i *)(void *)(to + 16 * k), v);
  }
}

MX_INLINE void interleave_2(__m128i a, __m128i b, uint8_t *to) {
  _mm_storeu_si128((__m128i *)(void *)to, _mm_unpacklo_epi8(a, b));
  _mm_storeu_si128((__m128i *)(void *)(to + 16), _mm_unpackhi_epi8(a, b));
}

MX_INLINE void interleave_4(const uint8_t *const rows[4], uint8_t *to) {
  __m128i r[4];
  MX_UNROLL for (int k = 0; k < 4; k++) r[k] = _mm_loadu_si128((const __m128i *)(const void *)rows[k]);
  const __m128i even[2] = {_mm_unpacklo_epi8(r[0], r[2]), _mm_unpackhi_epi8(r[0], r[2])};
  const __m128i odd[2] = {_mm_unpacklo_epi8(r[1], r[3]), _mm_unpackhi_epi8(r[1], r[3])};
  interleave_2(even[0], odd[0], to), interleave_2(even[1], odd[1], to + 32);
}

/* to[i * count + c] = rows[c][i] for i < n; count 2 .. 4. Nothing outside is read or written. */
static inline void interleave(const uint8_t *const *rows, int count, uint8_t *to, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const uint8_t *const at[4] = {rows[0] + i, rows[1] + i, rows[count > 2 ? 2 : 0] + i, rows[count - 1] + i};
    if (count == 3)
      interleave_3(at, to + i * 3);
    else if (count == 4)
      interleave_4(at, to + i * 4);
    else
      interleave_2(_mm_loadu_si128((const __m128i *)(const void *)at[0]),
                   _mm_loadu_si128((const __m128i *)(const void *)at[1]), to + i * 2);
  }
  for (; i < n; i++)
    for (int c = 0; c < count; c++) to[i * count + c] = rows[c][i];
}

#endif
