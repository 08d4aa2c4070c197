/* CONV, DWCONV, CONVDYN and CONVF against loops over single elements. */
#include "scalar_case.h"

static float conv_sum(const mx_task *t, const int *index) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int32_t *i = t->insn->i;
  const int depthwise = t->insn->op == MX_OP_DWCONV, channels = o->dims[3], k = index[3];
  const int per_in = x->dims[3] / i[10], per_out = channels / i[10];
  const mx_view w = {.data = (uint8_t *)(uintptr_t)t->cst[0],
                     .dtype = t->cst_info[0].dtype,
                     .rank = 1,
                     .stride = {builder_elem(t->cst_info[0].dtype)}};
  int64_t sum = 0;
  float chain = 0.0f;
  for (int ky = 0; ky < i[0]; ++ky) {
    for (int kx = 0; kx < i[1]; ++kx) {
      for (int c = 0; c < per_in; ++c) {
        const int from[4] = {index[0], index[1] * i[2] - i[4] + ky * i[8], index[2] * i[3] - i[5] + kx * i[9],
                             k / per_out * per_in + c};
        const int inside = from[1] >= 0 && from[1] < x->dims[1] && from[2] >= 0 && from[2] < x->dims[2];
        const int tap = ky * i[1] + kx;
        const int weight[1] = {depthwise ? tap * channels + k : (k * i[0] * i[1] + tap) * per_in + c};
        const double xv = inside ? stored(x, from) : x->zero, wv = stored(&w, weight);
        sum += (int64_t)xv * (int64_t)wv;
        chain = fmaf((float)xv, (float)wv, chain);
      }
    }
  }
  if (t->insn->op == MX_OP_CONVF) {
    float v = chain;
    if (t->cst[2]) v = v * ((const float *)t->cst[2])[k];
    return t->cst[1] ? v + ((const float *)t->cst[1])[k] : v;
  }
  sum += ((const int32_t *)t->cst[1])[k];
  CHECK(llabs((long long)sum) < (int64_t)1 << 31);
  return (float)(int32_t)sum * ((const float *)t->cst[2])[k];
}

static void check_conv(const bound *r) {
  const mx_task *t = &r->task;
  const mxp_insn *in = t->insn;
  const int residual = t->in[1].rank > 0, after = in->flags & MX_INSN_RES_AFTER_ACT;
  int index[MXP_MAX_RANK] = {0};
  do {
    float v = conv_sum(t, index);
    if (in->op == MX_OP_CONVDYN) {
      const int row[4] = {index[0], index[1], index[2], 0};
      v = v * (float)stored(&t->in[2], row);
      if (t->cst[5]) v = v + ((const float *)t->cst[5])[index[3]];
    }
    if (residual && !after) v = v + deq_of(&t->in[1], index, in->f[2]);
    v = act_of(t, v, index[3]);
    if (residual && after) v = v + deq_of(&t->in[1], index, in->f[2]);
    if (in->f[3] != 1.0f) v = v * in->f[3];
    if (t->cst[3]) {
      CHECK_INT(stored(&t->out[0], index),
                ((const uint8_t *)t->cst[3])[(int)put_of(&t->out[0], v, in->i[12], in->i[13])]);
    } else {
      expect(&t->out[0], index, v, in->i[12], in->i[13]);
    }
    if (t->out[1].rank > 0) expect(&t->out[1], index, v * in->f[4], in->i[14], in->i[15]);
  } while (next_index(4, t->out[0].dims, index));
}

typedef struct conv_dims {
  int in[4], out[4];
  mxp_insn window;
} conv_dims;

static conv_dims random_geometry(int op) {
  conv_dims d = {0};
  const int point = op == MX_OP_CONVDYN || rng_int(&rng, 0, 2) == 0;
  builder_window(&d.window, point ? 1 : rng_int(&rng, 1, 4), point ? 1 : rng_int(&rng, 1, 4),
                 point ? 1 : rng_int(&rng, 1, 3), 0, point ? 1 : rng_int(&rng, 1, 2));
  for (int k = 4; k < 8 && !point; ++k) d.window.i[k] = rng_int(&rng, 0, 3);
  d.window.i[10] = op == MX_OP_CONVDYN ? 1 : PICK(1, 1, 1, 2, 3);
  d.in[0] = d.out[0] = rng_int(&rng, 1, 2);
  for (int axis = 0; axis < 2; ++axis) {
    const int32_t *i = d.window.i;
    d.in[1 + axis] = rng_int(&rng, 7, 11);
    d.out[1 + axis] =
        (d.in[1 + axis] + i[4 + axis] + i[6 + axis] - i[8 + axis] * (i[axis] - 1) - 1) / i[2 + axis] + 1;
  }
  d.in[3] = d.window.i[10] * PICK(1, 3, 8, 17);
  d.out[3] = d.window.i[10] * PICK(1, 4, 16, 37);
  if (op == MX_OP_DWCONV) d.in[3] = d.out[3] = d.window.i[10] = PICK(1, 5, 16, 40, 300);
  return d;
}

