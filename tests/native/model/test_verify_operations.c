/* The sentences about all operations but convolutions that test_verify.c leaves out. */
#include "verdict.h"

/* ---- pools */

static void pool(int dtype, int kind) {
  builder_init(&b);
  image(dtype, 6, 6, 4), image(dtype, 3, 3, 4);
  mxp_insn *in = start(MX_OP_POOL);
  builder_window(in, 2, 2, 2, 0, 1);
  in->i[10] = kind;
  if (dtype == MACCEL_S16) in->i[12] = -32768, in->i[13] = 32767;
}

static void pools(void) {
  SOUND(pool(MACCEL_F32, 0), NOTHING);
  SOUND(pool(MACCEL_S32, 0), NOTHING);
  SOUND(pool(MACCEL_BF16, 1), NOTHING);
  SOUND(pool(MACCEL_S16, 2), (I.i[11] = MX_ACT_PRELU, I.cst[4] = sample_floats(&b, 4, 0.1f, 0.1f)));
  SOUND(pool(MACCEL_U8, 0), (b.outputs[0] = 2, image(MACCEL_U8, 1, 1, 1),
                             T(0).scale_const = T(1).scale_const = sample_floats(&b, 4, 0.1f, 0.1f)));
  BROKEN(pool(MACCEL_S64, 0), NOTHING, "(POOL): the input has type s64, which this operation does not take");
  BROKEN(pool(MACCEL_S32, 1), NOTHING, "(POOL): the input has type s32, which this operation does not take");
  BROKEN(pool(MACCEL_U8, 1), T(0).scale_const = sample_floats(&b, 4, 0.1f, 0.1f),
         "(POOL): an average of a tensor with channel scales is not supported");
  BROKEN(pool(MACCEL_U8, 0), T(1).dims[3] = 3, "(POOL): 4 channels become 3");
  BROKEN(pool(MACCEL_U8, 0), (T(1).scale = 2.0f),
         "(POOL): input and output of a maximum must have the same format");
  BROKEN(pool(MACCEL_U8, 1), I.f[3] = 0, "(POOL): the output multiplier (f3) is 0");
  BROKEN(pool(MACCEL_U8, 2), I.i[12] = -1, "(POOL): the clamp limits -1 and 255 do not fit type u8");
  BROKEN(pool(MACCEL_U8, 1), I.cst[4] = sample_floats(&b, 4, 0.1f, 0.1f),
         "(POOL): slopes are given, but the activation is not PRELU");
  BROKEN(pool(MACCEL_U8, 0), T(0).stride[3] = 2, "(POOL): the channels of the input are not adjacent");
  BROKEN(pool(MACCEL_U8, 0), (I.i[4] = 1, I.i[5] = 1, I.i[8] = 2, I.i[9] = 2, I.i[6] = I.i[7] = 1),
         "(POOL): padding and dilation together are not supported");
}

/* 32767 values of 16 bits are the most that can be summed. */
static void pool_sums(void) {
  for (int taps = 32767; taps <= 32768; ++taps) {
    builder_init(&b);
    image(MACCEL_S16, 1, taps, 1), image(MACCEL_S16, 1, 1, 1);
    mxp_insn *in = start(MX_OP_POOL);
    builder_window(in, 1, taps, 1, 0, 1);
    in->i[10] = 1;
    expect(taps == 32767 ? NULL : "instruction 0 (POOL): the sum of 32768 values can overflow");
  }
}

/* ---- resize */

static void resize(int kind, int dtype) {
  static const int32_t sources[6] = {0, 1, 1, 2, 2, 2};
  builder_init(&b);
  image(dtype, 3, 3, 2), image(dtype, 3, 3, 2);
  mxp_insn *in = start(MX_OP_RESIZE);
  in->i[10] = kind;
  in->cst[0] = builder_const(&b, MACCEL_S32, 2, (int[]){3, 2}, sources);
  in->cst[2] = builder_const(&b, MACCEL_S32, 2, (int[]){3, 2}, sources);
  if (kind) in->cst[1] = sample_floats(&b, 3, 0, 0.5f), in->cst[3] = sample_floats(&b, 3, 0, 0.5f);
}

