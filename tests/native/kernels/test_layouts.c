/* The operations that are not convolutions, in random shapes, types and layouts: dimensions in any order in memory, gaps,
 * broadcasts, channel scales, in 1 to 4 parts run forwards and backwards. Every level gives the bits of the plain
 * kernel, reads nothing behind the slack of the arena and leaves every byte alone that is no output's. */
#include "../common/levels.h"

static test_rng rng = {0x2545f4914f6cdd1du};
static builder b;

enum { RUNS = 250 };

static int pick(const int *values, int n) { return values[rng_int(&rng, 0, n - 1)]; }
static const int all_types[] = {MACCEL_U8,  MACCEL_S8,   MACCEL_S16, MACCEL_S32,
                                MACCEL_F32, MACCEL_BF16, MACCEL_S64};
static int any_type(void) { return pick(all_types, 7); }

static int zero_of(int dtype) {
  if (dtype == MACCEL_U8) return rng_int(&rng, 0, 255);
  if (dtype == MACCEL_S8) return rng_int(&rng, -128, 127);
  return dtype == MACCEL_S16 ? rng_int(&rng, -300, 300) : 0;
}

static uint32_t floats(int n, float lo, float hi) {
  float *v = malloc((size_t)n * sizeof *v);
  CHECK(v != NULL);
  for (int k = 0; k < n; ++k) v[k] = rng_float(&rng, lo, hi);
  const uint32_t c = builder_const(&b, MACCEL_F32, 1, &n, v);
  free(v);
  return c;
}

/* A view with its dimensions in random order in memory and gaps behind some of them. `dense` of the last ones stay
 * where they are; inputs may be broadcast. */
static uint32_t view(int dtype, int rank, const int *dims, int dense, int is_input) {
  int order[MXP_MAX_RANK];
  int64_t stride[MXP_MAX_RANK] = {0}, step = builder_elem(dtype);
  for (int d = 0; d < rank; ++d) order[d] = d;
  for (int d = 0; d < rank - dense; ++d) {
    const int other = rng_int(&rng, d, rank - dense - 1), swap = order[d];
    order[d] = order[other], order[other] = swap;
  }
  for (int d = rank - 1; d >= 0; --d) {
    stride[order[d]] = step;
    step *= dims[order[d]];
    if (d < rank && rng_int(&rng, 0, 3) == 0) step += builder_elem(dtype) * rng_int(&rng, 1, 5);
  }
  for (int d = 0; is_input && d < rank - dense; ++d) {
    if (rng_int(&rng, 0, 4) == 0) stride[d] = 0;
  }
  const uint64_t at = (b.head.arena_bytes + 7) & ~(uint64_t)7;
  const uint32_t t = builder_view(&b, dtype, rank, dims, stride, at, 1.0f, zero_of(dtype));
  if (is_input && builder_elem(dtype) <= 2 && dtype != MACCEL_BF16 && rng_int(&rng, 0, 4) == 0) {
    const uint32_t scales = floats(dims[rank - 1], 0.1f, 1.5f);
    b.tensors[t].scale_const = scales;
  }
  return t;
}

static int random_dims(int *dims, int longest) {
  const int rank = rng_int(&rng, 1, 6);
  for (int d = 0; d < rank; ++d) dims[d] = rng_int(&rng, 1, rank > 3 ? 4 : 9);
  if (rng_int(&rng, 0, 1)) dims[rng_int(&rng, 0, rank - 1)] = rng_int(&rng, 1, rank > 4 ? 40 : longest);
  return rank;
}

static void clamp_of(mxp_insn *in, int dtype) {
  in->i[12] = range_lo(dtype), in->i[13] = range_hi(dtype);
  if (builder_elem(dtype) == 1 && rng_int(&rng, 0, 1)) in->i[12] += 30, in->i[13] -= 20;
}

static void act_of(mxp_insn *in, uint32_t slopes) {
  in->i[11] = rng_int(&rng, 0, 2) ? MX_ACT_NONE : rng_int(&rng, 0, MX_ACT_COUNT - 1);
  in->f[0] = 0.25f, in->f[1] = 0.75f;
  if (in->i[11] == MX_ACT_PRELU) in->cst[4] = slopes;
}

