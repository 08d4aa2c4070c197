/* The verifier: a table of broken programs, each refused with the expected sentence; sound ones are accepted. */
#include <math.h>

#include "exec.h"
#include "sample.h"

static builder b;

static int verify(void) { return mx_program_verify(b.program, b.program_bytes, b.data, b.data_bytes); }

static void expect_sound(void) {
  builder_finish(&b);
  const int status = verify();
  if (status != MACCEL_OK) fprintf(stderr, "refused: %s\n", maccel_last_error());
  CHECK_INT(status, MACCEL_OK);
}

static void expect_status(int status, const char *reason) {
  builder_finish(&b);
  CHECK_INT(verify(), status);
  CHECK_TEXT(maccel_last_error(), reason);
}

#define X (b.tensors[SAMPLE_X])
#define A (b.tensors[SAMPLE_A])
#define B (b.tensors[SAMPLE_B])
#define IN(k) (b.insns[k])

#define BREAK(change, reason)               \
  do {                                      \
    sample_build(&b);                       \
    change;                                 \
    expect_status(MACCEL_E_FORMAT, reason); \
    builder_free(&b);                       \
  } while (0)

#define KEEP(change)  \
  do {                \
    sample_build(&b); \
    change;           \
    expect_sound();   \
    builder_free(&b); \
  } while (0)

static void headers(void) {
  BREAK(b.head.magic = 1, "the program does not start with its magic number");
  BREAK(b.head.num_outputs = 0, "the program has no outputs");
  BREAK(b.head.reserved[0] = 1, "reserved bytes of the program header are not zero");
  BREAK(b.head.arena_bytes = (uint64_t)1 << 40,
        "the program asks for an arena of 1099511627776 bytes, at most 68719476736 are allowed");
  BREAK(b.outputs[0] = 7, "output 0: its tensor does not exist");
  BREAK(b.inputs[0].tensor = MXP_NONE, "input 0: its tensor does not exist");
  BREAK(b.inputs[0].reserved = 1, "input 0: reserved bits are set");
  BREAK(b.inputs[0].table = 0, "input 0: its table is not u8 [channels][256]");
  BREAK(b.inputs[0].table = 99, "input 0: its table does not exist");
  BREAK(b.inputs[0].order = 1, "input 0: its channel order is not s32 [channels]");
  BREAK(b.inputs[0].order = 99, "input 0: its channel order does not exist");
  sample_build(&b);
  b.head.version = 2;
  expect_status(MACCEL_E_UNSUPPORTED, "the program has version 2, this build reads version 1");
  builder_free(&b);
}

static void header_counts(void) {
  sample_build(&b);
  ((mxp_header *)(void *)b.program)->num_tensors = (1u << 20) + 1;
  CHECK_INT(verify(), MACCEL_E_FORMAT);
  CHECK_TEXT(maccel_last_error(), "the program has 1048577 tensors, at most 1048576 are allowed");
  ((mxp_header *)(void *)b.program)->num_tensors = 7;
  ((mxp_header *)(void *)b.program)->num_insns = UINT32_MAX;
  CHECK_INT(verify(), MACCEL_E_FORMAT);
  ((mxp_header *)(void *)b.program)->num_insns = 7;
  CHECK_INT(verify(), MACCEL_E_FORMAT);
  CHECK_TEXT(maccel_last_error(), "the records of the program take 2776 bytes, the section has 2520");
  ((mxp_header *)(void *)b.program)->num_insns = 6;
  ((mxp_header *)(void *)b.program)->num_inputs = 40;
  CHECK_INT(verify(), MACCEL_E_FORMAT);
  CHECK_TEXT(maccel_last_error(), "the program has 40 inputs and 1 outputs, at most 32 together are allowed");
  ((mxp_header *)(void *)b.program)->num_inputs = 1;
  b.program[96 + 16 + 4] = 1;
  CHECK_INT(verify(), MACCEL_E_FORMAT);
  CHECK_TEXT(maccel_last_error(), "padding bytes of the program are not zero");
  b.program[96 + 16 + 4] = 0;
  CHECK_INT(verify(), MACCEL_OK);
  CHECK_INT(mx_program_verify(b.program, b.program_bytes, b.data, b.data_bytes - 1), MACCEL_E_FORMAT);
  CHECK_INT(mx_program_verify(NULL, 0, NULL, 0), MACCEL_E_INVALID);
  builder_free(&b);
}