static void resizes(void) {
  SOUND(resize(0, MACCEL_S64), NOTHING);
  SOUND(resize(1, MACCEL_F32), NOTHING);
  BROKEN(resize(0, MACCEL_U8), I.i[10] = 2, "(RESIZE): the kind (i10) is 2, not in [0, 1]");
  BROKEN(resize(0, MACCEL_U8), T(1).dims[3] = 1, "(RESIZE): batch and channels must stay as they are");
  BROKEN(resize(0, MACCEL_U8), I.cst[2] = sample_ints(&b, 6, 0),
         "(RESIZE): the source list has rank 1 instead of 2");
  BROKEN(resize(0, MACCEL_U8), ints(2)[5] = 3, "(RESIZE): output column 2 reads 3, outside of 3");
  BROKEN(resize(1, MACCEL_U8), I.cst[1] = sample_floats(&b, 2, 0, 0.5f),
         "(RESIZE): dimension 0 of the row weight vector is 2 instead of 3");
  BROKEN(resize(1, MACCEL_U8), I.cst[3] = sample_ints(&b, 3, 1),
         "(RESIZE): the column weight vector has type s32 instead of f32");
  BROKEN(resize(1, MACCEL_U8), floats(3)[0] = -INF,
         "(RESIZE): element 0 of the column weight vector is -inf");
  BROKEN(resize(1, MACCEL_U8), T(0).scale_const = sample_floats(&b, 2, 1, 1),
         "(RESIZE): a linear resize of a tensor with channel scales is not supported");
  BROKEN(resize(1, MACCEL_U8), I.f[4] = 0, "(RESIZE): the input multiplier (f4) is 0");
  BROKEN(resize(1, MACCEL_U8), I.f[3] = INF, "(RESIZE): the output multiplier (f3) is inf");
  BROKEN(resize(1, MACCEL_U8), I.i[13] = 300, "(RESIZE): the clamp limits 0 and 300 do not fit type u8");
  BROKEN(resize(1, MACCEL_U8), T(1).offset = T(0).offset, "(RESIZE): output 0 overlaps input 0");
}

/* ---- elementwise: x 0, y 1, second operand 2 */

static void elementwise(int op) {
  builder_init(&b);
  image(MACCEL_U8, 2, 3, 4), image(MACCEL_U8, 2, 3, 4), image(MACCEL_U8, 2, 3, 4);
  start(op)->in[1] = op == MX_OP_ELTWISE ? 2 : MXP_NONE;
}

static void elementwise_operands(void) {
  SOUND(elementwise(MX_OP_ELTWISE), T(2).stride[1] = T(2).stride[2] = 0);
  SOUND(elementwise(MX_OP_ELTWISE),
        (I.in[1] = MXP_NONE, I.cst[5] = bytes_of(MACCEL_F32, 4, (int[]){1, 1, 3, 1})));
  BROKEN(elementwise(MX_OP_ELTWISE),
         (I.in[1] = MXP_NONE, I.cst[5] = bytes_of(MACCEL_F32, 4, (int[]){1, 1, 2, 4})),
         "(ELTWISE): dimension 2 of the constant operand is 2, not 1 or 3");
  BROKEN(elementwise(MX_OP_ELTWISE),
         (I.in[1] = MXP_NONE, I.cst[5] = bytes_of(MACCEL_S32, 4, (int[]){1, 1, 1, 1})),
         "(ELTWISE): the constant operand is s32, not f32");
  BROKEN(elementwise(MX_OP_ELTWISE), T(2).dims[1] = 1,
         "(ELTWISE): dimension 1 is 1 in input 1 and 2 in the output");
  BROKEN(elementwise(MX_OP_ELTWISE), T(0).dims[3] = 3,
         "(ELTWISE): dimension 3 is 3 in input 0 and 4 in the output");
  BROKEN(elementwise(MX_OP_ELTWISE), (T(2).rank = 3, T(2).dims[3] = 1, T(2).stride[3] = 0),
         "(ELTWISE): input 1 has rank 3 and the output has rank 4");
  BROKEN(elementwise(MX_OP_ELTWISE), I.f[4] = 0, "(ELTWISE): the multiplier of input 0 (f4) is 0");
  BROKEN(elementwise(MX_OP_ELTWISE), I.f[3] = 0, "(ELTWISE): the output multiplier (f3) is 0");
  BROKEN(elementwise(MX_OP_ELTWISE), (I.i[11] = MX_ACT_PRELU, I.cst[4] = sample_floats(&b, 3, 0, 1)),
         "(ELTWISE): dimension 0 of the slope vector is 3 instead of 4");
  BROKEN(elementwise(MX_OP_ELTWISE), (T(2).stride[1] = 0, I.out[0] = 2),
         "(ELTWISE): elements of output 0 share memory");
}

