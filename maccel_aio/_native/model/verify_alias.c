/* verify_alias.c - proves that what an instruction writes is nothing that it still has to read.
 *
 * Two views are known to be apart when the byte ranges are, or when both repeat with a common period and occupy
 * different bytes of it: slices of one image along its channels, or along its columns, where a piece with its gaps is
 * taken as in use. Anything else counts as overlap. */
#include <string.h>

#include "check.h"

/* Bytes [begin, end) around a view; `run` bytes from each of its starts are in use, starts are multiples of `period`
 * apart (0: there is one start). */
typedef struct extent {
  uint64_t begin, end, run, period;
} extent;

static uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    const uint64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* The innermost `pieces` dimensions with gaps between their elements count as bytes in use without gaps. */
static extent extent_of(const mxp_tensor *t, int pieces) {
  extent e = {.begin = t->offset, .run = (uint64_t)mx_elem_bytes(t->dtype)};
  int d = t->rank - 1;
  if (t->flags & MX_TENSOR_PAD_CHANNELS) {
    e.run = (uint64_t)t->stride[d - 1];
    d -= 1;
  }
  for (int joined = 1; d >= 0; --d) {
    if (t->dims[d] == 1) continue;
    joined = joined && (uint64_t)t->stride[d] == e.run;
    if (joined) {
      e.run *= (uint64_t)t->dims[d];
    } else if (pieces-- > 0) {
      e.run += (uint64_t)(t->dims[d] - 1) * (uint64_t)t->stride[d];
    } else {
      e.period = gcd(e.period, (uint64_t)t->stride[d]);
    }
  }
  uint64_t far = 0; /* the last element */
  for (d = 0; d < t->rank; ++d) far += (uint64_t)(t->dims[d] - 1) * (uint64_t)t->stride[d];
  const uint64_t tail = (t->flags & MX_TENSOR_PAD_CHANNELS)
                            ? (uint64_t)t->stride[t->rank - 2] -
                                  (uint64_t)(t->dims[t->rank - 1] - 1) * (uint64_t)t->stride[t->rank - 1]
                            : (uint64_t)mx_elem_bytes(t->dtype);
  e.end = e.begin + far + tail;
  return e;
}

static int repeat_apart(extent x, extent y) {
  const uint64_t period = gcd(x.period, y.period);
  if (period == 0) return 0;
  const uint64_t p = x.begin % period, q = y.begin % period;
  if (p + x.run > period || q + y.run > period) return 0;
  return p + x.run <= q || q + y.run <= p;
}

static int apart(const mxp_tensor *a, const mxp_tensor *b) {
  const extent x = extent_of(a, 0), y = extent_of(b, 0);
  if (x.end <= y.begin || y.end <= x.begin) return 1;
  for (int k = 0; k < MXP_MAX_RANK * MXP_MAX_RANK; ++k) {
    if (repeat_apart(extent_of(a, k / MXP_MAX_RANK), extent_of(b, k % MXP_MAX_RANK))) return 1;
  }
  return 0;
}

static int same_view(const mxp_tensor *a, const mxp_tensor *b) {
  return a->offset == b->offset && a->rank == b->rank && mx_elem_bytes(a->dtype) == mx_elem_bytes(b->dtype) &&
         memcmp(a->dims, b->dims, sizeof a->dims) == 0 && memcmp(a->stride, b->stride, sizeof a->stride) == 0;
}

/* Every element of an output has bytes of its own: sorted by stride, each dimension steps over all inner ones. A pixel
 * with padding is one piece. */
static int self_overlap(const mxp_tensor *t) {
  const int padded = (t->flags & MX_TENSOR_PAD_CHANNELS) != 0;
  uint64_t covered = padded ? (uint64_t)t->stride[t->rank - 2] : (uint64_t)mx_elem_bytes(t->dtype);
  int done[MXP_MAX_RANK] = {0};
  if (padded) done[t->rank - 1] = 1;
  for (int k = padded; k < t->rank; ++k) {
    int best = -1;
    for (int d = 0; d < t->rank; ++d) {
      if (!done[d] && (best < 0 || t->stride[d] < t->stride[best])) best = d;
    }
    done[best] = 1;
    if (t->dims[best] == 1) continue;
    if ((uint64_t)t->stride[best] < covered) return 1;
    covered = (uint64_t)t->stride[best] * (uint64_t)(t->dims[best] - 1) + covered;
  }
  return 0;
}

/* Elementwise instructions may write over an input; convolutions over the residual, which they read first. */
static int in_place_allowed(int op, int slot) {
  switch (op) {
    case MX_OP_MAP:
    case MX_OP_ELTWISE: return 1;
    case MX_OP_CONV:
    case MX_OP_DWCONV:
    case MX_OP_CONVF:
    case MX_OP_CONVDYN: return slot == 1;
    default: return 0;
  }
}

int mx_check_alias(const mx_check *c) {
  const mxp_tensor *out0 = mx_out(c, 0), *out1 = mx_out(c, 1);
  for (int k = 0; k < 2; ++k) {
    const mxp_tensor *o = mx_out(c, k);
    if (o == NULL) continue;
    MX_REQUIRE(c, !self_overlap(o), "elements of output %d share memory", k);
    for (int j = 0; j < 6; ++j) {
      const mxp_tensor *x = mx_in(c, j);
      if (x == NULL || apart(o, x)) continue;
      MX_REQUIRE(c, in_place_allowed(c->in->op, j) && same_view(o, x), "output %d overlaps input %d", k, j);
    }
  }
  MX_REQUIRE(c, out1 == NULL || apart(out0, out1), "the two outputs overlap");
  return MACCEL_OK;
}