static void constants(void) {
  BREAK(b.consts[0].dtype = 0, "constant 0: its type does not exist");
  BREAK(b.consts[0].dtype = 200, "constant 0: its type does not exist");
  BREAK(b.consts[0].rank = 7, "constant 0: its rank is not 1 to 6");
  BREAK(b.consts[0].dims[1] = 0, "constant 0: a dimension is not positive");
  BREAK(b.consts[0].dims[1] = -3, "constant 0: a dimension is not positive");
  BREAK(b.consts[0].dims[5] = 9, "constant 0: an unused dimension is not 1");
  BREAK(b.consts[0].bytes += 1, "constant 0: its size does not follow from its dimensions");
  BREAK(b.consts[0].offset = 1, "constant 0: its offset is not a multiple of 64");
  BREAK(b.consts[0].offset = 1 << 20, "constant 0: it ends after the section of constants");
  BREAK(b.consts[3].offset = 64 * 8, "constant 3: it ends after the section of constants");
  BREAK(b.consts[0].flags = 1, "constant 0: reserved bits are set");
  BREAK((b.consts[0].dims[0] = b.consts[0].dims[1] = b.consts[0].dims[2] = b.consts[0].dims[3] = INT_MAX),
        "constant 0: it is too large");
}

static void tensors(void) {
  BREAK(X.dtype = 8, "tensor 0: its type does not exist");
  BREAK(X.rank = 0, "tensor 0: its rank is not 1 to 6");
  BREAK(X.flags = 2, "tensor 0: unknown flags are set");
  BREAK(X.dims[0] = 0, "tensor 0: a dimension is not positive");
  BREAK(X.dims[5] = 2, "tensor 0: an unused dimension is not 1 with stride 0");
  BREAK(X.stride[5] = 2, "tensor 0: an unused dimension is not 1 with stride 0");
  BREAK(X.stride[1] = -32, "tensor 0: a stride is negative");
  BREAK(X.offset = b.head.arena_bytes - 255, "tensor 0: it ends after the arena");
  BREAK(X.offset = UINT64_MAX, "tensor 0: it ends after the arena");
  BREAK(X.stride[1] = INT64_MAX, "tensor 0: it ends after the arena");
  BREAK((X.dims[1] = X.dims[2] = INT_MAX, X.stride[1] = X.stride[2] = 0),
        "tensor 0: it has too many elements");
  BREAK(B.stride[2] = 7, "tensor 2: the channels do not fit between two pixels");
  BREAK(B.offset = b.head.arena_bytes - 8 * 8 * 16 + 1, "tensor 2: it ends after the arena");
  BREAK(X.scale = 0.0f, "tensor 0: its scale is not a positive number");
  BREAK(X.scale = -(float)INFINITY, "tensor 0: its scale is not a positive number");
  BREAK(X.zero = 256, "tensor 0: its zero does not fit its type");
  BREAK(b.tensors[SAMPLE_D].zero = 1, "tensor 4: a float tensor has scale 1 and zero 0");
  BREAK(b.tensors[SAMPLE_D].offset += 2, "tensor 4: its offset is not a multiple of its element size");
  BREAK(b.tensors[SAMPLE_D].stride[0] += 2, "tensor 4: a stride is not a multiple of its element size");
  BREAK(A.scale_const = 77, "tensor 1: its channel scales do not exist");
  BREAK(A.scale_const = 1, "tensor 1: its channel scales are not one float per channel");
  BREAK((A.scale_const = 2, *(float *)(void *)(b.data + b.consts[2].offset) = -1.0f),
        "tensor 1: a channel scale is not a positive number");
  BREAK(X.scale_const = sample_floats(&b, 4, 1, 1), "input 0: a program input has no channel scales");
  KEEP(A.scale_const = 2);
}

