/* Infinities, NaN, both zeros, denormals, the largest and smallest numbers and everything next to a rounding border:
 * the same bits on every level, and what mxq.h says they become. */
#include <float.h>
#include <math.h>

#include "../common/levels.h"
#include "scalar/act.h"

static test_rng rng = {0xa0761d6478bd642fu};

static const float specials[] = {0.0f,          -0.0f,         1.0f,           -1.0f,
                                 0.5f,          -0.5f,         1.5f,           -1.5f,
                                 2.5f,          -2.5f,         0.49999997f,    -0.49999997f,
                                 126.5f,        127.5f,        254.5f,         255.5f,
                                 -128.5f,       32766.5f,      -32768.5f,      8388607.5f,
                                 8388608.0f,    -8388609.0f,   16777215.0f,    16777216.0f,
                                 1073741760.0f, 1073741824.0f, 1073741952.0f,  -1073741824.0f,
                                 2147483520.0f, 2147483648.0f, -2147483648.0f, 4294967296.0f,
                                 1e20f,         -1e20f,        FLT_MAX,        -FLT_MAX,
                                 FLT_MIN,       -FLT_MIN,      FLT_TRUE_MIN,   -FLT_TRUE_MIN,
                                 1e-40f,        -1e-40f,       FLT_EPSILON,    88.72f,
                                 88.73f,        89.0f,         -87.33f,        -87.34f,
                                 -103.97f,      -104.0f,       0.70710677f,    0.70710683f,
                                 0.625f,        0.62499994f,   0.92773438f,    0.9277344f,
                                 3.9999998f,    4.0f,          4.0000005f,     20.0f,
                                 20.000002f,    3.14159274f,   1.57079637f,    536870912.0f,
                                 536870880.0f,  INFINITY,      -INFINITY,      NAN};
enum { SPECIALS = sizeof specials / sizeof specials[0] };

/* x f32 [n] -> y, with every pair of specials when there are two operands */
static void put_floats(levels_case *c, int slot, int across) {
  float *to = (float *)(void *)c->r.task.in[slot].data;
  const int n = c->r.task.in[slot].dims[0];
  for (int k = 0; k < n; ++k) to[k] = specials[across ? k / SPECIALS % SPECIALS : k % SPECIALS];
}

static void activation(int act, int to, float f3, float a, float bb) {
  builder b;
  const int n = SPECIALS + 5;
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, MACCEL_F32, 1, &n, 1.0f, 0);
  const uint32_t y = builder_tensor(&b, to, 1, &n, 1.0f, to == MACCEL_U8 ? 200 : 0);
  mxp_insn *in = builder_insn(&b, MX_OP_MAP);
  in->in[0] = x, in->out[0] = y;
  in->i[11] = act, in->f[0] = a, in->f[1] = bb, in->f[3] = f3;
  in->i[12] = range_lo(to), in->i[13] = range_hi(to);
  if (act == MX_ACT_PRELU) {
    float slopes[SPECIALS + 5];
    for (int k = 0; k < n; ++k) slopes[k] = k % 2 ? -0.5f : 0.25f;
    in->cst[4] = builder_const(&b, MACCEL_F32, 1, &n, slopes);
  }
  levels_case c = levels_bind(&b, 0);
  levels_fill(&c, &rng);
  put_floats(&c, 0, 0);
  levels_check(&c, 3);
  levels_unbind(&c);
  builder_free(&b);
}

static void every_activation(void) {
  static const int types[] = {MACCEL_F32, MACCEL_BF16, MACCEL_U8, MACCEL_S8,
                              MACCEL_S16, MACCEL_S32,  MACCEL_S64};
  for (int act = 0; act < MX_ACT_COUNT; ++act) {
    for (size_t t = 0; t < sizeof types / sizeof types[0]; ++t) {
      activation(act, types[t], 1.0f, 0.2f, 0.5f);
      activation(act, types[t], 1e30f, -1.0f, 6.0f);
      activation(act, types[t], -1e-30f, 0.0f, 0.0f);
    }
  }
}

static void every_pair(int kind, int to) {
  builder b;
  const int n = SPECIALS * SPECIALS;
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, MACCEL_F32, 1, &n, 1.0f, 0),
                 z = builder_tensor(&b, MACCEL_F32, 1, &n, 1.0f, 0);
  const uint32_t y = builder_tensor(&b, to, 1, &n, 1.0f, 0);
  mxp_insn *in = builder_insn(&b, MX_OP_ELTWISE);
  in->in[0] = x, in->in[1] = z, in->out[0] = y;
  in->i[10] = kind;
  in->i[12] = range_lo(to), in->i[13] = range_hi(to);
  levels_case c = levels_bind(&b, 0);
  levels_fill(&c, &rng);
  put_floats(&c, 0, 0);
  put_floats(&c, 1, 1);
  levels_check(&c, 2);
  levels_unbind(&c);
  builder_free(&b);
}