static void multipliers_of(mxp_insn *in) {
  if (rng_int(&rng, 0, 1)) in->f[3] = rng_float(&rng, 0.5f, 20.0f);
  if (rng_int(&rng, 0, 1)) in->f[4] = rng_float(&rng, 0.01f, 2.0f);
  if (rng_int(&rng, 0, 1)) in->f[5] = rng_float(&rng, 0.01f, 2.0f);
}

static void finish(void) {
  levels_agree(&b, &rng, 4);
  builder_free(&b);
}

static void elementwise(int op) {
  int dims[MXP_MAX_RANK];
  builder_init(&b);
  const int rank = random_dims(dims, 600), to = any_type(), last = dims[rank - 1];
  const uint32_t x = view(any_type(), rank, dims, 0, 1), z = view(any_type(), rank, dims, 0, 1);
  const uint32_t y = view(to, rank, dims, 0, 0), slopes = floats(last, -1, 1);
  mxp_insn *in = builder_insn(&b, op);
  in->in[0] = x, in->out[0] = y;
  if (op == MX_OP_ELTWISE) in->in[1] = z, in->i[10] = rng_int(&rng, 0, MX_ELT_COUNT - 1);
  clamp_of(in, to), act_of(in, slopes), multipliers_of(in);
  finish();
}

static void constant_operand(void) {
  int dims[MXP_MAX_RANK], operand[MXP_MAX_RANK], n = 1;
  builder_init(&b);
  const int rank = random_dims(dims, 300), to = any_type();
  for (int d = 0; d < rank; ++d) n *= operand[d] = rng_int(&rng, 0, 1) ? dims[d] : 1;
  const uint32_t x = view(any_type(), rank, dims, 0, 1), y = view(to, rank, dims, 0, 0), c = floats(n, -3, 3);
  b.consts[c].rank = (uint8_t)rank;
  for (int d = 0; d < rank; ++d) b.consts[c].dims[d] = operand[d];
  mxp_insn *in = builder_insn(&b, MX_OP_ELTWISE);
  in->in[0] = x, in->out[0] = y, in->cst[5] = c;
  in->i[10] = rng_int(&rng, 0, MX_ELT_COUNT - 1);
  clamp_of(in, to), multipliers_of(in);
  finish();
}

/* Bytes that move as they are: same type, or through a table. */
static void moves(int with_table) {
  int dims[MXP_MAX_RANK];
  uint8_t table[256];
  for (int k = 0; k < 256; ++k) table[k] = (uint8_t)rng_next(&rng);
  builder_init(&b);
  const int rank = random_dims(dims, 600), type = with_table ? MACCEL_U8 : any_type();
  const uint32_t x = view(type, rank, dims, 0, 1), y = view(type, rank, dims, 0, 0);
  b.tensors[x].scale_const = MXP_NONE;
  b.tensors[y].zero = b.tensors[x].zero;
  const uint32_t c = builder_const(&b, MACCEL_U8, 1, (int[]){256}, table);
  mxp_insn *in = builder_insn(&b, MX_OP_MAP);
  in->in[0] = x, in->out[0] = y;
  if (with_table) in->cst[3] = c;
  clamp_of(in, type);
  finish();
}

static void fill(void) {
  int dims[MXP_MAX_RANK];
  builder_init(&b);
  const int rank = random_dims(dims, 600), to = any_type();
  const uint32_t y = view(to, rank, dims, 0, 0);
  mxp_insn *in = builder_insn(&b, MX_OP_FILL);
  in->out[0] = y, in->i[0] = to == MACCEL_U8 ? 200 : -100, in->f[0] = -1.25f;
  finish();
}

