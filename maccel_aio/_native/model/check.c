/* check.c - the judgements that all instructions share. */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char *mx_op_name(int op) {
  static const char *const names[] = {"?",         "CONV",   "DWCONV",   "CONVF",   "MATMUL",    "POOL",
                                      "ELTWISE",   "MAP",    "FILL",     "RESIZE",  "SOFTMAX",   "REDUCE",
                                      "LAYERNORM", "GATHER", "DYNQUANT", "CONVDYN", "RECURRENT", "ATTENTION"};
  return op > 0 && op < (int)(sizeof names / sizeof names[0]) ? names[op] : "?";
}

const char *mx_dtype_name(int dtype) {
  static const char *const names[] = {"?", "u8", "s8", "s16", "s32", "f32", "bf16", "s64"};
  return dtype > 0 && dtype <= MACCEL_S64 ? names[dtype] : "?";
}

int mx_reject(const mx_check *c, const char *format, ...) {
  char reason[256];
  va_list args;
  va_start(args, format);
  vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  return mx_fail(MACCEL_E_FORMAT, "instruction %u (%s): %s", c->index, mx_op_name(c->in->op), reason);
}

static int check_indices(const mx_check *c, const char *kind, const uint32_t *slot, int n, uint32_t count,
                         uint32_t need, uint32_t may) {
  for (int k = 0; k < n; ++k) {
    const uint32_t bit = 1u << k;
    if (slot[k] == MXP_NONE) {
      MX_REQUIRE(c, !(need & bit), "%s %d is missing", kind, k);
      continue;
    }
    MX_REQUIRE(c, (need | may) & bit, "%s %d is given, but this operation has none", kind, k);
    MX_REQUIRE(c, slot[k] < count, "%s %d is number %u of only %u", kind, k, slot[k], count);
  }
  return MACCEL_OK;
}

int mx_check_slots(const mx_check *c, mx_slots s) {
  const mxp_header *h = &c->im->head;
  MX_FORWARD(check_indices(c, "input", c->in->in, 6, h->num_tensors, s.in_need, s.in_may));
  MX_FORWARD(check_indices(c, "output", c->in->out, 2, h->num_tensors, s.out_need, s.out_may));
  return check_indices(c, "constant", c->in->cst, 8, h->num_consts, s.cst_need, s.cst_may);
}

const mxp_tensor *mx_in(const mx_check *c, int slot) {
  const uint32_t k = c->in->in[slot];
  return k == MXP_NONE ? NULL : &c->im->tensors[k];
}

const mxp_tensor *mx_out(const mx_check *c, int slot) {
  const uint32_t k = c->in->out[slot];
  return k == MXP_NONE ? NULL : &c->im->tensors[k];
}

const mxp_const *mx_cst(const mx_check *c, int slot) {
  const uint32_t k = c->in->cst[slot];
  return k == MXP_NONE ? NULL : &c->im->consts[k];
}

const void *mx_cst_data(const mx_check *c, int slot) { return mx_image_const_data(c->im, c->in->cst[slot]); }

int mx_elem_bytes(int dtype) {
  static const int bytes[] = {0, 1, 1, 2, 4, 4, 2, 8};
  return dtype > 0 && dtype <= MACCEL_S64 ? bytes[dtype] : 0;
}

int mx_is_float_type(int dtype) { return dtype == MACCEL_F32 || dtype == MACCEL_BF16; }

int64_t mx_elements(const mxp_tensor *t) {
  int64_t n = 1;
  for (int d = 0; d < t->rank; ++d) n *= t->dims[d]; /* bounded by the tensor check */
  return n;
}

void mx_dtype_range(int dtype, int64_t *lo, int64_t *hi) {
  switch (dtype) {
    case MACCEL_U8: *lo = 0, *hi = 255; break;
    case MACCEL_S8: *lo = -128, *hi = 127; break;
    case MACCEL_S16: *lo = -32768, *hi = 32767; break;
    default: *lo = INT32_MIN, *hi = INT32_MAX; break;
  }
}

int mx_check_dtype(const mx_check *c, const char *what, int dtype, uint32_t allowed) {
  MX_REQUIRE(c, MX_BIT(dtype) & allowed, "%s has type %s, which this operation does not take", what,
             mx_dtype_name(dtype));
  return MACCEL_OK;
}

int mx_check_image(const mx_check *c, const char *what, const mxp_tensor *t) {
  MX_REQUIRE(c, t->rank == 4, "%s has rank %d, an image has 4", what, t->rank);
  MX_REQUIRE(c, t->dims[3] == 1 || t->stride[3] == mx_elem_bytes(t->dtype),
             "the channels of %s are not adjacent", what);
  return MACCEL_OK;
}