static void slots(void) {
  BREAK(IN(0).op = 0, "instruction 0 (?): operation 0 does not exist");
  BREAK(IN(0).op = 99, "instruction 0 (?): operation 99 does not exist");
  BREAK(IN(3).in[0] = MXP_NONE, "instruction 3 (MAP): input 0 is missing");
  BREAK(IN(3).in[1] = 0, "instruction 3 (MAP): input 1 is given, but this operation has none");
  BREAK(IN(3).in[0] = 7, "instruction 3 (MAP): input 0 is number 7 of only 7");
  BREAK(IN(3).out[1] = 1, "instruction 3 (MAP): output 1 is given, but this operation has none");
  BREAK(IN(3).cst[7] = 1, "instruction 3 (MAP): constant 7 is given, but this operation has none");
  BREAK(IN(0).cst[2] = MXP_NONE, "instruction 0 (CONV): constant 2 is missing");
  BREAK(IN(3).layer = 3, "instruction 3 (MAP): its layer is number 3 of only 3");
  BREAK(IN(3).reserved[23] = 1, "instruction 3 (MAP): reserved bytes are not zero");
  BREAK(IN(3).flags = 1, "instruction 3 (MAP): unknown flags 0x1");
  BREAK(IN(0).flags = 2, "instruction 0 (CONV): unknown flags 0x2");
  sample_build(&b);
  IN(2).op = 18;
  expect_status(MACCEL_E_UNSUPPORTED, "instruction 2: this build does not know operation 18");
  builder_free(&b);
}

static void set_int(int constant, int k, int32_t v) {
  ((int32_t *)(void *)(b.data + b.consts[constant].offset))[k] = v;
}
static void set_float(int constant, int k, float v) {
  ((float *)(void *)(b.data + b.consts[constant].offset))[k] = v;
}

