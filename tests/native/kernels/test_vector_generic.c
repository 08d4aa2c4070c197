/* test_vector_generic.c - elementwise, pooling, resizing, reducing and row kernels of the vector levels against the scalar ones. */
#include <math.h>

#include "../common/tables.h"
#include "test_vector.h"

static const int image_types[] = {MACCEL_U8, MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32};

static int any_type(void) { return image_types[vt_range(0, 4)]; }

static void add_input(vt_case *c, int slot, int dtype, const int dims[4]) {
  vt_image(c, &c->task.in[slot], &c->in[slot], dtype, dims, 1);
  c->task.in[slot].zero = dtype == MACCEL_U8    ? vt_range(0, 255)
                          : dtype == MACCEL_F32 ? 0
                                                : vt_range(-100, 100);
  c->insn.in[slot] = (uint32_t)slot;
}

static void add_output(vt_case *c, int dtype, const int dims[4]) {
  vt_image(c, &c->task.out[0], &c->out[0], dtype, dims, 1);
  c->task.out[0].zero = dtype == MACCEL_U8 ? vt_range(0, 255) : dtype == MACCEL_F32 ? 0 : vt_range(-100, 100);
  c->insn.out[0] = 0;
  c->insn.i[12] = dtype == MACCEL_U8   ? 0
                  : dtype == MACCEL_S8 ? -128
                                       : -32768,
  c->insn.i[13] = dtype == MACCEL_U8   ? 255
                  : dtype == MACCEL_S8 ? 127
                                       : 32767;
}

static void finish_slots(vt_case *c) {
  c->insn.i[11] = vt_chance(60) ? MX_ACT_NONE : vt_range(0, MX_ACT_COUNT - 1);
  c->insn.f[0] = vt_float(-1.0f, 0.0f), c->insn.f[1] = vt_float(0.0f, 2.0f),
  c->insn.f[3] = vt_chance(40) ? 1.0f : vt_float(0.5f, 40.0f);
  const int channels = c->task.out[0].dims[3];
  if (c->insn.i[11] == MX_ACT_PRELU) vt_constant(c, 4, MACCEL_F32, &channels, 1);
}

static void random_dims(int dims[4]) {
  dims[0] = vt_range(1, 2), dims[1] = vt_range(1, 9), dims[2] = vt_range(1, 12), dims[3] = vt_range(1, 150);
}

/* Two images of the same shape, as residual additions are. */
static void random_addition(vt_case *c) {
  static const int types[] = {MACCEL_U8, MACCEL_S16};
  int dims[4];
  random_dims(dims);
  add_input(c, 0, types[vt_range(0, 1)], dims), add_input(c, 1, types[vt_range(0, 1)], dims),
      add_output(c, types[vt_range(0, 1)], dims);
  c->insn.i[10] = vt_range(0, 2), c->insn.f[4] = vt_float(-1.0f, 1.0f), c->insn.f[5] = vt_float(0.0f, 1.0f);
}

static void random_eltwise(vt_case *c) {
  int dims[4], small[4];
  random_dims(dims);
  memcpy(small, dims, sizeof small);
  for (int d = 0; d < 4; d++)
    if (vt_chance(20)) small[d] = 1;
  add_input(c, 0, any_type(), dims), add_input(c, 1, any_type(), small), add_output(c, any_type(), dims);
  for (int d = 0; d < 4; d++)
    if (small[d] != dims[d]) c->task.in[1].dims[d] = dims[d], c->task.in[1].stride[d] = 0;
  c->insn.i[10] = vt_range(0, MX_ELT_COUNT - 1), c->insn.f[4] = vt_float(0.01f, 1.0f),
  c->insn.f[5] = vt_float(0.01f, 1.0f);
  finish_slots(c);
}

/* An image by a float for each of its channels, or by one for all: from a tensor or a constant, not always numbers. */
static void random_scaling(vt_case *c) {
  static const int types[] = {MACCEL_U8, MACCEL_S8, MACCEL_S16};
  const int constant = vt_chance(40), single = vt_chance(20);
  int dims[4];
  random_dims(dims);
  if (vt_chance(50)) dims[3] = vt_range(1, 12) * 8;
  add_input(c, 0, types[vt_range(0, 2)], dims), add_output(c, types[vt_range(0, 2)], dims);
  const int row[4] = {1, 1, 1, single ? 1 : dims[3]};
  if (constant) {
    vt_constant(c, 5, MACCEL_F32, row, 4);
  } else {
    add_input(c, 1, MACCEL_F32, row);
    for (int d = 0; d < 4; d++)
      if (row[d] != dims[d]) c->task.in[1].dims[d] = dims[d], c->task.in[1].stride[d] = 0;
  }
  float *values = (float *)(constant ? c->constants[5] : (void *)c->task.in[1].data);
  if (vt_chance(20)) values[vt_range(0, row[3] - 1)] = vt_chance(50) ? NAN : INFINITY;
  c->insn.i[10] = vt_range(0, 2), c->insn.f[4] = vt_float(-1.0f, 1.0f), c->insn.f[5] = vt_float(0.0f, 2.0f);
}

