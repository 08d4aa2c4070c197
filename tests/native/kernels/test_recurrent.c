/* RECURRENT against loops over single units in the order of mxq.h, on every level and in parts; what its gates lose against
 * double precision. */
#include "../common/levels.h"
#include "scalar_case.h"

enum { MOST = 600 };

static const int gate_counts[] = {1, 4, 3, 3};

static float weight_of(const mx_task *t, int64_t at) {
  switch (t->cst_info[0].dtype) {
    case MACCEL_S8: return (float)((const int8_t *)t->cst[0])[at];
    case MACCEL_BF16: return mx_bf16_load(((const uint16_t *)t->cst[0])[at]);
    default: return ((const float *)t->cst[0])[at];
  }
}

/* p[j] of direction d, where the last state is h */
static float product(const mx_task *t, int d, int j, const float *h) {
  const int units = t->out[0].dims[3], columns = t->in[0].dims[3];
  float sum = 0.0f;
  for (int k = 0; k < units; ++k) sum = fmaf(h[k], weight_of(t, ((int64_t)d * columns + j) * units + k), sum);
  return t->cst[2] ? sum * ((const float *)t->cst[2])[d * columns + j] : sum;
}

static float element(const mx_view *v, int d, int s, int b, int k) {
  return (float)stored(v, (int[]){d, s, b, k});
}

static float state(const mx_view *v, int d, int b, int u) {
  return v->rank ? (float)stored(v, (int[]){d, b, u}) : 0.0f;
}

typedef struct row {
  const mx_task *t;
  int d, s, b, units;
  float h[MOST], c[MOST];
} row;

static float gate(const row *r, int g, int u) {
  const int j = g * r->units + u;
  return element(&r->t->in[0], r->d, r->s, r->b, j) + product(r->t, r->d, j, r->h);
}

static float next_gru(const row *r, int u, const float *resets) {
  const int linear = r->t->insn->i[10] == MX_RECURRENT_GRU_LINEAR, j = 2 * r->units + u;
  const float z = mx_sigmoid(gate(r, 0, u)), x = element(&r->t->in[0], r->d, r->s, r->b, j);
  float p;
  if (linear) {
    const float biased = product(r->t, r->d, j, r->h) + ((const float *)r->t->cst[1])[r->d * r->units + u];
    p = resets[u] * biased;
  } else {
    float reset[MOST];
    for (int k = 0; k < r->units; ++k) reset[k] = resets[k] * r->h[k];
    p = product(r->t, r->d, j, reset);
  }
  const float fresh = (1.0f - z) * mx_tanh(x + p), kept = z * r->h[u];
  return fresh + kept;
}

static float next_lstm(row *r, int u) {
  const float kept = mx_sigmoid(gate(r, 2, u)) * r->c[u],
              added = mx_sigmoid(gate(r, 0, u)) * mx_tanh(gate(r, 3, u));
  r->c[u] = kept + added;
  return mx_sigmoid(gate(r, 1, u)) * mx_tanh(r->c[u]);
}

static void check_step(row *r) {
  float h[MOST], resets[MOST];
  const mxp_insn *in = r->t->insn;
  if (in->i[10] >= MX_RECURRENT_GRU)
    for (int u = 0; u < r->units; ++u) resets[u] = mx_sigmoid(gate(r, 1, u));
  for (int u = 0; u < r->units; ++u) {
    if (in->i[10] == MX_RECURRENT_RNN)
      h[u] = mx_act(in->i[11], gate(r, 0, u), in->f[0], in->f[1], 0.0f);
    else
      h[u] = in->i[10] == MX_RECURRENT_LSTM ? next_lstm(r, u) : next_gru(r, u, resets);
    expect(&r->t->out[0], (int[]){r->d, r->s, r->b, u}, h[u], 0, 0);
  }
  memcpy(r->h, h, sizeof h);
}

