/* The sentences about convolutions, and about tables, inputs and outputs, that test_verify.c leaves out. */
#include "verdict.h"

/* ---- convolutions: x 0, y 1, residual 2, second output 3 */

static void conv(int op, int x_type, int w_type, int y_type) {
  builder_init(&b);
  image(x_type, 4, 4, 8), image(y_type, 4, 4, 8), image(y_type, 4, 4, 8), image(MACCEL_U8, 4, 4, 8);
  mxp_insn *in = start(op);
  builder_window(in, 3, 3, 1, 1, 1);
  in->i[10] = op == MX_OP_DWCONV ? 8 : 1;
  if (y_type == MACCEL_S8) in->i[12] = -128, in->i[13] = 127;
  in->cst[0] =
      op == MX_OP_DWCONV ? bytes_of(w_type, 3, (int[]){3, 3, 8}) : bytes_of(w_type, 4, (int[]){8, 3, 3, 8});
  in->cst[1] = op == MX_OP_CONVF ? sample_floats(&b, 8, 0.5f, 0.25f) : sample_ints(&b, 8, 5);
  in->cst[2] = sample_floats(&b, 8, 0.001f, 0.001f);
  if (w_type == MACCEL_S16) {
    int16_t *w = (int16_t *)(void *)b.data;
    for (uint64_t k = 0; k < b.consts[0].bytes / 2; ++k) w[k] = (int16_t)(k % 7 - 3);
  }
  if (w_type == MACCEL_BF16) {
    for (uint64_t k = 0; k < b.consts[0].bytes / 2; ++k) ((uint16_t *)(void *)b.data)[k] = 0xbf80;
  }
  if (w_type == MACCEL_F32) {
    for (uint64_t k = 0; k < b.consts[0].bytes / 4; ++k) ((float *)(void *)b.data)[k] = 0.5f;
  }
}

#define CONV conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_U8)
#define CONVF conv(MX_OP_CONVF, MACCEL_F32, MACCEL_F32, MACCEL_F32)

static void convolution_formats(void) {
  SOUND(CONV, NOTHING);
  SOUND(conv(MX_OP_CONV, MACCEL_S16, MACCEL_S16, MACCEL_S8), NOTHING);
  SOUND(conv(MX_OP_DWCONV, MACCEL_S16, MACCEL_S8, MACCEL_F32), NOTHING);
  SOUND(conv(MX_OP_DWCONV, MACCEL_U8, MACCEL_S16, MACCEL_U8), NOTHING);
  BROKEN(CONV, T(0).dtype = MACCEL_S8, "(CONV): the input has type s8, which this operation does not take");
  BROKEN(conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_F32), T(1).dtype = MACCEL_S32,
         "(CONV): output 0 has type s32, which this operation does not take");
}

static void convolution_shapes(void) {
  BROKEN(CONV, (T(0).dims[0] = 2, T(0).offset = room(256)),
         "(CONV): the batch is 2 in the input and 1 in the output");
  BROKEN(CONV, I.i[6] = 2, "(CONV): output height is 4 but padding, stride and kernel give 5");
  BROKEN(CONV, (I.i[8] = 3, I.i[4] = I.i[6] = 0),
         "(CONV): output height is 4 but padding, stride and kernel give 0");
  BROKEN(CONV, I.i[7] = 1 << 20 | 1, "(CONV): padding (i7) is 1048577, not in [0, 1048576]");
  BROKEN(CONV, I.i[1] = 1 << 21, "(CONV): kernel size (i1) is 2097152, not in [1, 1048576]");
  BROKEN(CONV, I.cst[0] = bytes_of(MACCEL_S8, 4, (int[]){8, 9, 1, 8}),
         "(CONV): dimension 1 of the weight array is 9 instead of 3");
  BROKEN(conv(MX_OP_DWCONV, MACCEL_U8, MACCEL_S8, MACCEL_U8),
         I.cst[0] = bytes_of(MACCEL_S8, 2, (int[]){9, 8}),
         "(DWCONV): the weight array has rank 2 instead of 3");
  BROKEN(CONV, I.cst[1] = sample_ints(&b, 7, 1), "(CONV): dimension 0 of the bias is 7 instead of 8");
  BROKEN(CONV, I.cst[2] = sample_floats(&b, 9, 1, 0),
         "(CONV): dimension 0 of the scale vector is 9 instead of 8");
}

