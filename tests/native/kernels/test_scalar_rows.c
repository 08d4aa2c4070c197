/* SOFTMAX, LAYERNORM, DYNQUANT, REDUCE and MATMUL against loops over single elements in the order of mxq.h. */
#include "scalar_case.h"

static int random_dims(int *dims, int least) {
  const int rank = rng_int(&rng, least, 4);
  for (int d = 0; d < rank; ++d) dims[d] = rng_int(&rng, 1, 6);
  dims[rank - 1] = PICK(1, 5, 16, 17, 40, 300);
  return rank;
}

static int wide_or_narrow(void) {
  return PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32, MACCEL_F32, MACCEL_BF16);
}

static float sum_of(const float *v, int n) {
  float s[16] = {0};
  for (int k = 0; k < n; ++k) s[k % 16] = s[k % 16] + v[k];
  return tree16(s);
}

static void load_row(const mx_task *t, const int *index, float *v) {
  int from[MXP_MAX_RANK];
  const int last = t->in[0].rank - 1;
  memcpy(from, index, sizeof from);
  for (int k = 0; k < t->in[0].dims[last]; ++k) {
    from[last] = k;
    v[k] = deq_of(&t->in[0], from, t->insn->f[4]);
    if (t->in[1].data != NULL) v[k] = v[k] + (float)stored(&t->in[1], from);
  }
}

static void check_softmax(const bound *r) {
  const mx_task *t = &r->task;
  const int n = t->in[0].dims[t->in[0].rank - 1];
  float *v = malloc((size_t)n * 4), *e = malloc((size_t)n * 4);
  int index[MXP_MAX_RANK] = {0};
  do {
    load_row(t, index, v);
    float most = v[0];
    for (int k = 0; k < n; ++k) most = v[k] > most ? v[k] : most;
    for (int k = 0; k < n; ++k) e[k] = mx_exp(v[k] - most);
    const float sum = sum_of(e, n);
    const int k = index[t->in[0].rank - 1];
    const float want = t->insn->i[10] ? (v[k] - most) - mx_log(sum) : e[k] * (1.0f / sum);
    expect(&t->out[0], index, want * t->insn->f[3], t->insn->i[12], t->insn->i[13]);
  } while (next_index(t->out[0].rank, t->out[0].dims, index));
  free(v);
  free(e);
}

static void check_layernorm(const bound *r) {
  const mx_task *t = &r->task;
  const int n = t->in[0].dims[t->in[0].rank - 1];
  float *v = malloc((size_t)n * 4), *q = malloc((size_t)n * 4);
  int index[MXP_MAX_RANK] = {0};
  do {
    load_row(t, index, v);
    const float inverse = 1.0f / (float)n, mean = t->insn->i[10] ? 0.0f : sum_of(v, n) * inverse;
    for (int k = 0; k < n; ++k) v[k] = v[k] - mean;
    for (int k = 0; k < n; ++k) q[k] = v[k] * v[k];
    const int k = index[t->in[0].rank - 1];
    float want = v[k] * (1.0f / sqrtf(sum_of(q, n) * inverse + t->insn->f[5]));
    if (t->cst[0]) want = want * ((const float *)t->cst[0])[k];
    if (t->cst[1]) want = want + ((const float *)t->cst[1])[k];
    expect(&t->out[0], index, want * t->insn->f[3], t->insn->i[12], t->insn->i[13]);
  } while (next_index(t->out[0].rank, t->out[0].dims, index));
  free(v);
  free(q);
}

