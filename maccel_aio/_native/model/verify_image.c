/* verify_image.c - POOL and RESIZE. */
#include <math.h>

#include "check.h"

/* With padding below the kernel size and no dilation every window covers at least one pixel. */
static int check_pool_window(const mx_check *c) {
  const int32_t *i = c->in->i;
  const int padded = i[4] + i[5] + i[6] + i[7] > 0;
  MX_REQUIRE(c, !padded || (i[8] == 1 && i[9] == 1), "padding and dilation together are not supported");
  MX_REQUIRE(c, i[4] < i[0] && i[6] < i[0] && i[5] < i[1] && i[7] < i[1],
             "padding is not smaller than the kernel: a window could be empty");
  return MACCEL_OK;
}

static int check_max(const mx_check *c, const mxp_tensor *x, const mxp_tensor *o) {
  MX_REQUIRE(
      c,
      x->dtype == o->dtype && x->scale == o->scale && x->zero == o->zero && x->scale_const == o->scale_const,
      "input and output of a maximum must have the same format");
  MX_REQUIRE(c, c->in->i[11] == MX_ACT_NONE, "a maximum has no activation");
  return mx_check_dtype(c, "the input", x->dtype, MX_ALL_TYPES & ~MX_BIT(MACCEL_S64));
}

static int check_average(const mx_check *c, const mxp_tensor *x, const mxp_tensor *o) {
  MX_FORWARD(mx_check_dtype(
      c, "the input", x->dtype,
      MX_BIT(MACCEL_U8) | MX_BIT(MACCEL_S8) | MX_BIT(MACCEL_S16) | MX_BIT(MACCEL_F32) | MX_BIT(MACCEL_BF16)));
  MX_REQUIRE(c, x->scale_const == MXP_NONE, "an average of a tensor with channel scales is not supported");
  const int64_t taps = (int64_t)c->in->i[0] * c->in->i[1];
  int64_t lo, hi;
  mx_dtype_range(x->dtype, &lo, &hi);
  MX_REQUIRE(c, mx_is_float_type(x->dtype) || taps < ((int64_t)1 << 31) / (hi - lo + 1),
             "the sum of %lld values can overflow", (long long)taps);
  MX_FORWARD(mx_check_multiplier(c, 2, "mean multiplier"));
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  MX_FORWARD(mx_check_clamp(c, o, 12));
  return mx_check_act(c, o->dims[3]);
}

int mx_check_pool(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 1, .cst_may = 0x10}));
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  MX_FORWARD(mx_check_image(c, "the input", x));
  MX_FORWARD(mx_check_image(c, "the output", o));
  MX_REQUIRE(c, x->dims[3] == o->dims[3], "%d channels become %d", x->dims[3], o->dims[3]);
  MX_FORWARD(mx_check_window(c, x, o));
  MX_FORWARD(check_pool_window(c));
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, 2));
  MX_FORWARD(c->in->i[10] == 0 ? check_max(c, x, o) : check_average(c, x, o));
  const uint64_t rows = (uint64_t)(c->in->i[0] < x->dims[1] ? c->in->i[0] : x->dims[1]);
  const uint64_t cols = (uint64_t)(c->in->i[1] < x->dims[2] ? c->in->i[1] : x->dims[2]);
  const __uint128_t work = (__uint128_t)mx_elements(o) * rows * cols;
  c->work = work > UINT64_MAX ? UINT64_MAX : (uint64_t)work;
  return MACCEL_OK;
}

static int check_sources(const mx_check *c, int slot, const char *axis, int32_t in, int32_t out) {
  const int32_t dims[2] = {out, 2};
  MX_FORWARD(mx_check_const(c, slot, "the source list", MACCEL_S32, 2, dims));
  const int32_t *source = mx_cst_data(c, slot);
  for (int64_t k = 0; k < 2 * (int64_t)out; ++k) {
    MX_REQUIRE(c, source[k] >= 0 && source[k] < in, "output %s %lld reads %d, outside of %d", axis,
               (long long)(k / 2), source[k], in);
  }
  return MACCEL_OK;
}

static int check_linear(const mx_check *c, const mxp_tensor *x, const mxp_tensor *o) {
  MX_REQUIRE(c, mx_cst(c, 1) != NULL && mx_cst(c, 3) != NULL, "a linear resize needs weights");
  MX_FORWARD(mx_check_vector(c, 1, "the row weight vector", MACCEL_F32, o->dims[1]));
  MX_FORWARD(mx_check_vector(c, 3, "the column weight vector", MACCEL_F32, o->dims[2]));
  MX_FORWARD(mx_check_finite(c, 1, "the row weight vector", -3.4e38f));
  MX_FORWARD(mx_check_finite(c, 3, "the column weight vector", -3.4e38f));
  MX_REQUIRE(c, x->scale_const == MXP_NONE,
             "a linear resize of a tensor with channel scales is not supported");
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  MX_FORWARD(mx_check_multiplier(c, 4, "input multiplier"));
  return mx_check_clamp(c, o, 12);
}

int mx_check_resize(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 1, .cst_need = 5, .cst_may = 10}));
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  MX_FORWARD(mx_check_image(c, "the input", x));
  MX_FORWARD(mx_check_image(c, "the output", o));
  MX_REQUIRE(c, x->dims[0] == o->dims[0] && x->dims[3] == o->dims[3],
             "batch and channels must stay as they are");
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, 1));
  MX_FORWARD(check_sources(c, 0, "row", x->dims[1], o->dims[1]));
  MX_FORWARD(check_sources(c, 2, "column", x->dims[2], o->dims[2]));
  if (c->in->i[10] == 1) {
    MX_FORWARD(check_linear(c, x, o));
  } else {
    MX_REQUIRE(c, x->dtype == o->dtype, "a nearest resize keeps the type, %s became %s",
               mx_dtype_name(x->dtype), mx_dtype_name(o->dtype));
  }
  c->work = (uint64_t)mx_elements(o) * 4;
  return MACCEL_OK;
}