static uint32_t random_weights(builder *b, int op, const conv_dims *d, int dtype) {
  const int32_t *i = d->window.i;
  const int dw[3] = {i[0], i[1], d->out[3]}, full[4] = {d->out[3], i[0], i[1], d->in[3] / i[10]};
  const int n = op == MX_OP_DWCONV ? dw[0] * dw[1] * dw[2] : full[0] * full[1] * full[2] * full[3];
  float *v = malloc((size_t)n * 4);
  for (int k = 0; k < n; ++k) {
    if (dtype == MACCEL_S8) ((int8_t *)v)[k] = (int8_t)rng_int(&rng, -128, 127);
    if (dtype == MACCEL_S16) ((int16_t *)v)[k] = (int16_t)rng_int(&rng, -90, 90);
    if (dtype == MACCEL_F32) v[k] = rng_float(&rng, -1.0f, 1.0f);
  }
  const uint32_t c =
      op == MX_OP_DWCONV ? builder_const(b, dtype, 3, dw, v) : builder_const(b, dtype, 4, full, v);
  free(v);
  return c;
}

static void random_epilogue(builder *b, mxp_insn *in, const conv_dims *d) {
  const int to = b->tensors[in->out[0]].dtype;
  uint8_t table[256];
  if (rng_int(&rng, 0, 2) == 0) {
    in->in[1] = random_view(b, PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32), 4, d->out, 1);
    in->f[2] = rng_float(&rng, 0.1f, 0.9f);
    in->flags = rng_int(&rng, 0, 1) ? MX_INSN_RES_AFTER_ACT : 0;
    if (b->tensors[in->in[1]].dtype == MACCEL_U8 && rng_int(&rng, 0, 1)) {
      const uint32_t scales = random_floats(b, d->out[3], 0.1f, 0.9f);
      b->tensors[in->in[1]].scale_const = scales;
    }
  }
  if (rng_int(&rng, 0, 2) == 0) {
    const int second = PICK(MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32);
    in->out[1] = random_view(b, second, 4, d->out, 1);
    in->f[4] = rng_float(&rng, 0.5f, 2.0f);
    random_clamp(in, 14, second);
  }
  random_act(b, in, d->out[3]);
  random_clamp(in, 12, to);
  if (rng_int(&rng, 0, 1)) in->f[3] = rng_float(&rng, 0.5f, 2.0f);
  if (to == MACCEL_U8 && rng_int(&rng, 0, 3) == 0) {
    for (int k = 0; k < 256; ++k) table[k] = (uint8_t)rng_next(&rng);
    in->cst[3] = builder_const(b, MACCEL_U8, 1, (int[]){256}, table);
  }
}

static void conv_case(int op) {
  builder b;
  builder_init(&b);
  const conv_dims d = random_geometry(op);
  const int from = op == MX_OP_CONVF     ? MACCEL_F32
                   : op == MX_OP_CONVDYN ? MACCEL_U8
                                         : PICK(MACCEL_U8, MACCEL_U8, MACCEL_S16);
  const int weights =
      op == MX_OP_CONVF ? PICK(MACCEL_S8, MACCEL_F32) : PICK(MACCEL_S8, MACCEL_S8, MACCEL_S16);
  const uint32_t x = random_view(&b, from, 4, d.in, 1);
  const uint32_t y =
      random_view(&b, PICK(MACCEL_U8, MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32), 4, d.out, 1);
  if (op == MX_OP_CONVDYN) b.tensors[x].zero = 128;
  mxp_insn *in = builder_insn(&b, op);
  memcpy(in->i, d.window.i, 11 * sizeof in->i[0]);
  in->in[0] = x, in->out[0] = y;
  in->cst[0] = random_weights(&b, op, &d, weights);
  in->cst[2] = random_floats(&b, d.out[3], 1e-5f, 1e-2f);
  if (op == MX_OP_CONVF) {
    if (rng_int(&rng, 0, 1)) in->cst[1] = random_floats(&b, d.out[3], -9.0f, 9.0f);
    if (weights == MACCEL_F32 && rng_int(&rng, 0, 1)) in->cst[2] = MXP_NONE;
  } else {
    int32_t *bias = malloc((size_t)d.out[3] * 4);
    for (int k = 0; k < d.out[3]; ++k) bias[k] = rng_int(&rng, -100000, 100000);
    in->cst[1] = builder_const(&b, MACCEL_S32, 1, (int[]){d.out[3]}, bias);
    free(bias);
  }
  if (op == MX_OP_CONVDYN) {
    in->in[2] = random_view(&b, MACCEL_F32, 4, (int[]){d.out[0], d.out[1], d.out[2], 1}, 0);
    if (rng_int(&rng, 0, 1)) in->cst[5] = random_floats(&b, d.out[3], -9.0f, 9.0f);
  }
  random_epilogue(&b, in, &d);
  run_all(&b, check_conv);
  builder_free(&b);
}

int main(void) {
  static const int ops[] = {MX_OP_CONV, MX_OP_DWCONV, MX_OP_CONVDYN, MX_OP_CONVF};
  for (int run = 0; run < RUNS; ++run) {
    for (int k = 0; k < 4; ++k) conv_case(ops[k]);
  }
  return 0;
}
