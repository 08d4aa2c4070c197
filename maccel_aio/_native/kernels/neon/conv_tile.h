/* conv_tile.h - the tile of u8 x s8 convolutions on 128-bit vectors: pixels x 16 (or 8) channels.
 *
 * Three forms of the same sums: usdot (MX_NEON_I8MM) takes u8 by s8 as it is; sdot (MX_NEON_DOT) and the plain form,
 * which widens products to 16 bits and adds them pairwise to 32, take s8 by s8. For those the image is shifted by 128, x ^ 0x80,
 * and 128 * (sum of the weights) is part of the bias: the same sum in 32-bit arithmetic. */
#ifndef MX_NEON_CONV_TILE_H
#define MX_NEON_CONV_TILE_H

#include <arm_neon.h>

#include "../vector/panel_plain.h"

#if defined(MX_NEON_I8MM) || defined(MX_NEON_DOT)
enum { PANEL_ROWS = 4, TILE_HALVES = 1 }; /* a sum of four columns is one vector */
#else
enum { PANEL_ROWS = 2, TILE_HALVES = 2 }; /* or two, of two columns with two partial sums each */
#endif
enum { TILE_QUADS = PANEL_COLUMNS / 4 };

static int panel_column(int blocks, int position) {
  (void)blocks;
  return position;
}

static int32_t panel_bias(const panel_source *p, int column) {
#ifdef MX_NEON_I8MM
  (void)p, (void)column;
  return 0;
#else
  const int8_t *w = (const int8_t *)p->task->cst[0];
  const int64_t n = (int64_t)p->s->kh * p->s->kw * p->s->in_c, o = (int64_t)p->group * p->s->out_c + column;
  uint32_t sum = 0;
  for (int64_t k = 0; k < n; k++) sum += (uint32_t)(int32_t)w[o * n + k];
  return (int32_t)(128 * sum);
#endif
}

MX_INLINE uint8x16_t tile_broadcast4(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  const uint8x16_t x = vreinterpretq_u8_u32(vdupq_n_u32(v));
#ifdef MX_NEON_I8MM
  return x;
#else
  return veorq_u8(x, vdupq_n_u8(0x80));
#endif
}

/* Four columns of four elements each. */
MX_INLINE void tile_dot(int32x4_t acc[TILE_HALVES], uint8x16_t x, int8x16_t w) {
#if defined(MX_NEON_I8MM)
  acc[0] = vusdotq_s32(acc[0], x, w);
#elif defined(MX_NEON_DOT)
  acc[0] = vdotq_s32(acc[0], vreinterpretq_s8_u8(x), w);
#else
  const int8x16_t s = vreinterpretq_s8_u8(x);
  acc[0] = vpadalq_s16(acc[0], vmull_s8(vget_low_s8(s), vget_low_s8(w)));
  acc[1] = vpadalq_s16(acc[1], vmull_high_s8(s, w));
#endif
}

MX_INLINE int32x4_t tile_sum(const int32x4_t acc[TILE_HALVES], const int32_t *bias) {
  const int32x4_t start = vld1q_s32(bias);
  return vaddq_s32(start, TILE_HALVES == 1 ? acc[0] : vpaddq_s32(acc[0], acc[TILE_HALVES - 1]));
}

MX_INLINE int16x4_t tile_words(const panel_tile *t, int32x4_t sum, int quad) {
  const float32x4_t v = vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(t->scale + 4 * quad));
  return vqmovn_s32(vcvtnq_s32_f32(v));
}

/* Eight columns of a row, from two sums of four. */
MX_INLINE void tile_store(const panel_tile *t, uint8_t *to, int block, int16x8_t words) {
  uint8_t copy[8];
  const uint8x8_t v = vqmovun_s16(vqaddq_s16(words, vdupq_n_s16((int16_t)t->zero)));
  const uint8x8_t u = vmin_u8(vmax_u8(v, vdup_n_u8((uint8_t)t->low)), vdup_n_u8((uint8_t)t->high));
  const int n = t->columns - PANEL_BLOCK * block;
  if (n >= PANEL_BLOCK) {
    vst1_u8(to + PANEL_BLOCK * block, u);
    return;
  }
  vst1_u8(copy, u);
  for (int k = 0; k < n; k++) to[PANEL_BLOCK * block + k] = copy[k];
}

MX_INLINE void tile_finish(const panel_tile *t, int blocks, int32x4_t acc[TILE_QUADS][TILE_HALVES],
                           uint8_t *to) {
  MX_UNROLL for (int block = 0; block < blocks; block++) {
    const int32x4_t a = tile_sum(acc[2 * block], t->bias + 8 * block);
    const int32x4_t b = tile_sum(acc[2 * block + 1], t->bias + 8 * block + 4);
    if (t->sums) {
      vst1q_s32((int32_t *)(void *)to + 8 * block, a);
      vst1q_s32((int32_t *)(void *)to + 8 * block + 4, b);
    } else {
      tile_store(t, to, block, vcombine_s16(tile_words(t, a, 2 * block), tile_words(t, b, 2 * block + 1)));
    }
  }
}

MX_INLINE void tile_run(int rows, int blocks, const panel_tile *given, int64_t tiles) {
  panel_tile t = *given;
  for (; tiles > 0; tiles--, panel_advance(&t, rows)) {
    int32x4_t acc[PANEL_ROWS][TILE_QUADS][TILE_HALVES];
    const int8_t *w = (const int8_t *)t.weights;
    MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int q = 0; q < 2 * blocks; q++)
        MX_UNROLL for (int h = 0; h < TILE_HALVES; h++) acc[m][q][h] = vdupq_n_s32(0);
    for (int tap = 0; tap < t.taps; tap++) {
      const uint8_t *p[PANEL_ROWS];
      MX_UNROLL for (int m = 0; m < rows; m++) p[m] = panel_pixel(&t, tap, m);
      for (int64_t k = 0; k < 4 * (int64_t)t.k4; k += 4, w += PANEL_VECTOR * blocks) {
        uint8x16_t x[PANEL_ROWS];
        MX_UNROLL for (int m = 0; m < rows; m++) x[m] = tile_broadcast4(p[m] + k);
        MX_UNROLL for (int q = 0; q < 2 * blocks; q++) {
          const int8x16_t b = vld1q_s8(w + 16 * q);
          MX_UNROLL for (int m = 0; m < rows; m++) tile_dot(acc[m][q], x[m], b);
        }
      }
    }
    MX_UNROLL for (int m = 0; m < rows; m++) tile_finish(&t, blocks, acc[m], panel_out(&t, m));
  }
}

static __attribute__((noinline)) void tile_16(const panel_tile *t, int64_t n) {
  tile_run(PANEL_ROWS, 2, t, n);
}
static __attribute__((noinline)) void tile_8(const panel_tile *t, int64_t n) {
  tile_run(PANEL_ROWS, 1, t, n);
}
static __attribute__((noinline)) void tile_1x16(const panel_tile *t, int64_t n) { tile_run(1, 2, t, n); }
static __attribute__((noinline)) void tile_1x8(const panel_tile *t, int64_t n) { tile_run(1, 1, t, n); }

static void panel_run(const panel_tile *t, int rows, int64_t tiles) {
  if (tiles <= 0) return;
  if (rows == 1)
    (t->blocks == 2 ? tile_1x16 : tile_1x8)(t, tiles);
  else
    (t->blocks == 2 ? tile_16 : tile_8)(t, tiles);
}

#endif
