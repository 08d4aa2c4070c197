/* test_vector_conv.c - every convolution kernel of the levels this processor has, against the scalar one. */
#include "../common/tables.h"
#include "test_vector.h"

static int pick(const int *values, int n) { return values[vt_range(0, n - 1)]; }
#define PICK(...) pick((const int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)))

static void quantised(mx_view *v) {
  v->zero = v->dtype == MACCEL_U8    ? vt_chance(25) ? 0 : vt_range(0, 255)
            : v->dtype == MACCEL_S8  ? vt_range(-128, 127)
            : v->dtype == MACCEL_S16 ? vt_range(-900, 900)
                                     : 0;
}

/* Does a case end in bytes alone, in the 16-bit residual stream, or in anything? */
enum { ENDS_BYTES, ENDS_STREAM, ENDS_ANY };

static void limits(const mx_view *v, int32_t *lo, int32_t *hi) {
  const int low = v->dtype == MACCEL_U8 ? 0 : v->dtype == MACCEL_S8 ? -128 : -32768;
  const int high = v->dtype == MACCEL_U8 ? 255 : v->dtype == MACCEL_S8 ? 127 : 32767;
  *lo = vt_chance(60) ? low : v->zero;
  *hi = vt_chance(70) ? high : high - vt_range(0, 60);
  if (*hi < *lo) *hi = high;
}

static void geometry(vt_case *c, int *in, int *out, int depthwise) {
  int32_t *i = c->insn.i;
  const int point = !depthwise && vt_chance(40);
  i[0] = point ? 1 : PICK(1, 2, 3, 3, 3, 5, 5, 7), i[1] = point ? 1 : vt_chance(80) ? i[0] : PICK(1, 2, 3, 5);
  i[2] = PICK(1, 1, 1, 2, 2, 3), i[3] = vt_chance(90) ? i[2] : PICK(1, 2);
  i[8] = PICK(1, 1, 1, 1, 2, 3), i[9] = vt_chance(80) ? i[8] : PICK(1, 2);
  for (int k = 4; k < 8; k++)
    i[k] = point && vt_chance(80) ? 0 : vt_range(0, i[k == 4 || k == 6 ? 0 : 1] - 1);
  const int span_h = (i[0] - 1) * i[8] + 1, span_w = (i[1] - 1) * i[9] + 1;
  do in[1] = vt_range(1, 19);
  while (in[1] + i[4] + i[6] < span_h);
  do in[2] = vt_range(1, 30);
  while (in[2] + i[5] + i[7] < span_w);
  if (point && vt_chance(30)) in[1] = 1, in[2] = vt_range(1, 6); /* few rows: fully connected layers */
  in[0] = out[0] = PICK(1, 1, 1, 2);
  out[1] = (in[1] + i[4] + i[6] - span_h) / i[2] + 1;
  out[2] = (in[2] + i[5] + i[7] - span_w) / i[3] + 1;
}

static void channels(vt_case *c, int *in, int *out, int depthwise) {
  if (depthwise) {
    in[3] = out[3] = PICK(1, 3, 8, 16, 24, 32, 40, 48, 64, 80, 96, 112, 144, vt_range(1, 200));
    return;
  }
  const int groups = PICK(1, 1, 1, 1, 1, 2, 3);
  c->insn.i[10] = groups;
  in[3] = groups * PICK(1, 2, 3, 4, 8, 16, 17, 24, 32, 40, 64, vt_range(1, 90));
  const int point = c->insn.i[0] == 1 && c->insn.i[1] == 1;
  if (point && groups == 1 && vt_chance(15))
    in[3] = vt_range(380, 420); /* panels beyond the first-level cache */
  out[3] = groups * PICK(1, 3, 8, 10, 16, 24, 32, 40, 48, 64, 80, 112, 128, 144, vt_range(1, 200));
}

static void float_constants(vt_case *c, const int *in, const int *out) {
  const int32_t *i = c->insn.i;
  const int type = PICK(MACCEL_S8, MACCEL_BF16, MACCEL_F32), narrow = type == MACCEL_S8, o = out[3];
  vt_constant(c, 0, type, (int[]){o, i[0], i[1], in[3] / i[10]}, 4);
  if (vt_chance(60)) vt_constant(c, 1, MACCEL_F32, &o, 1);
  if (narrow || vt_chance(50)) vt_constant(c, 2, MACCEL_F32, &o, 1);
}