static void check(const bound *r0) {
  const mx_task *t = &r0->task;
  const mx_view *y = &t->out[0];
  row r = {.t = t, .units = y->dims[3]};
  for (r.d = 0; r.d < y->dims[0]; ++r.d)
    for (r.b = 0; r.b < y->dims[2]; ++r.b) {
      for (int u = 0; u < r.units; ++u) {
        r.h[u] = state(&t->in[1], r.d, r.b, u);
        r.c[u] = state(&t->in[2], r.d, r.b, u);
      }
      for (int k = 0; k < y->dims[1]; ++k) {
        r.s = t->insn->i[0] >> r.d & 1 ? y->dims[1] - 1 - k : k;
        check_step(&r);
      }
      for (int u = 0; t->out[1].rank && u < r.units; ++u)
        expect(&t->out[1], (int[]){r.d, r.b, u, 0}, r.c[u], 0, 0);
    }
}

static uint32_t random_weights(builder *b, int dtype, const int *dims) {
  const int64_t n = (int64_t)dims[0] * dims[1] * dims[2];
  uint8_t *w = malloc((size_t)n * (size_t)builder_elem(dtype));
  CHECK(w != NULL);
  for (int64_t k = 0; k < n; ++k) {
    const float v = rng_float(&rng, -1.0f, 1.0f) / sqrtf((float)dims[2]);
    if (dtype == MACCEL_F32) memcpy(w + 4 * k, &v, 4);
    if (dtype == MACCEL_BF16) memcpy(w + 2 * k, (const uint8_t *)&v + 2, 2);
    if (dtype == MACCEL_S8) w[k] = (uint8_t)rng_next(&rng);
  }
  const uint32_t c = builder_const(b, dtype, 3, dims, w);
  free(w);
  return c;
}

static uint32_t random_table(builder *b, int rows, int columns, float lo, float hi) {
  const uint32_t c = random_floats(b, rows * columns, lo, hi);
  b->consts[c].rank = 2, b->consts[c].dims[0] = rows, b->consts[c].dims[1] = columns;
  return c;
}

/* [D][T][B][H]; an output is inside a layout [B][T][D][H] or [T][D][B][H] as often as not. */
static void random_recurrence(builder *b, const int dims[4], int kind, int dtype) {
  const int gates = gate_counts[kind], units = dims[3];
  const int state_dims[3] = {dims[0], dims[2], units}, sums[4] = {dims[0], dims[1], dims[2], gates * units};
  const uint32_t x = random_view(b, MACCEL_F32, 4, sums, 1);
  uint32_t h = MXP_NONE, c = MXP_NONE, last = MXP_NONE;
  if (rng_int(&rng, 0, 1)) h = random_view(b, MACCEL_F32, 3, state_dims, 1);
  if (kind == MX_RECURRENT_LSTM && rng_int(&rng, 0, 1)) c = random_view(b, MACCEL_F32, 3, state_dims, 1);
  const uint32_t y = random_view(b, MACCEL_F32, 4, dims, 1);
  if (kind == MX_RECURRENT_LSTM && rng_int(&rng, 0, 1)) last = random_view(b, MACCEL_F32, 3, state_dims, 1);
  const uint32_t weights = random_weights(b, dtype, (int[]){dims[0], gates * units, units});
  const uint32_t bias =
      kind == MX_RECURRENT_GRU_LINEAR ? random_table(b, dims[0], units, -1.0f, 1.0f) : MXP_NONE;
  const uint32_t scale = dtype == MACCEL_S8 || rng_int(&rng, 0, 3) == 0
                             ? random_table(b, dims[0], gates * units, 0.0f, 0.02f)
                             : MXP_NONE;
  mxp_insn *in = builder_insn(b, MX_OP_RECURRENT);
  in->in[0] = x, in->in[1] = h, in->in[2] = c;
  in->out[0] = y, in->out[1] = last;
  in->cst[0] = weights, in->cst[1] = bias, in->cst[2] = scale;
  in->i[0] = rng_int(&rng, 0, 3), in->i[10] = kind;
  if (kind == MX_RECURRENT_RNN) {
    in->i[11] = PICK(MX_ACT_TANH, MX_ACT_SIGMOID, MX_ACT_CLAMP);
    in->f[0] = in->i[11] == MX_ACT_CLAMP ? 0.0f : 0.1f, in->f[1] = INFINITY;
    if (in->i[11] != MX_ACT_CLAMP) in->f[1] = 0.0f;
  }
}