/* Rows of nothing but special values: softmax, norms, reductions, dynamic quantisation. */
static void rows(int op, int kind, int width) {
  builder b;
  const int dims[2] = {SPECIALS, width}, one[2] = {SPECIALS, 1};
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, MACCEL_F32, 2, dims, 1.0f, 0);
  const int to = op == MX_OP_DYNQUANT ? MACCEL_U8 : MACCEL_F32;
  const uint32_t y = builder_tensor(&b, to, 2, op == MX_OP_REDUCE ? one : dims, 1.0f, 0);
  const uint32_t s = builder_tensor(&b, MACCEL_F32, 2, one, 1.0f, 0);
  mxp_insn *in = builder_insn(&b, op);
  in->in[0] = x, in->out[0] = y;
  if (op == MX_OP_DYNQUANT) in->out[1] = s;
  in->i[10] = kind, in->i[14] = 2, in->f[2] = 1.0f / (float)width;
  if (op == MX_OP_LAYERNORM) in->f[5] = 1e-5f;
  levels_case c = levels_bind(&b, 0);
  levels_fill(&c, &rng);
  float *v = (float *)(void *)c.r.task.in[0].data;
  for (int r = 0; r < SPECIALS; ++r) {
    v[r * width + rng_int(&rng, 0, width - 1)] = specials[r];
    v[r * width + rng_int(&rng, 0, width - 1)] = specials[rng_int(&rng, 0, SPECIALS - 1)];
  }
  levels_check(&c, 2);
  levels_unbind(&c);
  builder_free(&b);
}

/* Residuals of floats that are no numbers, with and without an activation behind them. */
static void residual(int op, int to, int act, int after, int second) {
  builder b;
  const int dims[4] = {1, 1, 2, SPECIALS};
  static int8_t weights[SPECIALS * SPECIALS];
  int32_t bias[SPECIALS];
  float scale[SPECIALS];
  for (int k = 0; k < SPECIALS; ++k) bias[k] = 100 * k - 3000, scale[k] = k % 9 == 0 ? 0.0f : 0.01f;
  for (int k = 0; k < SPECIALS * SPECIALS; ++k) weights[k] = (int8_t)rng_int(&rng, -128, 127);
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, MACCEL_U8, 4, dims, 1.0f, 128),
                 r = builder_tensor(&b, MACCEL_F32, 4, dims, 1.0f, 0);
  const uint32_t y = builder_tensor(&b, to, 4, dims, 1.0f, 0),
                 y1 = builder_tensor(&b, MACCEL_S16, 4, dims, 1.0f, -7);
  mxp_insn *in = builder_insn(&b, op);
  in->in[0] = x, in->in[1] = r, in->out[0] = y;
  if (second) in->out[1] = y1;
  builder_window(in, 1, 1, 1, 0, 1);
  in->i[10] = op == MX_OP_DWCONV ? SPECIALS : 1;
  in->i[11] = act, in->f[0] = -3.0f, in->f[1] = 3.0f;
  in->i[12] = range_lo(to), in->i[13] = range_hi(to), in->i[14] = -32768, in->i[15] = 32767;
  in->flags = after ? MX_INSN_RES_AFTER_ACT : 0;
  in->cst[0] = op == MX_OP_DWCONV
                   ? builder_const(&b, MACCEL_S8, 3, (int[]){1, 1, SPECIALS}, weights)
                   : builder_const(&b, MACCEL_S8, 4, (int[]){SPECIALS, 1, 1, SPECIALS}, weights);
  in->cst[1] = builder_const(&b, MACCEL_S32, 1, (int[]){SPECIALS}, bias);
  in->cst[2] = builder_const(&b, MACCEL_F32, 1, (int[]){SPECIALS}, scale);
  levels_case c = levels_bind(&b, 0);
  levels_fill(&c, &rng);
  for (int k = 0; k < 2 * SPECIALS; ++k) ((float *)(void *)c.r.task.in[1].data)[k] = specials[k % SPECIALS];
  levels_check(&c, 2);
  levels_unbind(&c);
  builder_free(&b);
}

static void residuals(void) {
  static const int types[] = {MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32};
  for (int k = 0; k < 4 * 2 * 2 * 2; ++k) {
    for (int act = 0; act < MX_ACT_COUNT; ++act) {
      if (act == MX_ACT_PRELU) continue;
      residual(k & 1 ? MX_OP_CONV : MX_OP_DWCONV, types[k >> 3], act, k >> 1 & 1, k >> 2 & 1);
    }
  }
}

/* put(): against integers in 64 bits and the definition, at all borders of all types. */
static void rounding(void) {
  for (int k = 0; k < SPECIALS; ++k) {
    const float v = specials[k];
    double held = isnan(v) ? 0.0 : (double)v;
    held = held > 1073741824.0 ? 1073741824.0 : held < -1073741824.0 ? -1073741824.0 : held;
    const double low = floor(held), fraction = held - low;
    int64_t want = (int64_t)low;
    if (fraction > 0.5 || (fraction == 0.5 && (want & 1))) want += 1;
    CHECK_INT(mx_rne(v), want);
    for (int zero = -128; zero <= 255; zero += 383) {
      int64_t q = want + zero;
      q = q < -100 ? -100 : q > 90 ? 90 : q;
      CHECK_INT(mx_put(v, zero, -100, 90), q);
    }
  }
}