static void convolutions(void) {
  BREAK(IN(0).i[4] = 0, "instruction 0 (CONV): output height is 8 but padding, stride and kernel give 7");
  BREAK(IN(0).i[9] = 3, "instruction 0 (CONV): output width is 8 but padding, stride and kernel give 4");
  BREAK(IN(0).i[0] = 0, "instruction 0 (CONV): kernel size (i0) is 0, not in [1, 1048576]");
  BREAK(IN(0).i[2] = 0, "instruction 0 (CONV): stride (i2) is 0, not in [1, 1048576]");
  BREAK(IN(0).i[5] = -1, "instruction 0 (CONV): padding (i5) is -1, not in [0, 1048576]");
  BREAK(IN(0).i[8] = INT_MAX, "instruction 0 (CONV): dilation (i8) is 2147483647, not in [1, 1048576]");
  BREAK(IN(0).i[10] = 0, "instruction 0 (CONV): the number of groups (i10) is 0, not in [1, 4]");
  BREAK(IN(0).i[10] = 3, "instruction 0 (CONV): 4 input and 8 output channels do not divide into 3 groups");
  BREAK(IN(0).i[10] = 2, "instruction 0 (CONV): dimension 3 of the weight array is 4 instead of 2");
  BREAK(IN(0).cst[0] = 3, "instruction 0 (CONV): the weight array has rank 3 instead of 4");
  BREAK(IN(0).cst[0] = 1,
        "instruction 0 (CONV): the weight array has type s32, which this operation does not take");
  BREAK(IN(0).cst[1] = 2, "instruction 0 (CONV): the bias has type f32 instead of s32");
  BREAK(IN(0).in[0] = SAMPLE_D,
        "instruction 0 (CONV): the input has type f32, which this operation does not take");
  BREAK(IN(0).out[0] = SAMPLE_C,
        "instruction 0 (CONV): output height is 4 but padding, stride and kernel give 8");
  BREAK((X.rank = 3, X.dims[3] = 1, X.stride[3] = 0),
        "instruction 0 (CONV): the input has rank 3, an image has 4");
  BREAK(A.stride[3] = 2, "instruction 0 (CONV): the channels of output 0 are not adjacent");
  BREAK(IN(1).i[10] = 4,
        "instruction 1 (DWCONV): groups, input and output channels are 4, 8 and 8, they must be equal");
  BREAK(set_int(1, 3, INT_MAX),
        "instruction 0 (CONV): the sum of output channel 3 can reach 2148056122 and overflow");
  BREAK(set_int(1, 0, INT_MIN),
        "instruction 0 (CONV): the sum of output channel 0 can reach 2147987273 and overflow");
  BREAK(set_float(2, 5, 4e3f),
        "instruction 0 (CONV): values of output 0 can reach 2.01898e+09, 2^30 is the limit");
  BREAK(set_float(2, 5, (float)NAN), "instruction 0 (CONV): element 5 of the scale vector is nan");
  BREAK(set_float(2, 5, -1.0f), "instruction 0 (CONV): element 5 of the scale vector is -1");
  BREAK(IN(0).f[3] = 0.0f, "instruction 0 (CONV): the output multiplier (f3) is 0");
  BREAK(IN(0).i[12] = -1, "instruction 0 (CONV): the clamp limits -1 and 255 do not fit type u8");
  BREAK(IN(0).i[12] = 256, "instruction 0 (CONV): the clamp limits 256 and 255 are in the wrong order");
  BREAK(IN(0).i[11] = MX_ACT_COUNT, "instruction 0 (CONV): activation 28 does not exist");
  BREAK(IN(0).i[11] = MX_ACT_PRELU, "instruction 0 (CONV): the PRELU slopes are missing");
  BREAK((IN(0).i[11] = MX_ACT_CLAMP, IN(0).f[0] = 1.0f),
        "instruction 0 (CONV): the activation clamps to [1, 0]");
  BREAK((IN(0).i[11] = MX_ACT_LEAKY, IN(0).f[0] = (float)INFINITY),
        "instruction 0 (CONV): an activation parameter is infinite");
  BREAK(IN(0).cst[4] = 2, "instruction 0 (CONV): slopes are given, but the activation is not PRELU");
  BREAK(IN(0).cst[3] = 0, "instruction 0 (CONV): the table has type s8 instead of u8");
  BREAK(IN(1).in[1] = SAMPLE_C, "instruction 1 (DWCONV): dimension 1 is 4 in the residual and 8 in output 0");
  BREAK(IN(1).f[2] = (float)NAN, "instruction 1 (DWCONV): the residual multiplier (f2) is nan");
  KEEP((IN(0).i[11] = MX_ACT_PRELU, IN(0).cst[4] = 2));
  KEEP((IN(0).i[11] = MX_ACT_CLAMP, IN(0).f[0] = 0.0f, IN(0).f[1] = (float)INFINITY));
  KEEP(set_int(1, 3, 1 << 30));
}

static void aliases(void) {
  BREAK(IN(1).out[0] = SAMPLE_A, "instruction 1 (DWCONV): output 0 overlaps input 0");
  BREAK(B.offset = A.offset, "instruction 1 (DWCONV): output 0 overlaps input 0");
  BREAK(A.offset = X.offset, "instruction 0 (CONV): output 0 overlaps input 0");
  BREAK(A.stride[1] = 63, "instruction 0 (CONV): elements of output 0 share memory");
  BREAK(A.stride[2] = 0, "instruction 0 (CONV): elements of output 0 share memory");
  BREAK(IN(4).out[0] = SAMPLE_D, "instruction 4 (SOFTMAX): output 0 overlaps input 0");
  BREAK(IN(0).out[1] = SAMPLE_A, "instruction 0 (CONV): the two outputs overlap");
  BREAK((b.tensors[SAMPLE_Y].offset = b.tensors[SAMPLE_D].offset - 64),
        "instruction 5 (ELTWISE): output 0 overlaps input 1");
  KEEP(IN(5).out[0] = SAMPLE_D);
  KEEP(IN(5).out[0] = SAMPLE_E);
  /* A residual in place, and channel slices of one image: read the first half, write the second. */
  KEEP((B = A, B.zero = 90, B.offset = b.tensors[SAMPLE_D].offset, IN(1).in[1] = SAMPLE_B));
  KEEP((A.stride[0] = 1024, A.stride[1] = 128, A.stride[2] = 16, B = A, B.zero = 90, B.offset += 8,
        b.head.arena_bytes += 4096, A.offset = B.offset - 8));
  BREAK((A.stride[0] = 1024, A.stride[1] = 128, A.stride[2] = 16, A.offset = b.head.arena_bytes, B = A,
         B.offset += 7, b.head.arena_bytes += 4096),
        "instruction 1 (DWCONV): output 0 overlaps input 0");
}

