/* dwconv_s16.c - depthwise convolution with everything widened to 16 bits (docs/kernels.md).
 *
 * 16 channels at a time; two taps share a 32-bit lane and one vpmaddwd. Takes u8 or s16 images and s8 or s16 weights,
 * any window, stride, dilation and padding. */
#include "../vector/geometry.h"
#include "../vector/row.h"
#include "table.h"

typedef struct dw_plan {
  mx_geometry s;
  int wide_in, wide_weights, channels, blocks, taps, pairs;
  size_t scale_bytes, block_bytes; /* packed: bias, scale, then blocks of [pairs][32] s16 */
} dw_plan;

static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {.s = mx_geometry_of(t, 2),
               .wide_in = t->in[0].dtype == MACCEL_S16,
               .wide_weights = t->cst_info[0].dtype == MACCEL_S16,
               .channels = t->out[0].dims[3]};
  p.blocks = (p.channels + 15) / 16;
  p.taps = p.s.kh * p.s.kw;
  p.pairs = (p.taps + 1) / 2;
  p.scale_bytes = (size_t)p.blocks * 64;
  p.block_bytes = (size_t)p.pairs * 64;
  return p;
}

static int accepts(const mx_task *t) {
  const int in = t->in[0].dtype, w = t->cst_info[0].dtype;
  return t->in[0].rank == 4 && (in == MACCEL_U8 || in == MACCEL_S16) && (w == MACCEL_S8 || w == MACCEL_S16);
}

static size_t pack_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return 2 * p.scale_bytes + (size_t)p.blocks * p.block_bytes + 64;
}

static uint8_t *packed_base(void *packed) { return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63); }

/* Unpacking words works inside 128-bit lanes: the low half of a pair holds channels 0-3 and 8-11, the high half the rest. */
static int lane_of(int channel) { return channel / 4 % 2 * 16 + channel / 8 * 8 + channel % 4 * 2; }

static void pack(const mx_task *t, void *packed) {
  const dw_plan p = plan_of(t);
  uint8_t *base = packed_base(packed);
  memset(base, 0, pack_bytes(t) - 64);
  int16_t *weights = (int16_t *)(void *)(base + 2 * p.scale_bytes);
  for (int c = 0; c < p.channels; c++) {
    ((int32_t *)(void *)base)[c] = t->cst[1] ? ((const int32_t *)t->cst[1])[c] : 0;
    ((float *)(void *)(base + p.scale_bytes))[c] = ((const float *)t->cst[2])[c];
    for (int k = 0; k < p.taps; k++) {
      const int64_t at = (int64_t)k * p.channels + c;
      const int w = p.wide_weights ? ((const int16_t *)t->cst[0])[at] : ((const int8_t *)t->cst[0])[at];
      weights[((int64_t)(c / 16) * p.pairs + k / 2) * 32 + lane_of(c % 16) + k % 2] = (int16_t)w;
    }
  }
}

/* ---- scratch: a row of zero(in0), the addresses of the taps of a pixel */

static size_t zero_bytes(const dw_plan *p) { return ((size_t)p->channels * 2 + 127) & ~(size_t)63; }

static size_t scratch_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return zero_bytes(&p) + (size_t)(p.pairs * 2) * sizeof(void *);
}