static void random_map(vt_case *c) {
  int dims[4];
  random_dims(dims);
  const int table = vt_chance(30);
  add_input(c, 0, table ? MACCEL_U8 : any_type(), dims), add_output(c, table ? MACCEL_U8 : any_type(), dims);
  c->insn.f[4] = vt_float(0.01f, 1.0f);
  if (table) vt_constant(c, 3, MACCEL_U8, (int[]){256}, 1);
  finish_slots(c);
}

/* A copy whose dimensions are in another order on one side, or a table over long rows. */
static void random_order(vt_case *c) {
  static const int orders[][4] = {{0, 3, 1, 2}, {0, 2, 3, 1}, {0, 1, 3, 2}, {0, 2, 1, 3}, {0, 3, 2, 1}};
  const int *order = orders[vt_range(0, 4)], table = vt_chance(20);
  const int dims[4] = {vt_range(1, 2), vt_range(1, 40), vt_chance(40) ? vt_range(2, 4) : vt_range(1, 40),
                       vt_chance(30) ? vt_range(2, 4) : vt_range(1, 70)};
  const int type = table ? MACCEL_U8 : any_type();
  add_input(c, 0, type, dims);
  const mx_view from = c->task.in[0];
  for (int d = 0; d < 4 && !table; d++)
    c->task.in[0].dims[d] = from.dims[order[d]], c->task.in[0].stride[d] = from.stride[order[d]];
  const int32_t *to = c->task.in[0].dims;
  add_output(c, type, (int[]){to[0], to[1], to[2], to[3]});
  c->task.out[0].zero = from.zero;
  if (table) vt_constant(c, 3, MACCEL_U8, (int[]){256}, 1);
}

static void random_pool(vt_case *c) {
  int in[4], out[4];
  int32_t *i = c->insn.i;
  random_dims(in);
  i[0] = vt_range(1, 5), i[1] = vt_range(1, 5), i[2] = vt_range(1, 3), i[3] = vt_range(1, 3), i[8] = i[9] = 1;
  i[4] = vt_range(0, (i[0] - 1) / 2), i[6] = vt_range(0, (i[0] - 1) / 2), i[5] = vt_range(0, (i[1] - 1) / 2),
  i[7] = vt_range(0, (i[1] - 1) / 2);
  in[1] += i[0], in[2] += i[1];
  memcpy(out, in, sizeof out);
  out[1] = (in[1] + i[4] + i[6] - i[0]) / i[2] + 1, out[2] = (in[2] + i[5] + i[7] - i[1]) / i[3] + 1;
  const int kind = vt_range(0, 2), type = any_type();
  add_input(c, 0, type, in), add_output(c, kind == 0 ? type : any_type(), out);
  if (kind == 0) c->task.out[0].zero = c->task.in[0].zero;
  finish_slots(c);
  i[10] = kind, c->insn.f[2] = vt_float(0.1f, 1.0f);
}

static void random_rows(vt_case *c) {
  int dims[4];
  random_dims(dims);
  add_input(c, 0, any_type(), dims), add_output(c, any_type(), dims);
  finish_slots(c);
  c->insn.i[11] = MX_ACT_NONE, c->insn.i[10] = vt_range(0, 1), c->insn.f[4] = vt_float(0.01f, 0.2f),
  c->insn.f[5] = 1e-5f;
  if (c->insn.op != MX_OP_LAYERNORM) return;
  vt_constant(c, 0, MACCEL_F32, &dims[3], 1);
  if (vt_chance(50)) vt_constant(c, 1, MACCEL_F32, &dims[3], 1);
}

static void random_reduce(vt_case *c) {
  int in[4], out[4];
  random_dims(in);
  memcpy(out, in, sizeof out);
  c->insn.i[14] = vt_range(1, 15), c->insn.i[10] = vt_range(0, 3);
  for (int d = 0; d < 4; d++)
    if (c->insn.i[14] >> d & 1) out[d] = 1;
  add_input(c, 0, any_type(), in), add_output(c, any_type(), out);
  finish_slots(c);
  c->insn.f[2] = vt_float(0.01f, 0.3f), c->insn.f[4] = vt_float(0.01f, 1.0f);
}