static void convolution_seconds(void) {
  SOUND(CONV, I.in[1] = 2);
  SOUND(CONV, I.out[1] = 3);
  BROKEN(CONV, (I.in[1] = 2, T(2).stride[3] = 2, T(2).offset = room(512)),
         "(CONV): the channels of the residual are not adjacent");
  BROKEN(CONV,
         (I.in[1] = 2, T(2).dtype = MACCEL_S32, T(2).stride[3] = 4, T(2).stride[2] = 32, T(2).stride[1] = 128,
          T(2).stride[0] = 512, T(2).offset = room(512)),
         "(CONV): the residual has type s32, which this operation does not take");
  BROKEN(CONV, (I.in[1] = 2, T(2).dims[2] = 3), "(CONV): dimension 2 is 3 in the residual and 4 in output 0");
  BROKEN(CONV, (I.in[1] = 2, I.f[2] = 0), "(CONV): the residual multiplier (f2) is 0");
  BROKEN(CONV, (I.out[1] = 3, T(3).dims[3] = 7), "(CONV): dimension 3 is 7 in output 1 and 8 in output 0");
  BROKEN(CONV, (I.out[1] = 3, T(3).stride[3] = 2, T(3).offset = room(512)),
         "(CONV): the channels of output 1 are not adjacent");
  BROKEN(CONV, (I.out[1] = 3, I.f[4] = -INF), "(CONV): the multiplier of output 1 (f4) is -inf");
  BROKEN(CONV, (I.out[1] = 3, I.i[15] = 256), "(CONV): the clamp limits 0 and 256 do not fit type u8");
  BROKEN(CONV, (I.out[1] = 3, I.i[14] = 7, I.i[15] = 6),
         "(CONV): the clamp limits 7 and 6 are in the wrong order");
  BROKEN(CONV, (I.out[1] = 3, I.f[4] = 1e30f),
         "(CONV): values of output 1 can reach 8.63032e+33, 2^30 is the limit");
  BROKEN(CONV, I.out[1] = 1, "(CONV): the two outputs overlap");
  BROKEN(CONV, (I.in[1] = 2, T(2).offset = T(1).offset + 8, room(64)), "(CONV): output 0 overlaps input 1");
}

static void convolution_ends(void) {
  SOUND(CONV, I.cst[3] = bytes_of(MACCEL_U8, 1, (int[]){256}));
  BROKEN(CONV, I.cst[3] = bytes_of(MACCEL_U8, 1, (int[]){255}),
         "(CONV): dimension 0 of the table is 255 instead of 256");
  BROKEN(conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_S8), I.cst[3] = bytes_of(MACCEL_U8, 1, (int[]){256}),
         "(CONV): a table needs a u8 output, not s8");
  BROKEN(CONV, (I.i[11] = MX_ACT_PRELU, I.cst[4] = sample_floats(&b, 4, 0.1f, 0)),
         "(CONV): dimension 0 of the slope vector is 4 instead of 8");
  BROKEN(CONV, (I.i[11] = MX_ACT_PRELU, I.cst[4] = sample_floats(&b, 8, 0.1f, 0), floats(4)[6] = INF),
         "(CONV): element 6 of the slope vector is inf");
  BROKEN(CONV, I.i[11] = -1, "(CONV): activation -1 does not exist");
  BROKEN(CONV, I.f[1] = (float)NAN, "(CONV): an activation parameter is not a number");
  BROKEN(CONV, I.f[3] = (float)NAN, "(CONV): the output multiplier (f3) is nan");
  BROKEN(CONV, I.in[2] = 2, "(CONV): input 2 is given, but this operation has none");
  BROKEN(CONV, I.cst[5] = I.cst[2], "(CONV): constant 5 is given, but this operation has none");
  BROKEN(CONV, I.cst[0] = 3, "(CONV): constant 0 is number 3 of only 3");
  BROKEN(CONV, I.out[0] = MXP_NONE, "(CONV): output 0 is missing");
}