static inline __m256i load16(const uint8_t *p, int wide) {
  return wide ? _mm256_loadu_si256((const __m256i *)p)
              : _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

/* Reads up to 15 elements behind the last channel; they meet zero weights. */
MX_INLINE void dw_block(const uint8_t *const *taps, int pairs, int64_t offset, int wide, const int16_t *w,
                        const int32_t *bias, int32_t *sums) {
  __m256i lo = _mm256_setzero_si256(), hi = lo;
  for (int k = 0; k < pairs; k++, w += 32) {
    const __m256i a = load16(taps[2 * k] + offset, wide), b = load16(taps[2 * k + 1] + offset, wide);
    lo = _mm256_add_epi32(
        lo, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), _mm256_loadu_si256((const __m256i *)w)));
    hi = _mm256_add_epi32(
        hi, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), _mm256_loadu_si256((const __m256i *)(w + 16))));
  }
  const __m256i first = _mm256_permute2x128_si256(lo, hi, 0x20),
                second = _mm256_permute2x128_si256(lo, hi, 0x31);
  _mm256_storeu_si256((__m256i *)sums, _mm256_add_epi32(first, _mm256_loadu_si256((const __m256i *)bias)));
  _mm256_storeu_si256((__m256i *)(sums + 8),
                      _mm256_add_epi32(second, _mm256_loadu_si256((const __m256i *)(bias + 8))));
}

static void tap_addresses(const mx_task *t, const dw_plan *p, int image, int oy, int ox, const uint8_t *zero,
                          const uint8_t **taps) {
  const mx_geometry *s = &p->s;
  const uint8_t *data = t->in[0].data + image * s->in_n;
  for (int ky = 0; ky < s->kh; ky++)
    for (int kx = 0; kx < s->kw; kx++) {
      const int y = oy * s->sh - s->pt + ky * s->dh, x = ox * s->sw - s->pl + kx * s->dw;
      *taps++ = y >= 0 && y < s->in_h && x >= 0 && x < s->in_w ? data + y * s->in_row + x * s->in_px : zero;
    }
  if (p->taps % 2) *taps = zero;
}

static void run_pixel(const mx_task *t, const dw_plan *p, int linear, const uint8_t *const *taps,
                      mx_place place) {
  const uint8_t *base = packed_base(t->packed);
  const int32_t *bias = (const int32_t *)(const void *)base;
  const float *scale = (const float *)(const void *)(base + p->scale_bytes);
  const int16_t *weights = (const int16_t *)(const void *)(base + 2 * p->scale_bytes);
  for (int c = 0; c < p->channels; c += ROW_CHANNELS) {
    const int n = p->channels - c < ROW_CHANNELS ? p->channels - c : ROW_CHANNELS;
    int32_t sums[ROW_CHANNELS];
    for (int k = 0; k < n; k += 16) {
      const int16_t *w = weights + (int64_t)((c + k) / 16) * p->pairs * 32;
      if (p->wide_in)
        dw_block(taps, p->pairs, 2 * (int64_t)(c + k), 1, w, bias + c + k, sums + k);
      else
        dw_block(taps, p->pairs, c + k, 0, w, bias + c + k, sums + k);
    }
    row_finish(t, linear, sums, scale + c, c, n, place);
  }
}

static void run(const mx_task *t, int part, int parts) {
  const dw_plan p = plan_of(t);
  const int linear = row_is_linear(t);
  uint8_t *zero = (uint8_t *)t->scratch;
  const uint8_t **taps = (const uint8_t **)(void *)(zero + zero_bytes(&p));
  if (p.wide_in)
    for (size_t k = 0; k < zero_bytes(&p) / 2; k++) ((int16_t *)(void *)zero)[k] = (int16_t)t->in[0].zero;
  else
    memset(zero, t->in[0].zero, zero_bytes(&p));
  int64_t lo, hi;
  mx_share_units((int64_t)p.s.batch * p.s.out_h, 1, part, parts, &lo, &hi);
  for (int64_t row = lo; row < hi; row++) {
    const int image = (int)(row / p.s.out_h), y = (int)(row % p.s.out_h);
    for (int x = 0; x < p.s.out_w; x++) {
      tap_addresses(t, &p, image, y, x, zero, taps);
      run_pixel(t, &p, linear, taps, mx_place_at(t, image, y, x, 0));
    }
  }
}

const mx_kernel mx_dwconv_s16_avx2 = {"int-dwconv-16-avx2", accepts, pack_bytes, pack, scratch_bytes, run};