/* Every bf16 survives a load and a store; between two of them the nearer one wins, the even one on a tie. */
static void bf16(void) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float v = mx_bf16_load((uint16_t)h);
    if (isnan(v)) {
      CHECK(isnan(mx_bf16_load(mx_bf16_store(v))));
      continue;
    }
    CHECK_INT(mx_bf16_store(v), h);
    if (isinf(v)) continue;
    const uint32_t u = h << 16;
    CHECK_INT(mx_bf16_store(mx_from_bits(u | 0x7fff)), h);
    CHECK_INT(mx_bf16_store(mx_from_bits(u | 0x8001)), h + 1);
    CHECK_INT(mx_bf16_store(mx_from_bits(u | 0x8000)), h + (h & 1));
  }
}

/* The activations' own limits, as everyone knows them. */
static void known_limits(void) {
  const float inf = INFINITY;
  CHECK(mx_act(MX_ACT_SIGMOID, inf, 0, 0, 0) == 1.0f && mx_act(MX_ACT_SIGMOID, -inf, 0, 0, 0) == 0.0f);
  CHECK(mx_act(MX_ACT_TANH, inf, 0, 0, 0) == 1.0f && mx_act(MX_ACT_TANH, -inf, 0, 0, 0) == -1.0f);
  CHECK(mx_act(MX_ACT_ERF, inf, 0, 0, 0) == 1.0f && mx_act(MX_ACT_ERF, -inf, 0, 0, 0) == -1.0f);
  CHECK(mx_act(MX_ACT_EXP, inf, 0, 0, 0) == inf && mx_act(MX_ACT_EXP, -inf, 0, 0, 0) == 0.0f);
  CHECK(mx_act(MX_ACT_LOG, 0.0f, 0, 0, 0) == -inf && isnan(mx_act(MX_ACT_LOG, -1.0f, 0, 0, 0)));
  CHECK(mx_act(MX_ACT_SOFTPLUS, inf, 0, 0, 0) == inf && mx_act(MX_ACT_SOFTPLUS, -inf, 0, 0, 0) == 0.0f);
  CHECK(mx_act(MX_ACT_RECIPROCAL, -0.0f, 0, 0, 0) == -inf && mx_act(MX_ACT_RSQRT, inf, 0, 0, 0) == 0.0f);
  CHECK(mx_act(MX_ACT_ELU, -inf, 0.5f, 0, 0) == -0.5f && mx_act(MX_ACT_MISH, inf, 0, 0, 0) == inf);
  CHECK(mx_act(MX_ACT_CLAMP, inf, -1, 6, 0) == 6.0f && mx_act(MX_ACT_CLAMP, -inf, -1, 6, 0) == -1.0f);
  CHECK(mx_act(MX_ACT_FLOOR, -0.5f, 0, 0, 0) == -1.0f && mx_act(MX_ACT_CEIL, 0.5f, 0, 0, 0) == 1.0f);
  CHECK(mx_act(MX_ACT_FLOOR, -inf, 0, 0, 0) == -inf && mx_act(MX_ACT_CEIL, inf, 0, 0, 0) == inf);
  CHECK(mx_act(MX_ACT_GELU_ERF, 1e30f, 0, 0, 0) == 1e30f &&
        mx_act(MX_ACT_GELU_TANH, 1e30f, 0, 0, 0) == 1e30f);
  CHECK(isnan(mx_act(MX_ACT_SIN, inf, 0, 0, 0)) && isnan(mx_act(MX_ACT_COS, -inf, 0, 0, 0)));
  for (int k = 0; k < SPECIALS; ++k) {
    if (isnan(specials[k]) || mx_fabs(specials[k]) > 1e30f) continue;
    CHECK(mx_act(MX_ACT_FLOOR, specials[k], 0, 0, 0) == floorf(specials[k]));
    CHECK(mx_act(MX_ACT_CEIL, specials[k], 0, 0, 0) == ceilf(specials[k]));
    CHECK(mx_act(MX_ACT_ROUND, specials[k], 0, 0, 0) == nearbyintf(specials[k]));
  }
}

int main(void) {
  rounding();
  bf16();
  known_limits();
  every_activation();
  for (int kind = 0; kind < MX_ELT_COUNT; ++kind) every_pair(kind, MACCEL_F32), every_pair(kind, MACCEL_S16);
  for (int width = 1; width <= 37; width += 4) {
    for (int kind = 0; kind < 2; ++kind) rows(MX_OP_SOFTMAX, kind, width), rows(MX_OP_LAYERNORM, kind, width);
    for (int kind = 0; kind < 4; ++kind) rows(MX_OP_REDUCE, kind, width);
    for (int kind = 0; kind < 2; ++kind) rows(MX_OP_DYNQUANT, kind, width);
  }
  residuals();
  return 0;
}
