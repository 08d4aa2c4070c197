/* dw_work.h - the strips of a depthwise convolution, shared by a team and run one after the other.
 *
 * A unit of work is a strip: one block of channels, a few output rows, all columns. Units have costs, and a team cuts
 * the sum of all costs into equal parts, wherever that falls: inside of a strip it is between two columns. */
#ifndef MX_AVX512VNNI_DW_WORK_H
#define MX_AVX512VNNI_DW_WORK_H

#include "../vector/row.h"
#include "dw_plan.h"

enum { DW_SUM_COLUMNS = 16 }; /* at once, where sums go through scratch */

/* Makes output columns [x0, x1) of the strip. */
typedef void (*dw_make_fn)(const dw_plan *p, const dw_strip *t, int width);

typedef struct dw_work {
  const mx_task *task;
  const dw_plan *plan;
  dw_make_fn make;
  int linear;          /* of row_finish() */
  int64_t lo, hi, at;  /* the part's share of the cost, and the cost of what lies before */
  uint8_t *padding, *sink;
  dw_strip strip;
} dw_work;

/* Scratch: a row of padding, a sink, sums, columns. */
static size_t dw_scratch_sums(const dw_plan *p) {
  return p->mode == DW_SUMS ? (size_t)p->rows * (DW_SUM_COLUMNS + DW_ROWS) * DW_LANES * sizeof(int32_t) : 0;
}
static size_t dw_scratch(const dw_plan *p, size_t columns) { return 128 + dw_scratch_sums(p) + columns; }

static void dw_strip_rows(dw_work *w, const dw_block *b, int image, int row) {
  const mx_geometry *s = &w->plan->s;
  const mx_view *o = &w->task->out[0];
  const uint8_t *in = w->task->in[0].data + image * s->in_n + b->channel;
  uint8_t *out = o->data + image * o->stride[0] + b->channel;
  const int bands = DW_LANES / dw_width_channels(b->width), reach = (w->plan->rows - 1) * s->sh + s->kh;
  dw_strip *t = &w->strip;
  t->rows = s->out_h - row < w->plan->rows ? s->out_h - row : w->plan->rows;
  for (int band = 0; band < bands; band++, row += w->plan->rows) {
    const int top = row * s->sh - s->pt;
    for (int k = 0; k < w->plan->slots; k++) {
      const int y = top + k * s->dh, exists = k < reach && y >= 0 && y < s->in_h;
      t->row[k][band] = exists ? in + y * s->in_row : w->padding;
      t->keep[k][band] = -exists;
    }
    for (int r = 0; r < w->plan->rows; r++) {
      const int exists = row + r < s->out_h;
      t->out[r][band] = exists ? out + (row + r) * o->stride[1] : w->sink;
      t->out_keep[r][band] = -exists;
    }
  }
}

/* The general end: sums of columns [x0, x1) -> outputs. */
static void dw_finish_sums(const dw_work *w, const dw_block *b, int image, int row) {
  const dw_plan *p = w->plan;
  const dw_strip *t = &w->strip;
  const float *scale = (const float *)(const void *)(t->packed + 4 * p->vector_bytes);
  const int n = dw_width_channels(b->width);
  for (int k = 0; k < DW_LANES / n * p->rows; k++) {
    const int32_t *sums = t->sums + k % p->rows * t->sums_row + k / p->rows * n;
    for (int x = t->x0; x < t->x1 && row + k < p->s.out_h; x++, sums += DW_LANES)
      row_finish(w->task, w->linear, sums, scale, b->channel, b->count,
                 mx_place_at(w->task, image, row + k, x, 0));
  }
}

static void dw_strip_sums(dw_work *w, const dw_block *b, int image, int row) {
  dw_strip *t = &w->strip;
  const int end = t->x1;
  for (; t->x0 < end; t->x0 = t->x1) {
    t->x1 = end - t->x0 < DW_SUM_COLUMNS ? end : t->x0 + DW_SUM_COLUMNS;
    w->make(w->plan, t, b->width);
    dw_finish_sums(w, b, image, row);
  }
}

