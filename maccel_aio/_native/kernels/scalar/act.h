/* act.h - the activations of mxq.h, operation by operation. */
#ifndef MX_ACT_H
#define MX_ACT_H

#include "fmath.h"
#include "mxq.h"

MX_FLAT float mx_clampf(float v, float lo, float hi) {
  v = v > lo ? v : lo;
  return v < hi ? v : hi;
}

MX_FLAT float mx_floor(float v) {
  const float r = mx_rint(v);
  return r > v ? r - 1.0f : r;
}

MX_FLAT float mx_ceil(float v) {
  const float r = mx_rint(v);
  return r < v ? r + 1.0f : r;
}

MX_FLAT float mx_gelu_erf(float v) { return (v * 0.5f) * (1.0f + mx_erf(v / 1.41421356f)); }

MX_FLAT float mx_gelu_tanh(float v) {
  const float cube = ((v * v) * v) * 0.044715f;
  return (v * 0.5f) * (1.0f + mx_tanh((v + cube) * 0.79788456f));
}

/* max(v, 0) + log(1 + u) with u = exp(-|v|); the quotient restores the bits that 1 + u drops. */
MX_FLAT float mx_softplus(float v) {
  const float u = mx_exp(-mx_fabs(v));
  const float w = 1.0f + u;
  const float d = w - 1.0f;
  const float tail = d == 0.0f ? u : mx_log(w) * (u / d);
  return (v > 0.0f ? v : 0.0f) + tail;
}

/* v * tanh(softplus(v)) = v * n / (n + 2), n = e (e + 2), e = exp(v) */
MX_FLAT float mx_mish(float v) {
  const float e = mx_exp(v > 20.0f ? 20.0f : v);
  const float n = e * (e + 2.0f);
  return v > 20.0f ? v : v * (n / (n + 2.0f));
}

/* One element; `slope` is used by PRELU alone. Strips of elements: mx_strip_act() in generic/strip.h. */
MX_FLAT float mx_act(int act, float v, float a, float b, float slope) {
  switch (act) {
    case MX_ACT_CLAMP: return mx_clampf(v, a, b);
    case MX_ACT_LEAKY: return v < 0.0f ? v * a : v;
    case MX_ACT_PRELU: return v < 0.0f ? v * slope : v;
    case MX_ACT_SIGMOID: return mx_sigmoid(v);
    case MX_ACT_HARDSIGMOID: return mx_clampf(v * a + b, 0.0f, 1.0f);
    case MX_ACT_HARDSWISH: return v * mx_clampf(v * a + b, 0.0f, 1.0f);
    case MX_ACT_SILU: return v / (1.0f + mx_exp(-v));
    case MX_ACT_TANH: return mx_tanh(v);
    case MX_ACT_GELU_ERF: return mx_gelu_erf(v);
    case MX_ACT_GELU_TANH: return mx_gelu_tanh(v);
    case MX_ACT_ELU: return v < 0.0f ? a * (mx_exp(v) - 1.0f) : v;
    case MX_ACT_SOFTPLUS: return mx_softplus(v);
    case MX_ACT_EXP: return mx_exp(v);
    case MX_ACT_LOG: return mx_log(v);
    case MX_ACT_SQRT: return mx_sqrt(v);
    case MX_ACT_RECIPROCAL: return 1.0f / v;
    case MX_ACT_ABS: return mx_fabs(v);
    case MX_ACT_NEG: return -v;
    case MX_ACT_ERF: return mx_erf(v);
    case MX_ACT_MISH: return mx_mish(v);
    case MX_ACT_FLOOR: return mx_floor(v);
    case MX_ACT_CEIL: return mx_ceil(v);
    case MX_ACT_ROUND: return mx_rint(v);
    case MX_ACT_SIN: return mx_sin(v);
    case MX_ACT_COS: return mx_cos(v);
    case MX_ACT_SQUARE: return v * v;
    case MX_ACT_RSQRT: return 1.0f / mx_sqrt(v);
    default: return v;
  }
}

#endif