static void rows_are_normalised(int op, void (*check)(const bound *)) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims, 1), to = PICK(MACCEL_U8, MACCEL_S16, MACCEL_F32);
    const uint32_t x = random_view(&b, wide_or_narrow(), rank, dims, 0),
                   y = random_view(&b, to, rank, dims, 0), mask = random_view(&b, MACCEL_F32, rank, dims, 0);
    const uint32_t weight = random_floats(&b, dims[rank - 1], -2.0f, 2.0f),
                   bias = random_floats(&b, dims[rank - 1], -2.0f, 2.0f);
    mxp_insn *in = builder_insn(&b, op);
    in->in[0] = x, in->out[0] = y, in->i[10] = rng_int(&rng, 0, 1);
    in->f[3] = to == MACCEL_F32 ? 1.0f : 100.0f, in->f[4] = 0.05f, in->f[5] = 1e-5f;
    if (op == MX_OP_SOFTMAX && rng_int(&rng, 0, 1)) in->in[1] = mask;
    if (op == MX_OP_LAYERNORM && rng_int(&rng, 0, 1)) in->cst[0] = weight;
    if (op == MX_OP_LAYERNORM && rng_int(&rng, 0, 1)) in->cst[1] = bias;
    random_clamp(in, 12, to);
    run_all(&b, check);
    builder_free(&b);
  }
}

/* x times the multiplier of its column, if there is one. */
static float column_of(const mx_task *t, int column, float x) {
  const float *columns = t->cst[0];
  if (t->insn->i[10]) x = x - t->insn->f[0];
  return columns == NULL ? x : x * columns[column];
}

static void check_dynquant(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int positive = t->insn->i[10];
  const float top = positive ? 255.0f : 127.0f;
  int index[MXP_MAX_RANK] = {0};
  do {
    int from[MXP_MAX_RANK];
    float most = 0.0f;
    memcpy(from, index, sizeof from);
    for (from[x->rank - 1] = 0; from[x->rank - 1] < x->dims[x->rank - 1]; ++from[x->rank - 1]) {
      const float v = column_of(t, from[x->rank - 1], (float)stored(x, from));
      most = fmaxf(most, positive ? v : fabsf(v));
    }
    const float s = most / top == 0.0f ? 1.0f : most / top;
    from[x->rank - 1] = 0;
    CHECK((float)stored(&t->out[1], from) == s);
    const double q =
        fmin(fmax(nearbyint((double)(column_of(t, index[x->rank - 1], (float)stored(x, index)) / s)),
                  positive ? 0.0 : -127.0),
             (double)top);
    CHECK(stored(o, index) == q + (o->dtype == MACCEL_U8 && !positive ? 128 : 0));
  } while (next_index(o->rank, o->dims, index));
}

static void rows_are_quantised(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims, 1);
    const uint32_t x = random_view(&b, MACCEL_F32, rank, dims, 0);
    const int to = PICK(MACCEL_U8, MACCEL_S8);
    const uint32_t y = random_view(&b, to, rank, dims, 0);
    const int width = dims[rank - 1];
    dims[rank - 1] = 1;
    const uint32_t s = random_view(&b, MACCEL_F32, rank, dims, 0);
    const uint32_t columns = random_floats(&b, width, -2.0f, 2.0f);
    mxp_insn *in = builder_insn(&b, MX_OP_DYNQUANT);
    in->in[0] = x, in->out[0] = y, in->out[1] = s;
    if (rng_int(&rng, 0, 1)) in->cst[0] = columns;
    in->i[10] = to == MACCEL_U8 && rng_int(&rng, 0, 1), in->f[0] = -0.5f;
    run_all(&b, check_dynquant);
    builder_free(&b);
  }
}

static void check_reduce(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int kind = t->insn->i[10], mask = t->insn->i[14];
  int index[MXP_MAX_RANK] = {0};
  do {
    float s[16] = {0}, most = 0.0f;
    int from[MXP_MAX_RANK] = {0}, count = 0;
    do {
      int wanted = 1;
      for (int d = 0; d < x->rank; ++d) wanted = wanted && ((mask >> d & 1) || from[d] == index[d]);
      if (!wanted) continue;
      const float v = deq_of(x, from, t->insn->f[4]);
      s[count % 16] = s[count % 16] + v;
      if (count == 0 || (kind == 2 ? v > most : v < most)) most = v;
      ++count;
    } while (next_index(x->rank, x->dims, from));
    float v = kind < 2 ? tree16(s) : most;
    if (kind == 1) v = v * t->insn->f[2];
    expect_finished(t, index, v);
  } while (next_index(o->rank, o->dims, index));
}