static void random_run(int k) {
  static const int types[] = {MACCEL_F32, MACCEL_BF16, MACCEL_S8};
  const int wide = rng_int(&rng, 0, 9) == 0;
  const int dims[4] = {rng_int(&rng, 1, 2), rng_int(&rng, 1, 4),
                       wide ? rng_int(&rng, 1, 3) : PICK(1, 1, 2, 3, 4, 7, 13, 25),
                       wide ? PICK(96, 130, 512) : PICK(1, 2, 5, 8, 15, 16, 17, 31, 32, 33, 40, 64)};
  builder b;
  builder_init(&b);
  random_recurrence(&b, dims, k % MX_RECURRENT_COUNT, types[k / MX_RECURRENT_COUNT % 3]);
  builder_input(&b, 0);
  builder_output(&b, b.insns[0].out[0]);
  builder_finish(&b);
  if (maccel_program_verify(b.program, b.program_bytes, b.data, b.data_bytes) != MACCEL_OK) {
    fprintf(stderr, "%s\n", maccel_last_error());
    exit(1);
  }
  run_all(&b, check);
  levels_agree(&b, &rng, 3);
  builder_free(&b);
}

/* ---- error bounds: one step with products of zero, in units of the last place of what is rounded */

static double ulp_of(double v) {
  const float f = (float)fabs(v);
  return (double)(nextafterf(f, INFINITY) - f);
}

static double sigmoid_of(double v) { return 1.0 / (1.0 + exp(-v)); }

static double worst_cell, worst_hidden, worst_gru;

static void measure_lstm(const float *x, float c0, float c1, float h1) {
  const double kept = sigmoid_of((double)x[2]) * (double)c0,
               added = sigmoid_of((double)x[0]) * tanh((double)x[3]);
  const double cell = fabs((double)c1 - (kept + added)) / ulp_of(fmax(fabs(kept), fabs(added)));
  const double h = sigmoid_of((double)x[1]) * tanh((double)c1), hidden = fabs((double)h1 - h) / ulp_of(h);
  worst_cell = fmax(worst_cell, cell);
  worst_hidden = fmax(worst_hidden, hidden);
}

static void measure_gru(const float *x, float h0, float h1) {
  const double z = sigmoid_of((double)x[0]), fresh = (1.0 - z) * tanh((double)x[2]), kept = z * (double)h0;
  /* 1 - z is as good as z is: half an ulp of 1 where z is near 1 */
  const double error = fabs((double)h1 - (fresh + kept));
  worst_gru = fmax(worst_gru, error / ulp_of(fmax(1.0, fabs((double)h0))));
}

/* The formulas of mxq.h in the single operations of the kernels, which random_run() compares with the kernels bit by bit. */
static void error_bounds(void) {
  for (int k = 0; k < 2000000; ++k) {
    float x[4];
    for (int g = 0; g < 4; ++g) x[g] = rng_float(&rng, -20.0f, 20.0f);
    const float c0 = rng_float(&rng, -3.0f, 3.0f);
    const float kept = mx_sigmoid(x[2]) * c0, added = mx_sigmoid(x[0]) * mx_tanh(x[3]), c1 = kept + added;
    measure_lstm(x, c0, c1, mx_sigmoid(x[1]) * mx_tanh(c1));
    const float z = mx_sigmoid(x[0]), fresh = (1.0f - z) * mx_tanh(x[2]), old = z * c0;
    measure_gru(x, c0, fresh + old);
  }
  printf("ulp: cell %.2f, hidden %.2f, gru %.2f\n", worst_cell, worst_hidden, worst_gru);
  CHECK(worst_cell <= 5.0);
  CHECK(worst_hidden <= 5.0);
  CHECK(worst_gru <= 4.0);
}

int main(void) {
  for (int k = 0; k < 240; ++k) random_run(k);
  error_bounds();
  return 0;
}
