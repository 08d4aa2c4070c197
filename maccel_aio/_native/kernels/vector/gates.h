/* gates.h - what the gates of RECURRENT do with their sums, 16 units at a time, in the operations of mxq.h.
 *
 * Vectors run over the end of a gate into the next one and over the last one's into scratch memory; what they compute
 * there is kept out of y alone. */
#ifndef MX_VECTOR_GATES_H
#define MX_VECTOR_GATES_H

#include "act.h"

typedef struct gates {
  const mxp_insn *insn;
  int64_t units;
  const float *x, *sums, *scale, *bias; /* of one row; scale and bias are those of the direction, or NULL */
  float *hidden, *cell, *reset, *y;     /* room for whole vectors but in y */
} gates;

/* scaled products of gate g for the units from u on */
MX_INLINE f16 gates_product(const gates *r, int g, int64_t u, f16_mask m) {
  const int64_t j = g * r->units + u;
  const f16 p = f16_load(r->sums + j);
  return r->scale ? f16_mul(p, f16_load_first(r->scale + j, m)) : p;
}

MX_INLINE f16 gates_input(const gates *r, int g, int64_t u, f16_mask m) {
  return f16_load_first(r->x + g * r->units + u, m);
}

MX_INLINE f16 gates_sum(const gates *r, int g, int64_t u, f16_mask m) {
  return f16_add(gates_input(r, g, u, m), gates_product(r, g, u, m));
}

MX_INLINE f16 gates_sigmoid(f16 v) { return f16_div(f16_all(1.0f), f16_sigmoid_divisor(v)); }

MX_INLINE void gates_keep(const gates *r, int64_t u, f16_mask m, f16 h) {
  f16_store(r->hidden + u, h);
  f16_store_first(r->y + u, h, m);
}

MX_INLINE f16_mask gates_mask(const gates *r, int64_t u) {
  return f16_first(r->units - u < 16 ? (int)(r->units - u) : 16);
}

static void gates_rnn(const gates *r) {
  const int act = r->insn->i[11];
  for (int64_t u = 0; u < r->units; u += 16) {
    const f16_mask m = gates_mask(r, u);
    const f16 a = gates_sum(r, 0, u, m);
    f16 h;
    if (act == MX_ACT_TANH)
      h = f16_tanh(a);
    else if (act == MX_ACT_SIGMOID)
      h = gates_sigmoid(a);
    else
      h = f16_clamp(a, f16_all(r->insn->f[0]), f16_all(r->insn->f[1]));
    gates_keep(r, u, m, h);
  }
}

static void gates_lstm(const gates *r) {
  for (int64_t u = 0; u < r->units; u += 16) {
    const f16_mask m = gates_mask(r, u);
    const f16 i = gates_sigmoid(gates_sum(r, 0, u, m)), o = gates_sigmoid(gates_sum(r, 1, u, m)),
              f = gates_sigmoid(gates_sum(r, 2, u, m)), g = f16_tanh(gates_sum(r, 3, u, m));
    const f16 c = f16_add(f16_mul(f, f16_load(r->cell + u)), f16_mul(i, g));
    f16_store(r->cell + u, c);
    gates_keep(r, u, m, f16_mul(o, f16_tanh(c)));
  }
}

/* r * h, what the last product of a GRU is made of */
static void gates_gru_reset(const gates *r) {
  for (int64_t u = 0; u < r->units; u += 16) {
    const f16 reset = gates_sigmoid(gates_sum(r, 1, u, gates_mask(r, u)));
    f16_store(r->reset + u, f16_mul(reset, f16_load(r->hidden + u)));
  }
}

static void gates_gru(const gates *r, int linear) {
  for (int64_t u = 0; u < r->units; u += 16) {
    const f16_mask m = gates_mask(r, u);
    f16 p = gates_product(r, 2, u, m);
    if (linear) p = f16_mul(gates_sigmoid(gates_sum(r, 1, u, m)), f16_add(p, f16_load_first(r->bias + u, m)));
    const f16 z = gates_sigmoid(gates_sum(r, 0, u, m)), n = f16_tanh(f16_add(gates_input(r, 2, u, m), p));
    const f16 fresh = f16_mul(f16_sub(f16_all(1.0f), z), n), kept = f16_mul(z, f16_load(r->hidden + u));
    gates_keep(r, u, m, f16_add(fresh, kept));
  }
}

#endif