static void pools_and_maps(void) {
  BREAK(IN(2).i[10] = 3, "instruction 2 (POOL): the kind (i10) is 3, not in [0, 2]");
  BREAK((IN(2).i[4] = IN(2).i[6] = 2, b.tensors[SAMPLE_C].dims[1] = 6, b.tensors[SAMPLE_C].stride[0] = 192,
         b.tensors[SAMPLE_C].offset = b.head.arena_bytes, b.head.arena_bytes += 4096),
        "instruction 2 (POOL): padding is not smaller than the kernel: a window could be empty");
  BREAK(b.tensors[SAMPLE_C].zero = 1,
        "instruction 2 (POOL): input and output of a maximum must have the same format");
  BREAK(IN(2).i[11] = MX_ACT_TANH, "instruction 2 (POOL): a maximum has no activation");
  BREAK((IN(2).i[10] = 1, IN(2).f[2] = 0.0f), "instruction 2 (POOL): the mean multiplier (f2) is 0");
  BREAK(IN(3).cst[3] = 0, "instruction 3 (MAP): the table has type s8 instead of u8");
  BREAK(IN(3).in[0] = SAMPLE_A, "instruction 3 (MAP): dimension 1 is 8 in the input and 4 in the output");
  BREAK(IN(5).in[1] = MXP_NONE,
        "instruction 5 (ELTWISE): exactly one of input 1 and the constant operand is needed");
  BREAK(IN(5).cst[5] = 2,
        "instruction 5 (ELTWISE): exactly one of input 1 and the constant operand is needed");
  BREAK((IN(5).in[1] = MXP_NONE, IN(5).cst[5] = 2),
        "instruction 5 (ELTWISE): the constant operand has rank 1, the output 4");
  BREAK(IN(5).i[10] = 7, "instruction 5 (ELTWISE): the kind (i10) is 7, not in [0, 6]");
  BREAK(IN(5).f[5] = (float)INFINITY, "instruction 5 (ELTWISE): the multiplier of input 1 (f5) is inf");
  BREAK(IN(4).i[10] = -1, "instruction 4 (SOFTMAX): the kind (i10) is -1, not in [0, 1]");
}

/* A program of one instruction with the tensors 0, 1, ... */
static mxp_insn *single(int op, int inputs, int outputs) {
  mxp_insn *in = builder_insn(&b, op);
  for (int k = 0; k < inputs; ++k) in->in[k] = (uint32_t)k;
  for (int k = 0; k < outputs; ++k) in->out[k] = (uint32_t)(inputs + k);
  builder_output(&b, (uint32_t)inputs);
  return in;
}

static void tensor(int dtype, int d0, int d1, int d2, int d3) {
  builder_tensor(&b, dtype, 4, (int[]){d0, d1, d2, d3}, 1.0f, 0);
}

#define SINGLE(setup, reason)                                  \
  do {                                                         \
    builder_init(&b);                                          \
    setup;                                                     \
    if ((reason)[0] != '\0')                                   \
      expect_status(MACCEL_E_FORMAT, "instruction 0 " reason); \
    else                                                       \
      expect_sound();                                          \
    builder_free(&b);                                          \
  } while (0)

