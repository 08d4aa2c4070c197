/* panel_pack.h - weights of a u8 x s8 convolution in panels of 16 channels.
 *
 * packed = zero row | per group: bias s32, scale f32, offsets of the panels, panels in the level's own form
 * The zero row holds zero(in0): padding taps point at it. Everything starts at a multiple of 64. A panel's first columns are
 * two blocks of 8, its weights are read as vectors of [8 columns][4 elements]; a last panel of at most 8 columns has one. */
#ifndef MX_VECTOR_PANEL_PACK_H
#define MX_VECTOR_PANEL_PACK_H

#include "panel_tile.h"

enum { PANEL_VECTOR = 4 * PANEL_BLOCK, PANEL_SLACK = 8 /* bytes read behind the last element of a tap */ };

typedef struct panel_layout {
  int panels, k4; /* of one group */
  size_t zero_bytes, row_bytes, head_bytes;
} panel_layout;

/* Where weights come from. */
typedef struct panel_source {
  const mx_task *task;
  const mx_geometry *s;
  int group, first, blocks, k4; /* first column of the panel */
  int natural;                  /* 1: positions are columns */
} panel_source;

static size_t panel_round64(size_t n) { return (n + 63) & ~(size_t)63; }

static panel_layout panel_layout_of(const mx_geometry *s) {
  panel_layout l = {.panels = (s->out_c + PANEL_COLUMNS - 1) / PANEL_COLUMNS, .k4 = (s->tap_elems + 3) / 4};
  l.zero_bytes = panel_round64((size_t)s->tap_elems + PANEL_SLACK);
  l.row_bytes = panel_round64((size_t)l.panels * PANEL_COLUMNS * 4);
  l.head_bytes = 2 * l.row_bytes + panel_round64((size_t)l.panels * sizeof(uint64_t));
  return l;
}

static int panel_blocks(const mx_geometry *s, int panel) {
  return s->out_c - panel * PANEL_COLUMNS > PANEL_BLOCK ? 2 : 1;
}

static int panel_column(int blocks, int position);

/* Column of the group at a position of the panel, or -1. */
static int panel_source_column(const panel_source *p, int position) {
  const int column = p->first + (p->natural ? position : panel_column(p->blocks, position));
  return column < p->s->out_c ? column : -1;
}

/* The vector of step k of a tap for one block; behind the last step zeros. */
static void panel_vector(const panel_source *p, int tap, int k, int block, int8_t to[PANEL_VECTOR]) {
  const int8_t *w = (const int8_t *)p->task->cst[0];
  memset(to, 0, PANEL_VECTOR);
  for (int q = 0; q < PANEL_BLOCK; q++) {
    const int column = panel_source_column(p, PANEL_BLOCK * block + q);
    const int64_t o = (int64_t)p->group * p->s->out_c + column;
    for (int e = 4 * k; column >= 0 && e < 4 * k + 4 && e < p->s->tap_elems; e++) {
      const int64_t at = mx_weight_index(p->s, o, tap, e);
      to[4 * q + e % 4] = at < 0 ? 0 : w[at];
    }
  }
}

static size_t panel_weights(const panel_source *p, uint8_t *to);
static int32_t panel_bias(const panel_source *p, int column);

static panel_source panel_source_of(const mx_task *t, const mx_geometry *s, int group, int panel,
                                    int natural) {
  return (panel_source){.task = t,
                        .s = s,
                        .group = group,
                        .first = panel * PANEL_COLUMNS,
                        .blocks = panel_blocks(s, panel),
                        .k4 = (s->tap_elems + 3) / 4,
                        .natural = natural};
}

/* Bytes of a group; with `to` it is packed as well. */
static size_t panel_pack_group(const mx_task *t, const mx_geometry *s, int group, int natural, uint8_t *to) {
  const panel_layout l = panel_layout_of(s);
  size_t at = l.head_bytes;
  if (to) memset(to, 0, l.head_bytes);
  for (int k = 0; k < l.panels; k++) {
    const panel_source p = panel_source_of(t, s, group, k, natural);
    for (int q = 0; to && q < PANEL_BLOCK * p.blocks; q++) {
      const int column = panel_source_column(&p, q), slot = PANEL_COLUMNS * k + q;
      const int64_t o = (int64_t)group * s->out_c + column;
      if (column < 0) continue;
      ((int32_t *)(void *)to)[slot] =
          (int32_t)((t->cst[1] ? ((const uint32_t *)t->cst[1])[o] : 0) + (uint32_t)panel_bias(&p, column));
      ((float *)(void *)(to + l.row_bytes))[slot] = ((const float *)t->cst[2])[o];
    }
    if (to) ((uint64_t *)(void *)(to + 2 * l.row_bytes))[k] = at;
    at += panel_round64(panel_weights(&p, to ? to + at : NULL));
  }
  return at;
}

/* The executor's memory may start anywhere: the first multiple of 64 in it. */
static uint8_t *panel_base(void *packed) { return (uint8_t *)(((uintptr_t)packed + 63) & ~(uintptr_t)63); }

/* Table of the groups' addresses, behind the zero row. */
static size_t panel_table_bytes(const mx_geometry *s) {
  return panel_round64((size_t)s->groups * sizeof(uint64_t));
}

static size_t panel_pack_all(const mx_task *t, const mx_geometry *s, int natural, uint8_t *base) {
  const panel_layout l = panel_layout_of(s);
  size_t at = l.zero_bytes + panel_table_bytes(s);
  if (base) memset(base, t->in[0].zero, l.zero_bytes);
  for (int g = 0; g < s->groups; g++) {
    if (base) ((uint64_t *)(void *)(base + l.zero_bytes))[g] = at;
    at += panel_pack_group(t, s, g, natural, base ? base + at : NULL);
  }
  return at + 64;
}

typedef struct panel_group {
  const uint8_t *base;
  const int32_t *bias;
  const float *scale;
  const uint64_t *offsets;
} panel_group;

static panel_group panel_group_at(const mx_geometry *s, const uint8_t *base, int group) {
  const panel_layout l = panel_layout_of(s);
  const uint8_t *p = base + ((const uint64_t *)(const void *)(base + l.zero_bytes))[group];
  return (panel_group){p, (const int32_t *)(const void *)p, (const float *)(const void *)(p + l.row_bytes),
                       (const uint64_t *)(const void *)(p + 2 * l.row_bytes)};
}

#endif
