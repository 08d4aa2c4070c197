/* Elementary functions against double precision: the bounds stated in fmath.h hold, special values are right. */
#include <math.h>

#include "../common/check.h"
#include "scalar/act.h"

typedef float (*single_fn)(float);
typedef double (*double_fn)(double);

static double ulp_of(double v) {
  int e;
  frexp(v, &e);
  const int low = e - 24 < -149 ? -149 : e - 24;
  return ldexp(1.0, low);
}

static double error_ulp(float got, double want) {
  if (isnan(want)) return isnan(got) ? 0.0 : 1e30;
  if (fabs(want) >= 3.4028235677973366e38) return isinf(got) || fabsf(got) > 3.4e38f ? 0.0 : 1e30;
  if (isnan(got)) return 1e30;
  return fabs((double)got - want) / ulp_of(want);
}

static double worst(single_fn f, double_fn g, float lo, float hi) {
  double most = 0.0;
  const int steps = 2000003;
  for (int k = 0; k <= steps; ++k) {
    const float v = (float)((double)lo + ((double)hi - (double)lo) * k / steps);
    most = fmax(most, error_ulp(f(v), g((double)v)));
  }
  /* and with magnitudes spread over the exponents */
  for (uint32_t u = 0; u < 0x7f800000u; u += 4099) {
    for (int sign = 0; sign < 2; ++sign) {
      const float v = mx_from_bits(u | ((uint32_t)sign << 31));
      if (v >= lo && v <= hi) most = fmax(most, error_ulp(f(v), g((double)v)));
    }
  }
  return most;
}

static double sigmoid_wide(double v) { return 1.0 / (1.0 + exp(-v)); }
static double softplus_wide(double v) { return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v)); }
static double mish_wide(double v) { return v * tanh(softplus_wide(v)); }
static double gelu_wide(double v) { return 0.5 * v * (1.0 + erf(v / sqrt(2.0))); }

static double silu_wide(double v) { return v * sigmoid_wide(v); }
static float silu(float v) { return mx_act(MX_ACT_SILU, v, 0.0f, 0.0f, 0.0f); }
/* The constants are those of the definition: single precision is not part of the error. */
static double gelu_tanh_wide(double v) {
  return 0.5 * v * (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (v + 0.044715 * v * v * v)));
}

static void bounds_hold(void) {
  const struct {
    const char *name;
    single_fn f;
    double_fn g;
    float lo, hi;
    double bound;
  } cases[] = {
      {"exp", mx_exp, exp, -104.0f, 89.0f, 1.0},
      {"log", mx_log, log, 0.0f, 3.4e38f, 0.8},
      {"tanh", mx_tanh, tanh, -3.4e38f, 3.4e38f, 1.2},
      {"erf", mx_erf, erf, -3.4e38f, 3.4e38f, 1.0},
      {"sigmoid", mx_sigmoid, sigmoid_wide, -87.0f, 3.4e38f, 2.0},
      {"sin", mx_sin, sin, -1048576.0f, 1048576.0f, 1.6},
      {"cos", mx_cos, cos, -1048576.0f, 1048576.0f, 1.6},
      {"softplus", mx_softplus, softplus_wide, -80.0f, 3e38f, 2.2},
      {"mish", mx_mish, mish_wide, -60.0f, 3e38f, 4.0},
      {"gelu", mx_gelu_erf, gelu_wide, -1.0f, 3e38f, 3.0},
      {"gelu tanh", mx_gelu_tanh, gelu_tanh_wide, -1.0f, 1e12f, 3.0},
      {"silu", silu, silu_wide, -80.0f, 3e38f, 2.2},
  };
  int bad = 0;
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; ++k) {
    const double got = worst(cases[k].f, cases[k].g, cases[k].lo, cases[k].hi);
    printf("%-9s %.3f ulp\n", cases[k].name, got);
    bad |= got > cases[k].bound;
  }
  CHECK(!bad);
}