static void dimensions_are_reduced(void) {
  for (int run = 0; run < RUNS / 3; ++run) {
    builder b;
    int dims[MXP_MAX_RANK], out[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims, 1), to = PICK(MACCEL_U8, MACCEL_S16, MACCEL_F32);
    const int mask = rng_int(&rng, 1, (1 << rank) - 1);
    for (int d = 0; d < rank; ++d) out[d] = (mask >> d & 1) ? 1 : dims[d];
    const uint32_t x = random_view(&b, wide_or_narrow(), rank, dims, 0),
                   y = random_view(&b, to, rank, out, 0);
    mxp_insn *in = builder_insn(&b, MX_OP_REDUCE);
    in->in[0] = x, in->out[0] = y, in->i[10] = rng_int(&rng, 0, 3), in->i[14] = mask;
    in->f[2] = 0.125f, in->f[4] = 0.05f, in->f[3] = 2.0f;
    random_act(&b, in, out[rank - 1]);
    random_clamp(in, 12, to);
    run_all(&b, check_reduce);
    builder_free(&b);
  }
}

static void check_matmul(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *a = &t->in[0], *b = &t->in[1], *o = &t->out[0];
  const int last = o->rank - 1;
  int index[MXP_MAX_RANK] = {0};
  do {
    float s = 0.0f;
    int left[MXP_MAX_RANK], right[MXP_MAX_RANK];
    memcpy(left, index, sizeof left);
    memcpy(right, index, sizeof right);
    for (int k = 0; k < a->dims[last]; ++k) {
      left[last] = right[last - 1] = k;
      s = fmaf((float)stored(a, left), (float)stored(b, right), s);
    }
    expect_finished(t, index, s);
  } while (next_index(o->rank, o->dims, index));
}

static void matrices_are_multiplied(void) {
  for (int run = 0; run < RUNS / 3; ++run) {
    builder b;
    int dims[MXP_MAX_RANK];
    builder_init(&b);
    const int rank = random_dims(dims, 2), to = PICK(MACCEL_U8, MACCEL_S16, MACCEL_F32);
    const int m = rng_int(&rng, 1, 5), k = PICK(1, 7, 16, 33, 64), n = PICK(1, 9, 32, 50);
    dims[rank - 2] = m, dims[rank - 1] = k;
    const uint32_t x = random_view(&b, MACCEL_F32, rank, dims, 0);
    dims[rank - 2] = k, dims[rank - 1] = n;
    const uint32_t w = random_view(&b, MACCEL_F32, rank, dims, rng_int(&rng, 0, 1) ? 1 : 0);
    for (int d = 0; d < rank - 2; ++d) {
      if (rng_int(&rng, 0, 2) == 0) b.tensors[w].stride[d] = 0;
    }
    dims[rank - 2] = m;
    const uint32_t y = random_view(&b, to, rank, dims, 0);
    mxp_insn *in = builder_insn(&b, MX_OP_MATMUL);
    in->in[0] = x, in->in[1] = w, in->out[0] = y;
    in->f[0] = -3.0f, in->f[1] = 9.0f, in->f[3] = 1.5f;
    in->i[11] = PICK(MX_ACT_NONE, MX_ACT_CLAMP);
    random_clamp(in, 12, to);
    run_all(&b, check_matmul);
    builder_free(&b);
  }
}

int main(void) {
  rows_are_normalised(MX_OP_SOFTMAX, check_softmax);
  rows_are_normalised(MX_OP_LAYERNORM, check_layernorm);
  rows_are_quantised();
  dimensions_are_reduced();
  matrices_are_multiplied();
  return 0;
}
