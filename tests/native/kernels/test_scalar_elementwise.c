/* MAP, FILL and ELTWISE against loops over single elements. */
#include "scalar_case.h"

static int random_dtype(void) {
  return PICK(MACCEL_U8, MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_S32, MACCEL_F32, MACCEL_BF16);
}

static int random_dims(int *dims) {
  const int rank = rng_int(&rng, 1, 5);
  for (int d = 0; d < rank; ++d)
    dims[d] = rng_int(&rng, 1, d == rank - 1 && rng_int(&rng, 0, 3) == 0 ? 600 : 7);
  return rank;
}

static void maybe_channel_scales(builder *b, uint32_t tensor) {
  const int dtype = b->tensors[tensor].dtype;
  if (builder_elem(dtype) > 2 || dtype == MACCEL_BF16 || rng_int(&rng, 0, 3)) return;
  const uint32_t c = random_floats(b, b->tensors[tensor].dims[b->tensors[tensor].rank - 1], 0.01f, 0.1f);
  b->tensors[tensor].scale_const = c;
}

static void check_map(const bound *r) {
  const mx_task *t = &r->task;
  int index[MXP_MAX_RANK] = {0};
  do {
    if (t->cst[3] != NULL) {
      CHECK_INT(stored(&t->out[0], index), ((const uint8_t *)t->cst[3])[(int)stored(&t->in[0], index)]);
    } else {
      expect_finished(t, index, deq_of(&t->in[0], index, t->insn->f[4]));
    }
  } while (next_index(t->out[0].rank, t->out[0].dims, index));
}

static void map_converts(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims), from = random_dtype(), to = random_dtype();
    const uint32_t x = random_view(&b, from, rank, dims, 0), y = random_view(&b, to, rank, dims, 0);
    maybe_channel_scales(&b, x);
    mxp_insn *in = builder_insn(&b, MX_OP_MAP);
    in->in[0] = x, in->out[0] = y;
    in->f[4] = rng_float(&rng, 0.01f, 0.09f);
    in->f[3] = rng_int(&rng, 0, 1) ? 1.0f : rng_float(&rng, 1.0f, 9.0f);
    random_clamp(in, 12, to);
    random_act(&b, in, dims[rank - 1]);
    run_all(&b, check_map);
    builder_free(&b);
  }
}

static void check_copy(const bound *r) {
  const mx_task *t = &r->task;
  int index[MXP_MAX_RANK] = {0};
  do {
    CHECK(memcmp(at(&t->out[0], index), at(&t->in[0], index), (size_t)builder_elem(t->in[0].dtype)) == 0);
  } while (next_index(t->out[0].rank, t->out[0].dims, index));
}

static void map_copies_bytes(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims),
              dtype = PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_S32, MACCEL_F32, MACCEL_BF16, MACCEL_S64);
    const uint32_t x = random_view(&b, dtype, rank, dims, 0), y = random_view(&b, dtype, rank, dims, 0);
    b.tensors[y].zero = b.tensors[x].zero;
    maybe_channel_scales(&b, x); /* the scales of a copy do not matter */
    mxp_insn *in = builder_insn(&b, MX_OP_MAP);
    in->in[0] = x, in->out[0] = y;
    run_all(&b, check_copy);
    builder_free(&b);
  }
}

static void map_looks_up(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    uint8_t table[256];
    builder_init(&b);
    for (int k = 0; k < 256; ++k) table[k] = (uint8_t)rng_next(&rng);
    const int rank = random_dims(dims);
    const uint32_t x = random_view(&b, MACCEL_U8, rank, dims, 0),
                   y = random_view(&b, MACCEL_U8, rank, dims, 0);
    const uint32_t c = builder_const(&b, MACCEL_U8, 1, (int[]){256}, table);
    mxp_insn *in = builder_insn(&b, MX_OP_MAP);
    in->in[0] = x, in->out[0] = y, in->cst[3] = c;
    run_all(&b, check_map);
    builder_free(&b);
  }
}

static void check_fill(const bound *r) {
  const mx_task *t = &r->task;
  int index[MXP_MAX_RANK] = {0};
  do {
    const double want = t->out[0].dtype == MACCEL_F32 || t->out[0].dtype == MACCEL_BF16
                            ? (double)t->insn->f[0]
                            : t->insn->i[0];
    CHECK(stored(&t->out[0], index) == want);
  } while (next_index(t->out[0].rank, t->out[0].dims, index));
}

