/* fmath.h - elementary functions from +, -, *, /, comparisons and bit operations only (and sqrt, exact by IEEE).
 *
 * No libm: the same source gives the same bits on every instruction set and vectorises. Branch-free: both sides of
 * a choice are computed. Largest errors found by test_scalar_math.c against double precision:
 *   mx_exp 1.0 ulp   mx_log 0.8   mx_tanh 1.2   mx_erf 1.0   mx_sigmoid 2.0   mx_pow 0.6
 *   mx_sin and mx_cos 1.6 for |v| <= 2^20; the absolute error grows beyond */
#ifndef MX_FMATH_H
#define MX_FMATH_H

#include "num.h"

MX_FLAT float mx_sqrt(float v) { return __builtin_sqrtf(v); }

MX_FLAT float mx_inf(void) { return mx_from_bits(0x7f800000u); }
MX_FLAT float mx_nan(void) { return mx_from_bits(0x7fc00000u); }

/* 2^k for k in [-126, 127] */
MX_FLAT float mx_exp2i(int32_t k) { return mx_from_bits((uint32_t)(k + 127) << 23); }

/* v = k ln2 + r, |r| <= ln2 / 2; e^r by Cephes expf's polynomial, scaled in two steps so that results below the
 * normal range are rounded once. */
MX_FLAT float mx_exp(float v) {
  float x = v > 89.0f ? 89.0f : v;
  x = x < -104.0f ? -104.0f : x;
  x = v == v ? x : 0.0f;
  const float kf = mx_rint(x * 1.44269504f);
  const float r = (x - kf * 0.693359375f) - kf * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r;
  p = p + 1.0f;
  const int32_t k = (int32_t)kf;
  const int32_t half = k / 2;
  p = (p * mx_exp2i(half)) * mx_exp2i(k - half);
  return v == v ? p : v;
}

/* v = 2^k m, m in [sqrt(1/2), sqrt(2)); the polynomial is Cephes logf's. */
MX_FLAT float mx_log(float v) {
  const int tiny = v < 1.17549435e-38f;
  const float scaled = tiny ? v * 8388608.0f : v;
  const uint32_t u = mx_to_bits(scaled);
  int32_t k = (int32_t)(u >> 23) - 126 - (tiny ? 23 : 0);
  float m = mx_from_bits((u & 0x007fffffu) | 0x3f000000u); /* [0.5, 1) */
  const int low = m < 0.70710678f;
  k -= low;
  m = (low ? m + m : m) - 1.0f;
  const float z = m * m;
  const float kf = (float)k;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = (m * z) * p;
  y = y + kf * -2.12194440e-4f;
  y = y - 0.5f * z;
  float r = m + y;
  r = r + kf * 0.693359375f;
  r = v == mx_inf() ? v : r;
  r = v == 0.0f ? -mx_inf() : r;
  r = v < 0.0f ? mx_nan() : r;
  return v == v ? r : v;
}

MX_FLAT float mx_sigmoid(float v) { return 1.0f / (1.0f + mx_exp(-v)); }

MX_FLAT float mx_tanh(float v) {
  const float a = mx_fabs(v);
  const float s = v * v;
  float p = -5.70498872745e-3f;
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  const float near = p * s * v + v;
  const float far = mx_copysign(1.0f - 2.0f / (mx_exp(a + a) + 1.0f), v);
  return a < 0.625f ? near : far;
}

MX_FLAT float mx_erf(float v) {
  const float t = mx_fabs(v);
  const float s = v * v;
  float far = -1.72853470e-5f * t + 3.83197126e-4f;
  far = far * s + (-3.88396438e-3f * t + 2.42546219e-2f);
  far = far * t - 1.06777877e-1f;
  far = far * t - 6.34846687e-1f;
  far = far * t - 1.28717512e-1f;
  far = far * t - t;
  far = mx_copysign(1.0f - mx_exp(far), v);
  far = t > 4.0f ? mx_copysign(1.0f, v) : far;
  float near = -5.96761703e-4f;
  near = near * s + 4.99119423e-3f;
  near = near * s - 2.67681349e-2f;
  near = near * s + 1.12819925e-1f;
  near = near * s - 3.76125336e-1f;
  near = near * s + 1.28379166e-1f;
  near = near * v + v;
  return t > 0.927734375f ? far : near;
}

/* Reduction in double (pi/2 = 33 bits + rest, so that k times the first is exact) keeps the argument good up to
 * 2^20; beyond 2^29 the quadrant is meaningless and 0 is used. */
MX_FLAT float mx_sin_quadrant(float v, int32_t shift) {
  const int usable = mx_fabs(v) < 536870912.0f;
  const double x = usable ? (double)v : 0.0;
  const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
  const double k = (x * 0.63661977236758134308 + magic) - magic;
  const float r = (float)((x - k * 1.57079632673412561417) - k * 6.07710050650619224932e-11);
  const int32_t q = (int32_t)k + shift;
  const float z = r * r;
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z - 1.6666654611e-1f;
  s = s * z * r + r;
  float c = 2.443315711809948e-5f;
  c = c * z - 1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = c * (z * z) - 0.5f * z;
  c = c + 1.0f;
  const float m = (q & 1) ? c : s;
  const float r2 = (q & 2) ? -m : m;
  return v - v == 0.0f ? r2 : mx_nan();
}

MX_FLAT float mx_sin(float v) { return mx_sin_quadrant(v, 0); }
MX_FLAT float mx_cos(float v) { return mx_sin_quadrant(v, 1); }

/* log of a positive finite float, in double: m in [sqrt(1/2), sqrt(2)), series of atanh((m-1)/(m+1)). */
MX_FLAT double mx_log_wide(float v) {
  const int tiny = v < 1.17549435e-38f;
  const uint32_t u = mx_to_bits(tiny ? v * 8388608.0f : v);
  int32_t k = (int32_t)(u >> 23) - 126 - (tiny ? 23 : 0);
  double m = (double)mx_from_bits((u & 0x007fffffu) | 0x3f000000u);
  const int low = m < 0.70710678118654752;
  k -= low;
  m = low ? m + m : m;
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  return 2.0 * (s + s * z * p) + (double)k * 0.69314718055994530942;
}

MX_FLAT float mx_exp_wide(double x) {
  x = x > 90.0 ? 90.0 : x;
  x = x < -106.0 ? -106.0 : x;
  const double magic = 6755399441055744.0;
  const double k = (x * 1.4426950408889634074 + magic) - magic;
  const double r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
  double p = 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  const uint64_t bits = (uint64_t)((int64_t)k + 1023) << 52;
  double scale;
  memcpy(&scale, &bits, sizeof scale);
  return (float)(p * scale);
}

/* a^b with the special cases of C's pow(). */
MX_FLAT float mx_pow(float a, float b) {
  const float m = mx_fabs(a);
  const int whole = mx_rint(b) == b;
  const int odd = whole && mx_fabs(b) < 16777216.0f && ((int32_t)b & 1) != 0;
  if (b == 0.0f || a == 1.0f) return 1.0f;
  if (a != a || b != b) return mx_nan();
  if (mx_fabs(b) == mx_inf()) {
    if (m == 1.0f) return 1.0f;
    return (m > 1.0f) == (b > 0.0f) ? mx_inf() : 0.0f;
  }
  float r;
  if (m == 0.0f || m == mx_inf()) {
    r = (m == 0.0f) == (b > 0.0f) ? 0.0f : mx_inf();
  } else {
    if (a < 0.0f && !whole) return mx_nan();
    r = mx_exp_wide((double)b * mx_log_wide(m));
  }
  return odd ? mx_copysign(r, a) : r;
}

#endif
