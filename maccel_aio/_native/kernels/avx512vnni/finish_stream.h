/* finish_stream.h - the end of convolutions on the 16-bit residual stream: sums in natural column order become
 * s16 (or f32) values, with an optional residual and an optional u8 copy for the next convolution. */
#ifndef MX_AVX512VNNI_FINISH_STREAM_H
#define MX_AVX512VNNI_FINISH_STREAM_H

#include <immintrin.h>

#include "../generic/finish.h"

/* No activation, no table, contiguous channels; residual u8 or s16. */
static int stream_fits(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const mx_view *out = &t->out[0], *copy = &t->out[1], *res = &t->in[1];
  if (n->op != MX_OP_CONV || n->i[11] != MX_ACT_NONE || n->f[3] != 1.0f || t->cst[3]) return 0;
  if (!(out->dtype == MACCEL_S16 && out->stride[3] == 2) && !(out->dtype == MACCEL_F32 && out->stride[3] == 4)) return 0;
  if (n->out[1] != MXP_NONE && !(copy->dtype == MACCEL_U8 && copy->stride[3] == 1)) return 0;
  if (n->in[1] == MXP_NONE) return 1;
  return !res->channel_scale && ((res->dtype == MACCEL_S16 && res->stride[3] == 2) || (res->dtype == MACCEL_U8 && res->stride[3] == 1));
}

static inline __m512 stream_residual(const mx_view *res, const uint8_t *at, __mmask16 mask, __m512 scale) {
  const __m512i q = res->dtype == MACCEL_S16 ? _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, at))
                                             : _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, at));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(res->zero))), scale);
}

static inline __m512i stream_quantise(__m512 v, int32_t zero, int32_t low, int32_t high) {
  const __m512 limit = _mm512_set1_ps(1073741824.0f);
  v = _mm512_min_ps(_mm512_max_ps(v, _mm512_sub_ps(_mm512_setzero_ps(), limit)), limit);
  const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(zero));
  return _mm512_min_epi32(_mm512_max_epi32(q, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
}

static inline void stream_store(const mx_task *t, __m512 v, const mx_place *p, int j, __mmask16 mask) {
  const mxp_insn *n = t->insn;
  const mx_view *out = &t->out[0];
  if (out->dtype == MACCEL_F32) _mm512_mask_storeu_ps(out->data + p->out0 + 4 * j, mask, v);
  else _mm256_mask_storeu_epi16(out->data + p->out0 + 2 * j, mask, _mm512_cvtepi32_epi16(stream_quantise(v, out->zero, n->i[12], n->i[13])));
  if (n->out[1] == MXP_NONE) return;
  const __m512i q = stream_quantise(_mm512_mul_ps(v, _mm512_set1_ps(n->f[4])), t->out[1].zero, n->i[14], n->i[15]);
  _mm_mask_storeu_epi8(t->out[1].data + p->out1 + j, mask, _mm512_cvtepi32_epi8(q));
}

/* `count` channels of one pixel, whose first one `p` stands at. */
static void stream_pixel(const mx_task *t, const int32_t *sums, const float *scale, int count, const mx_place *p) {
  const __m512 res_scale = _mm512_set1_ps(t->insn->f[2]);
  const uint8_t *res = t->insn->in[1] != MXP_NONE ? t->in[1].data + p->res : NULL;
  for (int j = 0; j < count; j += 16) {
    const __mmask16 mask = count - j >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (count - j)) - 1);
    __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums + j)), _mm512_maskz_loadu_ps(mask, scale + j));
    if (res) v = _mm512_add_ps(v, stream_residual(&t->in[1], res + j * t->in[1].stride[3], mask, res_scale));
    stream_store(t, v, p, j, mask);
  }
}

#endif