/* Two columns of an image whose pixels have room behind their channels, copied to others of it. */
static void columns(int from, int rows) {
  elementwise(MX_OP_MAP);
  const size_t start = room(4096);
  for (int k = 0; k < 2; ++k) {
    T(k).dims[0] = 1, T(k).dims[1] = rows, T(k).dims[2] = 2, T(k).dims[3] = 3;
    T(k).stride[0] = rows * 64, T(k).stride[1] = 64, T(k).stride[2] = 8, T(k).stride[3] = 1;
  }
  T(0).offset = start + (size_t)from * 8, T(1).offset = start;
}

static void slices_of_one_image(void) {
  SOUND(columns(2, 4), NOTHING);
  SOUND(columns(6, 4), NOTHING);
  SOUND(columns(3, 1), NOTHING);
  BROKEN(columns(1, 4), NOTHING, "(MAP): output 0 overlaps input 0");
  BROKEN(columns(7, 4), NOTHING, "(MAP): output 0 overlaps input 0");
  BROKEN(columns(2, 4), T(1).stride[1] = 24, "(MAP): output 0 overlaps input 0");
}

static void maps_and_fills(void) {
  SOUND(elementwise(MX_OP_MAP), I.cst[3] = bytes_of(MACCEL_U8, 1, (int[]){256}));
  BROKEN(elementwise(MX_OP_MAP), (I.cst[3] = bytes_of(MACCEL_U8, 1, (int[]){256}), T(1).dtype = MACCEL_S8),
         "(MAP): a table maps u8 to u8, not u8 to s8");
  BROKEN(elementwise(MX_OP_MAP), (I.cst[3] = bytes_of(MACCEL_U8, 1, (int[]){256}), I.i[11] = MX_ACT_ABS),
         "(MAP): a table and an activation together are not supported");
  BROKEN(elementwise(MX_OP_MAP), I.f[4] = (float)NAN, "(MAP): the input multiplier (f4) is nan");
  BROKEN(elementwise(MX_OP_MAP), I.f[3] = -INF, "(MAP): the output multiplier (f3) is -inf");
  BROKEN(elementwise(MX_OP_MAP), I.i[12] = -5, "(MAP): the clamp limits -5 and 255 do not fit type u8");
  BROKEN(elementwise(MX_OP_MAP), T(1).stride[3] = 0, "(MAP): elements of output 0 share memory");
  BROKEN(elementwise(MX_OP_MAP), T(1).offset = T(0).offset + 1, "(MAP): output 0 overlaps input 0");
  SOUND(elementwise(MX_OP_FILL), (I.in[0] = MXP_NONE, I.i[0] = 255));
  SOUND(elementwise(MX_OP_FILL), (I.in[0] = MXP_NONE, I.i[0] = -128, T(1).dtype = MACCEL_S8));
  BROKEN(elementwise(MX_OP_FILL), (I.in[0] = MXP_NONE, I.i[0] = -1),
         "(FILL): the value (i0) is -1, not in [0, 255]");
  BROKEN(elementwise(MX_OP_FILL), NOTHING, "(FILL): input 0 is given, but this operation has none");
}

/* ---- rows: x 0, y 1, and what else they write */