/* The largest value of each activation is known or said to be unknown: 2^30 is refused, a little less passes. */
static void result_limits(void) {
  static const struct {
    int act;
    float a, scale;
    int sound;
  } cases[] = {
      {MX_ACT_NONE, 0, 5e2f, 1},     {MX_ACT_NONE, 0, 1e5f, 0},        {MX_ACT_LEAKY, 1e3f, 1e3f, 0},
      {MX_ACT_LEAKY, 0.5f, 5e2f, 1}, {MX_ACT_ELU, 2e9f, 1, 0},         {MX_ACT_ELU, 1e9f, 1, 1},
      {MX_ACT_SIGMOID, 0, 1e9f, 1},  {MX_ACT_HARDSIGMOID, 1, 1e9f, 1}, {MX_ACT_TANH, 0, 1e9f, 1},
      {MX_ACT_ERF, 0, 1e9f, 1},      {MX_ACT_SIN, 0, 1e9f, 1},         {MX_ACT_COS, 0, 1e9f, 1},
      {MX_ACT_SQUARE, 0, 1e3f, 0},   {MX_ACT_SQUARE, 0, 1e-3f, 1},     {MX_ACT_ABS, 0, 1e5f, 0},
      {MX_ACT_NEG, 0, 1e5f, 0},      {MX_ACT_SILU, 0, 1e5f, 0},        {MX_ACT_HARDSWISH, 1, 1e5f, 0},
      {MX_ACT_GELU_ERF, 0, 1e5f, 0}, {MX_ACT_GELU_TANH, 0, 1e5f, 0},   {MX_ACT_MISH, 0, 1e5f, 0},
      {MX_ACT_SOFTPLUS, 0, 1e5f, 0}, {MX_ACT_FLOOR, 0, 1e5f, 0},       {MX_ACT_CEIL, 0, 1e5f, 0},
      {MX_ACT_ROUND, 0, 1e5f, 0},    {MX_ACT_EXP, 0, 1e9f, 1},         {MX_ACT_LOG, 0, 1e9f, 1},
      {MX_ACT_SQRT, 0, 1e9f, 1},     {MX_ACT_RECIPROCAL, 0, 1e9f, 1},  {MX_ACT_RSQRT, 0, 1e9f, 1},
  };
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; ++k) {
    CONV;
    I.i[11] = cases[k].act, I.f[0] = cases[k].a;
    floats(2)[3] = cases[k].scale;
    const int status = verdict();
    if ((status == MACCEL_OK) != cases[k].sound) fprintf(stderr, "case %zu: %s\n", k, maccel_last_error());
    CHECK_INT(status == MACCEL_OK, cases[k].sound);
    if (!cases[k].sound) CHECK(strstr(maccel_last_error(), "2^30 is the limit") != NULL);
    builder_free(&b);
  }
}