static void resize_of(int source, int kind, float weight) {
  const int32_t rows[4] = {0, 1, 1, source};
  const float w[2] = {0.5f, weight};
  tensor(MACCEL_U8, 1, 2, 2, 3);
  tensor(MACCEL_U8, 1, 2, 2, 3);
  mxp_insn *in = single(MX_OP_RESIZE, 1, 1);
  in->i[10] = kind;
  in->cst[0] = in->cst[2] = builder_const(&b, MACCEL_S32, 2, (int[]){2, 2}, rows);
  if (kind) in->cst[1] = in->cst[3] = builder_const(&b, MACCEL_F32, 1, (int[]){2}, w);
}

static void gather_of(int dtype, int scales) {
  const float table[8] = {0};
  builder_tensor(&b, MACCEL_S32, 1, (int[]){5}, 1.0f, 0);
  builder_tensor(&b, MACCEL_F32, 2, (int[]){5, 4}, 1.0f, 0);
  mxp_insn *in = single(MX_OP_GATHER, 1, 1);
  in->cst[0] = builder_const(&b, dtype, 2, (int[]){2, 4}, table);
  if (scales) in->cst[2] = builder_const(&b, MACCEL_F32, 1, (int[]){2}, table);
}

static void matmul_of(int k, int n) {
  tensor(MACCEL_F32, 2, 3, 4, 5);
  tensor(MACCEL_F32, 2, 3, k, 6);
  tensor(MACCEL_F32, 2, 3, 4, n);
  single(MX_OP_MATMUL, 2, 1);
}

static void reduce_of(int mask, int c) {
  tensor(MACCEL_F32, 2, 3, 4, 5);
  tensor(MACCEL_F32, 2, 1, 4, c);
  single(MX_OP_REDUCE, 1, 1)->i[14] = mask;
}

static void others(void) {
  SINGLE(resize_of(1, 1, 0.5f), "");
  SINGLE(resize_of(2, 1, 0.5f), "(RESIZE): output row 1 reads 2, outside of 2");
  SINGLE(resize_of(-1, 0, 0.5f), "(RESIZE): output row 1 reads -1, outside of 2");
  SINGLE(resize_of(1, 1, (float)NAN), "(RESIZE): element 1 of the row weight vector is nan");
  SINGLE((resize_of(1, 1, 0.5f), b.insns[0].cst[3] = MXP_NONE), "(RESIZE): a linear resize needs weights");
  SINGLE((resize_of(1, 0, 0.5f), b.tensors[1].dtype = MACCEL_S8),
         "(RESIZE): a nearest resize keeps the type, u8 became s8");
  SINGLE(gather_of(MACCEL_F32, 0), "");
  SINGLE(gather_of(MACCEL_S8, 1), "");
  SINGLE(gather_of(MACCEL_S8, 0), "(GATHER): row scales go with an s8 table");
  SINGLE((gather_of(MACCEL_F32, 0), b.tensors[1].dims[1] = 3), "(GATHER): rows of 4 elements go into 3");
  SINGLE((gather_of(MACCEL_F32, 0), b.tensors[0].dtype = MACCEL_F32),
         "(GATHER): the index tensor has type f32, which this operation does not take");
  SINGLE(matmul_of(5, 6), "");
  SINGLE(matmul_of(4, 6), "(MATMUL): [4, 5] times [4, 6] does not give [4, 6]");
  SINGLE(matmul_of(5, 7), "(MATMUL): [4, 5] times [5, 6] does not give [4, 7]");
  SINGLE((matmul_of(5, 6), b.tensors[1].dims[1] = 2), "(MATMUL): leading dimension 1 is 3, 2 and 3");
  SINGLE(reduce_of(2, 5), "");
  SINGLE(reduce_of(0, 5), "(REDUCE): the mask of dimensions (i14) is 0, not in [1, 15]");
  SINGLE(reduce_of(2, 4), "(REDUCE): dimension 3 of the output is 4 instead of 5");
  SINGLE((tensor(MACCEL_F32, 1, 1, 2, 5), tensor(MACCEL_U8, 1, 1, 2, 5), tensor(MACCEL_F32, 1, 1, 2, 2),
          single(MX_OP_DYNQUANT, 1, 2)),
         "(DYNQUANT): output 1 does not have one scale per row");
  SINGLE((tensor(MACCEL_U8, 1, 1, 2, 5), single(MX_OP_FILL, 0, 1)->i[0] = 256),
         "(FILL): the value (i0) is 256, not in [0, 255]");
  SINGLE((tensor(MACCEL_F32, 1, 1, 2, 5), tensor(MACCEL_F32, 1, 1, 2, 5),
          single(MX_OP_LAYERNORM, 1, 1)->f[5] = -1.0f),
         "(LAYERNORM): epsilon (f5) is -1");
}