int mx_check_same_dims(const mx_check *c, const char *a_name, const mxp_tensor *a, const char *b_name,
                       const mxp_tensor *b) {
  MX_REQUIRE(c, a->rank == b->rank, "%s has rank %d and %s has rank %d", a_name, a->rank, b_name, b->rank);
  for (int d = 0; d < a->rank; ++d) {
    MX_REQUIRE(c, a->dims[d] == b->dims[d], "dimension %d is %d in %s and %d in %s", d, a->dims[d], a_name,
               b->dims[d], b_name);
  }
  return MACCEL_OK;
}

int mx_check_const(const mx_check *c, int slot, const char *what, int dtype, int rank, const int32_t *dims) {
  const mxp_const *k = mx_cst(c, slot);
  MX_REQUIRE(c, k->dtype == dtype, "%s has type %s instead of %s", what, mx_dtype_name(k->dtype),
             mx_dtype_name(dtype));
  MX_REQUIRE(c, k->rank == rank, "%s has rank %d instead of %d", what, k->rank, rank);
  for (int d = 0; d < rank; ++d) {
    MX_REQUIRE(c, k->dims[d] == dims[d], "dimension %d of %s is %d instead of %d", d, what, k->dims[d],
               dims[d]);
  }
  return MACCEL_OK;
}

int mx_check_vector(const mx_check *c, int slot, const char *what, int dtype, int32_t n) {
  return mx_check_const(c, slot, what, dtype, 1, &n);
}

/* bf16: infinities and NaN have all bits of the exponent set. */
static int check_finite_bf16(const mx_check *c, const char *what, const uint16_t *v, uint64_t n) {
  for (uint64_t i = 0; i < n; ++i) {
    MX_REQUIRE(c, (v[i] & 0x7f80) != 0x7f80, "element %llu of %s is not finite", (unsigned long long)i, what);
  }
  return MACCEL_OK;
}

int mx_check_finite(const mx_check *c, int slot, const char *what, float least) {
  const mxp_const *k = mx_cst(c, slot);
  if (k->dtype == MACCEL_BF16) return check_finite_bf16(c, what, mx_cst_data(c, slot), k->bytes / 2);
  const float *v = mx_cst_data(c, slot);
  const uint64_t n = k->bytes / sizeof *v;
  for (uint64_t i = 0; i < n; ++i) {
    MX_REQUIRE(c, isfinite(v[i]) && v[i] >= least, "element %llu of %s is %g", (unsigned long long)i, what,
               (double)v[i]);
  }
  return MACCEL_OK;
}

int mx_check_multiplier(const mx_check *c, int f, const char *what) {
  const float v = c->in->f[f];
  MX_REQUIRE(c, isfinite(v) && v != 0.0f, "the %s (f%d) is %g", what, f, (double)v);
  return MACCEL_OK;
}

int mx_check_clamp(const mx_check *c, const mxp_tensor *t, int lo) {
  if (mx_is_float_type(t->dtype)) return MACCEL_OK;
  const int32_t qmin = c->in->i[lo], qmax = c->in->i[lo + 1];
  int64_t least, most;
  mx_dtype_range(t->dtype, &least, &most);
  MX_REQUIRE(c, qmin <= qmax, "the clamp limits %d and %d are in the wrong order", qmin, qmax);
  MX_REQUIRE(c, qmin >= least && qmax <= most, "the clamp limits %d and %d do not fit type %s", qmin, qmax,
             mx_dtype_name(t->dtype));
  return MACCEL_OK;
}

int mx_check_int(const mx_check *c, int slot, const char *what, int64_t lo, int64_t hi) {
  const int32_t v = c->in->i[slot];
  MX_REQUIRE(c, v >= lo && v <= hi, "%s (i%d) is %d, not in [%lld, %lld]", what, slot, v, (long long)lo,
             (long long)hi);
  return MACCEL_OK;
}

int mx_check_act(const mx_check *c, int32_t channels) {
  const mxp_insn *in = c->in;
  const int act = in->i[11];
  const float a = in->f[0], b = in->f[1];
  MX_REQUIRE(c, act >= MX_ACT_NONE && act < MX_ACT_COUNT, "activation %d does not exist", act);
  MX_REQUIRE(c, !isnan(a) && !isnan(b), "an activation parameter is not a number");
  MX_REQUIRE(c, act != MX_ACT_CLAMP || a <= b, "the activation clamps to [%g, %g]", (double)a, (double)b);
  MX_REQUIRE(c, act == MX_ACT_CLAMP || (isfinite(a) && isfinite(b)), "an activation parameter is infinite");
  if (act != MX_ACT_PRELU) {
    MX_REQUIRE(c, in->cst[4] == MXP_NONE, "slopes are given, but the activation is not PRELU");
    return MACCEL_OK;
  }
  MX_REQUIRE(c, in->cst[4] != MXP_NONE, "the PRELU slopes are missing");
  MX_FORWARD(mx_check_vector(c, 4, "the slope vector", MACCEL_F32, channels));
  return mx_check_finite(c, 4, "the slope vector", -3.4e38f);
}
