/* map.h - MAP where views meet across the diagonal, and tables: tiles of 16 x 16, small interleavings, whole registers. */
#ifndef MX_VECTOR_MAP_H
#define MX_VECTOR_MAP_H

#include "../generic/map.h"
#include "interleave.h"
#include "table.h"
#include "transpose.h"

enum { FLIP_TILE = 16 };

/* A copy whose output is dense along dimension `a` and whose input is dense along dimension `b`. */
typedef struct flip_plan {
  mx_loop l; /* operand 0 is the output, 1 the input */
  int a, b, bytes;
  int rows; /* 2 .. 4: dimension a is so short that rows are interleaved; 0: tiles */
} flip_plan;

static flip_plan flip_plan_of(const mx_task *t) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  flip_plan p = {.l = mx_loop_begin(o->rank, o->dims), .a = -1, .b = -1, .bytes = mx_dtype_bytes(o->dtype)};
  mx_loop_add(&p.l, o->stride);
  mx_loop_add(&p.l, x->stride);
  mx_loop_merge(&p.l);
  for (int d = 0; d < p.l.rank; d++) {
    if (p.l.stride[0][d] == p.bytes) p.a = d;
    if (p.l.stride[1][d] == p.bytes) p.b = d;
  }
  if (p.a < 0 || p.b < 0) return p;
  const int64_t width = p.l.dims[p.a];
  if (p.bytes == 1 && width >= 2 && width <= 4 && p.l.stride[0][p.b] == width) p.rows = (int)width;
  return p;
}

static int flip_accepts(const mx_task *t) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  if (x->dtype != o->dtype || in->i[11] != MX_ACT_NONE || in->cst[3] != MXP_NONE || in->f[4] != 1.0f ||
      in->f[3] != 1.0f || x->zero != o->zero)
    return 0;
  const flip_plan p = flip_plan_of(t);
  if (p.a < 0 || p.b < 0 || p.a == p.b || p.l.dims[p.b] < FLIP_TILE) return 0;
  return p.rows > 0 || ((p.bytes == 1 || p.bytes == 4) && p.l.dims[p.a] >= FLIP_TILE);
}

static void flip_corner(const flip_plan *p, const uint8_t *from, uint8_t *to, int64_t na, int64_t nb) {
  const int64_t fs = p->l.stride[1][p->a], ts = p->l.stride[0][p->b];
  for (int64_t j = 0; j < nb; j++)
    mx_copy_strip(to + j * ts, p->bytes, from + j * p->bytes, fs, (int)na, p->bytes);
}

/* Up to 16 positions of dimension b by all of dimension a */
static void flip_tiles(const flip_plan *p, const uint8_t *from, uint8_t *to, int64_t nb) {
  const int64_t fs = p->l.stride[1][p->a], ts = p->l.stride[0][p->b], width = p->l.dims[p->a];
  int64_t i = 0;
  for (; nb == FLIP_TILE && i + FLIP_TILE <= width; i += FLIP_TILE) {
    if (p->bytes == 1)
      transpose_16x16_bytes(from + i * fs, fs, to + i, ts);
    else
      transpose_16x16(from + i * fs, fs, to + i * 4, ts);
  }
  for (; i < width; i += FLIP_TILE)
    flip_corner(p, from + i * fs, to + i * p->bytes, width - i < FLIP_TILE ? width - i : FLIP_TILE, nb);
}

static void flip_rows(const flip_plan *p, const uint8_t *from, uint8_t *to) {
  const uint8_t *rows[4];
  for (int c = 0; c < p->rows; c++) rows[c] = from + c * p->l.stride[1][p->a];
  interleave(rows, p->rows, to, p->l.dims[p->b]);
}

static void flip_kernel_run(const mx_task *t, int part, int parts) {
  const flip_plan p = flip_plan_of(t);
  const int64_t blocks = p.rows ? 1 : (p.l.dims[p.b] + FLIP_TILE - 1) / FLIP_TILE;
  int64_t total = blocks;
  for (int d = 0; d < p.l.rank; d++) total *= d == p.a || d == p.b ? 1 : p.l.dims[d];
  const int64_t end = mx_share(total, part + 1, parts);
  for (int64_t u = mx_share(total, part, parts); u < end; u++) {
    const int64_t first = u % blocks * FLIP_TILE, left = p.l.dims[p.b] - first;
    int64_t outer = u / blocks, to = first * p.l.stride[0][p.b], from = first * p.bytes;
    for (int d = p.l.rank - 1; d >= 0; d--) {
      if (d == p.a || d == p.b) continue;
      to += outer % p.l.dims[d] * p.l.stride[0][d], from += outer % p.l.dims[d] * p.l.stride[1][d];
      outer /= p.l.dims[d];
    }
    if (p.rows)
      flip_rows(&p, t->in[0].data + from, t->out[0].data + to);
    else
      flip_tiles(&p, t->in[0].data + from, t->out[0].data + to, left < FLIP_TILE ? left : FLIP_TILE);
  }
}

static const mx_kernel mx_vector_flip = {
    .name = "any-map-flip-" MX_GENERIC_ISA, .accepts = flip_accepts, .run = flip_kernel_run};

/* ---- tables over dense runs */

static int lookup_accepts(const mx_task *t) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  return t->insn->cst[3] != MXP_NONE && x->stride[x->rank - 1] == 1 && o->stride[o->rank - 1] == 1 &&
         x->dims[x->rank - 1] >= 16;
}

static void lookup_kernel_run(const mx_task *t, int part, int parts) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  mx_loop l = mx_loop_begin(o->rank, o->dims);
  mx_loop_add(&l, o->stride);
  mx_loop_add(&l, x->stride);
  mx_loop_finish(&l);
  const int64_t total = mx_loop_strips(&l), end = mx_share(total, part + 1, parts);
  int64_t strip = mx_share(total, part, parts);
  mx_cursor c = mx_cursor_at(&l, strip);
  for (; strip < end; strip++, mx_cursor_next(&l, &c))
    table_bytes((const uint8_t *)t->cst[3], x->data + c.off[1], o->data + c.off[0], c.n);
}

static const mx_kernel mx_vector_lookup = {
    .name = "u8-map-table-" MX_GENERIC_ISA, .accepts = lookup_accepts, .run = lookup_kernel_run};

#endif
