/* dwconv_u8.c - depthwise convolution of u8 images by s8 or s16 weights, any window: eight channels of a pixel at a time.
 *
 * Pixels and weights are widened to 16 bits, products are added to 32. Reads pass the last channel by up to seven
 * bytes, which meet zero weights. */
#include <arm_neon.h>

#include "../vector/geometry.h"
#include "../vector/row.h"
#include "table.h"

enum { BLOCK = 8 };

typedef struct dw_plan {
  mx_geometry s;
  int channels, blocks, taps;
  size_t row_bytes; /* packed: bias, scale, then blocks of [taps][8] s16 */
} dw_plan;

static dw_plan plan_of(const mx_task *t) {
  dw_plan p = {.s = mx_geometry_of(t, 2), .channels = t->out[0].dims[3]};
  p.blocks = (p.channels + BLOCK - 1) / BLOCK;
  p.taps = p.s.kh * p.s.kw;
  p.row_bytes = ((size_t)p.blocks * BLOCK * 4 + 127) & ~(size_t)63;
  return p;
}

static int accepts(const mx_task *t) {
  const int w = t->cst_info[0].dtype;
  return t->in[0].rank == 4 && t->in[0].dtype == MACCEL_U8 && (w == MACCEL_S8 || w == MACCEL_S16);
}

static size_t pack_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return 2 * p.row_bytes + (size_t)p.blocks * p.taps * BLOCK * 2 + 64;
}

static uint8_t *packed_base(void *packed) { return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63); }

static void pack(const mx_task *t, void *packed) {
  const dw_plan p = plan_of(t);
  uint8_t *base = packed_base(packed);
  int16_t *weights = (int16_t *)(void *)(base + 2 * p.row_bytes);
  memset(base, 0, pack_bytes(t) - 64);
  for (int c = 0; c < p.channels; c++) {
    ((int32_t *)(void *)base)[c] = t->cst[1] ? ((const int32_t *)t->cst[1])[c] : 0;
    ((float *)(void *)(base + p.row_bytes))[c] = ((const float *)t->cst[2])[c];
    for (int k = 0; k < p.taps; k++) {
      const int64_t at = (int64_t)k * p.channels + c;
      const int w = t->cst_info[0].dtype == MACCEL_S16 ? ((const int16_t *)t->cst[0])[at]
                                                       : ((const int8_t *)t->cst[0])[at];
      weights[((int64_t)(c / BLOCK) * p.taps + k) * BLOCK + c % BLOCK] = (int16_t)w;
    }
  }
}

/* ---- scratch: a row of zero(in0), the addresses of the taps of a pixel */

static size_t zero_bytes(const dw_plan *p) { return ((size_t)p->channels + 127) & ~(size_t)63; }

static size_t scratch_bytes(const mx_task *t) {
  const dw_plan p = plan_of(t);
  return zero_bytes(&p) + (size_t)p.taps * sizeof(void *);
}

/* x is unsigned: below 256 it is the same in signed 16 bits. */
static inline void dw_block(const uint8_t *const *taps, int n, int64_t offset, const int16_t *w,
                            const int32_t *bias, int32_t *sums) {
  int32x4_t lo = vld1q_s32(bias), hi = vld1q_s32(bias + 4);
  for (int k = 0; k < n; k++, w += BLOCK) {
    const int16x8_t x = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(taps[k] + offset))), v = vld1q_s16(w);
    lo = vmlal_s16(lo, vget_low_s16(x), vget_low_s16(v));
    hi = vmlal_high_s16(hi, x, v);
  }
  vst1q_s32(sums, lo);
  vst1q_s32(sums + 4, hi);
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
}

static void run_pixel(const mx_task *t, const dw_plan *p, int linear, const uint8_t *const *taps,
                      mx_place place) {
  const uint8_t *base = packed_base(t->packed);
  const int32_t *bias = (const int32_t *)(const void *)base;
  const float *scale = (const float *)(const void *)(base + p->row_bytes);
  const int16_t *weights = (const int16_t *)(const void *)(base + 2 * p->row_bytes);
  for (int c = 0; c < p->channels; c += ROW_CHANNELS) {
    const int n = p->channels - c < ROW_CHANNELS ? p->channels - c : ROW_CHANNELS;
    int32_t sums[ROW_CHANNELS] = {0};
    for (int k = c; k < c + n; k += BLOCK)
      dw_block(taps, p->taps, k, weights + (int64_t)k * p->taps, bias + k, sums + k - c);
    row_finish(t, linear, sums, scale + c, c, n, place);
  }
}

static void run(const mx_task *t, int part, int parts) {
  const dw_plan p = plan_of(t);
  const int linear = row_is_linear(t);
  uint8_t *zero = (uint8_t *)t->scratch;
  const uint8_t **taps = (const uint8_t **)(void *)(zero + zero_bytes(&p));
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

const mx_kernel mx_dwconv_u8_neon = {"u8-dwconv-8-neon", accepts, pack_bytes, pack, scratch_bytes, run};
