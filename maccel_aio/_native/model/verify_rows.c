/* verify_rows.c - MATMUL, ATTENTION and the operations on rows: SOFTMAX, REDUCE, LAYERNORM, GATHER, DYNQUANT. */
#include <math.h>

#include "check.h"

/* Multipliers f3 and f4, activation and clamp: what all of these end with. */
static int check_tail(const mx_check *c, const mxp_tensor *o, int has_act) {
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  MX_FORWARD(mx_check_multiplier(c, 4, "input multiplier"));
  if (has_act) MX_FORWARD(mx_check_act(c, o->dims[o->rank - 1]));
  return mx_check_clamp(c, o, 12);
}

int mx_check_matmul(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 3, .out_need = 1}));
  const mxp_tensor *a = mx_in(c, 0), *b = mx_in(c, 1), *o = mx_out(c, 0);
  const int r = o->rank;
  MX_FORWARD(mx_check_dtype(c, "input 0", a->dtype, MX_BIT(MACCEL_F32)));
  MX_FORWARD(mx_check_dtype(c, "input 1", b->dtype, MX_BIT(MACCEL_F32)));
  MX_REQUIRE(c, r >= 2 && a->rank == r && b->rank == r,
             "the ranks are %d, %d and %d, they must be equal and at least 2", a->rank, b->rank, r);
  for (int d = 0; d < r - 2; ++d) {
    MX_REQUIRE(c, a->dims[d] == o->dims[d] && b->dims[d] == o->dims[d],
               "leading dimension %d is %d, %d and %d", d, a->dims[d], b->dims[d], o->dims[d]);
  }
  MX_REQUIRE(c,
             a->dims[r - 2] == o->dims[r - 2] && b->dims[r - 1] == o->dims[r - 1] &&
                 a->dims[r - 1] == b->dims[r - 2],
             "[%d, %d] times [%d, %d] does not give [%d, %d]", a->dims[r - 2], a->dims[r - 1], b->dims[r - 2],
             b->dims[r - 1], o->dims[r - 2], o->dims[r - 1]);
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  MX_FORWARD(mx_check_act(c, o->dims[r - 1]));
  MX_FORWARD(mx_check_clamp(c, o, 12));
  const __uint128_t work = (__uint128_t)mx_elements(o) * (uint64_t)a->dims[r - 1];
  c->work = work > UINT64_MAX ? UINT64_MAX : (uint64_t)work;
  return MACCEL_OK;
}

/* The operands of ATTENTION by slot; rows and columns are their last two dimensions. */
static int check_heads(const mx_check *c, const char *what, const mxp_tensor *t, int32_t rows,
                       int32_t columns) {
  const mxp_tensor *o = mx_out(c, 0);
  const int r = o->rank;
  MX_FORWARD(mx_check_dtype(c, what, t->dtype, MX_BIT(MACCEL_F32)));
  MX_REQUIRE(c, t->rank == r, "%s have rank %d, the output has %d", what, t->rank, r);
  for (int d = 0; d < r - 2; ++d) {
    MX_REQUIRE(c, t->dims[d] == o->dims[d], "leading dimension %d of %s is %d instead of %d", d, what,
               t->dims[d], o->dims[d]);
  }
  MX_REQUIRE(c, t->dims[r - 2] == rows && t->dims[r - 1] == columns, "%s are [%d, %d] instead of [%d, %d]",
             what, t->dims[r - 2], t->dims[r - 1], rows, columns);
  return MACCEL_OK;
}

/* Kernels hold one matrix of each as codes: where elements repeat inside of it, a small file could ask for any memory. */
static int check_matrices(const mx_check *c, int32_t keys, int32_t depth, int32_t width) {
  const int32_t most = depth > width ? depth : width;
  MX_REQUIRE(c, (uint64_t)keys * (uint64_t)most <= c->im->head.arena_bytes / sizeof(float),
             "%d keys and values of up to %d elements are more than the arena holds", keys, most);
  return MACCEL_OK;
}

