/* dw_plan.h - how a depthwise convolution is cut into blocks of channels, and how its constants are packed.
 *
 * Channels are cut into blocks of 64, then 32 and 16 for the rest, then a block of fewer. Packed, a block is
 *   [4 vectors j] x { bias, scale, weights [weight_rows][vectors] } as 64-byte vectors in the order of dw_strip.h,
 *   then the scales in channel order. Bands of a narrow block repeat the constants. */
#ifndef MX_AVX512VNNI_DW_PLAN_H
#define MX_AVX512VNNI_DW_PLAN_H

#include <string.h>

#include "dw_strip.h"
#include "hard_swish.h"

/* A tap of the window; outside of it where a part of a lane has no use. */
typedef struct dw_tap {
  int ky, kx;
} dw_tap;

typedef struct dw_plan {
  mx_geometry s;
  int rows, slots;            /* output and input rows of a band */
  int lane;                   /* taps in a 32-bit lane: 4 of 8-bit weights or 2 of 16-bit ones */
  int vectors;                /* of the weights of one output row and one j */
  int weight_rows;            /* output rows that have their own shift of the weights: rows, or 1 */
  struct dw_tap (*tap)(const struct dw_plan *p, int row, int vector, int part);
  int cost[DW_WIDTHS];        /* of one column of a strip, in any unit */
  int channels, whole;        /* all; those in blocks of whole sixteens, which may reach into the padding */
  int blocks, shelf; /* shelf: output rows that are worked on for all blocks before the next ones */
  int mode;
  size_t vector_bytes, block_bytes; /* packed: of one j, of a block */
} dw_plan;

typedef struct dw_block {
  int channel, count, width;
} dw_block;

enum { DW_SHELF_BYTES = 256 << 10 };

/* May a block read and write whole sixteens behind the last channel? */
static int dw_room(const mx_task *t, int mode) {
  const int64_t whole = (t->out[0].dims[3] + 15) / 16 * 16;
  const mx_view *in = &t->in[0], *out = &t->out[0];
  const int in_ok = (in->flags & MX_TENSOR_PAD_CHANNELS) && in->stride[2] >= whole;
  return in_ok && (mode == DW_SUMS || ((out->flags & MX_TENSOR_PAD_CHANNELS) && out->stride[2] >= whole));
}

static int dw_mode_of(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const int plain =
      t->out[0].dtype == MACCEL_U8 && n->out[1] == MXP_NONE && n->in[1] == MXP_NONE && n->cst[3] == MXP_NONE;
  if (plain && hard_swish_is_small(n)) return DW_HARD;
  if (!plain || n->i[11] != MX_ACT_NONE || n->f[3] != 1.0f) return DW_SUMS;
  return t->out[0].zero == 0 && n->i[12] == 0 && n->i[13] == 255 ? DW_SATURATE : DW_CLAMP;
}

/* The last blocks: 32 and 16 of `whole` that remain behind the 64s, then the ones that fill no 16. */
static int dw_tail(int whole, int channels, int width) {
  return width == DW_32 ? whole % 64 >= 32 : width == DW_16 ? whole % 32 >= 16 : whole < channels;
}

static void dw_plan_blocks(dw_plan *p, const mx_task *t) {
  p->mode = dw_mode_of(t);
  p->channels = t->out[0].dims[3];
  p->whole = dw_room(t, p->mode) ? (p->channels + 15) / 16 * 16 : p->channels / 16 * 16;
  p->blocks = p->whole / 64;
  for (int w = DW_32; w < DW_WIDTHS; w++) p->blocks += dw_tail(p->whole, p->channels, w);
  p->vector_bytes = (size_t)(2 + p->weight_rows * p->vectors) * 64;
  p->block_bytes = 4 * p->vector_bytes + DW_LANES * sizeof(float);
  const int64_t unit = p->rows * DW_BANDS, bytes = p->s.in_row * p->s.sh * unit;
  p->shelf = (int)((bytes > 0 && bytes < DW_SHELF_BYTES ? DW_SHELF_BYTES / bytes : 1) * unit);
}

static dw_block dw_block_of(const dw_plan *p, int k) {
  const int full = p->whole / 64;
  dw_block b = {.channel = 64 * (k < full ? k : full), .count = 64, .width = DW_64};
  for (k -= full; k >= 0; k--) {
    if (b.width != DW_64) b.channel += dw_width_channels(b.width);
    do b.width++;
    while (!dw_tail(p->whole, p->channels, b.width));
  }
  b.count = dw_width_channels(b.width);
  if (b.count > p->channels - b.channel) b.count = p->channels - b.channel;
  return b;
}

/* ---- packing */

static int dw_weight(const mx_task *t, const dw_plan *p, dw_tap k, int channel) {
  if (channel < 0 || k.ky < 0 || k.ky >= p->s.kh || k.kx < 0 || k.kx >= p->s.kw) return 0;
  const int64_t at = ((int64_t)k.ky * p->s.kw + k.kx) * p->channels + channel;
  return p->lane == 4 ? ((const int8_t *)t->cst[0])[at] : ((const int16_t *)t->cst[0])[at];
}

/* Channel of element e of vector j, or -1. */
static int dw_channel_of(const dw_block *b, int j, int e) {
  const int c = (16 * (e >> 2) + 4 * j + (e & 3)) % dw_width_channels(b->width);
  return c < b->count ? b->channel + c : -1;
}

static void dw_pack_weights(const mx_task *t, const dw_plan *p, const dw_block *b, int j, uint8_t *to) {
  for (int row = 0; row < p->weight_rows; row++)
    for (int k = 0; k < p->vectors; k++, to += 64)
      for (int e = 0; e < 16 * p->lane; e++) {
        const int w = dw_weight(t, p, p->tap(p, row, k, e % p->lane), dw_channel_of(b, j, e / p->lane));
        if (p->lane == 4)
          to[e] = (uint8_t)w;
        else
          memcpy(to + 2 * e, &(int16_t){(int16_t)w}, 2);
      }
}

static void dw_pack_block(const mx_task *t, const dw_plan *p, const dw_block *b, uint8_t *to) {
  const int32_t *bias = (const int32_t *)t->cst[1];
  const float *scale = (const float *)t->cst[2];
  float *ordered = (float *)(void *)(to + 4 * p->vector_bytes);
  for (int j = 0; j < 4; j++, to += p->vector_bytes) {
    int32_t *bias_to = (int32_t *)(void *)to;
    float *scale_to = (float *)(void *)(to + 64);
    for (int e = 0; e < 16; e++) {
      const int c = dw_channel_of(b, j, e);
      bias_to[e] = c < 0 || !bias ? 0 : bias[c], scale_to[e] = c < 0 ? 0.0f : scale[c];
    }
    dw_pack_weights(t, p, b, j, to + 128);
  }
  for (int c = 0; c < DW_LANES; c++) ordered[c] = c < b->count ? scale[b->channel + c] : 0.0f;
}

static uint8_t *dw_packed(const mx_task *t) {
  return (uint8_t *)(((uintptr_t)t->packed + 63) & ~(uintptr_t)63);
}

static size_t dw_pack_bytes(const dw_plan *p) { return (size_t)p->blocks * p->block_bytes + 64; }

static void dw_pack(const mx_task *t, const dw_plan *p, void *packed) {
  uint8_t *to = (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63);
  for (int k = 0; k < p->blocks; k++, to += p->block_bytes) {
    const dw_block b = dw_block_of(p, k);
    dw_pack_block(t, p, &b, to);
  }
}

#endif
