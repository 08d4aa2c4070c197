/* row_u8.h - the end of an integer convolution for one pixel: up to 64 sums in channel order -> the outputs. */
#ifndef MX_AVX2_ROW_U8_H
#define MX_AVX2_ROW_U8_H

#include <immintrin.h>
#include <string.h>

#include "../generic/finish.h"

enum { ROW_CHANNELS = 64 };

/* u8 by scale, rounding, zero and clamp alone, with or without a u8 residual, then perhaps a table */
static int row_is_linear(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const int residual_ok = n->in[1] == MXP_NONE || (t->in[1].dtype == MACCEL_U8 && t->in[1].stride[3] == 1 && !t->in[1].channel_scale);
  return n->op != MX_OP_CONVDYN && t->out[0].dtype == MACCEL_U8 && n->out[1] == MXP_NONE && n->i[11] == MX_ACT_NONE && n->f[3] == 1.0f && residual_ok;
}

static inline __m256i row_scale8(const int32_t *sums, const float *scale, const uint8_t *res, int32_t res_zero, float res_scale) {
  __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)sums)), _mm256_loadu_ps(scale));
  if (res) {
    const __m256i q = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)res)), _mm256_set1_epi32(res_zero));
    v = _mm256_add_ps(v, _mm256_mul_ps(_mm256_cvtepi32_ps(q), _mm256_set1_ps(res_scale)));
  }
  return _mm256_cvtps_epi32(v);
}

/* 16 channels; `scale` and `sums` are readable for 16, of which n are stored */
static inline void row_linear16(const mx_task *t, const int32_t *sums, const float *scale, const uint8_t *res, uint8_t *out, int n) {
  const mxp_insn *i = t->insn;
  const __m256i a = row_scale8(sums, scale, res, t->in[1].zero, i->f[2]);
  const __m256i b = row_scale8(sums + 8, scale + 8, res ? res + 8 : NULL, t->in[1].zero, i->f[2]);
  const __m256i w = _mm256_adds_epi16(_mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8), _mm256_set1_epi16((short)t->out[0].zero));
  __m128i q = _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
  q = _mm_min_epu8(_mm_max_epu8(q, _mm_set1_epi8((char)i->i[12])), _mm_set1_epi8((char)i->i[13]));
  if (n >= 16) {
    _mm_storeu_si128((__m128i *)out, q);
    return;
  }
  uint8_t bytes[16];
  _mm_storeu_si128((__m128i *)bytes, q);
  memcpy(out, bytes, (size_t)n);
}

/* Padding behind the last channel may be written: whole vectors are stored when they fit in the pixel. */
static inline int row_store_count(const mx_task *t, int c0, int n) {
  const int wide = (n + 15) / 16 * 16;
  const int padded = (t->out[0].flags & MX_TENSOR_PAD_CHANNELS) && c0 + n == t->out[0].dims[3] && c0 + wide <= t->out[0].stride[2];
  return padded ? wide : n;
}

/* n channels from c0 on. `scale` is the packed copy: in channel order, padded to a multiple of 16. */
static inline void row_finish(const mx_task *t, int linear, const int32_t *sums, const float *scale, int c0, int n, mx_place place) {
  place.c0 = c0;
  place.out0 += (int64_t)c0 * mx_dtype_bytes(t->out[0].dtype);
  place.res += c0 * t->in[1].stride[3];
  if (linear) {
    uint8_t *out = t->out[0].data + place.out0;
    const uint8_t *res = t->insn->in[1] == MXP_NONE ? NULL : t->in[1].data + place.res;
    const int stored = row_store_count(t, c0, n);
    for (int c = 0; c < n; c += 16) row_linear16(t, sums + c, scale + c, res ? res + c : NULL, out + c, stored - c);
    const uint8_t *table = (const uint8_t *)t->cst[3];
    for (int c = 0; table && c < n; c++) out[c] = table[out[c]];
    return;
  }
  float v[ROW_CHANNELS];
  for (int j = 0; j < n; j++) v[j] = (float)sums[j] * scale[j];
  place.out1 += (int64_t)c0 * mx_dtype_bytes(t->out[1].dtype);
  mx_conv_finish(t, v, n, &place);
}

#endif