static void constants(vt_case *c, const int *in, const int *out, int depthwise) {
  const int32_t *i = c->insn.i;
  const int wide = c->task.in[0].dtype == MACCEL_S16, groups = depthwise ? 1 : i[10];
  const int o = out[3], per = depthwise ? 1 : in[3] / groups;
  const int w_dtype = vt_chance(depthwise ? 40 : 10) ? MACCEL_S16 : MACCEL_S8;
  int16_t *w = (int16_t *)vt_constant(
      c, 0, w_dtype, depthwise ? (int[]){i[0], i[1], o} : (int[]){o, i[0], i[1], per}, depthwise ? 3 : 4);
  if (w_dtype == MACCEL_S16)
    for (int k = 0; k < (int)c->task.cst_info[0].bytes / 2; k++) w[k] = (int16_t)(w[k] / (wide ? 64 : 1));
  if (w_dtype == MACCEL_S8 && vt_chance(20)) /* the largest sums that a word can meet */
    for (size_t k = 0; k < c->task.cst_info[0].bytes; k++)
      ((int8_t *)w)[k] = vt_chance(50) ? -128 : vt_chance(80) ? 127 : 1;
  int32_t *bias = (int32_t *)vt_constant(c, 1, MACCEL_S32, &o, 1);
  float *scale = (float *)vt_constant(c, 2, MACCEL_F32, &o, 1);
  const float spread = (wide ? 9000.0f : 74.0f) *
                       (w_dtype == MACCEL_S16 ? (wide ? 300.0f : 19000.0f) : 74.0f) *
                       (float)(per * i[0] * i[1]) * 0.3f;
  const float reach = c->task.out[0].dtype == MACCEL_S16 ? 20000.0f : 120.0f;
  for (int k = 0; k < o; k++)
    bias[k] = vt_range(-9000, 9000), scale[k] = vt_float(0.4f, 1.6f) * reach / spread;
}

static void second_output(vt_case *c, const int *out, int dtype) {
  mx_task *t = &c->task;
  vt_image(c, &t->out[1], &c->out[1], dtype, out, 1);
  quantised(&t->out[1]);
  c->insn.out[1] = 1, c->insn.f[4] = vt_float(0.01f, 4.0f);
  limits(&t->out[1], &c->insn.i[14], &c->insn.i[15]);
}

/* s16 or bytes with an s16 image added, a second output of bytes behind s16. */
static void stream(vt_case *c, const int *out) {
  mxp_insn *n = &c->insn;
  mx_task *t = &c->task;
  if (t->out[0].dtype == MACCEL_S16 && vt_chance(90)) t->out[0].zero = 0;
  limits(&t->out[0], &n->i[12], &n->i[13]);
  if (vt_chance(60)) {
    vt_image(c, &t->in[1], &c->in[1], vt_chance(85) ? MACCEL_S16 : PICK(MACCEL_U8, MACCEL_S8), out, 1);
    t->in[1].zero = vt_chance(90) ? 0 : vt_range(-100, 100);
    n->in[1] = 1, n->f[2] = vt_float(0.0f, t->out[0].dtype == MACCEL_S16 ? 1.5f : 0.01f);
  }
  if (vt_chance(25)) {
    n->i[11] = MX_ACT_CLAMP, n->flags = vt_chance(50) ? MX_INSN_RES_AFTER_ACT : 0;
    n->f[0] = vt_float(-90.0f, 5.0f), n->f[1] = n->f[0] + vt_float(0.0f, 90.0f);
  }
  if (t->out[0].dtype == MACCEL_S16 && vt_chance(60))
    second_output(c, out, PICK(MACCEL_U8, MACCEL_U8, MACCEL_S8));
  if (t->out[0].dtype == MACCEL_U8 && vt_chance(15)) vt_constant(c, 3, MACCEL_U8, (int[]){256}, 1);
}

static void epilogue(vt_case *c, const int *out, int ends) {
  const int linear = ends == ENDS_BYTES;
  mxp_insn *n = &c->insn;
  mx_task *t = &c->task;
  if (ends == ENDS_STREAM) {
    stream(c, out);
    return;
  }
  limits(&t->out[0], &n->i[12], &n->i[13]);
  if (linear ? vt_chance(35) : vt_chance(50)) {
    vt_image(
        c, &t->in[1], &c->in[1],
        linear ? PICK(MACCEL_U8, MACCEL_U8, MACCEL_S8) : PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32),
        out, 1);
    quantised(&t->in[1]);
    n->in[1] = 1, n->f[2] = t->in[1].dtype == MACCEL_S16 ? vt_float(0.0f, 0.01f) : vt_float(-1.5f, 1.5f);
    if (!linear && vt_chance(20) && t->in[1].dtype != MACCEL_F32)
      t->in[1].channel_scale = (const float *)vt_constant(c, 7, MACCEL_F32, &out[3], 1);
  }
  if (t->out[0].dtype == MACCEL_U8 && vt_chance(15)) vt_constant(c, 3, MACCEL_U8, (int[]){256}, 1);
  if (linear) return;
  n->i[11] = vt_range(0, MX_ACT_COUNT - 1), n->flags = vt_chance(50) ? MX_INSN_RES_AFTER_ACT : 0;
  if (vt_chance(50)) n->i[11] = vt_chance(60) ? MX_ACT_NONE : MX_ACT_HARDSWISH;
  n->f[0] = vt_float(-1.0f, 1.0f), n->f[1] = n->f[0] + vt_float(0.0f, 3.0f),
  n->f[3] = vt_chance(40) ? 1.0f : vt_float(0.1f, 30.0f);
  if (n->i[11] == MX_ACT_PRELU) vt_constant(c, 4, MACCEL_F32, &out[3], 1);
  if (vt_chance(30)) second_output(c, out, PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32));
}