static void resize_axis(vt_case *c, int slot, int from, int to) {
  int32_t *rows = (int32_t *)vt_constant(c, slot, MACCEL_S32, (int[]){to, 2}, 2);
  float *weights = (float *)vt_constant(c, slot + 1, MACCEL_F32, &to, 1);
  for (int k = 0; k < to; k++)
    rows[2 * k] = vt_range(0, from - 1), rows[2 * k + 1] = vt_range(0, from - 1),
             weights[k] = vt_float(0.0f, 1.0f);
}

static void random_resize(vt_case *c) {
  int in[4], out[4];
  random_dims(in);
  memcpy(out, in, sizeof out);
  out[1] = vt_range(1, 15), out[2] = vt_range(1, 15);
  const int linear = vt_range(0, 1), type = any_type();
  add_input(c, 0, type, in), add_output(c, linear ? any_type() : type, out);
  if (!linear) c->task.out[0].zero = c->task.in[0].zero;
  finish_slots(c);
  c->insn.i[11] = MX_ACT_NONE, c->insn.i[10] = linear, c->insn.f[4] = vt_float(0.01f, 1.0f);
  resize_axis(c, 0, in[1], out[1]), resize_axis(c, 2, in[2], out[2]);
}

/* The last two dimensions change places, as a transposed operand does. */
static void transposed(mx_view *v) {
  const int32_t dim = v->dims[2];
  const int64_t stride = v->stride[2];
  v->dims[2] = v->dims[3], v->stride[2] = v->stride[3], v->dims[3] = dim, v->stride[3] = stride;
}

static void random_factor(vt_case *c, int slot, int batch, int rows, int columns, int turned) {
  add_input(c, slot, MACCEL_F32, (int[]){1, batch, turned ? columns : rows, turned ? rows : columns});
  if (turned) transposed(&c->task.in[slot]);
}

static void random_matmul(vt_case *c) {
  static const int depths[] = {512, 1024};
  const int m = vt_range(1, 30), k = vt_chance(10) ? depths[vt_range(0, 1)] : vt_range(1, 90);
  const int n = vt_range(1, vt_chance(20) ? 300 : 90), batch = vt_range(1, 2);
  random_factor(c, 0, batch, m, k, vt_chance(20)), random_factor(c, 1, batch, k, n, vt_chance(40));
  add_output(c, vt_chance(50) ? MACCEL_F32 : any_type(), (int[]){1, batch, m, n});
  finish_slots(c);
  if (vt_chance(50)) c->insn.i[11] = MX_ACT_NONE;
  if (c->insn.i[11] == MX_ACT_PRELU) c->insn.i[11] = MX_ACT_NONE;
}

static const struct {
  int op;
  void (*make)(vt_case *c);
} makers[] = {
    {MX_OP_ELTWISE, random_eltwise}, {MX_OP_ELTWISE, random_addition}, {MX_OP_ELTWISE, random_scaling},
    {MX_OP_MAP, random_map},         {MX_OP_MAP, random_order},        {MX_OP_POOL, random_pool},
    {MX_OP_SOFTMAX, random_rows},    {MX_OP_LAYERNORM, random_rows},   {MX_OP_REDUCE, random_reduce},
    {MX_OP_RESIZE, random_resize},   {MX_OP_MATMUL, random_matmul}};

static int check_level(const mx_kernel *const *kernels, vt_case *c, int parts, int *ran) {
  const mx_kernel *reference = mx_kernels_scalar(c->insn.op)[0];
  for (; kernels && *kernels; kernels++) {
    if ((*kernels)->accepts && !(*kernels)->accepts(&c->task)) continue;
    ++*ran;
    if (vt_compare(c, reference, *kernels, parts)) {
      printf("op %d kind %d act %d parts %d\n", c->insn.op, c->insn.i[10], c->insn.i[11], parts);
      return 1;
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 800, isa = (int)mx_isa_detected(),
            n = (int)(sizeof makers / sizeof makers[0]);
  int ran = 0;
  if (isa == MX_ISA_SCALAR) return 77;
  for (int k = 0; k < rounds; k++) {
    vt_case c;
    vt_begin(&c, makers[k % n].op);
    c.insn.f[3] = 1.0f, c.insn.f[4] = 1.0f;
    makers[k % n].make(&c);
    const int parts = vt_chance(50) ? 1 : vt_range(2, 5);
    for (int level = 1; level < LEVELS_TABLES; level++)
      if (check_level(levels_table(level, c.insn.op), &c, parts, &ran)) return 1;
    vt_end(&c);
  }
  printf("%d kernel runs agree with the reference\n", ran);
  return 0;
}
