/* verify_conv.c - the convolutions: shapes, accumulators that cannot overflow, results that fit. */
#include <math.h>
#include <stdlib.h>

#include "check.h"

static int check_axis(const mx_check *c, const char *axis, int k, int32_t in, int32_t out) {
  const int32_t *i = c->in->i;
  MX_FORWARD(mx_check_int(c, k, "kernel size", 1, MX_MAX_WINDOW));
  MX_FORWARD(mx_check_int(c, 2 + k, "stride", 1, MX_MAX_WINDOW));
  MX_FORWARD(mx_check_int(c, 4 + k, "padding", 0, MX_MAX_WINDOW));
  MX_FORWARD(mx_check_int(c, 6 + k, "padding", 0, MX_MAX_WINDOW));
  MX_FORWARD(mx_check_int(c, 8 + k, "dilation", 1, MX_MAX_WINDOW));
  const int64_t room = (int64_t)in + i[4 + k] + i[6 + k] - (int64_t)i[8 + k] * (i[k] - 1) - 1;
  const int64_t expected = room < 0 ? 0 : room / i[2 + k] + 1;
  MX_REQUIRE(c, out == expected, "output %s is %d but padding, stride and kernel give %lld", axis, out,
             (long long)expected);
  return MACCEL_OK;
}

int mx_check_window(const mx_check *c, const mxp_tensor *x, const mxp_tensor *o) {
  MX_REQUIRE(c, x->dims[0] == o->dims[0], "the batch is %d in the input and %d in the output", x->dims[0],
             o->dims[0]);
  MX_FORWARD(check_axis(c, "height", 0, x->dims[1], o->dims[1]));
  return check_axis(c, "width", 1, x->dims[2], o->dims[2]);
}

/* ---- magnitudes */

/* Largest |v| after the activation for |v| <= b before; infinity when there is no useful bound. */
static double act_bound(const mx_check *c, double b) {
  const double fa = fabs((double)c->in->f[0]), fb = fabs((double)c->in->f[1]);
  switch (c->in->i[11]) {
    case MX_ACT_CLAMP: return fmax(b, fmax(isfinite(fa) ? fa : 0.0, isfinite(fb) ? fb : 0.0));
    case MX_ACT_LEAKY: return b * fmax(1.0, fa);
    case MX_ACT_ELU: return fmax(b, fa);
    case MX_ACT_SIGMOID:
    case MX_ACT_HARDSIGMOID:
    case MX_ACT_TANH:
    case MX_ACT_ERF:
    case MX_ACT_SIN:
    case MX_ACT_COS: return 1.0;
    case MX_ACT_PRELU: {
      const float *slope = mx_cst_data(c, 4);
      double most = 1.0;
      for (int32_t k = 0; k < mx_cst(c, 4)->dims[0]; ++k) most = fmax(most, fabs((double)slope[k]));
      return b * most;
    }
    case MX_ACT_NONE:
    case MX_ACT_HARDSWISH:
    case MX_ACT_SILU:
    case MX_ACT_GELU_ERF:
    case MX_ACT_GELU_TANH:
    case MX_ACT_MISH:
    case MX_ACT_ABS:
    case MX_ACT_NEG:
    case MX_ACT_SOFTPLUS:
    case MX_ACT_FLOOR:
    case MX_ACT_CEIL:
    case MX_ACT_ROUND: return b + 1.0;
    case MX_ACT_SQUARE: return b * b;
    default: return INFINITY;
  }
}

static double residual_bound(const mx_check *c) {
  const mxp_tensor *r = mx_in(c, 1);
  if (r == NULL) return 0.0;
  if (mx_is_float_type(r->dtype)) return INFINITY;
  int64_t lo, hi;
  mx_dtype_range(r->dtype, &lo, &hi);
  double most = 1.0;
  if (r->scale_const != MXP_NONE) {
    const float *s = mx_image_const_data(c->im, r->scale_const);
    most = 0.0;
    /* Compared by hand: gcc 12 for 64-bit Arm crashes on fmax() here. */
    for (int32_t k = 0; k < r->dims[3]; ++k) most = (double)s[k] > most ? (double)s[k] : most;
  }
  return (double)(hi - lo) * fabs((double)c->in->f[2]) * most;
}