static void rows(int op, int dtype) {
  builder_init(&b);
  builder_tensor(&b, dtype, 3, (int[]){2, 3, 5}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 5}, 1.0f, 0);
  start(op);
}

static void rows_operations(void) {
  SOUND(rows(MX_OP_SOFTMAX, MACCEL_S16), I.i[10] = 1);
  BROKEN(rows(MX_OP_SOFTMAX, MACCEL_U8), T(1).dims[2] = 4,
         "(SOFTMAX): dimension 2 is 5 in the input and 4 in the output");
  BROKEN(rows(MX_OP_SOFTMAX, MACCEL_U8), I.f[4] = 0, "(SOFTMAX): the input multiplier (f4) is 0");
  BROKEN(rows(MX_OP_SOFTMAX, MACCEL_U8), I.cst[0] = sample_floats(&b, 5, 0, 1),
         "(SOFTMAX): constant 0 is given, but this operation has none");
  SOUND(rows(MX_OP_SOFTMAX, MACCEL_U8),
        I.in[1] = builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 5}, 1.0f, 0));
  BROKEN(rows(MX_OP_SOFTMAX, MACCEL_U8),
         I.in[1] = builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 1, 5}, 1.0f, 0),
         "(SOFTMAX): dimension 1 is 1 in the mask and 3 in the output");
  BROKEN(rows(MX_OP_SOFTMAX, MACCEL_U8),
         I.in[1] = builder_tensor(&b, MACCEL_S16, 3, (int[]){2, 3, 5}, 1.0f, 0),
         "(SOFTMAX): the mask has type s16, which this operation does not take");
  SOUND(rows(MX_OP_LAYERNORM, MACCEL_F32), (I.cst[0] = I.cst[1] = sample_floats(&b, 5, 0, 1)));
  SOUND(rows(MX_OP_LAYERNORM, MACCEL_F32), (I.i[10] = 1, I.f[5] = 0));
  BROKEN(rows(MX_OP_LAYERNORM, MACCEL_F32), I.i[10] = 2, "(LAYERNORM): the kind (i10) is 2, not in [0, 1]");
  BROKEN(rows(MX_OP_LAYERNORM, MACCEL_F32), I.f[5] = INF, "(LAYERNORM): epsilon (f5) is inf");
  BROKEN(rows(MX_OP_LAYERNORM, MACCEL_F32), I.cst[0] = sample_floats(&b, 4, 0, 1),
         "(LAYERNORM): dimension 0 of the weight vector is 4 instead of 5");
  BROKEN(rows(MX_OP_LAYERNORM, MACCEL_F32), (I.cst[1] = sample_floats(&b, 5, 0, 1), floats(1)[4] = INF),
         "(LAYERNORM): element 4 of the bias is inf");
}

static void attend(void) {
  const int sizes[5][2] = {{5, 8}, {5, 6}, {7, 8}, {7, 6}, {5, 7}};
  builder_init(&b);
  for (int k = 0; k < 5; ++k)
    builder_tensor(&b, MACCEL_F32, 3, (int[]){2, sizes[k][0], sizes[k][1]}, 1.0f, 0);
  mxp_insn *in = start(MX_OP_ATTENTION);
  in->in[1] = 2, in->in[2] = 3, in->in[3] = 4, in->f[5] = 0.5f;
}

/* 2^32 keys' elements that all are one: a small arena, and codes of them that no memory would hold. */
static void attend_vastly(void) {
  attend();
  T(0).dims[2] = T(2).dims[1] = T(2).dims[2] = T(3).dims[1] = T(4).dims[2] = 65536;
  for (int k = 0; k < 5; ++k)
    if (k != 1) memset(T(k).stride, 0, sizeof T(k).stride);
}