static void rows(int op) {
  int dims[MXP_MAX_RANK], ones[MXP_MAX_RANK];
  builder_init(&b);
  const int rank = random_dims(dims, 700), quantised = op == MX_OP_DYNQUANT;
  const int to = quantised ? pick((int[]){MACCEL_U8, MACCEL_S8}, 2) : any_type(), last = dims[rank - 1];
  memcpy(ones, dims, sizeof ones);
  ones[rank - 1] = 1;
  const uint32_t x = view(quantised ? MACCEL_F32 : any_type(), rank, dims, 0, 1),
                 y = view(to, rank, dims, 0, 0);
  const uint32_t s = view(MACCEL_F32, rank, ones, 0, 0), weight = floats(last, -1, 1),
                 bias = floats(last, -1, 1);
  const uint32_t mask = view(MACCEL_F32, rank, dims, 0, 1);
  mxp_insn *in = builder_insn(&b, op);
  in->in[0] = x, in->out[0] = y;
  if (quantised) in->out[1] = s;
  if (op == MX_OP_SOFTMAX && rng_int(&rng, 0, 1)) in->in[1] = mask;
  if (quantised && rng_int(&rng, 0, 1)) in->cst[0] = weight;
  in->i[10] = to == MACCEL_S8 && quantised ? 0 : rng_int(&rng, 0, 1);
  clamp_of(in, to), multipliers_of(in);
  if (quantised) in->f[0] = -0.25f;
  if (op == MX_OP_LAYERNORM && rng_int(&rng, 0, 1)) in->cst[0] = weight;
  if (op == MX_OP_LAYERNORM && rng_int(&rng, 0, 1)) in->cst[1] = bias;
  finish();
}

static void reduce(void) {
  int dims[MXP_MAX_RANK], left[MXP_MAX_RANK];
  builder_init(&b);
  const int rank = random_dims(dims, 500), to = any_type(), mask = rng_int(&rng, 1, (1 << rank) - 1);
  int count = 1;
  for (int d = 0; d < rank; ++d) left[d] = mask >> d & 1 ? 1 : dims[d], count *= mask >> d & 1 ? dims[d] : 1;
  const uint32_t x = view(any_type(), rank, dims, 0, 1), y = view(to, rank, left, 0, 0),
                 slopes = floats(left[rank - 1], -1, 1);
  mxp_insn *in = builder_insn(&b, MX_OP_REDUCE);
  in->in[0] = x, in->out[0] = y;
  in->i[10] = rng_int(&rng, 0, 3), in->i[14] = mask, in->f[2] = 1.0f / (float)count;
  clamp_of(in, to), act_of(in, slopes), multipliers_of(in);
  finish();
}

static void product(void) {
  int dims[MXP_MAX_RANK], a[MXP_MAX_RANK], z[MXP_MAX_RANK];
  builder_init(&b);
  int rank = random_dims(dims, 70);
  if (rank == 1) dims[rank++] = rng_int(&rng, 1, 40);
  memcpy(a, dims, sizeof a);
  memcpy(z, dims, sizeof z);
  a[rank - 1] = z[rank - 2] = rng_int(&rng, 1, 70);
  const int to = any_type();
  const uint32_t x = view(MACCEL_F32, rank, a, 0, 1), w = view(MACCEL_F32, rank, z, 0, 1),
                 y = view(to, rank, dims, 0, 0);
  mxp_insn *in = builder_insn(&b, MX_OP_MATMUL);
  in->in[0] = x, in->in[1] = w, in->out[0] = y;
  clamp_of(in, to);
  finish();
}

static void pool(void) {
  static const int maxima[] = {MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_S32, MACCEL_F32, MACCEL_BF16};
  static const int means[] = {MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32, MACCEL_BF16};
  const int kind = rng_int(&rng, 0, 2), from = kind ? pick(means, 5) : pick(maxima, 6),
            to = kind ? any_type() : from;
  const int k = rng_int(&rng, 1, 4), stride = rng_int(&rng, 1, 3), pad = rng_int(&rng, 0, k - 1);
  const int dilation = pad ? 1 : rng_int(&rng, 1, 2), side = rng_int(&rng, 8, 13), c = rng_int(&rng, 1, 70);
  const int out = (side + 2 * pad - dilation * (k - 1) - 1) / stride + 1;
  builder_init(&b);
  const uint32_t x = view(from, 4, (int[]){2, side, side, c}, 1, 1),
                 y = view(to, 4, (int[]){2, out, out, c}, 1, 0);
  const uint32_t slopes = floats(c, -1, 1);
  b.tensors[x].scale_const = MXP_NONE;
  if (!kind) b.tensors[y].zero = b.tensors[x].zero;
  mxp_insn *in = builder_insn(&b, MX_OP_POOL);
  in->in[0] = x, in->out[0] = y;
  builder_window(in, k, k, stride, pad, dilation);
  in->i[10] = kind;
  clamp_of(in, to);
  if (kind) act_of(in, slopes), in->f[2] = 0.5f;
  finish();
}

