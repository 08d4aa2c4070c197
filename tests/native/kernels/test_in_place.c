/* Outputs over inputs, as far as mxq.h allows it: residuals of convolutions, elementwise operands, equal views. The
 * channel counts go over every border of the vector kernels. */
#include "../common/levels.h"

static test_rng rng = {0x9e3779b97f4a7c15u};
static builder b;

static uint32_t random_const(int dtype, int rank, const int *dims, int lo, int hi) {
  int n = 1;
  for (int d = 0; d < rank; ++d) n *= dims[d];
  uint8_t *v = malloc((size_t)n * 4);
  CHECK(v != NULL);
  for (int k = 0; k < n; ++k) {
    const int q = rng_int(&rng, lo, hi);
    if (dtype == MACCEL_S8) v[k] = (uint8_t)q;
    if (dtype == MACCEL_S16) memcpy(v + 2 * k, &(int16_t){(int16_t)q}, 2);
    if (dtype == MACCEL_S32) memcpy(v + 4 * k, &q, 4);
    if (dtype == MACCEL_F32) memcpy(v + 4 * k, &(float){(float)q * 1e-4f}, 4);
  }
  const uint32_t c = builder_const(&b, dtype, rank, dims, v);
  free(v);
  return c;
}

/* A convolution whose residual is its output. `gap`: elements of padding behind the channels. */
static void residual_in_place(int op, int to, int channels, int gap, int act) {
  const int depthwise = op == MX_OP_DWCONV, in_c = depthwise ? channels : 5;
  const int dims[4] = {1, 5, 6, channels}, from[4] = {1, 5, 6, in_c};
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, op == MX_OP_CONVF ? MACCEL_F32 : MACCEL_U8, 4, from, 1.0f,
                                    op == MX_OP_CONVF ? 0 : 77);
  const uint32_t y = gap ? builder_padded(&b, to, dims, gap, 1.0f, to == MACCEL_F32 ? 0 : 3)
                         : builder_tensor(&b, to, 4, dims, 1.0f, to == MACCEL_F32 ? 0 : 3);
  mxp_insn *in = builder_insn(&b, op);
  in->in[0] = x, in->in[1] = in->out[0] = y;
  builder_window(in, 3, 3, 1, 1, 1);
  in->i[10] = depthwise ? channels : 1;
  in->i[11] = act;
  in->i[12] = range_lo(to), in->i[13] = range_hi(to);
  in->f[0] = 0.1f, in->f[2] = 0.75f;
  const int w[4] = {channels, 3, 3, in_c}, dw[3] = {3, 3, channels};
  const int weights = op == MX_OP_CONVF ? MACCEL_F32 : MACCEL_S8;
  in->cst[0] = depthwise ? random_const(weights, 3, dw, -90, 90) : random_const(weights, 4, w, -90, 90);
  if (op != MX_OP_CONVF) in->cst[1] = random_const(MACCEL_S32, 1, &channels, -900, 900);
  in->cst[2] = random_const(MACCEL_F32, 1, &channels, 10, 90);
  levels_agree(&b, &rng, 3);
  builder_free(&b);
}

static void residuals(void) {
  static const int acts[] = {MX_ACT_NONE, MX_ACT_LEAKY, MX_ACT_SILU};
  for (int channels = 1; channels <= 200; channels += channels % 16 == 15 || channels % 16 <= 1 ? 1 : 5) {
    for (int a = 0; a < 3; ++a) {
      residual_in_place(MX_OP_DWCONV, MACCEL_U8, channels, 0, acts[a]);
      residual_in_place(MX_OP_CONV, MACCEL_U8, channels, 0, acts[a]);
    }
    const int pad = (64 - channels % 64) % 64;
    residual_in_place(MX_OP_DWCONV, MACCEL_U8, channels, pad, MX_ACT_NONE);
    residual_in_place(MX_OP_CONV, MACCEL_U8, channels, pad, MX_ACT_NONE);
    residual_in_place(MX_OP_DWCONV, MACCEL_S8, channels, 0, MX_ACT_NONE);
    residual_in_place(MX_OP_DWCONV, MACCEL_S16, channels, 0, MX_ACT_NONE);
    residual_in_place(MX_OP_CONV, MACCEL_S16, channels, 0, MX_ACT_NONE);
    residual_in_place(MX_OP_CONVF, MACCEL_F32, channels, 0, MX_ACT_NONE);
  }
}