/* Where a boundary that lies `cost` behind the start of a strip cuts it: whole steps of four columns. */
static int dw_cut(int64_t cost, int column, int columns) {
  if (cost <= 0) return 0;
  return cost >= (int64_t)column * columns ? columns : (int)(cost / column) / 4 * 4;
}

static void dw_strip_run(dw_work *w, const dw_block *b, int image, int row) {
  const int columns = w->plan->s.out_w, cost = w->plan->cost[b->width];
  dw_strip *t = &w->strip;
  t->x0 = dw_cut(w->lo - w->at, cost, columns), t->x1 = dw_cut(w->hi - w->at, cost, columns);
  w->at += (int64_t)cost * columns;
  if (t->x0 >= t->x1) return;
  dw_strip_rows(w, b, image, row);
  if (w->plan->mode == DW_SUMS)
    dw_strip_sums(w, b, image, row);
  else
    w->make(w->plan, t, b->width);
}

static int dw_strip_height(const dw_plan *p, int width) {
  return p->rows * (DW_LANES / dw_width_channels(width));
}

/* All blocks of rows [from, to). */
static void dw_shelf_run(dw_work *w, int image, int from, int to) {
  for (int k = 0; k < w->plan->blocks; k++) {
    const dw_block b = dw_block_of(w->plan, k);
    const int height = dw_strip_height(w->plan, b.width);
    w->strip.packed = dw_packed(w->task) + k * w->plan->block_bytes;
    w->strip.some = (__mmask16)((1u << (b.count & 15)) - 1);
    for (int row = from; row < to; row += height) dw_strip_run(w, &b, image, row);
  }
}

static int64_t dw_cost(const dw_plan *p) {
  int64_t cost = 0;
  for (int from = 0; from < p->s.out_h; from += p->shelf) {
    const int rows = p->s.out_h - from < p->shelf ? p->s.out_h - from : p->shelf;
    for (int k = 0; k < p->blocks; k++) {
      const int width = dw_block_of(p, k).width, height = dw_strip_height(p, width);
      cost += (rows + height - 1) / height * p->cost[width];
    }
  }
  return cost * p->s.batch * p->s.out_w;
}

static void dw_run(const mx_task *t, const dw_plan *p, dw_make_fn make, int part, int parts) {
  uint8_t *scratch = (uint8_t *)t->scratch;
  const int64_t cost = dw_cost(p);
  dw_work w = {.task = t, .plan = p, .make = make, .linear = row_is_linear(t)};
  w.lo = cost * part / parts, w.hi = cost * (part + 1) / parts;
  w.padding = scratch, w.sink = scratch + 64;
  w.strip.sums = (int32_t *)(void *)(scratch + 128);
  w.strip.sums_row = (DW_SUM_COLUMNS + DW_ROWS) * DW_LANES;
  w.strip.columns = scratch + 128 + dw_scratch_sums(p);
  w.strip.in_w = p->s.in_w, w.strip.pl = p->s.pl, w.strip.in_px = p->s.in_px;
  w.strip.out_px = t->out[0].stride[2];
  w.strip.zero_in = (uint8_t)t->in[0].zero, w.strip.zero = (int16_t)t->out[0].zero;
  w.strip.low = (uint8_t)t->insn->i[12], w.strip.high = (uint8_t)t->insn->i[13];
  w.strip.hard_a = t->insn->f[0], w.strip.hard_b = t->insn->f[1], w.strip.times = t->insn->f[3];
  w.strip.least = (float)(t->insn->i[12] - t->out[0].zero);
  w.strip.most = (float)(t->insn->i[13] - t->out[0].zero);
  memset(w.padding, t->in[0].zero, 64);
  for (int image = 0; image < p->s.batch; image++)
    for (int from = 0; from < p->s.out_h; from += p->shelf)
      dw_shelf_run(&w, image, from, p->s.out_h - from < p->shelf ? p->s.out_h : from + p->shelf);
}

#endif
