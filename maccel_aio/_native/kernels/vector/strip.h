/* strip.h - what generic/strip.h does with contiguous strips, 16 lanes at a time. Included by it on the vector levels;
 * every function answers 0 when the plain loops must do the work. */
#ifndef MX_VECTOR_STRIP_H
#define MX_VECTOR_STRIP_H

#include "act.h"
#include "maccel.h"

/* ---- copies: apart, or onto themselves */

/* Short runs, without a call: the last vector may repeat some of the one before. */
static inline int strip_copy(uint8_t *dst, const uint8_t *src, int64_t bytes) {
  if (bytes < 32 || bytes > 512) return 0;
  const __m256i last = _mm256_loadu_si256((const __m256i *)(const void *)(src + bytes - 32));
  for (int64_t i = 0; i + 32 <= bytes; i += 32)
    _mm256_storeu_si256((__m256i *)(void *)(dst + i),
                        _mm256_loadu_si256((const __m256i *)(const void *)(src + i)));
  _mm256_storeu_si256((__m256i *)(void *)(dst + bytes - 32), last);
  return 1;
}

/* ---- act() */

#define STRIP_ACT(ACT)                                                                        \
  case ACT:                                                                                   \
    for (; i + 16 <= n; i += 16) f16_store(v + i, f16_act(ACT, f16_load(v + i), va, vb));     \
    if (i < n) f16_store_first(v + i, f16_act(ACT, f16_load_first(v + i, end), va, vb), end); \
    return 1

static inline int strip_act(float *v, int n, int act, float a, float b) {
  const f16 va = f16_all(a), vb = f16_all(b);
  const f16_mask end = f16_first(n & 15);
  int i = 0;
  switch (act) {
    case MX_ACT_NONE:
      return 1;
      STRIP_ACT(MX_ACT_CLAMP);
      STRIP_ACT(MX_ACT_LEAKY);
      STRIP_ACT(MX_ACT_SIGMOID);
      STRIP_ACT(MX_ACT_HARDSIGMOID);
      STRIP_ACT(MX_ACT_HARDSWISH);
      STRIP_ACT(MX_ACT_SILU);
      STRIP_ACT(MX_ACT_TANH);
      STRIP_ACT(MX_ACT_GELU_ERF);
      STRIP_ACT(MX_ACT_GELU_TANH);
      STRIP_ACT(MX_ACT_ELU);
      STRIP_ACT(MX_ACT_SOFTPLUS);
      STRIP_ACT(MX_ACT_EXP);
      STRIP_ACT(MX_ACT_LOG);
      STRIP_ACT(MX_ACT_SQRT);
      STRIP_ACT(MX_ACT_RECIPROCAL);
      STRIP_ACT(MX_ACT_ABS);
      STRIP_ACT(MX_ACT_NEG);
      STRIP_ACT(MX_ACT_ERF);
      STRIP_ACT(MX_ACT_MISH);
      STRIP_ACT(MX_ACT_FLOOR);
      STRIP_ACT(MX_ACT_CEIL);
      STRIP_ACT(MX_ACT_ROUND);
      STRIP_ACT(MX_ACT_SQUARE);
      STRIP_ACT(MX_ACT_RSQRT);
    default: return 0;
  }
}
#undef STRIP_ACT

/* ---- deq(): (float)(q - zero) of bytes and words */

MX_INLINE f16 strip_from(int dtype, const uint8_t *p, i16 zero) {
  const i16 q = dtype == MACCEL_U8   ? i16_load_u8(p)
                : dtype == MACCEL_S8 ? i16_load_s8((const int8_t *)p)
                                     : i16_load_s16((const int16_t *)(const void *)p);
  return f16_from(i16_sub(q, zero));
}

/* The last n < 16: nothing behind them is touched. */
MX_INLINE f16 strip_from_first(int dtype, const uint8_t *p, i16 zero, int n) {
  uint8_t copy[32] = {0};
  if (dtype == MACCEL_S16)
    memcpy(copy, p, (size_t)n * 2);
  else
    _mm_storeu_si128((__m128i *)(void *)copy, bytes_first(p, n));
  return strip_from(dtype, copy, zero);
}

#define STRIP_LOAD(TYPE)                                                                                \
  for (; i + 16 <= n; i += 16) f16_store(dst + i, strip_from(TYPE, src + i * (int)bytes, z));           \
  if (i < n)                                                                                            \
    f16_store_first(dst + i, strip_from_first(TYPE, src + i * (int)bytes, z, n - i), f16_first(n - i)); \
  return 1

static inline int strip_load(float *restrict dst, const uint8_t *src, int dtype, int64_t bytes, int n,
                             int32_t zero) {
  const i16 z = i16_all(zero);
  int i = 0;
  if (dtype == MACCEL_U8 && bytes == 1) {
    STRIP_LOAD(MACCEL_U8);
  }
  if (dtype == MACCEL_S8 && bytes == 1) {
    STRIP_LOAD(MACCEL_S8);
  }
  if (dtype == MACCEL_S16 && bytes == 2) {
    STRIP_LOAD(MACCEL_S16);
  }
  return 0;
}
#undef STRIP_LOAD