static void convdyn_of(int zero, int rows) {
  const int8_t w[15] = {1};
  const int32_t bias[3] = {0};
  const float scale[3] = {1e9f, 1.0f, 1.0f};
  tensor(MACCEL_U8, 1, 1, 4, 5);
  tensor(MACCEL_S16, 1, 1, 4, 3);
  tensor(MACCEL_F32, 1, 1, rows, 1);
  b.tensors[0].zero = zero;
  mxp_insn *in = builder_insn(&b, MX_OP_CONVDYN);
  in->in[0] = 0, in->in[2] = 2, in->out[0] = 1;
  builder_window(in, 1, 1, 1, 0, 1);
  in->i[10] = 1;
  in->cst[0] = builder_const(&b, MACCEL_S8, 4, (int[]){3, 1, 1, 5}, w);
  in->cst[1] = builder_const(&b, MACCEL_S32, 1, (int[]){3}, bias);
  in->cst[2] = builder_const(&b, MACCEL_F32, 1, (int[]){3}, scale);
  builder_output(&b, 1);
}

/* Work is bounded: broadcast inputs make huge loops over few bytes. */
static void work_is_bounded(void) {
  builder_init(&b);
  tensor(MACCEL_F32, 1, 1, 1 << 15, 1 << 15);
  tensor(MACCEL_F32, 1, 1, 1 << 15, 1 << 15);
  b.tensors[1] = b.tensors[0];
  b.tensors[0].stride[2] = b.tensors[0].stride[3] = 0;
  builder_tensor(&b, MACCEL_F32, 4, (int[]){1, 1, 1 << 15, 1 << 15}, 1.0f, 0);
  b.tensors[1].offset = 0;
  b.tensors[1].stride[2] = b.tensors[1].stride[3] = 0;
  for (int k = 0; k < 3; ++k) {
    mxp_insn *in = builder_insn(&b, MX_OP_MATMUL);
    in->in[0] = 0, in->in[1] = 1, in->out[0] = 2;
  }
  builder_output(&b, 2);
  expect_status(MACCEL_E_FORMAT,
                "instruction 2 (MATMUL): one inference would take more than 2^46 multiply-accumulates");
  builder_free(&b);
}

/* Blocks that are not aligned give the same verdict. */
static void alignment_does_not_matter(void) {
  sample_build(&b);
  uint8_t *program = malloc(b.program_bytes + 1), *data = malloc(b.data_bytes + 1);
  memcpy(program + 1, b.program, b.program_bytes);
  memcpy(data + 1, b.data, b.data_bytes);
  CHECK_INT(mx_program_verify(program + 1, b.program_bytes, data + 1, b.data_bytes), MACCEL_OK);
  free(program);
  free(data);
  builder_free(&b);
}

int main(void) {
  KEEP((void)0);
  headers();
  header_counts();
  constants();
  tensors();
  slots();
  convolutions();
  aliases();
  pools_and_maps();
  others();
  SINGLE(convdyn_of(128, 4), "");
  SINGLE(convdyn_of(127, 4), "(CONVDYN): the input is u8 with zero 127, not u8 with zero 128 or 0");
  SINGLE(convdyn_of(128, 3), "(CONVDYN): the row scales do not have one element per pixel");
  work_is_bounded();
  alignment_does_not_matter();
  return 0;
}
