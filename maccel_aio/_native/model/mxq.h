/* mxq.h - the .mxq v1 container and the program section, byte for byte.
 *
 * ALL NUMBERS ARE LITTLE-ENDIAN. Records below are packed by construction (static asserts in mxq.c).
 *
 *   file      = header (64) | section table (n * 64) | sections, each at a multiple of 64
 *   sections  = MANIFEST  UTF-8 JSON, exactly one: names, shapes, segments, layer table (docs/mxq.md)
 *               PROGRAM   instructions of one NPU bundle (this page)
 *               CONSTS    the constants of one bundle: weights, biases, scales, tables
 *               ONNX      the graph of one CPU segment
 *   Each table entry carries the sha256 of its section. Gaps and the end are zero padded to 64.
 *
 * A PROGRAM section = header (96) | inputs * 16 (mxp_input) | output tensor indices u32 * n | zero pad to 8 |
 *                     tensors * 96 | constants * 48 | instructions * 256          (and nothing after)
 *
 * Tensors live in one arena, statically planned: `offset` is where the element of index 0 lies and
 * `stride` is in BYTES for each physical dimension, so that slices, concatenations in place,
 * transposes and broadcasts (stride 0, inputs only) are views. Images are [n, h, w, c] with
 * stride[3] = element size. A tensor never has a byte outside [0, arena_bytes).
 * MX_TENSOR_PAD_CHANNELS: the bytes between the last channel and the next pixel belong to this
 * tensor; a kernel may write anything there, and a reader must not depend on them.
 *
 * What an instruction writes is apart from what it reads: the byte ranges are, or both views repeat with a common period
 * in different bytes of it (channel slices of one image). Exceptions, for equal views and element sizes: MAP and ELTWISE
 * in place; the outputs of convolutions over in1. Offsets and strides are multiples of the element size. A program has
 * at most 32 inputs and outputs together, without channel scales, and at most 2^46 multiply-accumulates.
 *
 * Kernels may READ up to 64 bytes past either end of the arena: the executor allocates that slack.
 * Writers of programs leave 64 bytes between tensors, so that such reads never meet what another core writes.
 */
#ifndef MX_MXQ_H
#define MX_MXQ_H

#include <stdint.h>

#define MXQ_MAGIC "MXQAIO\r\n" /* 8 bytes; CR LF shows text-mode damage */
#define MXQ_VERSION 1u
#define MXQ_ALIGN 64u
#define MXQ_MAX_SECTIONS 4096u

enum { MXQ_SECTION_MANIFEST = 1, MXQ_SECTION_PROGRAM = 2, MXQ_SECTION_CONSTS = 3, MXQ_SECTION_ONNX = 4 };

typedef struct mxq_header {
  uint8_t magic[8];
  uint32_t version;
  uint32_t flags;         /* 0 */
  uint32_t section_count;
  uint32_t section_bytes; /* of one table entry: 64 */
  uint64_t file_bytes;    /* of the whole file */
  uint64_t table_offset;  /* 64 */
  uint8_t reserved[24];   /* 0 */
} mxq_header;

typedef struct mxq_section {
  uint32_t type;
  uint32_t flags;   /* 0 */
  uint64_t offset;  /* multiple of 64 */
  uint64_t size;    /* without padding */
  uint8_t sha256[32];
  uint8_t reserved[8];
} mxq_section;

/* ---- program */
#define MXP_MAGIC 0x50584d00u /* "\0MXP" read as a little-endian u32 */
#define MXP_VERSION 1u
#define MXP_NONE 0xffffffffu
#define MXP_MAX_RANK 6
#define MXP_MAX_TENSORS (1u << 20)
#define MXP_MAX_INSNS (1u << 20)
#define MXP_MAX_ARENA ((uint64_t)1 << 36)

typedef struct mxp_header {
  uint32_t magic, version;
  uint32_t num_inputs, num_outputs;
  uint32_t num_tensors, num_consts, num_insns, num_layers;
  uint64_t arena_bytes;
  uint64_t const_bytes; /* size of the CONSTS section this program reads */
  uint64_t macs;        /* per inference */
  uint8_t reserved[40]; /* 0 */
} mxp_header; /* 96 */