/* out = x op y with out over x, over y, or over both. */
static void eltwise_in_place(int dtype, int channels, int gap, int slot, int kind, int act) {
  const int dims[4] = {2, 3, 4, channels};
  builder_init(&b);
  uint32_t t[2];
  for (int k = 0; k < 2; ++k)
    t[k] = builder_padded(&b, dtype, dims, gap, 1.0f, dtype == MACCEL_F32 ? 0 : 20 + k);
  mxp_insn *in = builder_insn(&b, MX_OP_ELTWISE);
  in->in[0] = t[0], in->in[1] = slot == 2 ? t[0] : t[1];
  in->out[0] = slot == 1 ? t[1] : t[0];
  in->i[10] = kind, in->i[11] = act;
  in->i[12] = range_lo(dtype), in->i[13] = range_hi(dtype);
  in->f[4] = 0.5f, in->f[5] = 0.25f;
  levels_agree(&b, &rng, 3);
  builder_free(&b);
}

static void elementwise(void) {
  static const int types[] = {MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32};
  for (int channels = 1; channels <= 70; channels += channels < 20 ? 1 : 9) {
    for (int k = 0; k < 4 * 3 * 4; ++k) {
      eltwise_in_place(types[k % 4], channels, 0, k / 4 % 3, k / 12, MX_ACT_NONE);
      eltwise_in_place(types[k % 4], channels, 6, k / 4 % 3, k / 12, MX_ACT_TANH);
    }
  }
}

static void map_in_place(int dtype, int channels, int gap, int act) {
  const int dims[4] = {2, 3, 5, channels};
  builder_init(&b);
  const uint32_t x = builder_padded(&b, dtype, dims, gap, 1.0f, dtype == MACCEL_F32 ? 0 : 9);
  mxp_insn *in = builder_insn(&b, MX_OP_MAP);
  in->in[0] = in->out[0] = x;
  in->i[11] = act;
  in->i[12] = range_lo(dtype), in->i[13] = range_hi(dtype);
  in->f[0] = 0.2f, in->f[1] = 0.5f, in->f[4] = 0.0625f, in->f[3] = 30.0f;
  levels_agree(&b, &rng, 3);
  builder_free(&b);
}

static void maps(void) {
  for (int act = 0; act < MX_ACT_COUNT; ++act) {
    if (act == MX_ACT_PRELU) continue;
    for (int channels = 1; channels <= 40; channels += 13) {
      map_in_place(MACCEL_U8, channels, 0, act);
      map_in_place(MACCEL_S16, channels, 3, act);
      map_in_place(MACCEL_F32, channels, 5, act);
    }
  }
}

/* The output says that the bytes between two pixels are its own, the inputs do not: they may end with their last
 * channel, and only the slack lies behind it. */
static void wide_gaps(int dtype) {
  const int elem = builder_elem(dtype), dims[4] = {1, 2, 3, 16};
  const int64_t pixel = 8192 * elem, stride[4] = {6 * pixel, 3 * pixel, pixel, elem};
  builder_init(&b);
  const uint32_t y = builder_padded(&b, dtype, dims, 8192 - 16, 1.0f, 5);
  const uint64_t start = b.head.arena_bytes;
  const uint32_t x0 = builder_view(&b, dtype, 4, dims, stride, start, 1.0f, 3);
  const uint32_t x1 = builder_view(&b, dtype, 4, dims, stride, start + 16 * (uint64_t)elem, 1.0f, 4);
  mxp_insn *in = builder_insn(&b, MX_OP_ELTWISE);
  in->in[0] = x0, in->in[1] = x1, in->out[0] = y;
  in->i[12] = range_lo(dtype), in->i[13] = range_hi(dtype);
  in->f[4] = 0.5f, in->f[5] = 0.25f;
  levels_agree(&b, &rng, 3);
  builder_free(&b);
}

int main(void) {
  wide_gaps(MACCEL_U8);
  wide_gaps(MACCEL_S16);
  elementwise();
  maps();
  residuals();
  return 0;
}
