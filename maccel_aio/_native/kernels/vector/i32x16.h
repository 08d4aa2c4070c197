/* i32x16.h - 16 s32 lanes and what leads from stored integers to them and back; companion of f32x16.h. */
#ifndef MX_I32X16_H
#define MX_I32X16_H

#include "f32x16.h"

#if defined(__aarch64__)
typedef struct i16 {
  int32x4_t part[4];
} i16;
#define MX_NEON_EACH(type, expression)                            \
  type r;                                                         \
  MX_UNROLL for (int k = 0; k < 4; k++) r.part[k] = (expression); \
  return r
MX_INLINE i16 i16_all(int v) { MX_NEON_EACH(i16, vdupq_n_s32(v)); }
MX_INLINE f16 f16_all(float v) { MX_NEON_EACH(f16, vdupq_n_f32(v)); }
MX_INLINE i16 i16_load(const int32_t *p) { MX_NEON_EACH(i16, vld1q_s32(p + 4 * k)); }
MX_INLINE i16 i16_load_s16(const int16_t *p) { MX_NEON_EACH(i16, vmovl_s16(vld1_s16(p + 4 * k))); }
MX_INLINE i16 i16_from_words(int16x8_t lo, int16x8_t hi) {
  return (i16){
      {vmovl_s16(vget_low_s16(lo)), vmovl_high_s16(lo), vmovl_s16(vget_low_s16(hi)), vmovl_high_s16(hi)}};
}
MX_INLINE i16 i16_load_u8(const uint8_t *p) {
  const uint8x16_t v = vld1q_u8(p);
  return i16_from_words(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v))),
                        vreinterpretq_s16_u16(vmovl_high_u8(v)));
}
MX_INLINE i16 i16_load_s8(const int8_t *p) {
  const int8x16_t v = vld1q_s8(p);
  return i16_from_words(vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v));
}
MX_INLINE void f16_store(float *p, f16 v) {
  MX_UNROLL for (int k = 0; k < 4; k++) vst1q_f32(p + 4 * k, v.part[k]);
}
MX_INLINE i16 i16_sub(i16 a, i16 b) { MX_NEON_EACH(i16, vsubq_s32(a.part[k], b.part[k])); }
MX_INLINE i16 i16_add(i16 a, i16 b) { MX_NEON_EACH(i16, vaddq_s32(a.part[k], b.part[k])); }
MX_INLINE f16 f16_from(i16 v) { MX_NEON_EACH(f16, vcvtq_f32_s32(v.part[k])); }
MX_INLINE f16 f16_add(f16 a, f16 b) { MX_NEON_EACH(f16, vaddq_f32(a.part[k], b.part[k])); }
MX_INLINE f16 f16_mul(f16 a, f16 b) { MX_NEON_EACH(f16, vmulq_f32(a.part[k], b.part[k])); }
/* rne() of finite values, clamped to +-2^30 */
MX_INLINE i16 i16_round(f16 v) {
  const float32x4_t lo = vdupq_n_f32(-1073741824.0f), hi = vdupq_n_f32(1073741824.0f);
  MX_NEON_EACH(i16, vcvtnq_s32_f32(vminq_f32(vmaxq_f32(v.part[k], lo), hi)));
}
MX_INLINE i16 i16_clamp(i16 v, int lo, int hi) {
  MX_NEON_EACH(i16, vminq_s32(vmaxq_s32(v.part[k], vdupq_n_s32(lo)), vdupq_n_s32(hi)));
}
MX_INLINE void i16_store_s16(int16_t *p, i16 v, int lo, int hi) {
  v = i16_clamp(v, lo, hi);
  MX_UNROLL for (int k = 0; k < 4; k++) vst1_s16(p + 4 * k, vmovn_s32(v.part[k]));
}
/* u8, or the low bytes of s8 */
MX_INLINE void i16_store_u8(uint8_t *p, i16 v, int lo, int hi) {
  v = i16_clamp(v, lo, hi);
  const int16x8_t a = vcombine_s16(vmovn_s32(v.part[0]), vmovn_s32(v.part[1]));
  const int16x8_t b = vcombine_s16(vmovn_s32(v.part[2]), vmovn_s32(v.part[3]));
  vst1q_u8(p, vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(a), vmovn_s16(b))));
}
#undef MX_NEON_EACH
#elif defined(__AVX512F__)
typedef __m512i i16;
MX_INLINE i16 i16_all(int v) { return _mm512_set1_epi32(v); }
MX_INLINE f16 f16_all(float v) { return _mm512_set1_ps(v); }
MX_INLINE i16 i16_load_u8(const uint8_t *p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
MX_INLINE i16 i16_load_s16(const int16_t *p) {
  return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p));
}
MX_INLINE i16 i16_load_s8(const int8_t *p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}
MX_INLINE i16 i16_load(const int32_t *p) { return _mm512_loadu_si512(p); }
MX_INLINE void f16_store(float *p, f16 v) { _mm512_storeu_ps(p, v); }
MX_INLINE i16 i16_sub(i16 a, i16 b) { return _mm512_sub_epi32(a, b); }
MX_INLINE i16 i16_add(i16 a, i16 b) { return _mm512_add_epi32(a, b); }
MX_INLINE f16 f16_from(i16 v) { return _mm512_cvtepi32_ps(v); }
MX_INLINE f16 f16_add(f16 a, f16 b) { return _mm512_add_ps(a, b); }
MX_INLINE f16 f16_sub(f16 a, f16 b) { return _mm512_sub_ps(a, b); }
MX_INLINE f16 f16_mul(f16 a, f16 b) { return _mm512_mul_ps(a, b); }
/* rne() of finite values, clamped to +-2^30 */
MX_INLINE i16 i16_round(f16 v) {
  return _mm512_cvtps_epi32(
      _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-1073741824.0f)), _mm512_set1_ps(1073741824.0f)));
}
MX_INLINE i16 i16_clamp(i16 v, int lo, int hi) {
  return _mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(lo)), _mm512_set1_epi32(hi));
}
MX_INLINE void i16_store_u8(uint8_t *p, i16 v, int lo, int hi) {
  _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(i16_clamp(v, lo, hi)));
}
MX_INLINE void i16_store_s16(int16_t *p, i16 v, int lo, int hi) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(i16_clamp(v, lo, hi)));
}
#else
typedef struct i16 {
  __m256i lo, hi;
} i16;
MX_INLINE i16 i16_all(int v) { return (i16){_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
MX_INLINE f16 f16_all(float v) { return (f16){_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
MX_INLINE i16 i16_load_u8(const uint8_t *p) {
  return (i16){_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)),
               _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))};
}
MX_INLINE i16 i16_load_s16(const int16_t *p) {
  return (i16){_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)),
               _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