enum { MX_TENSOR_PAD_CHANNELS = 1 };

typedef struct mxp_tensor {
  uint8_t dtype; /* maccel_dtype */
  uint8_t rank;  /* 1..6 */
  uint16_t flags;
  uint32_t scale_const;        /* f32 per channel (last dimension), or MXP_NONE */
  uint64_t offset;             /* bytes in the arena */
  int32_t dims[MXP_MAX_RANK];  /* unused ones are 1 */
  int64_t stride[MXP_MAX_RANK];/* bytes; unused ones are 0 */
  float scale;                 /* real = (q - zero) * scale; 1 for float tensors */
  int32_t zero;                /* 0 for float tensors */
} mxp_tensor; /* 96 */

typedef struct mxp_const {
  uint8_t dtype, rank;
  uint16_t flags;
  uint32_t reserved;
  uint64_t offset; /* multiple of 64, in the CONSTS section */
  uint64_t bytes;  /* product of dims * element size */
  int32_t dims[MXP_MAX_RANK];
} mxp_const; /* 48 */

/* One instruction. Meaning of the slots per opcode below; unused slots are MXP_NONE / 0. */
typedef struct mxp_insn {
  uint16_t op;
  uint16_t flags;
  uint32_t layer;    /* row of the manifest's layer table; times are summed per layer */
  uint32_t in[6];    /* tensors */
  uint32_t out[2];   /* tensors */
  uint32_t cst[8];   /* constants */
  int32_t i[24];
  float f[16];
  uint8_t reserved[24];
} mxp_insn; /* 256 */

/* ---- number rules (bit-identical on every instruction set)
 *  rne(x)  round to nearest, ties to even.
 *  Every float operation below is one IEEE single operation, in the order written, never contracted.
 *  deq(t)  (float)(q - t.zero) * m, where m is the multiplier named by the instruction (an f slot),
 *          or (float)(q - zero) * (m * scale_const[c]) when the tensor has per-channel scales.
 *          For float tensors: the value itself times m (m = 1 leaves it untouched).
 *  put(t, v)  float tensor: v.  Integer tensor: clamp(rne(v) + t.zero, qmin, qmax).
 *          The verifier proves |v| < 2^30 and finite sums for CONV and DWCONV, unless v has no bound (an f32 residual; act EXP, LOG,
 *          SQRT, RECIPROCAL or RSQRT). There and everywhere else v is first clamped to [-2^30, 2^30]; NaN becomes 0.
 *  act(v)  MX_ACT_* below, with a = f[0], b = f[1], PRELU slope from cst[4].
 *  Sums of floats (REDUCE, SOFTMAX, LAYERNORM, AVERAGE over f32): 16 partial sums, element i of the
 *          reduction goes to partial i mod 16 in order; then s[j] += s[j+8], s[j] += s[j+4],
 *          s[j] += s[j+2], s[0] + s[1].
 *  Sums of float products (CONVF, MATMUL, RECURRENT): one chain per output, s = fmaf(x, w, s) from s = +0 on, in the order
 *          of k (CONVF: row, column, channel of the window; padding taps take part with x = 0).
 */
