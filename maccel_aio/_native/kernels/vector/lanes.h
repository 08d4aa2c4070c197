/* lanes.h - the rest of the operations on 16 floats (f32x16.h) and 16 integers (i32x16.h): comparisons, choices, bits.
 *
 * Each is one IEEE operation or an exact one, so code written with them gives the bits of the same C expressions:
 *   f16_max(a, b) is a > b ? a : b, f16_min(a, b) is a < b ? a : b (b where one is NaN). */
#ifndef MX_VECTOR_LANES_H
#define MX_VECTOR_LANES_H

#include "i32x16.h"

#ifdef __AVX512F__
typedef __mmask16 f16_where;
MX_INLINE f16 f16_div(f16 a, f16 b) { return _mm512_div_ps(a, b); }
MX_INLINE f16 f16_max(f16 a, f16 b) { return _mm512_max_ps(a, b); }
MX_INLINE f16 f16_min(f16 a, f16 b) { return _mm512_min_ps(a, b); }
MX_INLINE f16 f16_sqrt(f16 a) { return _mm512_sqrt_ps(a); }
MX_INLINE f16 f16_rint(f16 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
MX_INLINE f16 f16_and(f16 a, f16 b) { return _mm512_and_ps(a, b); }
MX_INLINE f16 f16_or(f16 a, f16 b) { return _mm512_or_ps(a, b); }
MX_INLINE f16 f16_xor(f16 a, f16 b) { return _mm512_xor_ps(a, b); }
MX_INLINE f16_where f16_lt(f16 a, f16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
MX_INLINE f16_where f16_eq(f16 a, f16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
/* yes where m, else no */
MX_INLINE f16 f16_select(f16_where m, f16 yes, f16 no) { return _mm512_mask_blend_ps(m, no, yes); }
/* v where it is a number, else 0 */
MX_INLINE f16 f16_number(f16 v) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v); }
MX_INLINE void f16_store_first(float *p, f16 v, f16_mask m) { _mm512_mask_storeu_ps(p, m, v); }
MX_INLINE f16 f16_keep(f16 v, f16_mask m) { return _mm512_maskz_mov_ps(m, v); } /* 0 in the other lanes */
MX_INLINE i16 f16_bits(f16 a) { return _mm512_castps_si512(a); }
MX_INLINE f16 i16_bits(i16 a) { return _mm512_castsi512_ps(a); }
MX_INLINE i16 i16_right(i16 a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
MX_INLINE i16 i16_and(i16 a, i16 b) { return _mm512_and_si512(a, b); }
MX_INLINE i16 i16_or(i16 a, i16 b) { return _mm512_or_si512(a, b); }
/* p * 2^k of whole k in [-150, 128], rounded once */
MX_INLINE f16 f16_scale2(f16 p, f16 k) { return _mm512_scalef_ps(p, k); }
/* n <= 16 bytes, zeros behind */
MX_INLINE __m128i bytes_first(const uint8_t *p, int n) {
  return _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p);
}
MX_INLINE void bytes_store_first(uint8_t *p, __m128i v, int n) {
  _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), v);
}
#else
typedef struct f16_where {
  __m256 lo, hi;
} f16_where;
#define F16_BOTH(name, op) \
  MX_INLINE f16 name(f16 a, f16 b) { return (f16){op(a.lo, b.lo), op(a.hi, b.hi)}; }
F16_BOTH(f16_div, _mm256_div_ps)
F16_BOTH(f16_max, _mm256_max_ps)
F16_BOTH(f16_min, _mm256_min_ps)
F16_BOTH(f16_and, _mm256_and_ps)
F16_BOTH(f16_or, _mm256_or_ps)
F16_BOTH(f16_xor, _mm256_xor_ps)
#undef F16_BOTH
MX_INLINE f16 f16_sqrt(f16 a) { return (f16){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
MX_INLINE f16 f16_rint(f16 a) {
  return (f16){_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
               _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
MX_INLINE f16_where f16_lt(f16 a, f16 b) {
  return (f16_where){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
MX_INLINE f16_where f16_eq(f16 a, f16 b) {
  return (f16_where){_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
}
MX_INLINE f16 f16_select(f16_where m, f16 yes, f16 no) {
  return (f16){_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}
MX_INLINE f16 f16_number(f16 v) {
  return (f16){_mm256_and_ps(v.lo, _mm256_cmp_ps(v.lo, v.lo, _CMP_ORD_Q)),
               _mm256_and_ps(v.hi, _mm256_cmp_ps(v.hi, v.hi, _CMP_ORD_Q))};
}
MX_INLINE void f16_store_first(float *p, f16 v, f16_mask m) {
  _mm256_maskstore_ps(p, m.lo, v.lo), _mm256_maskstore_ps(p + 8, m.hi, v.hi);
}
MX_INLINE f16 f16_keep(f16 v, f16_mask m) {
  return (f16){_mm256_and_ps(v.lo, _mm256_castsi256_ps(m.lo)),
               _mm256_and_ps(v.hi, _mm256_castsi256_ps(m.hi))};
}
MX_INLINE i16 f16_bits(f16 a) { return (i16){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
MX_INLINE f16 i16_bits(i16 a) { return (f16){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
MX_INLINE i16 i16_right(i16 a, int n) {
  return (i16){_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
MX_INLINE i16 i16_and(i16 a, i16 b) {
  return (i16){_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
MX_INLINE i16 i16_or(i16 a, i16 b) { return (i16){_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
/* In two steps of which the first is exact: the halves stay in the normal range of exponents. */
MX_INLINE __m256 f8_scale2(__m256 p, __m256 kf) {
  const __m256i k = _mm256_cvtps_epi32(kf), half = _mm256_srai_epi32(k, 1), bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(k, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}
MX_INLINE f16 f16_scale2(f16 p, f16 k) { return (f16){f8_scale2(p.lo, k.lo), f8_scale2(p.hi, k.hi)}; }
MX_INLINE __m128i bytes_first(const uint8_t *p, int n) {
  uint8_t copy[16] = {0};
  for (int k = 0; k < n; k++) copy[k] = p[k];
  return _mm_loadu_si128((const __m128i *)(const void *)copy);
}
MX_INLINE void bytes_store_first(uint8_t *p, __m128i v, int n) {
  uint8_t copy[16];
  _mm_storeu_si128((__m128i *)(void *)copy, v);
  for (int k = 0; k < n; k++) p[k] = copy[k];
}
#endif

MX_INLINE f16 f16_abs(f16 v) { return f16_and(v, i16_bits(i16_all(0x7fffffff))); }
MX_INLINE f16 f16_neg(f16 v) { return f16_xor(v, f16_all(-0.0f)); }
MX_INLINE f16 f16_copysign(f16 magnitude, f16 sign) {
  return f16_or(f16_abs(magnitude), f16_and(sign, f16_all(-0.0f)));
}
/* The largest of 16: no order of comparisons gives another (a NaN is in all lanes or in none). */
MX_INLINE float f16_most(f16 v) {
#ifdef __AVX512F__
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#else
  const __m256 eight = _mm256_max_ps(v.lo, v.hi);
#endif
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
/* p * x + c, in two steps */
MX_INLINE f16 f16_step(f16 p, f16 x, float c) { return f16_add(f16_mul(p, x), f16_all(c)); }

#endif
