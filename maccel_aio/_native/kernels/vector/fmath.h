/* fmath.h - scalar/fmath.h for 16 lanes: the same operations in the same order, so the same bits. */
#ifndef MX_VECTOR_FMATH_H
#define MX_VECTOR_FMATH_H

#include "lanes.h"

/* The clamps keep NaN (see f16_max), and NaN runs through the polynomial. */
MX_INLINE f16 f16_exp(f16 v) {
  const f16 x = f16_max(f16_all(-104.0f), f16_min(f16_all(89.0f), v));
  const f16 k = f16_rint(f16_mul(x, f16_all(1.44269504f)));
  const f16 r = f16_sub(f16_sub(x, f16_mul(k, f16_all(0.693359375f))), f16_mul(k, f16_all(-2.12194440e-4f)));
  f16 p = f16_step(f16_all(1.9875691500e-4f), r, 1.3981999507e-3f);
  p = f16_step(p, r, 8.3334519073e-3f);
  p = f16_step(p, r, 4.1665795894e-2f);
  p = f16_step(p, r, 1.6666665459e-1f);
  p = f16_step(p, r, 5.0000001201e-1f);
  p = f16_add(f16_mul(p, f16_mul(r, r)), r);
  return f16_scale2(f16_add(p, f16_all(1.0f)), k);
}

MX_INLINE f16 f16_log(f16 v) {
  const f16_where tiny = f16_lt(v, f16_all(1.17549435e-38f));
  const i16 u = f16_bits(f16_select(tiny, f16_mul(v, f16_all(8388608.0f)), v));
  const f16 half =
      i16_bits(i16_or(i16_and(u, i16_all(0x007fffff)), f16_bits(f16_all(0.5f)))); /* mantissa in [0.5, 1) */
  const f16_where low = f16_lt(half, f16_all(0.70710678f));
  const f16 whole = f16_from(i16_sub(i16_right(u, 23), i16_all(126)));
  const f16 kf = f16_sub(f16_sub(whole, f16_select(tiny, f16_all(23.0f), f16_zero())),
                         f16_select(low, f16_all(1.0f), f16_zero()));
  const f16 m = f16_sub(f16_select(low, f16_add(half, half), half), f16_all(1.0f));
  const f16 z = f16_mul(m, m);
  f16 p = f16_step(f16_all(7.0376836292e-2f), m, -1.1514610310e-1f);
  p = f16_step(p, m, 1.1676998740e-1f);
  p = f16_step(p, m, -1.2420140846e-1f);
  p = f16_step(p, m, 1.4249322787e-1f);
  p = f16_step(p, m, -1.6668057665e-1f);
  p = f16_step(p, m, 2.0000714765e-1f);
  p = f16_step(p, m, -2.4999993993e-1f);
  p = f16_step(p, m, 3.3333331174e-1f);
  f16 y = f16_mul(f16_mul(m, z), p);
  y = f16_add(y, f16_mul(kf, f16_all(-2.12194440e-4f)));
  y = f16_sub(y, f16_mul(f16_all(0.5f), z));
  f16 r = f16_add(f16_add(m, y), f16_mul(kf, f16_all(0.693359375f)));
  const f16 inf = i16_bits(i16_all(0x7f800000)), none = i16_bits(i16_all(0x7fc00000));
  r = f16_select(f16_eq(v, inf), v, r);
  r = f16_select(f16_eq(v, f16_zero()), f16_neg(inf), r);
  r = f16_select(f16_lt(v, f16_zero()), none, r);
  return f16_select(f16_eq(v, v), r, v);
}

/* 1 / (1 + exp(-v)) without the quotient */
MX_INLINE f16 f16_sigmoid_divisor(f16 v) { return f16_add(f16_all(1.0f), f16_exp(f16_neg(v))); }

MX_INLINE f16 f16_tanh(f16 v) {
  const f16 a = f16_abs(v), s = f16_mul(v, v), one = f16_all(1.0f);
  f16 p = f16_step(f16_all(-5.70498872745e-3f), s, 2.06390887954e-2f);
  p = f16_step(p, s, -5.37397155531e-2f);
  p = f16_step(p, s, 1.33314422036e-1f);
  p = f16_step(p, s, -3.33332819422e-1f);
  const f16 near = f16_add(f16_mul(f16_mul(p, s), v), v);
  const f16 far = f16_sub(one, f16_div(f16_all(2.0f), f16_add(f16_exp(f16_add(a, a)), one)));
  return f16_select(f16_lt(a, f16_all(0.625f)), near, f16_copysign(far, v));
}

MX_INLINE f16 f16_erf(f16 v) {
  const f16 t = f16_abs(v), s = f16_mul(v, v), one = f16_all(1.0f);
  f16 far = f16_step(f16_all(-1.72853470e-5f), t, 3.83197126e-4f);
  far = f16_add(f16_mul(far, s), f16_step(f16_all(-3.88396438e-3f), t, 2.42546219e-2f));
  far = f16_step(far, t, -1.06777877e-1f);
  far = f16_step(far, t, -6.34846687e-1f);
  far = f16_step(far, t, -1.28717512e-1f);
  far = f16_sub(f16_mul(far, t), t);
  far = f16_sub(one, f16_exp(far));
  far = f16_copysign(f16_select(f16_lt(f16_all(4.0f), t), one, far), v);
  f16 near = f16_step(f16_all(-5.96761703e-4f), s, 4.99119423e-3f);
  near = f16_step(near, s, -2.67681349e-2f);
  near = f16_step(near, s, 1.12819925e-1f);
  near = f16_step(near, s, -3.76125336e-1f);
  near = f16_step(near, s, 1.28379166e-1f);
  near = f16_add(f16_mul(near, v), v);
  return f16_select(f16_lt(f16_all(0.927734375f), t), far, near);
}

#endif
