/* act.h - the activations of mxq.h for 16 lanes; PRELU, SIN and COS stay with the plain loops. */
#ifndef MX_VECTOR_ACT_H
#define MX_VECTOR_ACT_H

#include "fmath.h"
#include "mxq.h"

/* max(v, lo), then min(., hi), as mx_clampf() */
MX_INLINE f16 f16_clamp(f16 v, f16 lo, f16 hi) { return f16_min(f16_max(v, lo), hi); }

MX_INLINE f16 f16_hard(f16 v, f16 a, f16 b) {
  return f16_clamp(f16_add(f16_mul(v, a), b), f16_zero(), f16_all(1.0f));
}

MX_INLINE f16 f16_gelu_erf(f16 v) {
  const f16 e = f16_erf(f16_div(v, f16_all(1.41421356f)));
  return f16_mul(f16_mul(v, f16_all(0.5f)), f16_add(f16_all(1.0f), e));
}

MX_INLINE f16 f16_gelu_tanh(f16 v) {
  const f16 cube = f16_mul(f16_mul(f16_mul(v, v), v), f16_all(0.044715f));
  const f16 t = f16_tanh(f16_mul(f16_add(v, cube), f16_all(0.79788456f)));
  return f16_mul(f16_mul(v, f16_all(0.5f)), f16_add(f16_all(1.0f), t));
}

MX_INLINE f16 f16_softplus(f16 v) {
  const f16 one = f16_all(1.0f), u = f16_exp(f16_neg(f16_abs(v))), w = f16_add(one, u), d = f16_sub(w, one);
  const f16 tail = f16_select(f16_eq(d, f16_zero()), u, f16_mul(f16_log(w), f16_div(u, d)));
  return f16_add(f16_max(v, f16_zero()), tail);
}

MX_INLINE f16 f16_mish(f16 v) {
  const f16 most = f16_all(20.0f), two = f16_all(2.0f), e = f16_exp(f16_min(most, v));
  const f16 n = f16_mul(e, f16_add(e, two));
  return f16_select(f16_lt(most, v), v, f16_mul(v, f16_div(n, f16_add(n, two))));
}

/* rint(v), one less where that is above v */
MX_INLINE f16 f16_floor(f16 v) {
  const f16 r = f16_rint(v);
  return f16_select(f16_lt(v, r), f16_sub(r, f16_all(1.0f)), r);
}

MX_INLINE f16 f16_ceil(f16 v) {
  const f16 r = f16_rint(v);
  return f16_select(f16_lt(r, v), f16_add(r, f16_all(1.0f)), r);
}

MX_INLINE f16 f16_negative(f16 v, f16 below) { return f16_select(f16_lt(v, f16_zero()), below, v); }

/* `act` is a constant where this is inlined. */
MX_INLINE f16 f16_act(int act, f16 v, f16 a, f16 b) {
  const f16 one = f16_all(1.0f);
  switch (act) {
    case MX_ACT_CLAMP: return f16_clamp(v, a, b);
    case MX_ACT_LEAKY: return f16_negative(v, f16_mul(v, a));
    case MX_ACT_SIGMOID: return f16_div(one, f16_sigmoid_divisor(v));
    case MX_ACT_HARDSIGMOID: return f16_hard(v, a, b);
    case MX_ACT_HARDSWISH: return f16_mul(v, f16_hard(v, a, b));
    case MX_ACT_SILU: return f16_div(v, f16_sigmoid_divisor(v));
    case MX_ACT_TANH: return f16_tanh(v);
    case MX_ACT_GELU_ERF: return f16_gelu_erf(v);
    case MX_ACT_GELU_TANH: return f16_gelu_tanh(v);
    case MX_ACT_ELU: return f16_negative(v, f16_mul(a, f16_sub(f16_exp(v), one)));
    case MX_ACT_SOFTPLUS: return f16_softplus(v);
    case MX_ACT_EXP: return f16_exp(v);
    case MX_ACT_LOG: return f16_log(v);
    case MX_ACT_SQRT: return f16_sqrt(v);
    case MX_ACT_RECIPROCAL: return f16_div(one, v);
    case MX_ACT_ABS: return f16_abs(v);
    case MX_ACT_NEG: return f16_neg(v);
    case MX_ACT_ERF: return f16_erf(v);
    case MX_ACT_MISH: return f16_mish(v);
    case MX_ACT_FLOOR: return f16_floor(v);
    case MX_ACT_CEIL: return f16_ceil(v);
    case MX_ACT_ROUND: return f16_rint(v);
    case MX_ACT_SQUARE: return f16_mul(v, v);
    case MX_ACT_RSQRT: return f16_div(one, f16_sqrt(v));
    default: return v;
  }
}

#endif