static int check_put_bound(const mx_check *c, int slot, double bound) {
  const mxp_tensor *o = mx_out(c, slot);
  if (o == NULL || mx_is_float_type(o->dtype)) return MACCEL_OK;
  MX_REQUIRE(c, !isfinite(bound) || bound < 1073741824.0,
             "values of output %d can reach %g, 2^30 is the limit", slot, bound);
  return MACCEL_OK;
}

/* Sums and residuals that overflow floats would make NaN of each other, or in an activation: kernels do not look for it. */
static int check_float_bound(const mx_check *c, double v) {
  MX_REQUIRE(c, !isfinite(v) || v < 3.4e38,
             "values before the output multiplier can reach %g, which no float is", v);
  return MACCEL_OK;
}

/* An infinite bound means that only the clamp of put() can hold the value; kernels know these cases (mxq.h). */
static int check_result_bound(const mx_check *c, double sum) {
  const double residual = residual_bound(c);
  const int after = (c->in->flags & MX_INSN_RES_AFTER_ACT) != 0;
  double v = act_bound(c, after ? sum : sum + residual) + (after ? residual : 0.0);
  v = v * fabs((double)c->in->f[3]);
  MX_FORWARD(check_put_bound(c, 0, v));
  MX_FORWARD(check_float_bound(c, sum + residual));
  return mx_out(c, 1) == NULL ? MACCEL_OK : check_put_bound(c, 1, v * fabs((double)c->in->f[4]));
}

/* ---- weights */

/* In blocks whose sum fits 32 bits: a loop that compilers turn into vectors. Most of a verification is here. */
static int64_t sum_abs_s8(const int8_t *w, int64_t n) {
  int64_t sum = 0;
  while (n > 0) {
    const int32_t count = n < 65536 ? (int32_t)n : 65536;
    int32_t part = 0;
    for (int32_t i = 0; i < count; ++i) part += w[i] < 0 ? -w[i] : w[i];
    sum += part;
    w += count;
    n -= count;
  }
  return sum;
}

static int64_t sum_abs(const mxp_const *info, const void *data, int64_t first, int64_t n, int64_t step) {
  int64_t sum = 0;
  if (info->dtype == MACCEL_S8 && step == 1) return sum_abs_s8((const int8_t *)data + first, n);
  if (info->dtype == MACCEL_S8) {
    const int8_t *w = (const int8_t *)data + first;
    for (int64_t i = 0; i < n; ++i) sum += w[i * step] < 0 ? -w[i * step] : w[i * step];
  } else {
    const int16_t *w = (const int16_t *)data + first;
    for (int64_t i = 0; i < n; ++i) sum += w[i * step] < 0 ? -w[i * step] : w[i * step];
  }
  return sum;
}

/* |bias| + max |x| * sum |w| < 2^31 for each output; *bound gets the largest scaled sum. */
static int check_accumulators(const mx_check *c, double *bound) {
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  const mxp_const *info = mx_cst(c, 0);
  const void *weights = mx_cst_data(c, 0);
  const int32_t *bias = mx_cst_data(c, 1);
  const float *scale = mx_cst_data(c, 2);
  const int64_t most_x = x->dtype == MACCEL_U8 ? 255 : 32768, outputs = o->dims[3];
  const int depthwise = c->in->op == MX_OP_DWCONV;
  const int64_t taps = depthwise ? (int64_t)info->dims[0] * info->dims[1]
                                 : (int64_t)info->dims[1] * info->dims[2] * info->dims[3];
  *bound = 0.0;
  for (int64_t k = 0; k < outputs; ++k) {
    const int64_t w =
        depthwise ? sum_abs(info, weights, k, taps, outputs) : sum_abs(info, weights, k * taps, taps, 1);
    const int64_t most = llabs((long long)bias[k]) + most_x * w;
    MX_REQUIRE(c, most < (int64_t)1 << 31, "the sum of output channel %lld can reach %lld and overflow",
               (long long)k, (long long)most);
    *bound = fmax(*bound, (double)most * (double)scale[k]);
  }
  return MACCEL_OK;
}