enum mx_op {
  /* CONV: int convolution, fully connected (1x1 on [1,1,m,k]), groups.
   *  in0 x: u8 | s16 image.  in1: residual or NONE (same dims as out0; u8|s8|s16|f32).
   *  out0: u8|s8|s16|f32.  out1: second copy in another format, or NONE.
   *  cst0 weights s8 [O][KH][KW][I/groups] (s16 allowed).  cst1 bias s32 [O]; holds -zero(x)*sum(w).
   *  cst2 scale f32 [O].  cst3 table u8 [256] or NONE.  cst4 PRELU slopes f32 [O].
   *  i: 0 kh, 1 kw, 2 sh, 3 sw, 4 pt, 5 pl, 6 pb, 7 pr, 8 dh, 9 dw, 10 groups, 11 act, 12 qmin, 13 qmax,
   *     14 qmin1, 15 qmax1.   f: 0 a, 1 b, 2 residual multiplier, 3 out multiplier, 4 out1 multiplier.
   *  Padding taps read zero(x).
   *    acc = bias[o] + sum x*w                 (s32; the verifier proves it cannot overflow)
   *    v = (float)acc * scale[o]
   *    if in1 and not RES_AFTER_ACT:  v = v + deq(in1; f2)
   *    if act != NONE:  v = act(v)
   *    if in1 and RES_AFTER_ACT:      v = v + deq(in1; f2)
   *    if f3 != 1:  v = v * f3
   *    out0 = put(v);  if cst3: out0 = table[out0]
   *    out1 = put(v * f4)
   *  With act NONE and f3 = 1 the scales already hold 1/scale(out0): this is the fast path. */
  MX_OP_CONV = 1,
  /* DWCONV: as CONV with groups = channels = outputs; cst0 [KH][KW][C] s8 | s16. */
  MX_OP_DWCONV = 2,
  /* CONVF: float accumulation. in0 x f32 image (or [1,1,m,k]); cst0 weights f32 | bf16 | s8 [O][KH][KW][I/groups],
   *  widened to f32 without rounding; cst1 bias f32 [O] or NONE; cst2 scale f32 [O] (needed for s8 weights) or NONE; rest as CONV.
   *    v = sum fmaf(x, w);  if cst2: v = v * scale[o];  if cst1: v = v + bias[o];  then as CONV from the residual on. */
  MX_OP_CONVF = 3,
  /* MATMUL: in0 f32 [.., m, k], in1 f32 [.., k, n] by strides (any transposition is a view); leading dims equal or
   *  stride 0.  out0 any.  i11 act, f0 f1 act, f3 out multiplier, i12 i13 clamp.  v = sum fmaf; act; *f3; put. */
  MX_OP_MATMUL = 4,
  /* POOL: i as CONV 0..9; i10 kind: 0 max, 1 average (valid taps only), 2 average (padding counted).
   *  max: same dtype, scale and zero in and out. Average: s = sum (q - zero) s32 (f32: in tap order);
   *    v = (float)s * (f2 / (float)count);  then act i11, f3, put with i12 i13 as CONV.
   *  Only valid taps are summed and counted as elements. Padding stays below the kernel size and needs dilation 1, so
   *  that every window has a valid tap. */
  MX_OP_POOL = 5,
  /* ELTWISE: in0, in1 broadcast by stride 0 to out0's dims. i10 kind MX_ELT_*.
   *    a = deq(in0; f4), b = deq(in1; f5), v = a op b;  act i11;  if f3 != 1: v * f3;  put i12 i13.
   *  in1 may be a constant: in1 = NONE, cst5 f32 with dims broadcastable on the right (rank = out0's). */
  MX_OP_ELTWISE = 6,
  /* MAP: copy with conversion, activation, table, transpose or broadcast by strides.
   *  in0 and out0 have equal dims.  Same dtype, act NONE, no table, f4 = 1, f3 = 1, same zero: bytes are copied.
   *  With cst3 (in u8, out u8): table.  Else v = deq(in0; f4); act i11 (PRELU: cst4 over the last dim); f3; put. */
  MX_OP_MAP = 7,
  /* FILL: every element of out0 = i0 (integer tensors) or f0 (float tensors). */
  MX_OP_FILL = 8,
  /* RESIZE: images. i10 kind: 0 nearest, 1 linear. cst0 s32 [OH][2] source rows, cst1 f32 [OH] weight of the second,
   *  cst2 s32 [OW][2], cst3 f32 [OW].  nearest: byte copy, same format.  linear: with d = deq(.; f4)
   *    top = d00 + (d01 - d00) * wx; bot likewise; v = top + (bot - top) * wy; f3; put. */
  MX_OP_RESIZE = 9,
  /* SOFTMAX over the last dimension: x = deq(in0; f4); with in1 f32 of the same dims (a mask), x = x + in1; m = max; e = exp(x - m); v = e * (1 / sum(e)); f3; put.
   *  i10 = 1: v = (x - m) - log(sum(e)) instead. */
  MX_OP_SOFTMAX = 10,
  /* REDUCE: i10 kind 0 sum, 1 mean, 2 max, 3 min; i14 mask of reduced dims (they are 1 in out0).
   *  elements in physical order; x = deq(in0; f4); mean: sum * f2 (f2 = 1/count); act; f3; put. */
  MX_OP_REDUCE = 11,
  /* LAYERNORM over the last dimension: mu = mean, d = x - mu, var = mean(d*d); v = d * (1 / sqrt(var + f5)) * cst0 + cst1
   *  (either may be NONE); i10 = 1: RMS form, mu = 0.  means are sum * (1/n).  f4 deq, f3, put. */
  MX_OP_LAYERNORM = 12,
  /* GATHER: rows of a constant table. in0 s32 indices (any rank), cst0 [rows][width] f32 | s8 with cst2 scale f32 [rows];
   *  out0 dims = in0 dims + [width].  A negative index counts from the end; indices are then clamped to the table. */
  MX_OP_GATHER = 13,
  /* DYNQUANT: per-row dynamic quantisation. in0 f32 [.., k]; out0 s8|u8 same dims; out1 f32 [.., 1] row scales.
   *  cst0 f32 [k], a multiplier per column, or NONE: then x stands for x * cst0[k] (one rounding).
   *  s = max|x| / 127 (0 -> 1); q = clamp(rne(x / s), -127, 127), + 128 for u8.
   *  i10 = 1, for u8 and values that are never below f0: x stands for (x - f0) * cst0[k];
   *  s = max(0, x) / 255 (0 -> 1); q = clamp(rne(x / s), 0, 255). The zero of out0 is 0 then. */
  MX_OP_DYNQUANT = 14,
  /* CONVDYN: CONV 1x1 on u8 rows from DYNQUANT (zero 128 or 0): in2 = row scales; v = (float)acc * scale[o] * rowscale,
   *  + bias f32 cst5 [O]; then as CONV from the residual on. cst1 holds -zero*sum(w). */
  MX_OP_CONVDYN = 15,
  /* RECURRENT: all steps of an RNN, LSTM or GRU layer of H units, in one direction or two. i10 kind MX_RECURRENT_*, which
   *  has G gates; the columns of gate number g are g*H ... g*H + H-1.
   *  in0 x f32 [D][T][B][G*H]: what the inputs add to the gates, biases included.  in1 h before the first step f32 [D][B][H]
   *  or NONE (zeros); in2 the same of c, LSTM only.  out0 h of every step f32 [D][T][B][H].  out1 c after the last step
   *  f32 [D][B][H], LSTM only, or NONE.  The elements of the last dimension are adjacent in all of them.
   *  cst0 weights f32 | bf16 | s8 [D][G*H][H].  cst1 bias f32 [D][H], GRU_LINEAR only.  cst2 scale f32 [D][G*H] (needed for
   *  s8 weights) or NONE.  i: 0 mask of the directions that go from the last step to the first, 10 kind, 11 act of RNN
   *  (CLAMP, SIGMOID or TANH; f0, f1).
   *  Directions and rows are apart. In each step, with h and c of the step before:
   *    p[j] = sum fmaf(h[k], w[j][k]);  if cst2: p[j] = p[j] * scale[j];  a = x + p but for the last gate of a GRU
   *    RNN:         h' = act(a)
   *    LSTM i o f g:  c' = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g);  h' = sigmoid(a_o) * tanh(c')
   *    GRU z r n:   z = sigmoid(a_z);  r = sigmoid(a_r);  h' = (1 - z) * n + z * h  with
   *      GRU         n = tanh(x_n + p_n), where p_n is made of r[k] * h[k] in place of h[k]
   *      GRU_LINEAR  n = tanh(x_n + r * (p_n + bias)) */
  MX_OP_RECURRENT = 16,
  /* ATTENTION: in0 queries f32 [.., m, d], in1 keys f32 [.., n, d], in2 values f32 [.., n, w], in3 f32 [.., m, n] (a mask) or
   *  NONE; out0 f32 [.., m, w].  Leading dims equal or stride 0.  f5 scale.  d and n <= 65536; n * d and n * w floats fit the arena.
   *  Queries and keys become codes row by row, values column by column:
   *    s = max|x| / 127;  q = clamp(rne(x * (127 / max|x|)), -127, 127), 0 where max|x| is 0
   *  Then, for each query i, with the sums of codes in s32:
   *    x[j] = (float)(sum q_i * k_j) * (s_i * f5) * s_j;  with in3: x[j] = x[j] + in3[i][j];  m = max(x)
   *    p[j] = clamp(rne(exp(x[j] - m) * 255), 0, 255);  out0[i][c] = (float)(sum p * v_c) * (s_c * (1 / (float)max(sum p, 1))) */
  MX_OP_ATTENTION = 17
  /* 18..63 are reserved: ROPE, KV_APPEND, ARGMAX. A loader answers UNSUPPORTED. */
};

