/* conv_run.h - what a run of the convolution keeps: geometry, packed weights, scratch memory, the tile of a panel. */
#ifndef MX_AVX512VNNI_CONV_RUN_H
#define MX_AVX512VNNI_CONV_RUN_H

#include "../vector/row.h"
#include "conv_pack.h"
#include "tile_table.h"

enum { LIST_MAX = 112, LIST_STEP = LIST_MAX + 8, WINDOW_BYTES = MX_SEGMENT_BYTES + 4 };

typedef struct conv_scratch {
  int64_t *tap_offset; /* [taps] */
  const uint8_t **rows; /* [taps][LIST_STEP] */
  uint8_t **outs, **outs1; /* [LIST_STEP] at channel 0 of the group */
  const uint8_t **ress; /* [LIST_STEP] likewise */
  mx_place *places; /* [LIST_STEP] at channel 0 of the tensor, of staged results */
  float *row_scales; /* [LIST_STEP] CONVDYN */
  int32_t *sums; /* [LIST_STEP][64], floats with TILE_FLOAT */
  uint8_t *windows; /* [LIST_MAX][taps][WINDOW_BYTES], segment form */
  uint8_t *sink; /* where the rows of a tile that stand for no pixel go */
} conv_scratch;

typedef struct conv_run {
  const mx_task *task;
  mx_geometry s;
  conv_layout layout;
  conv_scratch mem;
  int linear; /* of row_finish() */
  int mode; /* of the tiles */
  int staged; /* do results pass through scratch? */
  int group, panel_lo, panel_hi;
  int interior_lo, interior_hi;
  const uint8_t *in; /* of the group */
  const uint8_t *zero_row;
  conv_group packed;
  tile *tile; /* filled once, but for what differs from panel to panel */
} conv_run;

static uint8_t *scratch_take(uint8_t **at, size_t bytes) {
  uint8_t *p = *at;
  *at += conv_round64(bytes);
  return p;
}

/* Lays the scratch out from `at`; with at = 0 the end is its size. */
static conv_scratch scratch_layout(const mx_geometry *s, uint8_t **at) {
  conv_scratch m;
  m.tap_offset = (int64_t *)(void *)scratch_take(at, (size_t)s->taps * sizeof(int64_t));
  m.rows = (const uint8_t **)(void *)scratch_take(at, (size_t)s->taps * LIST_STEP * sizeof(void *));
  m.outs = (uint8_t **)(void *)scratch_take(at, LIST_STEP * sizeof(void *));
  m.outs1 = (uint8_t **)(void *)scratch_take(at, LIST_STEP * sizeof(void *));
  m.ress = (const uint8_t **)(void *)scratch_take(at, LIST_STEP * sizeof(void *));
  m.places = (mx_place *)(void *)scratch_take(at, LIST_STEP * sizeof(mx_place));
  m.row_scales = (float *)(void *)scratch_take(at, LIST_STEP * sizeof(float));
  m.sums = (int32_t *)(void *)scratch_take(at, LIST_STEP * 64 * sizeof(int32_t));
  m.windows = scratch_take(at, s->segment ? (size_t)LIST_MAX * s->taps * WINDOW_BYTES : 0);
  m.sink = scratch_take(at, 4 * (size_t)s->out_c + 256); /* a pixel of floats */
  return m;
}

/* Channel 0 of the group at pixel p. */
static uint8_t *conv_pixel(const conv_run *r, const mx_view *v, int64_t p) {
  return mx_pixel_at(&r->s, v, p) + (int64_t)r->group * r->s.out_c * mx_dtype_bytes(v->dtype);
}

static tile_shape panel_shape(const conv_run *r, int panel, int64_t n) {
  return tile_shape_for(conv_panel_blocks(&r->layout, panel), conv_panel_half(&r->layout, panel), n);
}

/* What the tiles of all panels share. */
static void tile_begin(const conv_run *r) {
  const conv_scratch *m = &r->mem;
  *r->tile = (tile){.k4 = r->layout.k4,
                    .list_step = LIST_STEP,
                    .outs = m->outs,
                    .outs1 = m->outs1,
                    .ress = m->ress,
                    .row_scales = m->row_scales,
                    .dynamic = r->task->insn->op == MX_OP_CONVDYN,
                    .staged = r->staged};
  if (!r->staged) conv_fill_epilogue(r->task, r->tile, r->mode);
}

/* Turns the tile to a panel, for output rows of one class. Returns its mode: one that writes fewer columns, perhaps. */
static int panel_tile(const conv_run *r, int panel, int class_number) {
  tile *x = r->tile;
  const int column = 64 * panel, blocks = conv_panel_blocks(&r->layout, panel),
            half = conv_panel_half(&r->layout, panel);
  const conv_class c = r->layout.class_at[class_number];
  const int across = r->s.segment ? 1 : r->s.kw, first = c.lo * across;
  const int64_t tap_bytes = (int64_t)r->layout.k4 * tile_step(blocks, half);
  x->weights = r->packed.weights + panel * r->layout.panel_bytes + first * tap_bytes;
  x->bias = r->packed.bias + (size_t)class_number * r->layout.blocks * 16 + column;
  x->scale = r->packed.scale + column;
  x->taps = (c.hi - c.lo) * across;
  x->tap_offset = r->mem.tap_offset + first;
  x->rows = r->mem.rows + first * LIST_STEP;
  if (x->dynamic && r->task->cst[5]) x->float_bias = (const float *)r->task->cst[5] + column;
  if (r->staged) {
    x->at.out = (uint8_t *)r->mem.sums, x->out_step = 64 * blocks;
    x->res_mask = conv_first_columns(r->s.out_c - column), x->wide_mask = ~(__mmask64)0;
    return r->mode;
  }
  conv_fill_columns(r->task, x, r->s.groups, column, r->s.out_c - column, 16 * blocks);
  const __mmask64 all = conv_first_columns(16 * blocks - 8 * half);
  return r->mode == TILE_SATURATE && (x->bytes.mask & all) != all ? TILE_CLAMP : r->mode;
}

/* ---- staged results -> outputs */

static void finish_floats(const mx_task *t, float *v, int c0, int n, mx_place place) {
  place.c0 = c0;
  place.out0 += (int64_t)c0 * mx_dtype_bytes(t->out[0].dtype);
  place.out1 += (int64_t)c0 * mx_dtype_bytes(t->out[1].dtype);
  place.res += c0 * t->in[1].stride[3];
  mx_conv_finish(t, v, n, &place);
}

/* Of n listed pixels. */
static void finish_staged(const conv_run *r, int panel, int64_t n) {
  const int left = r->s.out_c - 64 * panel, count = left < 64 ? left : 64,
            c0 = r->group * r->s.out_c + 64 * panel;
  const int step = 16 * conv_panel_blocks(&r->layout, panel);
  const float *scale = r->packed.scale + 64 * panel;
  for (int64_t m = 0; m < n; m++) {
    int32_t *sums = r->mem.sums + m * step;
    if (r->mode == TILE_FLOAT)
      finish_floats(r->task, (float *)(void *)sums, c0, count, r->mem.places[m]);
    else
      row_finish(r->task, r->linear, sums, scale, c0, count, r->mem.places[m]);
  }
}

#endif
