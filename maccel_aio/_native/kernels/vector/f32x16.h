/* f32x16.h - the 16 partial sums of mxq.h as one value: one register, or two of half the width. */
#ifndef MX_F32X16_H
#define MX_F32X16_H

#if defined(__aarch64__)
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

#include "geometry.h"

#if defined(__aarch64__)
/* What row.h needs: four vectors. */
typedef struct f16 {
  float32x4_t part[4];
} f16;
MX_INLINE f16 f16_load(const float *p) {
  return (f16){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
#else
/* Last step of the tree: 8 -> 4 -> 2 -> 1. */
MX_INLINE float f8_tree(__m256 s) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#ifdef __AVX512F__
typedef __m512 f16;
typedef __mmask16 f16_mask;
MX_INLINE f16 f16_zero(void) { return _mm512_setzero_ps(); }
MX_INLINE f16_mask f16_first(int n) { return (__mmask16)((1u << n) - 1); }
MX_INLINE f16 f16_load(const float *p) { return _mm512_loadu_ps(p); }
MX_INLINE f16 f16_load_first(const float *p, f16_mask m) { return _mm512_maskz_loadu_ps(m, p); }
MX_INLINE f16 f16_load_s8(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
/* 32 bf16 numbers as two vectors: of each word of 32 bits the lower half, and of each the upper half. */
MX_INLINE void f16_load_bf16_pair(const uint16_t *p, f16 w[2]) {
  const __m512i raw = _mm512_loadu_si512(p);
  w[0] = _mm512_castsi512_ps(_mm512_slli_epi32(raw, 16));
  w[1] = _mm512_castsi512_ps(_mm512_and_si512(raw, _mm512_set1_epi32((int)0xffff0000u)));
}
MX_INLINE f16 f16_fma(f16 x, f16 w, f16 s) { return _mm512_fmadd_ps(x, w, s); }
MX_INLINE float f16_tree(f16 s) {
  return f8_tree(_mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1)));
}
#else
typedef struct f16 {
  __m256 lo, hi;
} f16;
typedef struct f16_mask {
  __m256i lo, hi;
} f16_mask;
MX_INLINE f16 f16_zero(void) { return (f16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
MX_INLINE f16_mask f16_first(int n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return (f16_mask){_mm256_cmpgt_epi32(_mm256_set1_epi32(n), index),
                    _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), index)};
}
MX_INLINE f16 f16_load(const float *p) { return (f16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
MX_INLINE f16 f16_load_first(const float *p, f16_mask m) {
  return (f16){_mm256_maskload_ps(p, m.lo), _mm256_maskload_ps(p + 8, m.hi)};
}
MX_INLINE __m256 f8_from_s8(const int8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
MX_INLINE f16 f16_load_s8(const int8_t *p) { return (f16){f8_from_s8(p), f8_from_s8(p + 8)}; }
/* 16 bf16 numbers: of each word of 32 bits the lower half, and of each the upper half. */
MX_INLINE f16 f16_load_bf16_halves(const uint16_t *p) {
  const __m256i raw = _mm256_loadu_si256((const __m256i *)(const void *)p);
  return (f16){_mm256_castsi256_ps(_mm256_slli_epi32(raw, 16)),
               _mm256_castsi256_ps(_mm256_and_si256(raw, _mm256_set1_epi32((int)0xffff0000u)))};
}
MX_INLINE f16 f16_fma(f16 x, f16 w, f16 s) {
  return (f16){_mm256_fmadd_ps(x.lo, w.lo, s.lo), _mm256_fmadd_ps(x.hi, w.hi, s.hi)};
}
MX_INLINE float f16_tree(f16 s) { return f8_tree(_mm256_add_ps(s.lo, s.hi)); }
#endif

#endif

#endif