static int check_weights(const mx_check *c) {
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  const int32_t *i = c->in->i;
  const int dtype = mx_cst(c, 0)->dtype;
  if (c->in->op == MX_OP_DWCONV) {
    const int32_t dims[3] = {i[0], i[1], o->dims[3]};
    MX_REQUIRE(c, i[10] == o->dims[3] && x->dims[3] == o->dims[3],
               "groups, input and output channels are %d, %d and %d, they must be equal", i[10], x->dims[3],
               o->dims[3]);
    return mx_check_const(c, 0, "the weight array", dtype, 3, dims);
  }
  MX_FORWARD(mx_check_int(c, 10, "the number of groups", 1, x->dims[3]));
  MX_REQUIRE(c, x->dims[3] % i[10] == 0 && o->dims[3] % i[10] == 0,
             "%d input and %d output channels do not divide into %d groups", x->dims[3], o->dims[3], i[10]);
  const int32_t dims[4] = {o->dims[3], i[0], i[1], x->dims[3] / i[10]};
  return mx_check_const(c, 0, "the weight array", dtype, 4, dims);
}

/* ---- what CONV, DWCONV, CONVDYN and CONVF share */

static int check_views(const mx_check *c) {
  const mxp_tensor *x = mx_in(c, 0), *r = mx_in(c, 1), *o = mx_out(c, 0), *o1 = mx_out(c, 1);
  MX_FORWARD(mx_check_image(c, "the input", x));
  MX_FORWARD(mx_check_image(c, "output 0", o));
  MX_FORWARD(mx_check_dtype(c, "output 0", o->dtype, MX_CONV_OUT_TYPES));
  if (o1 != NULL) {
    MX_FORWARD(mx_check_image(c, "output 1", o1));
    MX_FORWARD(mx_check_dtype(c, "output 1", o1->dtype, MX_CONV_OUT_TYPES));
    MX_FORWARD(mx_check_same_dims(c, "output 1", o1, "output 0", o));
  }
  if (r != NULL) {
    MX_FORWARD(mx_check_image(c, "the residual", r));
    MX_FORWARD(mx_check_dtype(c, "the residual", r->dtype, MX_CONV_OUT_TYPES));
    MX_FORWARD(mx_check_same_dims(c, "the residual", r, "output 0", o));
  }
  return mx_check_window(c, x, o);
}

static int check_tail(const mx_check *c) {
  const mxp_tensor *o = mx_out(c, 0), *o1 = mx_out(c, 1);
  MX_FORWARD(mx_check_act(c, o->dims[3]));
  MX_FORWARD(mx_check_clamp(c, o, 12));
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  if (mx_in(c, 1) != NULL) MX_FORWARD(mx_check_multiplier(c, 2, "residual multiplier"));
  if (o1 != NULL) {
    MX_FORWARD(mx_check_clamp(c, o1, 14));
    MX_FORWARD(mx_check_multiplier(c, 4, "multiplier of output 1"));
  }
  if (mx_cst(c, 3) != NULL) {
    const int32_t size = 256;
    MX_FORWARD(mx_check_const(c, 3, "the table", MACCEL_U8, 1, &size));
    MX_REQUIRE(c, o->dtype == MACCEL_U8, "a table needs a u8 output, not %s", mx_dtype_name(o->dtype));
  }
  return MACCEL_OK;
}

static uint64_t conv_work(const mx_check *c) {
  const mxp_const *w = mx_cst(c, 0);
  uint64_t taps = 1;
  for (int d = 0; d < w->rank; ++d) taps *= (uint64_t)w->dims[d]; /* all weights: bounded by the constants */
  const mxp_tensor *o = mx_out(c, 0);
  const uint64_t pixels = (uint64_t)mx_elements(o) / (uint64_t)o->dims[3];
  return taps > 0 && pixels > UINT64_MAX / taps ? UINT64_MAX : pixels * taps;
}