/* Float outputs have no limit, nor has what a float residual is added to; residuals and multipliers count. */
static void result_limits_of_the_rest(void) {
  SOUND(conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_F32), floats(2)[3] = 1e30f);
  BROKEN(CONV, (I.in[1] = 2, I.f[2] = 5e6f),
         "(CONV): values of output 0 can reach 1.27501e+09, 2^30 is the limit");
  SOUND(CONV, (I.in[1] = 2, I.f[2] = 4e6f));
  BROKEN(CONV, (I.in[1] = 2, I.f[2] = 2e36f, I.f[3] = 1e-38f),
         "(CONV): values before the output multiplier can reach 5.1e+38, which no float is");
  BROKEN(conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_F32), floats(2)[3] = 1e35f,
         "(CONV): values before the output multiplier can reach 1.27373e+41, which no float is");
  BROKEN(CONV, (I.in[1] = 2, T(2).scale_const = sample_floats(&b, 8, 1.0f, 1e6f)),
         "(CONV): values of output 0 can reach 1.78501e+09, 2^30 is the limit");
  SOUND(CONV, (I.in[1] = 2, T(2).scale_const = sample_floats(&b, 8, 1.0f, 1e5f)));
  SOUND(CONV, (I.in[1] = 2, T(2).dtype = MACCEL_F32, T(2).stride[3] = 4, T(2).stride[2] = 32,
               T(2).stride[1] = 128, T(2).stride[0] = 512, T(2).offset = room(512)));
  BROKEN(CONV, (I.i[11] = MX_ACT_CLAMP, I.f[0] = -2e9f, I.f[1] = 1),
         "(CONV): values of output 0 can reach 2e+09, 2^30 is the limit");
  SOUND(CONV, (I.i[11] = MX_ACT_CLAMP, I.f[0] = -INF, I.f[1] = 1));
  BROKEN(CONV, (I.i[11] = MX_ACT_SIGMOID, I.f[3] = 2e9f),
         "(CONV): values of output 0 can reach 2e+09, 2^30 is the limit");
  BROKEN(CONV, (I.i[11] = MX_ACT_PRELU, I.cst[4] = sample_floats(&b, 8, 1e5f, 1), floats(2)[0] = 1e3f),
         "(CONV): values of output 0 can reach 1.10323e+14, 2^30 is the limit");
}

/* The weights of one output and its bias together, to the last unit. */
static void sum_limits(void) {
  conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_F32);
  memset(b.data, 0, b.consts[0].bytes);
  ((int8_t *)b.data)[72 * 5] = -128;
  ints(1)[5] = INT_MAX - 128 * 255;
  expect(NULL);
  conv(MX_OP_CONV, MACCEL_U8, MACCEL_S8, MACCEL_F32);
  memset(b.data, 0, b.consts[0].bytes);
  ((int8_t *)b.data)[72 * 5] = -128;
  ints(1)[5] = INT_MAX - 128 * 255 + 1;
  expect("instruction 0 (CONV): the sum of output channel 5 can reach 2147483648 and overflow");
  conv(MX_OP_DWCONV, MACCEL_S16, MACCEL_S16, MACCEL_F32);
  memset(b.data, 0, b.consts[0].bytes);
  ((int16_t *)(void *)b.data)[2] = -32768; /* channel 2 of the first two taps */
  ((int16_t *)(void *)b.data)[8 + 2] = 32767;
  ints(1)[2] = 0;
  expect(NULL);
  conv(MX_OP_DWCONV, MACCEL_S16, MACCEL_S16, MACCEL_F32);
  memset(b.data, 0, b.consts[0].bytes);
  ((int16_t *)(void *)b.data)[2] = ((int16_t *)(void *)b.data)[8 + 2] = -32768;
  ints(1)[2] = 0;
  expect("instruction 0 (DWCONV): the sum of output channel 2 can reach 2147483648 and overflow");
}

