/* conv_pack.h - weights of a u8 x s8 convolution as the register tiles read them.
 *
 * packed = zero row | per group: scale f32 [blocks*16], bias s32 [1 + classes][blocks*16], panels of up to 4 blocks
 * A class is a set of output rows whose windows lose the same rows of taps to the padding: these taps are skipped, and
 * what they would have added, zero(in0) times their weights, is part of the bias of the class. The zero row holds zero(in0): padding taps point at it. Everything starts at a multiple of 64. When at most 8 columns
 * of the last block exist, it is a half block. */
#ifndef MX_AVX512VNNI_CONV_PACK_H
#define MX_AVX512VNNI_CONV_PACK_H

#include "conv_mode.h"

enum { CONV_CLASSES = 8 };

/* Rows of taps [lo, hi) of a window that meet the image. */
typedef struct conv_class {
  int lo, hi;
} conv_class;

typedef struct conv_layout {
  conv_class class_at[1 + CONV_CLASSES]; /* the first one: all taps */
  int classes;                           /* without the first one */
  int blocks, panels; /* of one group */
  int half;           /* of the last panel */
  int k4;
  size_t zero_bytes, panel_bytes, group_bytes, total; /* panel_bytes: of a panel of 4 blocks */
} conv_layout;

static size_t conv_round64(size_t n) { return (n + 63) & ~(size_t)63; }

/* Rows of taps that output row y reads inside the image; all of them where nothing can be skipped. */
static conv_class conv_class_of(const mx_geometry *s, int y) {
  const int top = y * s->sh - s->pt;
  conv_class c = {0, s->kh};
  if (s->segment) return c;
  while (c.lo < c.hi && top + c.lo * s->dh < 0) c.lo++;
  while (c.hi > c.lo && top + (c.hi - 1) * s->dh >= s->in_h) c.hi--;
  return c.lo < c.hi ? c : (conv_class){0, s->kh};
}

/* Its number; 0 when there is no room for more classes. */
static int conv_class_number(const conv_layout *l, conv_class c) {
  for (int k = 0; k <= l->classes; k++)
    if (l->class_at[k].lo == c.lo && l->class_at[k].hi == c.hi) return k;
  return 0;
}

/* Only rows near the top and the bottom can differ from class 0. */
static void conv_find_classes(const mx_geometry *s, conv_layout *l) {
  l->class_at[0] = (conv_class){0, s->kh};
  if (s->pt == 0 && (s->out_h - 1) * s->sh + (s->kh - 1) * s->dh < s->in_h) return; /* no padding */
  for (int y = 0; y < s->out_h && l->classes < CONV_CLASSES; y++) {
    const conv_class c = conv_class_of(s, y);
    if (c.lo == 0 && c.hi == s->kh) continue;
    if (conv_class_number(l, c) == 0) l->class_at[++l->classes] = c;
  }
}

static conv_layout conv_layout_of(const mx_geometry *s) {
  conv_layout l = {.blocks = (s->out_c + 15) / 16, .k4 = (s->tap_elems + 3) / 4};
  l.panels = (l.blocks + 3) / 4;
  l.half = (s->out_c - 1) % 16 < 8;
  conv_find_classes(s, &l);
  l.zero_bytes = conv_round64((size_t)s->tap_elems + 4);
  l.panel_bytes = (size_t)s->taps * l.k4 * 256;
  l.group_bytes = (size_t)l.blocks * (64 * (2 + (size_t)l.classes) + (size_t)s->taps * l.k4 * 64);
  l.total = l.zero_bytes + l.group_bytes * s->groups + 64;
  return l;
}

/* The executor's memory may start anywhere: the first multiple of 64 in it. */
static uint8_t *conv_packed_base(void *packed) {
  return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63);
}

static int conv_panel_blocks(const conv_layout *l, int panel) {
  const int left = l->blocks - 4 * panel;
  return left < 4 ? left : 4;
}