int mx_check_attention(mx_check *c) {
  enum { MOST = 65536 }; /* sums of products of codes fit in 32 bits */
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 7, .in_may = 8, .out_need = 1}));
  const mxp_tensor *q = mx_in(c, 0), *k = mx_in(c, 1), *o = mx_out(c, 0);
  const int r = o->rank;
  MX_REQUIRE(c, r >= 2 && k->rank == r && q->rank == r,
             "the ranks are %d, %d and %d, they must be equal and at least 2", q->rank, k->rank, r);
  const int32_t rows = o->dims[r - 2], depth = q->dims[r - 1], keys = k->dims[r - 2];
  MX_REQUIRE(c, depth <= MOST && keys <= MOST, "%d keys of %d elements: at most %d are possible", keys, depth,
             MOST);
  MX_FORWARD(mx_check_dtype(c, "the output", o->dtype, MX_BIT(MACCEL_F32)));
  MX_FORWARD(check_heads(c, "queries", q, rows, depth));
  MX_FORWARD(check_heads(c, "keys", k, keys, depth));
  MX_FORWARD(check_heads(c, "values", mx_in(c, 2), keys, o->dims[r - 1]));
  if (mx_in(c, 3) != NULL) MX_FORWARD(check_heads(c, "masks", mx_in(c, 3), rows, keys));
  MX_FORWARD(check_matrices(c, keys, depth, o->dims[r - 1]));
  MX_FORWARD(mx_check_multiplier(c, 5, "scale"));
  const __uint128_t each = (__uint128_t)keys * (uint64_t)(depth + o->dims[r - 1]);
  const __uint128_t work = (uint64_t)(mx_elements(o) / o->dims[r - 1]) * each;
  c->work = work > UINT64_MAX ? UINT64_MAX : (uint64_t)work;
  return MACCEL_OK;
}

int mx_check_softmax(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .in_may = 2, .out_need = 1}));
  MX_FORWARD(mx_check_same_dims(c, "the input", mx_in(c, 0), "the output", mx_out(c, 0)));
  if (mx_in(c, 1) != NULL) {
    MX_FORWARD(mx_check_dtype(c, "the mask", mx_in(c, 1)->dtype, MX_BIT(MACCEL_F32)));
    MX_FORWARD(mx_check_same_dims(c, "the mask", mx_in(c, 1), "the output", mx_out(c, 0)));
  }
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, 1));
  MX_FORWARD(check_tail(c, mx_out(c, 0), 0));
  c->work = 4 * (uint64_t)mx_elements(mx_out(c, 0));
  return MACCEL_OK;
}

int mx_check_reduce(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 1, .cst_may = 0x10}));
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  MX_REQUIRE(c, x->rank == o->rank, "the ranks are %d and %d", x->rank, o->rank);
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, 3));
  MX_FORWARD(mx_check_int(c, 14, "the mask of dimensions", 1, ((int64_t)1 << x->rank) - 1));
  for (int d = 0; d < x->rank; ++d) {
    const int32_t expected = (c->in->i[14] >> d & 1) ? 1 : x->dims[d];
    MX_REQUIRE(c, o->dims[d] == expected, "dimension %d of the output is %d instead of %d", d, o->dims[d],
               expected);
  }
  if (c->in->i[10] == 1) MX_FORWARD(mx_check_multiplier(c, 2, "mean multiplier"));
  MX_FORWARD(check_tail(c, o, 1));
  c->work = (uint64_t)mx_elements(x);
  return MACCEL_OK;
}

int mx_check_layernorm(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 1, .cst_may = 3}));
  const mxp_tensor *o = mx_out(c, 0);
  MX_FORWARD(mx_check_same_dims(c, "the input", mx_in(c, 0), "the output", o));
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, 1));
  for (int slot = 0; slot < 2; ++slot) {
    if (mx_cst(c, slot) == NULL) continue;
    const char *what = slot == 0 ? "the weight vector" : "the bias";
    MX_FORWARD(mx_check_vector(c, slot, what, MACCEL_F32, o->dims[o->rank - 1]));
    MX_FORWARD(mx_check_finite(c, slot, what, -3.4e38f));
  }
  MX_REQUIRE(c, isfinite(c->in->f[5]) && c->in->f[5] >= 0.0f, "epsilon (f5) is %g", (double)c->in->f[5]);
  MX_FORWARD(check_tail(c, o, 0));
  c->work = 4 * (uint64_t)mx_elements(o);
  return MACCEL_OK;
}