static void pow_is_close(void) {
  test_rng r = {0x9e3779b97f4a7c15u};
  double most = 0.0;
  for (int k = 0; k < 2000000; ++k) {
    const float a = mx_from_bits(rng_next(&r) & 0x7fffffffu), b = rng_float(&r, -8.0f, 8.0f);
    if (!isfinite(a)) continue;
    most = fmax(most, error_ulp(mx_pow(a, b), pow((double)a, (double)b)));
    const float near = rng_float(&r, 0.5f, 2.0f), far = rng_float(&r, -120.0f, 120.0f);
    most = fmax(most, error_ulp(mx_pow(near, far), pow((double)near, (double)far)));
  }
  printf("pow       %.3f ulp\n", most);
  CHECK(most <= 0.6);
}

static void special_values(void) {
  const float inf = INFINITY;
  CHECK(mx_exp(inf) == inf && mx_exp(-inf) == 0.0f && mx_exp(0.0f) == 1.0f && isnan(mx_exp(NAN)));
  CHECK(mx_exp(89.0f) == inf && mx_exp(-104.0f) == 0.0f && mx_exp(-103.0f) > 0.0f);
  CHECK(mx_log(0.0f) == -inf && mx_log(inf) == inf && isnan(mx_log(-1.0f)) && mx_log(1.0f) == 0.0f &&
        isnan(mx_log(NAN)));
  CHECK(mx_tanh(inf) == 1.0f && mx_tanh(-inf) == -1.0f && isnan(mx_tanh(NAN)) && mx_tanh(0.0f) == 0.0f);
  CHECK(mx_erf(inf) == 1.0f && mx_erf(-inf) == -1.0f && isnan(mx_erf(NAN)));
  CHECK(mx_sigmoid(inf) == 1.0f && mx_sigmoid(-inf) == 0.0f && mx_sigmoid(0.0f) == 0.5f);
  CHECK(isnan(mx_sin(inf)) && mx_cos(0.0f) == 1.0f && mx_sin(0.0f) == 0.0f);
  const float a[] = {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f, -0.5f, inf, -inf, NAN, 3.0f, -3.0f};
  for (size_t i = 0; i < sizeof a / sizeof a[0]; ++i) {
    for (size_t j = 0; j < sizeof a / sizeof a[0]; ++j) {
      const float got = mx_pow(a[i], a[j]), want = powf(a[i], a[j]);
      const int same = got == want || (isnan(got) && isnan(want)) || (a[i] == -1.0f && isinf(a[j]));
      if (!same) printf("pow(%g, %g) is %g, not %g\n", (double)a[i], (double)a[j], (double)got, (double)want);
      CHECK(same);
    }
  }
}

static void rounding_is_to_even(void) {
  test_rng r = {7};
  for (int k = 0; k < 4000000; ++k) {
    const float v = k < 4000 ? (float)k * 0.5f - 1000.0f : mx_from_bits(rng_next(&r));
    if (isnan(v)) continue;
    CHECK(mx_rint(v) == nearbyintf(v));
    CHECK(signbit(mx_rint(v)) == signbit(nearbyintf(v)));
    CHECK(mx_floor(v) == floorf(v) && mx_ceil(v) == ceilf(v));
    const double held = fmin(fmax((double)v, -1073741824.0), 1073741824.0);
    CHECK_INT(mx_rne(v), (int32_t)nearbyint(held));
  }
  CHECK_INT(mx_rne(NAN), 0);
  CHECK_INT(mx_put(INFINITY, 5, 0, 255), 255);
  CHECK_INT(mx_put(2.5f, 3, 0, 255), 5);
}

static void bf16_rounds_to_even(void) {
  test_rng r = {11};
  for (int k = 0; k < 1000000; ++k) {
    const float v = mx_from_bits(rng_next(&r));
    const uint16_t h = mx_bf16_store(v);
    if (isnan(v)) {
      CHECK(isnan(mx_bf16_load(h)));
      continue;
    }
    const float got = mx_bf16_load(h), below = mx_bf16_load((uint16_t)(mx_to_bits(v) >> 16));
    const float above = mx_bf16_load((uint16_t)((mx_to_bits(v) >> 16) + 1));
    const double db = fabs((double)v - (double)below),
                 da = isinf(above) ? ldexp(1.0, 128) - fabs((double)v) : fabs((double)v - (double)above);
    if (db < da) CHECK(got == below);
    if (db > da) CHECK(got == above);
    if (db == da) CHECK((h & 1) == 0);
  }
}

int main(void) {
  rounding_is_to_even();
  bf16_rounds_to_even();
  special_values();
  bounds_hold();
  pow_is_close();
  return 0;
}
