/* POOL, RESIZE and GATHER against loops over single elements. */
#include "scalar_case.h"

static void check_pool(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int32_t *i = t->insn->i;
  int index[MXP_MAX_RANK] = {0};
  do {
    double most = -1e30;
    int64_t sum = 0;
    float partial[16] = {0};
    int taps = 0;
    for (int ky = 0; ky < i[0]; ++ky) {
      for (int kx = 0; kx < i[1]; ++kx) {
        const int from[4] = {index[0], index[1] * i[2] - i[4] + ky * i[8], index[2] * i[3] - i[5] + kx * i[9],
                             index[3]};
        if (from[1] < 0 || from[1] >= x->dims[1] || from[2] < 0 || from[2] >= x->dims[2]) continue;
        const double q = stored(x, from);
        most = q > most ? q : most;
        sum += (int64_t)q - x->zero;
        partial[taps & 15] = partial[taps & 15] + (float)q;
        ++taps;
      }
    }
    if (i[10] == 0) {
      CHECK(stored(o, index) == most);
      continue;
    }
    const float s = mx_dtype_is_float(x->dtype) ? tree16(partial) : (float)sum;
    expect_finished(t, index, s * (t->insn->f[2] / (float)(i[10] == 1 ? taps : i[0] * i[1])));
  } while (next_index(4, o->dims, index));
}

static int window_size(int in, const int32_t *i, int axis) {
  return (in + i[4 + axis] + i[6 + axis] - i[8 + axis] * (i[axis] - 1) - 1) / i[2 + axis] + 1;
}

static void pool_reduces_windows(void) {
  for (int run = 0; run < 2 * RUNS; ++run) {
    builder b;
    builder_init(&b);
    mxp_insn shape = {0};
    builder_window(&shape, rng_int(&rng, 1, 5), rng_int(&rng, 1, 5), rng_int(&rng, 1, 3), 0, 1);
    for (int k = 4; k < 8; ++k) shape.i[k] = rng_int(&rng, 0, shape.i[k & 1] - 1);
    const int dims[4] = {rng_int(&rng, 1, 2), rng_int(&rng, 5, 14), rng_int(&rng, 5, 14),
                         PICK(1, 3, 16, 40, 300)};
    const int out[4] = {dims[0], window_size(dims[1], shape.i, 0), window_size(dims[2], shape.i, 1), dims[3]};
    const int kind = rng_int(&rng, 0, 2),
              from = PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32, MACCEL_BF16);
    const int to = kind == 0 ? from : PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32);
    const uint32_t x = random_view(&b, from, 4, dims, 1), y = random_view(&b, to, 4, out, 1);
    if (kind == 0) b.tensors[y].zero = b.tensors[x].zero;
    mxp_insn *in = builder_insn(&b, MX_OP_POOL);
    memcpy(in->i, shape.i, 10 * sizeof in->i[0]);
    in->in[0] = x, in->out[0] = y, in->i[10] = kind;
    in->f[2] = rng_float(&rng, 0.1f, 2.0f);
    if (kind != 0) random_act(&b, in, dims[3]);
    random_clamp(in, 12, to);
    run_all(&b, check_pool);
    builder_free(&b);
  }
}

static void check_resize(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int32_t *rows = t->cst[0], *cols = t->cst[2];
  const float m = t->insn->f[4];
  int index[MXP_MAX_RANK] = {0};
  do {
    const int y = index[1], c = index[2];
    const int p00[4] = {index[0], rows[2 * y], cols[2 * c], index[3]},
              p01[4] = {index[0], rows[2 * y], cols[2 * c + 1], index[3]};
    const int p10[4] = {index[0], rows[2 * y + 1], cols[2 * c], index[3]},
              p11[4] = {index[0], rows[2 * y + 1], cols[2 * c + 1], index[3]};
    if (t->insn->i[10] == 0) {
      CHECK(stored(o, index) == stored(x, p00));
      continue;
    }
    const float wy = ((const float *)t->cst[1])[y], wx = ((const float *)t->cst[3])[c];
    const float a = deq_of(x, p00, m), bb = deq_of(x, p01, m), cc = deq_of(x, p10, m), d = deq_of(x, p11, m);
    const float top = a + (bb - a) * wx, bottom = cc + (d - cc) * wx;
    const float v = top + (bottom - top) * wy;
    expect(o, index, v * t->insn->f[3], t->insn->i[12], t->insn->i[13]);
  } while (next_index(4, o->dims, index));
}