static void attention(void) {
  SOUND(attend(), NOTHING);
  SOUND(attend(), I.in[3] = MXP_NONE);
  SOUND(attend(), (T(2).stride[0] = 0, T(4).stride[1] = 0));
  BROKEN(attend(), I.in[2] = MXP_NONE, "(ATTENTION): input 2 is missing");
  BROKEN(attend_vastly(), NOTHING,
         "(ATTENTION): 65536 keys and values of up to 65536 elements are more than the arena holds");
  BROKEN(attend_vastly(), T(0).dims[2] = T(2).dims[2] = 1,
         "(ATTENTION): 65536 keys and values of up to 6 elements are more than the arena holds");
  BROKEN(attend(), I.f[5] = 0.0f, "(ATTENTION): the scale (f5) is 0");
  BROKEN(attend(), T(2).dims[2] = 7, "(ATTENTION): keys are [7, 7] instead of [7, 8]");
  BROKEN(attend(), T(3).dims[1] = 6, "(ATTENTION): values are [6, 6] instead of [7, 6]");
  BROKEN(attend(), T(4).dims[1] = 4, "(ATTENTION): masks are [4, 7] instead of [5, 7]");
  BROKEN(attend(), T(0).dims[0] = 1, "(ATTENTION): leading dimension 0 of queries is 1 instead of 2");
  BROKEN(attend(), T(2).dtype = MACCEL_S32,
         "(ATTENTION): keys has type s32, which this operation does not take");
  BROKEN(attend(), T(1).dtype = MACCEL_S32,
         "(ATTENTION): the output has type s32, which this operation does not take");
}

static void quantise(int to) {
  rows(MX_OP_DYNQUANT, MACCEL_F32);
  T(1).dtype = (uint8_t)to;
  T(1).stride[2] = 1, T(1).stride[1] = 5, T(1).stride[0] = 15;
  I.out[1] = builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 1}, 1.0f, 0);
}

static void quantising(void) {
  SOUND(quantise(MACCEL_S8), NOTHING);
  SOUND(quantise(MACCEL_U8), NOTHING);
  SOUND(quantise(MACCEL_U8), I.cst[0] = sample_floats(&b, 5, 0, 1));
  SOUND(quantise(MACCEL_U8), (I.i[10] = 1, I.f[0] = -0.17f, T(1).zero = 0));
  BROKEN(quantise(MACCEL_U8), (I.i[10] = 1, T(1).zero = 3),
         "(DYNQUANT): values above a bound are u8 with zero 3, not u8 with zero 0");
  BROKEN(quantise(MACCEL_S8), I.i[10] = 1,
         "(DYNQUANT): values above a bound are s8 with zero 0, not u8 with zero 0");
  BROKEN(quantise(MACCEL_U8), (I.i[10] = 1, I.f[0] = INF), "(DYNQUANT): the lower bound (f0) is inf");
  BROKEN(quantise(MACCEL_U8), I.i[10] = 2, "(DYNQUANT): the kind (i10) is 2, not in [0, 1]");
  BROKEN(quantise(MACCEL_U8), I.cst[0] = sample_floats(&b, 4, 0, 1),
         "(DYNQUANT): dimension 0 of the column multiplier vector is 4 instead of 5");
  BROKEN(quantise(MACCEL_U8), (I.cst[0] = sample_floats(&b, 5, 0, 1), floats(0)[4] = INF),
         "(DYNQUANT): element 4 of the column multiplier vector is inf");
  BROKEN(quantise(MACCEL_S16), (T(1).stride[2] = 2, T(1).stride[1] = 10, T(1).stride[0] = 30),
         "(DYNQUANT): output 0 has type s16, which this operation does not take");
  BROKEN(quantise(MACCEL_U8), T(2).dims[1] = 2,
         "(DYNQUANT): dimension 1 is 3 in the input and 2 in output 1");
  BROKEN(quantise(MACCEL_U8), T(2).dtype = MACCEL_S32,
         "(DYNQUANT): output 1 has type s32, which this operation does not take");
  BROKEN(quantise(MACCEL_U8), I.out[1] = MXP_NONE, "(DYNQUANT): output 1 is missing");
  BROKEN(quantise(MACCEL_U8), T(1).dims[2] = 4,
         "(DYNQUANT): dimension 2 is 5 in the input and 4 in output 0");
  BROKEN(quantise(MACCEL_U8), T(0).dtype = MACCEL_S32,
         "(DYNQUANT): the input has type s32, which this operation does not take");
}