static void random_case(vt_case *c, int op) {
  int in[4], out[4];
  const int depthwise = op == MX_OP_DWCONV, floating = op == MX_OP_CONVF;
  const int ends = floating || op == MX_OP_CONVDYN || vt_chance(30) ? ENDS_ANY
                   : vt_chance(50)                                  ? ENDS_BYTES
                                                                    : ENDS_STREAM;
  vt_begin(c, op);
  c->insn.i[10] = 1, c->insn.f[3] = 1.0f;
  geometry(c, in, out, depthwise);
  channels(c, in, out, depthwise);
  if (op == MX_OP_CONVDYN) {
    memcpy(c->insn.i, (int32_t[]){1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1}, 11 * sizeof(int32_t));
    in[1] = out[1] = 1, out[2] = in[2];
  }
  vt_image(c, &c->task.in[0], &c->in[0],
           floating                               ? MACCEL_F32
           : op == MX_OP_CONVDYN || vt_chance(85) ? MACCEL_U8
                                                  : MACCEL_S16,
           in, 1);
  vt_image(c, &c->task.out[0], &c->out[0],
           ends == ENDS_BYTES    ? PICK(MACCEL_U8, MACCEL_U8, MACCEL_S8)
           : ends == ENDS_STREAM ? PICK(MACCEL_S16, MACCEL_S16, MACCEL_U8, MACCEL_S8)
                                 : PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32),
           out, 1);
  c->insn.in[0] = 0, c->insn.out[0] = 0;
  quantised(&c->task.in[0]), quantised(&c->task.out[0]);
  if (floating)
    float_constants(c, in, out);
  else
    constants(c, in, out, depthwise);
  epilogue(c, out, ends);
  if (op == MX_OP_CONVDYN) {
    vt_image(c, &c->task.in[2], &c->in[2], MACCEL_F32, (int[]){in[0], 1, in[2], 1}, 0);
    c->insn.in[2] = 2;
    if (vt_chance(70)) vt_constant(c, 5, MACCEL_F32, &out[3], 1);
  }
  const size_t bytes = (size_t)in[3] * 4 + 64;
  c->zero_row = (uint8_t *)vt_alloc(bytes);
  for (size_t k = 0; k < bytes; k++) {
    if (c->task.in[0].dtype == MACCEL_U8)
      c->zero_row[k] = (uint8_t)c->task.in[0].zero;
    else if (floating)
      c->zero_row[k] = 0;
    else if (k % 2 == 0)
      memcpy(c->zero_row + k, &(int16_t){(int16_t)c->task.in[0].zero}, 2);
  }
  c->task.zero_row = c->zero_row, c->task.zero_row_bytes = bytes;
}

static void describe(const vt_case *c, int parts) {
  const mx_task *t = &c->task;
  printf(
      "op %d parts %d in %dx%dx%dx%d %d px %lld row %lld out %dx%dx%d %d px %lld flags %u residual %d act %d "
      "zero %d\n  i:",
      c->insn.op, parts, t->in[0].dims[0], t->in[0].dims[1], t->in[0].dims[2], t->in[0].dims[3],
      t->in[0].dtype, (long long)t->in[0].stride[2], (long long)t->in[0].stride[1], t->out[0].dims[1],
      t->out[0].dims[2], t->out[0].dims[3], t->out[0].dtype, (long long)t->out[0].stride[2], t->out[0].flags,
      (int)c->insn.in[1], c->insn.i[11], t->out[0].zero);
  for (int k = 0; k < 16; k++) printf(" %d", c->insn.i[k]);
  printf("\n");
}

static int check_level(const mx_kernel *const *kernels, const mx_kernel *reference, vt_case *c, int parts,
                       int *ran) {
  for (; kernels && *kernels; kernels++) {
    if ((*kernels)->accepts && !(*kernels)->accepts(&c->task)) continue;
    ++*ran;
    if (vt_compare(c, reference, *kernels, parts)) return describe(c, parts), 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 400, isa = (int)mx_isa_detected();
  const int ops[] = {MX_OP_CONV, MX_OP_CONV, MX_OP_DWCONV, MX_OP_CONVDYN, MX_OP_CONVF};
  int ran = 0;
  if (isa == MX_ISA_SCALAR) return 77;
  for (int k = 0; k < rounds; k++) {
    const int op = ops[k % 5], parts = vt_chance(50) ? 1 : vt_range(2, 5);
    vt_case c;
    random_case(&c, op);
    const mx_kernel *reference = mx_kernels_scalar(op)[0];
    for (int level = 1; level < LEVELS_TABLES; level++)
      if (check_level(levels_table(level, op), reference, &c, parts, &ran)) return 1;
    vt_end(&c);
  }
  printf("%d kernel runs agree with the reference\n", ran);
  return 0;
}