static void resize(void) {
  const int kind = rng_int(&rng, 0, 1), from = any_type(), to = kind ? any_type() : from,
            c = rng_int(&rng, 1, 300);
  const int in_dims[4] = {rng_int(&rng, 1, 2), rng_int(&rng, 1, 6), rng_int(&rng, 1, 6), c};
  const int out_dims[4] = {in_dims[0], rng_int(&rng, 1, 7), rng_int(&rng, 1, 7), c};
  builder_init(&b);
  const uint32_t x = view(from, 4, in_dims, 1, 1), y = view(to, 4, out_dims, 1, 0);
  b.tensors[x].scale_const = MXP_NONE;
  uint32_t sources[2], weights[2];
  for (int axis = 0; axis < 2; ++axis) {
    int32_t list[14];
    for (int k = 0; k < 14; ++k) list[k] = rng_int(&rng, 0, in_dims[1 + axis] - 1);
    sources[axis] = builder_const(&b, MACCEL_S32, 2, (int[]){out_dims[1 + axis], 2}, list);
    weights[axis] = floats(out_dims[1 + axis], 0, 1);
  }
  mxp_insn *in = builder_insn(&b, MX_OP_RESIZE);
  in->in[0] = x, in->out[0] = y, in->i[10] = kind;
  in->cst[0] = sources[0], in->cst[2] = sources[1];
  if (kind) in->cst[1] = weights[0], in->cst[3] = weights[1], multipliers_of(in);
  clamp_of(in, to);
  finish();
}

/* Indices beyond both ends of the table are held at its ends. */
static void gather(void) {
  int dims[MXP_MAX_RANK], out[MXP_MAX_RANK];
  int8_t table[11 * 300];
  builder_init(&b);
  int rank = random_dims(dims, 50);
  if (rank == MXP_MAX_RANK) rank--;
  const int width = rng_int(&rng, 1, 300), narrow = rng_int(&rng, 0, 1), to = any_type();
  memcpy(out, dims, sizeof out);
  out[rank] = width;
  for (int k = 0; k < 11 * 300; ++k) table[k] = (int8_t)rng_next(&rng);
  const uint32_t x = view(MACCEL_S32, rank, dims, 0, 1), y = view(to, rank + 1, out, 0, 0);
  const uint32_t wide = floats(11 * width, -9, 9), scales = floats(11, 0.1f, 1);
  b.consts[wide].rank = 2, b.consts[wide].dims[0] = 11, b.consts[wide].dims[1] = width;
  const uint32_t small = builder_const(&b, MACCEL_S8, 2, (int[]){11, width}, table);
  mxp_insn *in = builder_insn(&b, MX_OP_GATHER);
  in->in[0] = x, in->out[0] = y;
  in->cst[0] = narrow ? small : wide;
  if (narrow) in->cst[2] = scales;
  clamp_of(in, to);
  finish();
}

int main(void) {
  for (int k = 0; k < RUNS; ++k) {
    elementwise(MX_OP_ELTWISE);
    elementwise(MX_OP_MAP);
    constant_operand();
    moves(k & 1);
    fill();
    rows(MX_OP_SOFTMAX), rows(MX_OP_LAYERNORM), rows(MX_OP_DYNQUANT);
    reduce();
    product();
    pool();
    resize();
    gather();
  }
  return 0;
}