static void reduce(int mask) {
  builder_init(&b);
  builder_tensor(&b, MACCEL_U8, 3, (int[]){2, 3, 5}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 3, (int[]){mask & 1 ? 1 : 2, mask & 2 ? 1 : 3, mask & 4 ? 1 : 5}, 1.0f, 0);
  start(MX_OP_REDUCE)->i[14] = mask;
}

static void reductions(void) {
  for (int mask = 1; mask < 8; ++mask) SOUND(reduce(mask), I.i[10] = mask % 4);
  BROKEN(reduce(3), I.i[14] = 8, "(REDUCE): the mask of dimensions (i14) is 8, not in [1, 7]");
  BROKEN(reduce(3), I.i[14] = 7, "(REDUCE): dimension 2 of the output is 5 instead of 1");
  BROKEN(reduce(1), I.i[10] = 4, "(REDUCE): the kind (i10) is 4, not in [0, 3]");
  BROKEN(reduce(1), (I.i[10] = 1, I.f[2] = 0), "(REDUCE): the mean multiplier (f2) is 0");
  BROKEN(reduce(4), (I.i[11] = MX_ACT_PRELU, I.cst[4] = sample_floats(&b, 5, 0, 1)),
         "(REDUCE): dimension 0 of the slope vector is 5 instead of 1");
  BROKEN(reduce(1), (T(1).rank = 2, T(1).dims[2] = 1, T(1).stride[2] = 0), "(REDUCE): the ranks are 3 and 2");
}

static void products(void) {
  for (int step = 0; step < 3; ++step) {
    builder_init(&b);
    builder_tensor(&b, MACCEL_F32, 2, (int[]){4, 5}, 1.0f, 0);
    builder_tensor(&b, MACCEL_F32, 2, (int[]){4, 6}, 1.0f, 0);
    builder_tensor(&b, MACCEL_F32, 2, (int[]){5, 6}, 1.0f, 0);
    start(MX_OP_MATMUL)->in[1] = 2;
    if (step == 1) T(2).dtype = MACCEL_S32;
    if (step == 2) T(2).rank = 1, T(2).dims[1] = 1, T(2).stride[1] = 0;
    expect(step == 0 ? NULL
           : step == 1
               ? "instruction 0 (MATMUL): input 1 has type s32, which this operation does not take"
               : "instruction 0 (MATMUL): the ranks are 2, 1 and 2, they must be equal and at least 2");
  }
}

static void gather(void) {
  builder_init(&b);
  builder_tensor(&b, MACCEL_S32, 2, (int[]){2, 3}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 4}, 1.0f, 0);
  start(MX_OP_GATHER)->cst[0] = bytes_of(MACCEL_S8, 2, (int[]){7, 4});
  I.cst[2] = sample_floats(&b, 7, 0, 1);
}

static void gathering(void) {
  SOUND(gather(), NOTHING);
  BROKEN(gather(), I.cst[2] = sample_floats(&b, 6, 0, 1),
         "(GATHER): dimension 0 of the row scale vector is 6 instead of 7");
  BROKEN(gather(), floats(2)[3] = -1, "(GATHER): element 3 of the row scale vector is -1");
  BROKEN(gather(), I.cst[0] = bytes_of(MACCEL_S8, 1, (int[]){28}),
         "(GATHER): the table has rank 1 instead of 2");
  BROKEN(gather(), T(1).dims[0] = 1, "(GATHER): dimension 0 of the output is 1 instead of 2");
  BROKEN(gather(), (T(0).rank = 1, T(0).dims[1] = 1, T(0).stride[1] = 0),
         "(GATHER): the output has rank 3, indices of rank 1 give 2");
  BROKEN(gather(), b.consts[0].dtype = MACCEL_U8,
         "(GATHER): the table has type u8, which this operation does not take");
}