static void fill_sets_every_element(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims), dtype = random_dtype();
    const uint32_t y = random_view(&b, dtype, rank, dims, 0);
    mxp_insn *in = builder_insn(&b, MX_OP_FILL);
    in->out[0] = y;
    in->f[0] = 2.5f;
    in->i[0] = dtype == MACCEL_S32 ? INT_MIN + run : dtype == MACCEL_U8 ? 200 : -100;
    run_all(&b, check_fill);
    builder_free(&b);
  }
}

static float operate(int kind, float a, float b) {
  switch (kind) {
    case MX_ELT_ADD: return a + b;
    case MX_ELT_SUB: return a - b;
    case MX_ELT_MUL: return a * b;
    case MX_ELT_DIV: return a / b;
    case MX_ELT_MAX: return a > b ? a : b;
    case MX_ELT_MIN: return a < b ? a : b;
    default: return mx_pow(a, b);
  }
}

static float const_operand(const mx_task *t, const int *index) {
  const mxp_const *k = &t->cst_info[5];
  int64_t position = 0;
  for (int d = 0; d < k->rank; ++d) position = position * k->dims[d] + (k->dims[d] == 1 ? 0 : index[d]);
  const float v = ((const float *)t->cst[5])[position];
  return t->insn->f[5] == 1.0f ? v : v * t->insn->f[5];
}

static void check_eltwise(const bound *r) {
  const mx_task *t = &r->task;
  int index[MXP_MAX_RANK] = {0};
  do {
    const float a = deq_of(&t->in[0], index, t->insn->f[4]);
    const float b = t->cst[5] ? const_operand(t, index) : deq_of(&t->in[1], index, t->insn->f[5]);
    expect_finished(t, index, operate(t->insn->i[10], a, b));
  } while (next_index(t->out[0].rank, t->out[0].dims, index));
}

static void eltwise_operand(builder *b, mxp_insn *unused, int rank, const int *dims, uint32_t *tensor,
                            uint32_t *constant) {
  (void)unused;
  *tensor = *constant = MXP_NONE;
  if (rng_int(&rng, 0, 1)) {
    *tensor = random_view(b, random_dtype(), rank, dims, 0);
    for (int d = 0; d < rank; ++d) {
      if (rng_int(&rng, 0, 3) == 0) b->tensors[*tensor].stride[d] = 0;
    }
    maybe_channel_scales(b, *tensor);
    return;
  }
  int small[MXP_MAX_RANK], n = 1;
  for (int d = 0; d < rank; ++d) n *= small[d] = rng_int(&rng, 0, 1) ? 1 : dims[d];
  float *v = malloc((size_t)n * sizeof *v);
  for (int k = 0; k < n; ++k) v[k] = rng_float(&rng, -3.0f, 3.0f);
  *constant = builder_const(b, MACCEL_F32, rank, small, v);
  free(v);
}

static void eltwise_combines(void) {
  for (int run = 0; run < 2 * RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    uint32_t second, constant;
    builder_init(&b);
    const int rank = random_dims(dims), to = random_dtype();
    const uint32_t x = random_view(&b, random_dtype(), rank, dims, 0), y = random_view(&b, to, rank, dims, 0);
    maybe_channel_scales(&b, x);
    eltwise_operand(&b, NULL, rank, dims, &second, &constant);
    mxp_insn *in = builder_insn(&b, MX_OP_ELTWISE);
    in->in[0] = x, in->in[1] = second, in->cst[5] = constant, in->out[0] = y;
    in->i[10] = rng_int(&rng, 0, MX_ELT_COUNT - 1);
    in->f[3] = rng_int(&rng, 0, 1) ? 1.0f : 3.5f;
    in->f[4] = rng_float(&rng, 0.01f, 0.09f);
    in->f[5] = rng_int(&rng, 0, 1) ? 1.0f : rng_float(&rng, 0.01f, 0.09f);
    random_clamp(in, 12, to);
    random_act(&b, in, dims[rank - 1]);
    run_all(&b, check_eltwise);
    builder_free(&b);
  }
}

int main(void) {
  map_converts();
  map_copies_bytes();
  map_looks_up();
  fill_sets_every_element();
  eltwise_combines();
  return 0;
}
