/* loop.h - walks several strided operands of one shape together, strip by strip.
 *
 * Dimensions of 1 are dropped, neighbours that every operand can merge are merged, and the innermost dimension is
 * made a long one. What remains is cut into strips of at most MX_STRIP elements along the innermost dimension; a
 * kernel sees one address and one byte stride per operand and strip. Only for elementwise work: the order of
 * elements is not kept. */
#ifndef MX_LOOP_H
#define MX_LOOP_H

#include <stdint.h>

#include "kernels.h"

#define MX_STRIP 256
#define MX_LOOP_OPERANDS 6

typedef struct mx_loop {
  int rank;     /* of what remains; the last dimension is the innermost */
  int operands;
  int64_t dims[MXP_MAX_RANK];
  int64_t stride[MX_LOOP_OPERANDS][MXP_MAX_RANK];
} mx_loop;

typedef struct mx_cursor {
  int64_t index[MXP_MAX_RANK]; /* the innermost one is a multiple of MX_STRIP */
  int64_t off[MX_LOOP_OPERANDS];
  int n; /* elements of this strip */
} mx_cursor;

static inline mx_loop mx_loop_begin(int rank, const int32_t *dims) {
  mx_loop l = {.rank = rank};
  for (int d = 0; d < rank; ++d) l.dims[d] = dims[d];
  return l;
}

static inline int mx_loop_add(mx_loop *l, const int64_t *stride) {
  for (int d = 0; d < l->rank; ++d) l->stride[l->operands][d] = stride[d];
  return l->operands++;
}

/* An operand that only varies along the last dimension, `bytes` from element to element (0: nowhere). */
static inline int mx_loop_add_channels(mx_loop *l, int64_t bytes) {
  int64_t stride[MXP_MAX_RANK] = {0};
  stride[l->rank - 1] = bytes;
  return mx_loop_add(l, stride);
}

static inline void mx_loop_move(mx_loop *l, int to, int from) {
  l->dims[to] = l->dims[from];
  for (int k = 0; k < l->operands; ++k) l->stride[k][to] = l->stride[k][from];
}

static inline int mx_loop_mergeable(const mx_loop *l, int outer, int inner) {
  for (int k = 0; k < l->operands; ++k) {
    if (l->stride[k][outer] != l->stride[k][inner] * l->dims[inner]) return 0;
  }
  return 1;
}

static inline void mx_loop_merge(mx_loop *l) {
  int kept = 0;
  for (int d = 0; d < l->rank; ++d) {
    if (l->dims[d] == 1) continue;
    if (kept > 0 && mx_loop_mergeable(l, kept - 1, d)) {
      const int64_t outer = l->dims[kept - 1];
      mx_loop_move(l, kept - 1, d);
      l->dims[kept - 1] *= outer;
    } else {
      mx_loop_move(l, kept++, d);
    }
  }
  if (kept == 0) { /* a single element: any stride will do */
    l->dims[0] = 1;
    kept = 1;
  }
  l->rank = kept;
}

/* A short innermost dimension (three colour channels) would make strips of three: use a longer one. */
static inline void mx_loop_finish(mx_loop *l) {
  mx_loop_merge(l);
  const int last = l->rank - 1;
  if (l->dims[last] >= 16) return;
  int best = last;
  for (int d = last - 1; d >= 0; --d) {
    if (l->dims[d] > l->dims[best]) best = d;
  }
  if (best == last) return;
  const int64_t dim = l->dims[last];
  l->dims[last] = l->dims[best];
  l->dims[best] = dim;
  for (int k = 0; k < l->operands; ++k) {
    const int64_t stride = l->stride[k][last];
    l->stride[k][last] = l->stride[k][best];
    l->stride[k][best] = stride;
  }
}

static inline int64_t mx_loop_strips_inner(const mx_loop *l) {
  return (l->dims[l->rank - 1] + MX_STRIP - 1) / MX_STRIP;
}

static inline int64_t mx_loop_strips(const mx_loop *l) {
  int64_t n = mx_loop_strips_inner(l);
  for (int d = 0; d < l->rank - 1; ++d) n *= l->dims[d];
  return n;
}

/* The share of part p of n: [first, last). */
static inline int64_t mx_share(int64_t total, int part, int parts) {
  return (int64_t)((__int128)total * part / parts);
}

static inline void mx_cursor_refresh(const mx_loop *l, mx_cursor *c) {
  const int last = l->rank - 1;
  for (int k = 0; k < l->operands; ++k) {
    int64_t off = 0;
    for (int d = 0; d <= last; ++d) off += c->index[d] * l->stride[k][d];
    c->off[k] = off;
  }
  const int64_t left = l->dims[last] - c->index[last];
  c->n = (int)(left < MX_STRIP ? left : MX_STRIP);
}

static inline mx_cursor mx_cursor_at(const mx_loop *l, int64_t strip) {
  mx_cursor c = {.n = 0};
  const int last = l->rank - 1;
  const int64_t inner = mx_loop_strips_inner(l);
  c.index[last] = strip % inner * MX_STRIP;
  strip /= inner;
  for (int d = last - 1; d >= 0; --d) {
    c.index[d] = strip % l->dims[d];
    strip /= l->dims[d];
  }
  mx_cursor_refresh(l, &c);
  return c;
}

/* Moves on by steps from where it is: strips may be short, and finding the place anew costs more than they do. */
static inline void mx_cursor_next(const mx_loop *l, mx_cursor *c) {
  int d = l->rank - 1;
  const int last = d;
  c->index[d] += MX_STRIP;
  for (int k = 0; k < l->operands; ++k) c->off[k] += MX_STRIP * l->stride[k][d];
  while (d > 0 && c->index[d] >= l->dims[d]) {
    for (int k = 0; k < l->operands; ++k) c->off[k] += l->stride[k][d - 1] - c->index[d] * l->stride[k][d];
    c->index[d] = 0;
    c->index[--d] += 1;
  }
  const int64_t left = l->dims[last] - c->index[last];
  c->n = (int)(left < MX_STRIP ? left : MX_STRIP);
}

#endif