static void recur(int kind) {
  const int gates = kind == MX_RECURRENT_LSTM ? 4 : kind == MX_RECURRENT_RNN ? 1 : 3;
  builder_init(&b);
  builder_tensor(&b, MACCEL_F32, 4, (int[]){2, 5, 3, gates * 4}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 4, (int[]){2, 5, 3, 4}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 4}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 4}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 3, (int[]){2, 3, 4}, 1.0f, 0);
  start(MX_OP_RECURRENT)->i[10] = kind;
  I.in[1] = 2;
  I.cst[0] = bytes_of(MACCEL_S8, 3, (int[]){2, gates * 4, 4});
  I.cst[2] = sample_floats(&b, 2 * gates * 4, 0, 1);
  b.consts[I.cst[2]].rank = 2, b.consts[I.cst[2]].dims[0] = 2, b.consts[I.cst[2]].dims[1] = gates * 4;
  if (kind == MX_RECURRENT_RNN) I.i[11] = MX_ACT_TANH;
  if (kind == MX_RECURRENT_LSTM) I.in[2] = 3, I.out[1] = 4;
  if (kind != MX_RECURRENT_GRU_LINEAR) return;
  I.cst[1] = sample_floats(&b, 2 * 4, -1, 1);
  b.consts[I.cst[1]].rank = 2, b.consts[I.cst[1]].dims[0] = 2, b.consts[I.cst[1]].dims[1] = 4;
}

static void recurrences(void) {
  for (int kind = 0; kind < MX_RECURRENT_COUNT; ++kind) SOUND(recur(kind), I.i[0] = kind);
  SOUND(recur(MX_RECURRENT_LSTM), (I.in[1] = I.in[2] = I.out[1] = MXP_NONE));
  BROKEN(recur(0), I.i[10] = 4, "(RECURRENT): the kind (i10) is 4, not in [0, 3]");
  BROKEN(recur(0), I.i[11] = MX_ACT_MISH, "(RECURRENT): activation 20 is not CLAMP, SIGMOID or TANH");
  BROKEN(recur(1), I.i[11] = MX_ACT_TANH, "(RECURRENT): the activation (i11) is 8, not in [0, 0]");
  BROKEN(recur(1), I.i[0] = 4, "(RECURRENT): the mask of backward directions (i0) is 4, not in [0, 3]");
  BROKEN(recur(2), I.in[2] = 3, "(RECURRENT): input 2 is given, but this operation has none");
  BROKEN(recur(2), I.out[1] = 4, "(RECURRENT): output 1 is given, but this operation has none");
  BROKEN(recur(3), I.cst[1] = MXP_NONE, "(RECURRENT): constant 1 is missing");
  BROKEN(recur(1), I.cst[2] = MXP_NONE, "(RECURRENT): s8 weights need a scale vector");
  BROKEN(recur(1), floats(2)[3] = -1, "(RECURRENT): element 3 of the scale vector is -1");
  BROKEN(recur(3), floats(1)[2] = INF, "(RECURRENT): element 2 of the bias is inf");
  BROKEN(recur(1), T(0).dims[3] = 12, "(RECURRENT): dimension 3 of the input is 12 instead of 16");
  BROKEN(recur(1), T(2).dims[1] = 2, "(RECURRENT): dimension 1 of the first hidden state is 2 instead of 3");
  BROKEN(recur(1), T(1).dtype = MACCEL_S32,
         "(RECURRENT): output 0 has type s32, which this operation does not take");
  BROKEN(recur(1), I.cst[0] = bytes_of(MACCEL_S8, 3, (int[]){2, 8, 4}),
         "(RECURRENT): dimension 1 of the weight array is 8 instead of 16");
  BROKEN(recur(1),
         (T(1).stride[3] = 8, T(1).offset = room(2048), T(1).stride[2] = 32, T(1).stride[1] = 96,
          T(1).stride[0] = 480),
         "(RECURRENT): the rows of output 0 are not adjacent floats");
}

int main(void) {
  pools();
  pool_sums();
  resizes();
  elementwise_operands();
  maps_and_fills();
  slices_of_one_image();
  rows_operations();
  attention();
  quantising();
  reductions();
  products();
  gathering();
  recurrences();
  CHECK_INT(failures, 0);
  return 0;
}