enum { MX_INSN_RES_AFTER_ACT = 1 };

enum mx_recurrent {
  MX_RECURRENT_RNN = 0,        /* 1 gate */
  MX_RECURRENT_LSTM = 1,       /* 4 gates: input, output, forget, cell, the order of ONNX */
  MX_RECURRENT_GRU = 2,        /* 3 gates: update, reset, hidden */
  MX_RECURRENT_GRU_LINEAR = 3, /* "linear before reset": the product is made before the reset gate acts */
  MX_RECURRENT_COUNT = 4
};

enum mx_act {
  MX_ACT_NONE = 0,
  MX_ACT_CLAMP = 1,       /* min(max(v, a), b) */
  MX_ACT_LEAKY = 2,       /* v < 0 ? v * a : v */
  MX_ACT_PRELU = 3,       /* v < 0 ? v * slope[c] : v */
  MX_ACT_SIGMOID = 4,     /* 1 / (1 + exp(-v)) */
  MX_ACT_HARDSIGMOID = 5, /* min(max(v * a + b, 0), 1) */
  MX_ACT_HARDSWISH = 6,   /* v * min(max(v * a + b, 0), 1) */
  MX_ACT_SILU = 7,        /* v / (1 + exp(-v)) */
  MX_ACT_TANH = 8,
  MX_ACT_GELU_ERF = 9,    /* v * 0.5 * (1 + erf(v / sqrt(2))) */
  MX_ACT_GELU_TANH = 10,
  MX_ACT_ELU = 11,        /* v < 0 ? a * (exp(v) - 1) : v */
  MX_ACT_SOFTPLUS = 12,
  MX_ACT_EXP = 13,
  MX_ACT_LOG = 14,
  MX_ACT_SQRT = 15,
  MX_ACT_RECIPROCAL = 16,
  MX_ACT_ABS = 17,
  MX_ACT_NEG = 18,
  MX_ACT_ERF = 19,
  MX_ACT_MISH = 20,
  MX_ACT_FLOOR = 21,
  MX_ACT_CEIL = 22,
  MX_ACT_ROUND = 23,
  MX_ACT_SIN = 24,
  MX_ACT_COS = 25,
  MX_ACT_SQUARE = 26,
  MX_ACT_RSQRT = 27,
  MX_ACT_COUNT = 28
};

enum mx_elt {
  MX_ELT_ADD = 0,
  MX_ELT_SUB = 1,
  MX_ELT_MUL = 2,
  MX_ELT_DIV = 3,
  MX_ELT_MAX = 4,
  MX_ELT_MIN = 5,
  MX_ELT_POW = 6,
  MX_ELT_COUNT = 7
};

/* One input. Raw u8 pixels go through `table` (mean, scale and quantisation in one look-up). */
typedef struct mxp_input {
  uint32_t tensor;
  uint32_t table; /* const u8 [C][256], or MXP_NONE: raw pixels are real values */
  uint32_t order; /* const s32 [C]: device channel c is user channel order[c], or MXP_NONE */
  uint32_t reserved;
} mxp_input;

#endif