static uint32_t random_sources(builder *b, int out, int in) {
  int32_t *v = malloc((size_t)out * 8);
  for (int k = 0; k < 2 * out; ++k) v[k] = rng_int(&rng, 0, in - 1);
  const uint32_t c = builder_const(b, MACCEL_S32, 2, (int[]){out, 2}, v);
  free(v);
  return c;
}

static void resize_reads_its_sources(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    builder_init(&b);
    const int c = PICK(1, 3, 20, 300), kind = rng_int(&rng, 0, 1);
    const int dims[4] = {rng_int(&rng, 1, 2), rng_int(&rng, 1, 9), rng_int(&rng, 1, 9), c};
    const int out[4] = {dims[0], rng_int(&rng, 1, 14), rng_int(&rng, 1, 14), c};
    const int from = PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32),
              to = kind ? PICK(MACCEL_U8, MACCEL_S16, MACCEL_F32) : from;
    const uint32_t x = random_view(&b, from, 4, dims, 1), y = random_view(&b, to, 4, out, 1);
    const uint32_t c0 = random_sources(&b, out[1], dims[1]), c2 = random_sources(&b, out[2], dims[2]);
    const uint32_t c1 = random_floats(&b, out[1], 0.0f, 1.0f), c3 = random_floats(&b, out[2], 0.0f, 1.0f);
    mxp_insn *in = builder_insn(&b, MX_OP_RESIZE);
    in->in[0] = x, in->out[0] = y, in->i[10] = kind;
    in->cst[0] = c0, in->cst[2] = c2;
    if (kind) in->cst[1] = c1, in->cst[3] = c3;
    in->f[4] = 0.37f, in->f[3] = 1.25f;
    random_clamp(in, 12, to);
    run_all(&b, check_resize);
    builder_free(&b);
  }
}

static void check_gather(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *o = &t->out[0];
  int index[MXP_MAX_RANK] = {0};
  do {
    const int rows = t->cst_info[0].dims[0], width = t->cst_info[0].dims[1], e = index[o->rank - 1];
    int row = (int)stored(&t->in[0], index);
    if (row < 0) row += rows; /* counted from the end */
    row = row < 0 ? 0 : row >= rows ? rows - 1 : row;
    const float v = t->cst_info[0].dtype == MACCEL_F32 ? ((const float *)t->cst[0])[row * width + e]
                                                       : (float)((const int8_t *)t->cst[0])[row * width + e] *
                                                             ((const float *)t->cst[2])[row];
    expect(o, index, v, t->insn->i[12], t->insn->i[13]);
  } while (next_index(o->rank, o->dims, index));
}

static void gather_takes_rows(void) {
  for (int run = 0; run < RUNS; ++run) {
    builder b;
    builder_init(&b);
    const int rank = rng_int(&rng, 1, 3), rows = rng_int(&rng, 1, 12), width = PICK(1, 8, 70, 300),
              narrow = rng_int(&rng, 0, 1);
    int dims[4];
    for (int d = 0; d < rank; ++d) dims[d] = rng_int(&rng, 1, 5);
    const uint32_t x = random_view(&b, MACCEL_S32, rank, dims, 0);
    dims[rank] = width;
    const int to = PICK(MACCEL_F32, MACCEL_S16, MACCEL_U8);
    const uint32_t y = random_view(&b, to, rank + 1, dims, 0);
    float *table = malloc((size_t)(rows * width) * 4);
    for (int k = 0; k < rows * width; ++k) table[k] = rng_float(&rng, -90.0f, 90.0f);
    const uint32_t c = builder_const(&b, narrow ? MACCEL_S8 : MACCEL_F32, 2, (int[]){rows, width}, table);
    free(table);
    const uint32_t s = narrow ? random_floats(&b, rows, 0.1f, 0.9f) : MXP_NONE;
    mxp_insn *in = builder_insn(&b, MX_OP_GATHER);
    in->in[0] = x, in->out[0] = y, in->cst[0] = c, in->cst[2] = s;
    random_clamp(in, 12, to);
    run_all(&b, check_gather);
    builder_free(&b);
  }
}

int main(void) {
  pool_reduces_windows();
  resize_reads_its_sources();
  gather_takes_rows();
  return 0;
}