MX_INLINE i16 i16_load_s8(const int8_t *p) {
  return (i16){_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)),
               _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))};
}
MX_INLINE i16 i16_load(const int32_t *p) {
  return (i16){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8))};
}
MX_INLINE void f16_store(float *p, f16 v) { _mm256_storeu_ps(p, v.lo), _mm256_storeu_ps(p + 8, v.hi); }
MX_INLINE i16 i16_sub(i16 a, i16 b) {
  return (i16){_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
MX_INLINE i16 i16_add(i16 a, i16 b) {
  return (i16){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
MX_INLINE f16 f16_from(i16 v) { return (f16){_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }
MX_INLINE f16 f16_add(f16 a, f16 b) { return (f16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
MX_INLINE f16 f16_sub(f16 a, f16 b) { return (f16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
MX_INLINE f16 f16_mul(f16 a, f16 b) { return (f16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
MX_INLINE __m256i i8_round(__m256 v) {
  return _mm256_cvtps_epi32(
      _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(-1073741824.0f)), _mm256_set1_ps(1073741824.0f)));
}
/* rne() of finite values, clamped to +-2^30 */
MX_INLINE i16 i16_round(f16 v) { return (i16){i8_round(v.lo), i8_round(v.hi)}; }
MX_INLINE i16 i16_clamp(i16 v, int lo, int hi) {
  const __m256i a = _mm256_set1_epi32(lo), b = _mm256_set1_epi32(hi);
  return (i16){_mm256_min_epi32(_mm256_max_epi32(v.lo, a), b),
               _mm256_min_epi32(_mm256_max_epi32(v.hi, a), b)};
}
/* s16 in order, from values that fit */
MX_INLINE __m256i i16_pack(i16 v) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(v.lo, v.hi), 0xd8); }
MX_INLINE void i16_store_s16(int16_t *p, i16 v, int lo, int hi) {
  _mm256_storeu_si256((__m256i *)p, i16_pack(i16_clamp(v, lo, hi)));
}
/* u8, or the low bytes of s8 */
MX_INLINE void i16_store_u8(uint8_t *p, i16 v, int lo, int hi) {
  const __m256i w = _mm256_and_si256(i16_pack(i16_clamp(v, lo, hi)), _mm256_set1_epi16(255));
  _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}
#endif

#endif