static int check_dynamic(const mx_check *c) {
  const mxp_tensor *x = mx_in(c, 0), *rows = mx_in(c, 2), *o = mx_out(c, 0);
  const int32_t *i = c->in->i;
  MX_REQUIRE(c, x->dtype == MACCEL_U8 && (x->zero == 128 || x->zero == 0),
             "the input is %s with zero %d, not u8 with zero 128 or 0", mx_dtype_name(x->dtype), x->zero);
  MX_REQUIRE(c,
             i[0] == 1 && i[1] == 1 && i[2] == 1 && i[3] == 1 && i[4] + i[5] + i[6] + i[7] == 0 && i[10] == 1,
             "kernel and stride must be 1, padding 0 and groups 1");
  MX_FORWARD(mx_check_image(c, "the row scales", rows));
  MX_FORWARD(mx_check_dtype(c, "the row scales", rows->dtype, MX_BIT(MACCEL_F32)));
  MX_REQUIRE(c,
             rows->dims[0] == o->dims[0] && rows->dims[1] == o->dims[1] && rows->dims[2] == o->dims[2] &&
                 rows->dims[3] == 1,
             "the row scales do not have one element per pixel");
  if (mx_cst(c, 5) != NULL) {
    MX_FORWARD(mx_check_vector(c, 5, "the float bias", MACCEL_F32, o->dims[3]));
    MX_FORWARD(mx_check_finite(c, 5, "the float bias", -3.4e38f));
  }
  return MACCEL_OK;
}

int mx_check_conv(mx_check *c) {
  const int dynamic = c->in->op == MX_OP_CONVDYN;
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = dynamic ? 5 : 1,
                                          .in_may = 2,
                                          .out_need = 1,
                                          .out_may = 2,
                                          .cst_need = 7,
                                          .cst_may = dynamic ? 0x38 : 0x18}));
  MX_REQUIRE(c, (c->in->flags & ~MX_INSN_RES_AFTER_ACT) == 0, "unknown flags 0x%x", c->in->flags);
  MX_FORWARD(mx_check_dtype(c, "the input", mx_in(c, 0)->dtype, MX_BIT(MACCEL_U8) | MX_BIT(MACCEL_S16)));
  MX_FORWARD(check_views(c));
  MX_FORWARD(
      mx_check_dtype(c, "the weight array", mx_cst(c, 0)->dtype, MX_BIT(MACCEL_S8) | MX_BIT(MACCEL_S16)));
  MX_FORWARD(check_weights(c));
  MX_FORWARD(mx_check_vector(c, 1, "the bias", MACCEL_S32, mx_out(c, 0)->dims[3]));
  MX_FORWARD(mx_check_vector(c, 2, "the scale vector", MACCEL_F32, mx_out(c, 0)->dims[3]));
  MX_FORWARD(mx_check_finite(c, 2, "the scale vector", 0.0f));
  if (dynamic) MX_FORWARD(check_dynamic(c));
  MX_FORWARD(check_tail(c));
  double bound;
  MX_FORWARD(check_accumulators(c, &bound));
  MX_FORWARD(check_result_bound(c, dynamic ? INFINITY : bound));
  c->work = conv_work(c);
  return MACCEL_OK;
}

int mx_check_convf(mx_check *c) {
  MX_FORWARD(mx_check_slots(
      c, (mx_slots){.in_need = 1, .in_may = 2, .out_need = 1, .out_may = 2, .cst_need = 1, .cst_may = 0x1e}));
  MX_REQUIRE(c, (c->in->flags & ~MX_INSN_RES_AFTER_ACT) == 0, "unknown flags 0x%x", c->in->flags);
  MX_FORWARD(mx_check_dtype(c, "the input", mx_in(c, 0)->dtype, MX_BIT(MACCEL_F32)));
  MX_FORWARD(check_views(c));
  const int narrow = mx_cst(c, 0)->dtype == MACCEL_S8;
  MX_FORWARD(mx_check_dtype(c, "the weight array", mx_cst(c, 0)->dtype,
                            MX_BIT(MACCEL_S8) | MX_BIT(MACCEL_BF16) | MX_BIT(MACCEL_F32)));
  MX_FORWARD(check_weights(c));
  MX_REQUIRE(c, !narrow || mx_cst(c, 2) != NULL, "s8 weights need a scale vector");
  if (!narrow) MX_FORWARD(mx_check_finite(c, 0, "the weight array", -3.4e38f));
  for (int slot = 1; slot <= 2; ++slot) {
    if (mx_cst(c, slot) == NULL) continue;
    const char *what = slot == 1 ? "the bias" : "the scale vector";
    MX_FORWARD(mx_check_vector(c, slot, what, MACCEL_F32, mx_out(c, 0)->dims[3]));
    MX_FORWARD(mx_check_finite(c, slot, what, slot == 1 ? -3.4e38f : 0.0f));
  }
  MX_FORWARD(check_tail(c));
  c->work = conv_work(c);
  return MACCEL_OK;
}
