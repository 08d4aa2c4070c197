/* transpose.h - blocks of 16 x 16 floats and bytes across the diagonal, in registers. */
#ifndef MX_VECTOR_TRANSPOSE_H
#define MX_VECTOR_TRANSPOSE_H

#include "lanes.h"

/* 8 x 8 words of 32 bits: to[j][i] = from[i][j]; strides in bytes. */
MX_INLINE void transpose_8x8(const uint8_t *from, int64_t fs, uint8_t *to, int64_t ts) {
  __m256 r[8], s[8];
  MX_UNROLL for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps((const float *)(const void *)(from + i * fs));
  MX_UNROLL for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  MX_UNROLL for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44), r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44),
          r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
  MX_UNROLL for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps((float *)(void *)(to + i * ts), _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps((float *)(void *)(to + (i + 4) * ts), _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

#ifdef __AVX512F__
MX_INLINE void transpose_16x16(const uint8_t *from, int64_t fs, uint8_t *to, int64_t ts) {
  __m512 r[16], s[16];
  MX_UNROLL for (int h = 0; h < 16; h += 8) {
    MX_UNROLL for (int i = h; i < h + 8; i++) r[i] = _mm512_loadu_ps(from + i * fs);
  }
  MX_UNROLL for (int i = 0; i < 8; i++) {
    s[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    s[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  MX_UNROLL for (int q = 0; q < 4; q++) {
    const int i = 4 * q;
    r[i] = _mm512_shuffle_ps(s[i], s[i + 2], 0x44), r[i + 1] = _mm512_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(s[i + 1], s[i + 3], 0x44),
          r[i + 3] = _mm512_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
  MX_UNROLL for (int c = 0; c < 4; c++) { /* columns c, 4 + c, 8 + c, 12 + c sit in the lanes of r[4 q + c] */
    const __m512 a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88),
                 b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
    const __m512 d = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88),
                 e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
    _mm512_storeu_ps(to + c * ts, _mm512_shuffle_f32x4(a, d, 0x88));
    _mm512_storeu_ps(to + (4 + c) * ts, _mm512_shuffle_f32x4(b, e, 0x88));
    _mm512_storeu_ps(to + (8 + c) * ts, _mm512_shuffle_f32x4(a, d, 0xdd));
    _mm512_storeu_ps(to + (12 + c) * ts, _mm512_shuffle_f32x4(b, e, 0xdd));
  }
}
#else
MX_INLINE void transpose_16x16(const uint8_t *from, int64_t fs, uint8_t *to, int64_t ts) {
  for (int i = 0; i < 16; i += 8)
    for (int j = 0; j < 16; j += 8) transpose_8x8(from + i * fs + j * 4, fs, to + j * ts + i * 4, ts);
}
#endif

/* 16 x 16 bytes */
MX_INLINE void transpose_16x16_bytes(const uint8_t *from, int64_t fs, uint8_t *to, int64_t ts) {
  __m128i r[16], s[16];
  MX_UNROLL for (int h = 0; h < 16; h += 8) {
    MX_UNROLL for (int i = h; i < h + 8; i++) r[i] = _mm_loadu_si128((const __m128i *)(from + i * fs));
  }
  /* four rounds of pairing row i with row i + 8 bring element (i, j) to (j, i) */
  MX_UNROLL for (int i = 0; i < 8; i++) {
    s[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 8]), s[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 8]);
  }
  MX_UNROLL for (int i = 0; i < 8; i++) {
    r[2 * i] = _mm_unpacklo_epi8(s[i], s[i + 8]), r[2 * i + 1] = _mm_unpackhi_epi8(s[i], s[i + 8]);
  }
  MX_UNROLL for (int i = 0; i < 8; i++) {
    s[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 8]), s[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 8]);
  }
  MX_UNROLL for (int i = 0; i < 8; i++) {
    _mm_storeu_si128((__m128i *)(to + 2 * i * ts), _mm_unpacklo_epi8(s[i], s[i + 8]));
    _mm_storeu_si128((__m128i *)(to + (2 * i + 1) * ts), _mm_unpackhi_epi8(s[i], s[i + 8]));
  }
}

#endif