static void float_convolutions(void) {
  SOUND(CONVF, NOTHING);
  SOUND(CONVF, (I.cst[1] = I.cst[2] = MXP_NONE));
  SOUND(conv(MX_OP_CONVF, MACCEL_F32, MACCEL_S8, MACCEL_U8), NOTHING);
  SOUND(conv(MX_OP_CONVF, MACCEL_F32, MACCEL_BF16, MACCEL_F32), I.cst[2] = MXP_NONE);
  BROKEN(conv(MX_OP_CONVF, MACCEL_F32, MACCEL_BF16, MACCEL_F32), ((uint16_t *)(void *)b.data)[5] = 0x7f80,
         "(CONVF): element 5 of the weight array is not finite");
  BROKEN(conv(MX_OP_CONVF, MACCEL_F32, MACCEL_BF16, MACCEL_F32), ((uint16_t *)(void *)b.data)[6] = 0xffc1,
         "(CONVF): element 6 of the weight array is not finite");
  BROKEN(conv(MX_OP_CONVF, MACCEL_F32, MACCEL_S8, MACCEL_U8), I.cst[2] = MXP_NONE,
         "(CONVF): s8 weights need a scale vector");
  BROKEN(CONVF, T(0).dtype = MACCEL_S32,
         "(CONVF): the input has type s32, which this operation does not take");
  BROKEN(CONVF, I.cst[0] = I.cst[1], "(CONVF): the weight array has rank 1 instead of 4");
  BROKEN(conv(MX_OP_CONVF, MACCEL_F32, MACCEL_S16, MACCEL_F32), NOTHING,
         "(CONVF): the weight array has type s16, which this operation does not take");
  BROKEN(CONVF, floats(0)[17] = -INF, "(CONVF): element 17 of the weight array is -inf");
  BROKEN(CONVF, floats(1)[2] = (float)NAN, "(CONVF): element 2 of the bias is nan");
  BROKEN(CONVF, floats(2)[7] = -0.5f, "(CONVF): element 7 of the scale vector is -0.5");
  BROKEN(CONVF, I.cst[1] = sample_ints(&b, 8, 1), "(CONVF): the bias has type s32 instead of f32");
  BROKEN(CONVF, I.flags = 4, "(CONVF): unknown flags 0x4");
  BROKEN(CONVF, I.i[10] = 16, "(CONVF): the number of groups (i10) is 16, not in [1, 8]");
  BROKEN(CONVF, I.cst[5] = I.cst[1], "(CONVF): constant 5 is given, but this operation has none");
}

/* ---- CONVDYN: rows of u8 with zero 128, row scales 2 */

static void dynamic(void) {
  builder_init(&b);
  image(MACCEL_U8, 1, 4, 8), image(MACCEL_F32, 1, 4, 3), image(MACCEL_F32, 1, 4, 1);
  T(0).zero = 128;
  mxp_insn *in = start(MX_OP_CONVDYN);
  in->in[2] = 2;
  builder_window(in, 1, 1, 1, 0, 1);
  in->i[10] = 1;
  in->cst[0] = bytes_of(MACCEL_S8, 4, (int[]){3, 1, 1, 8});
  in->cst[1] = sample_ints(&b, 3, 9);
  in->cst[2] = sample_floats(&b, 3, 0.5f, 0.5f);
}

static void dynamic_convolutions(void) {
  SOUND(dynamic(), NOTHING);
  SOUND(dynamic(), I.cst[5] = sample_floats(&b, 3, -1, 1));
  BROKEN(dynamic(), I.in[2] = MXP_NONE, "(CONVDYN): input 2 is missing");
  BROKEN(dynamic(), I.cst[5] = sample_floats(&b, 2, -1, 1),
         "(CONVDYN): dimension 0 of the float bias is 2 instead of 3");
  BROKEN(dynamic(), (I.cst[5] = sample_floats(&b, 3, -1, 1), floats(5)[1] = INF),
         "(CONVDYN): element 1 of the float bias is inf");
  BROKEN(dynamic(),
         (I.i[0] = 2, T(1).dims[1] = 1, I.i[4] = 1, b.consts[0].dims[1] = 2, b.consts[0].bytes *= 2,
          b.data_bytes += 64, b.consts[0].offset = 0),
         "(CONVDYN): kernel and stride must be 1, padding 0 and groups 1");
  BROKEN(dynamic(), (T(2).dtype = MACCEL_S32),
         "(CONVDYN): the row scales has type s32, which this operation does not take");
  BROKEN(dynamic(), (T(2).rank = 3, T(2).dims[2] = 4, T(2).dims[3] = 1, T(2).stride[3] = 0),
         "(CONVDYN): the row scales has rank 3, an image has 4");
}

/* ---- tables, inputs and outputs */