static int conv_panel_half(const conv_layout *l, int panel) { return l->half && panel == l->panels - 1; }

typedef struct conv_group {
  float *scale;
  int32_t *bias; /* [1 + classes][blocks*16] */
  int8_t *weights;
} conv_group;

static conv_group conv_group_at(const conv_layout *l, uint8_t *base, int group) {
  uint8_t *p = base + l->zero_bytes + l->group_bytes * group;
  const size_t row = (size_t)l->blocks * 64;
  return (conv_group){(float *)(void *)p, (int32_t *)(void *)(p + row),
                      (int8_t *)(p + (2 + (size_t)l->classes) * row)};
}

/* One tap of one output: n elements from `w`, four to a step. */
static void conv_pack_tap(int8_t *to, int step, const int8_t *w, int n) {
  for (; n >= 4; n -= 4, w += 4, to += step) memcpy(to, w, 4);
  memcpy(to, w, (size_t)n);
}

static void conv_pack_column(const mx_task *t, const mx_geometry *s, int64_t o, int8_t *to, int step) {
  const int8_t *w = (const int8_t *)t->cst[0];
  const int k4 = (s->tap_elems + 3) / 4;
  for (int tap = 0; tap < s->taps; tap++, to += (int64_t)k4 * step) {
    if (!s->segment) {
      conv_pack_tap(to, step, w + (o * s->taps + tap) * s->in_c, s->in_c);
      continue;
    }
    for (int e = 0; e < s->tap_elems; e++) {
      const int64_t at = mx_weight_index(s, o, tap, e);
      to[(int64_t)(e / 4) * step + e % 4] = at < 0 ? 0 : w[at];
    }
  }
}

/* What the skipped taps of class c add to the sum of output o. */
static int32_t conv_skipped(const mx_task *t, const mx_geometry *s, conv_class c, int64_t o) {
  const int64_t row = (int64_t)s->kw * s->in_c;
  const int8_t *w = (const int8_t *)t->cst[0] + o * s->kh * row;
  int32_t sum = 0;
  if (t->in[0].zero == 0) return 0;
  for (int64_t k = 0; k < c.lo * row; k++) sum += w[k];
  for (int64_t k = c.hi * row; k < s->kh * row; k++) sum += w[k];
  return sum * t->in[0].zero;
}

static void conv_pack_panel(const mx_task *t, const mx_geometry *s, const conv_layout *l, conv_group to,
                            int group, int panel, int mode) {
  const int blocks = conv_panel_blocks(l, panel), half = conv_panel_half(l, panel);
  int8_t *out = to.weights + panel * l->panel_bytes;
  for (int q = 0; q < 16 * blocks; q++) {
    const int column = 64 * panel + (tile_permuted(mode, blocks, half) ? tile_column(q) : q);
    if (column >= s->out_c) continue; /* all zero */
    const int64_t o = (int64_t)group * s->out_c + column;
    const int32_t bias = t->cst[1] ? ((const int32_t *)t->cst[1])[o] : 0;
    for (int c = 0; c <= l->classes; c++)
      to.bias[(size_t)c * l->blocks * 16 + 64 * panel + q] = bias + conv_skipped(t, s, l->class_at[c], o);
    to.scale[64 * panel + q] = ((const float *)t->cst[2])[o];
    conv_pack_column(t, s, o, out + 4 * q, tile_step(blocks, half));
  }
}

static void conv_pack_all(const mx_task *t, const mx_geometry *s, void *packed) {
  const conv_layout l = conv_layout_of(s);
  const int mode = conv_mode(t);
  uint8_t *base = conv_packed_base(packed);
  memset(base, 0, l.total - 64);
  memset(base, t->in[0].zero, l.zero_bytes);
  for (int g = 0; g < s->groups; g++)
    for (int p = 0; p < l.panels; p++) conv_pack_panel(t, s, &l, conv_group_at(&l, base, g), g, p, mode);
}

#endif