int mx_check_gather(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 1, .cst_need = 1, .cst_may = 4}));
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  const mxp_const *table = mx_cst(c, 0);
  MX_FORWARD(mx_check_dtype(c, "the index tensor", x->dtype, MX_BIT(MACCEL_S32)));
  MX_FORWARD(mx_check_dtype(c, "the table", table->dtype, MX_BIT(MACCEL_F32) | MX_BIT(MACCEL_S8)));
  MX_REQUIRE(c, table->rank == 2, "the table has rank %d instead of 2", table->rank);
  MX_REQUIRE(c, o->rank == x->rank + 1, "the output has rank %d, indices of rank %d give %d", o->rank,
             x->rank, x->rank + 1);
  for (int d = 0; d < x->rank; ++d) {
    MX_REQUIRE(c, o->dims[d] == x->dims[d], "dimension %d of the output is %d instead of %d", d, o->dims[d],
               x->dims[d]);
  }
  MX_REQUIRE(c, o->dims[x->rank] == table->dims[1], "rows of %d elements go into %d", table->dims[1],
             o->dims[x->rank]);
  MX_REQUIRE(c, (table->dtype == MACCEL_S8) == (mx_cst(c, 2) != NULL), "row scales go with an s8 table");
  if (mx_cst(c, 2) != NULL) {
    MX_FORWARD(mx_check_vector(c, 2, "the row scale vector", MACCEL_F32, table->dims[0]));
    MX_FORWARD(mx_check_finite(c, 2, "the row scale vector", 0.0f));
  }
  MX_FORWARD(mx_check_clamp(c, o, 12));
  c->work = (uint64_t)mx_elements(o);
  return MACCEL_OK;
}

int mx_check_dynquant(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 3, .cst_may = 1}));
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0), *s = mx_out(c, 1);
  MX_FORWARD(mx_check_dtype(c, "the input", x->dtype, MX_BIT(MACCEL_F32)));
  MX_FORWARD(mx_check_dtype(c, "output 0", o->dtype, MX_BIT(MACCEL_U8) | MX_BIT(MACCEL_S8)));
  MX_FORWARD(mx_check_dtype(c, "output 1", s->dtype, MX_BIT(MACCEL_F32)));
  MX_FORWARD(mx_check_same_dims(c, "the input", x, "output 0", o));
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, 1));
  if (c->in->i[10] == 1) {
    MX_REQUIRE(c, o->dtype == MACCEL_U8 && o->zero == 0,
               "values above a bound are %s with zero %d, not u8 with zero 0", mx_dtype_name(o->dtype),
               o->zero);
    MX_REQUIRE(c, isfinite(c->in->f[0]), "the lower bound (f0) is %g", (double)c->in->f[0]);
  }
  MX_REQUIRE(c, s->rank == x->rank && s->dims[s->rank - 1] == 1, "output 1 does not have one scale per row");
  for (int d = 0; d < x->rank - 1; ++d) {
    MX_REQUIRE(c, s->dims[d] == x->dims[d], "dimension %d is %d in the input and %d in output 1", d,
               x->dims[d], s->dims[d]);
  }
  if (mx_cst(c, 0) != NULL) {
    MX_FORWARD(mx_check_vector(c, 0, "the column multiplier vector", MACCEL_F32, x->dims[x->rank - 1]));
    MX_FORWARD(mx_check_finite(c, 0, "the column multiplier vector", -3.4e38f));
  }
  c->work = 2 * (uint64_t)mx_elements(o);
  return MACCEL_OK;
}