#define FAULTY(change, reason) \
  do {                         \
    CONV;                      \
    builder_input(&b, 0);      \
    change;                    \
    expect(reason);            \
  } while (0)

static void tables(void) {
  FAULTY(NOTHING, NULL);
  FAULTY((T(1).flags = 1, T(1).stride[3] = 2), "tensor 1: padded channels are not adjacent");
  FAULTY((T(1).rank = 1, T(1).flags = 1, T(1).dims[1] = T(1).dims[2] = T(1).dims[3] = 1,
          T(1).stride[1] = T(1).stride[2] = T(1).stride[3] = 0),
         "tensor 1: padded channels are not adjacent");
  FAULTY(T(1).scale_const = I.cst[2], "output 0: a program output has no channel scales");
  FAULTY((T(2).dtype = MACCEL_S32, T(2).zero = 1, T(2).offset = room(2048)),
         "tensor 2: a stride is not a multiple of its element size");
  FAULTY((T(0).stride[1] = 0), "input 0: it is broadcast");
  FAULTY(b.inputs[0].table = bytes_of(MACCEL_U8, 2, (int[]){8, 256}), NULL);
  FAULTY(b.inputs[0].table = bytes_of(MACCEL_U8, 2, (int[]){7, 256}),
         "input 0: its table is not u8 [channels][256]");
  FAULTY((T(2).dtype = MACCEL_S8, b.inputs[0].tensor = 2,
          b.inputs[0].table = bytes_of(MACCEL_U8, 2, (int[]){8, 256})),
         "input 0: a table needs a u8 tensor");
  FAULTY(b.inputs[0].order = sample_ints(&b, 8, 0), NULL);
  FAULTY((b.inputs[0].order = sample_ints(&b, 8, 2)),
         "input 0: its channel order names a channel that does not exist");
}

static void kinds_of_zero(void) {
  builder_init(&b);
  builder_tensor(&b, MACCEL_S32, 1, (int[]){4}, 1.0f, 1);
  builder_output(&b, 0);
  expect("tensor 0: a 32 or 64 bit tensor has zero 0");
  builder_init(&b);
  builder_tensor(&b, MACCEL_S64, 1, (int[]){4}, 1.0f, 0);
  b.tensors[0].scale_const = sample_floats(&b, 4, 1, 1);
  builder_output(&b, 0);
  expect("tensor 0: a 32 or 64 bit tensor has no channel scales");
  builder_init(&b);
  builder_tensor(&b, MACCEL_BF16, 1, (int[]){4}, 1.0f, 0);
  b.tensors[0].scale_const = sample_floats(&b, 4, 1, 1);
  builder_output(&b, 0);
  expect("tensor 0: a float tensor has no channel scales");
  builder_init(&b);
  builder_tensor(&b, MACCEL_F32, 1, (int[]){4}, 2.0f, 0);
  builder_output(&b, 0);
  expect("tensor 0: a float tensor has scale 1 and zero 0");
}

/* Padding belongs to its pixel: rows of one pixel each must be as far apart as the padding says. */
static void padding_overlaps_nothing(void) {
  for (int gap = 0; gap < 2; ++gap) {
    builder_init(&b);
    image(MACCEL_U8, 4, 1, 16), image(MACCEL_U8, 4, 1, 16);
    T(1).flags = MX_TENSOR_PAD_CHANNELS;
    T(1).stride[2] = 64, T(1).stride[1] = gap ? 64 : 16, T(1).stride[0] = 4 * T(1).stride[1];
    T(1).offset = room(512);
    start(MX_OP_MAP);
    expect(gap ? NULL : "instruction 0 (MAP): elements of output 0 share memory");
  }
}

int main(void) {
  convolution_formats();
  convolution_shapes();
  convolution_seconds();
  convolution_ends();
  result_limits();
  result_limits_of_the_rest();
  sum_limits();
  float_convolutions();
  dynamic_convolutions();
  tables();
  kinds_of_zero();
  padding_overlaps_nothing();
  CHECK_INT(failures, 0);
  return 0;
}