/* ---- put(): clamp(rne(v) + zero, lo, hi) */

MX_INLINE i16 strip_rounded(f16 v, i16 zero) { return i16_add(i16_round(f16_number(v)), zero); }

/* 16 bytes in order */
MX_INLINE __m128i strip_bytes(i16 q, int lo, int hi) {
  uint8_t copy[16];
  i16_store_u8(copy, q, lo, hi);
  return _mm_loadu_si128((const __m128i *)(const void *)copy);
}

#ifdef __AVX512F__
/* 64 bytes: saturation to 16, then 8 bits cannot change what the limits of the type let through. */
MX_INLINE int strip_put_64(uint8_t *dst, const float *v, int n, int is_signed, f16 m, i16 zero, int lo,
                           int hi) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i least = _mm512_set1_epi8((char)lo), most = _mm512_set1_epi8((char)hi);
  int i = 0;
  for (; i + 64 <= n; i += 64) {
    const i16 a = strip_rounded(f16_mul(f16_load(v + i), m), zero),
              b = strip_rounded(f16_mul(f16_load(v + i + 16), m), zero);
    const i16 c = strip_rounded(f16_mul(f16_load(v + i + 32), m), zero),
              d = strip_rounded(f16_mul(f16_load(v + i + 48), m), zero);
    const __m512i ab = _mm512_packs_epi32(a, b), cd = _mm512_packs_epi32(c, d);
    __m512i q = is_signed ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
    q = is_signed ? _mm512_min_epi8(_mm512_max_epi8(q, least), most)
                  : _mm512_min_epu8(_mm512_max_epu8(q, least), most);
    _mm512_storeu_si512(dst + i, _mm512_permutexvar_epi32(order, q));
  }
  return i;
}
#else
MX_INLINE int strip_put_64(uint8_t *dst, const float *v, int n, int is_signed, f16 m, i16 zero, int lo,
                           int hi) {
  (void)dst, (void)v, (void)n, (void)is_signed, (void)m, (void)zero, (void)lo, (void)hi;
  return 0;
}
#endif

/* Of v * factor: the multiplication by 1 changes nothing. */
static inline void strip_quantise(uint8_t *dst, const float *v, int n, int is_signed, float factor,
                                  int32_t zero, int lo, int hi) {
  const i16 z = i16_all(zero);
  const f16 m = f16_all(factor);
  int i = is_signed ? strip_put_64(dst, v, n, 1, m, z, lo, hi) : strip_put_64(dst, v, n, 0, m, z, lo, hi);
  for (; i + 16 <= n; i += 16) i16_store_u8(dst + i, strip_rounded(f16_mul(f16_load(v + i), m), z), lo, hi);
  if (i == n) return;
  const f16 last = f16_mul(f16_load_first(v + i, f16_first(n - i)), m);
  bytes_store_first(dst + i, strip_bytes(strip_rounded(last, z), lo, hi), n - i);
}

static inline void strip_put_8(uint8_t *dst, const float *v, int n, int is_signed, int32_t zero, int lo,
                               int hi) {
  strip_quantise(dst, v, n, is_signed, 1.0f, zero, lo, hi);
}

static inline void strip_put_16(uint8_t *dst, const float *v, int n, int32_t zero, int lo, int hi) {
  const i16 z = i16_all(zero);
  int16_t *to = (int16_t *)(void *)dst, copy[16];
  int i = 0;
  for (; i + 16 <= n; i += 16) i16_store_s16(to + i, strip_rounded(f16_load(v + i), z), lo, hi);
  if (i == n) return;
  i16_store_s16(copy, strip_rounded(f16_load_first(v + i, f16_first(n - i)), z), lo, hi);
  memcpy(to + i, copy, (size_t)(n - i) * 2);
}

enum { STRIP_SPREAD = 256 };

/* Elements that are not adjacent: converted first, then spread. */
static inline int strip_put(uint8_t *dst, int dtype, int64_t stride, const float *restrict v, int n,
                            int32_t zero, int lo, int hi) {
  const int byte = dtype == MACCEL_U8 || dtype == MACCEL_S8;
  if (!byte && dtype != MACCEL_S16) return 0;
  if (stride == (byte ? 1 : 2)) {
    if (byte)
      strip_put_8(dst, v, n, dtype == MACCEL_S8, zero, lo, hi);
    else
      strip_put_16(dst, v, n, zero, lo, hi);
    return 1;
  }
  if (n > STRIP_SPREAD || !byte) return 0;
  uint8_t near[STRIP_SPREAD];
  strip_put_8(near, v, n, dtype == MACCEL_S8, zero, lo, hi);
  for (int i = 0; i < n; i++) dst[i * stride] = near[i];
  return 1;
}

#endif
