/* recurrent.h - RECURRENT over the tiles of gemm.h: a block of rows goes through all steps before the next one, so that its
 * states stay in scratch memory.
 *
 * Weights are packed at load; with few rows they are one stream per step, from the second-level cache if they fit there. */
#ifndef MX_VECTOR_RECURRENT_H
#define MX_VECTOR_RECURRENT_H

#include "../generic/recurrent.h"
#include "gates.h"
#include "gemm_weights.h"

/* The products of one direction: all gates at once, or those of a GRU's last gate apart from the others. */
typedef struct recurrent_run {
  const mx_task *task;
  int kind, parts; /* parts of the weights: 1 or 2 */
  int64_t units, gates, direction;
  gemm_weights weights[2];
  int64_t pitch, sum_pitch; /* floats between rows of states and of sums */
  float *hidden, *cell, *reset, *sums;
} recurrent_run;

static recurrent_run recurrent_run_of(const mx_task *t) {
  recurrent_run r = {.task = t, .kind = t->insn->i[10], .units = t->out[0].dims[3]};
  const int kind = gemm_kind(t->cst_info[0].dtype);
  const int64_t rows = t->out[0].dims[2];
  r.gates = mx_recurrent_gates(t);
  r.parts = r.kind == MX_RECURRENT_GRU ? 2 : 1;
  const int64_t columns = r.units * (r.parts == 2 ? 2 : r.gates);
  r.weights[0] = gemm_weights_of(kind, columns, r.units, rows);
  r.weights[1] = gemm_weights_of(kind, r.units * r.gates - columns, r.units, rows);
  r.pitch = gemm_row_pitch(r.units);
  /* panels are stored whole: behind the last column of either part there is room for one */
  r.sum_pitch = gemm_row_pitch(r.units * r.gates + GEMM_WIDE);
  return r;
}

static int64_t recurrent_rows(const mx_task *t) {
  const int64_t rows = t->out[0].dims[2];
  return rows < GEMM_ROWS ? rows : GEMM_ROWS;
}

static size_t recurrent_scratch_bytes(const mx_task *t) {
  const recurrent_run r = recurrent_run_of(t);
  return (size_t)(recurrent_rows(t) * (3 * r.pitch + r.sum_pitch)) * sizeof(float);
}

/* ---- weights: direction by direction, part by part */

static int64_t recurrent_direction_bytes(const recurrent_run *r) {
  return gemm_weights_bytes(&r->weights[0]) + gemm_weights_bytes(&r->weights[1]);
}

static size_t recurrent_pack_bytes(const mx_task *t) {
  const recurrent_run r = recurrent_run_of(t);
  return (size_t)(recurrent_direction_bytes(&r) * t->out[0].dims[0]);
}

static void recurrent_pack(const mx_task *t, void *packed) {
  const recurrent_run r = recurrent_run_of(t);
  const uint8_t *from = (const uint8_t *)t->cst[0];
  uint8_t *to = (uint8_t *)packed;
  memset(packed, 0, recurrent_pack_bytes(t));
  for (int d = 0; d < t->out[0].dims[0]; d++)
    for (int k = 0; k < 2; k++) {
      const gemm_weights *w = &r.weights[k];
      gemm_weights_pack(w, from, to);
      from += w->n * w->k * gemm_bytes(w->kind);
      to += gemm_weights_bytes(w);
    }
}

/* ---- steps */

/* The sums of part k of the gates for `rows` rows of a state. */
static void recurrent_products(const recurrent_run *r, int k, int rows, const float *state) {
  const uint8_t *weights = (const uint8_t *)r->task->packed + r->direction * recurrent_direction_bytes(r);
  if (k == 1) weights += gemm_weights_bytes(&r->weights[0]);
  gemm_weights_run(&r->weights[k], weights, rows, state, r->pitch, 0, r->weights[k].n,
                   r->sums + (k == 1 ? r->weights[0].n : 0), r->sum_pitch);
}

static gates recurrent_gates_of(const recurrent_run *r, int64_t row, int m, int64_t step) {
  const mx_task *t = r->task;
  const float *scale = (const float *)t->cst[2], *bias = (const float *)t->cst[1];
  return (gates){.insn = t->insn,
                 .units = r->units,
                 .x = mx_recurrent_step(&t->in[0], r->direction, step, row + m),
                 .sums = r->sums + m * r->sum_pitch,
                 .scale = scale ? scale + r->direction * r->gates * r->units : NULL,
                 .bias = bias ? bias + r->direction * r->units : NULL,
                 .hidden = r->hidden + m * r->pitch,
                 .cell = r->cell + m * r->pitch,
                 .reset = r->reset + m * r->pitch,
                 .y = mx_recurrent_step(&t->out[0], r->direction, step, row + m)};
}

static void recurrent_step(const recurrent_run *r, int64_t row, int rows, int64_t step) {
  recurrent_products(r, 0, rows, r->hidden);
  if (r->kind == MX_RECURRENT_GRU) {
    for (int m = 0; m < rows; m++) {
      const gates g = recurrent_gates_of(r, row, m, step);
      gates_gru_reset(&g);
    }
    recurrent_products(r, 1, rows, r->reset);
  }
  for (int m = 0; m < rows; m++) {
    const gates g = recurrent_gates_of(r, row, m, step);
    switch (r->kind) {
      case MX_RECURRENT_RNN: gates_rnn(&g); break;
      case MX_RECURRENT_LSTM: gates_lstm(&g); break;
      default: gates_gru(&g, r->kind == MX_RECURRENT_GRU_LINEAR); break;
    }
  }
}

static void recurrent_first(const recurrent_run *r, const mx_view *v, int64_t row, int m, float *to) {
  const float *from = mx_recurrent_state(v, r->direction, row + m);
  memset(to + m * r->pitch, 0, (size_t)r->pitch * sizeof(float));
  if (from) memcpy(to + m * r->pitch, from, (size_t)r->units * sizeof(float));
}

/* All steps of rows row ... row + rows - 1 of a direction. */
static void recurrent_block(const recurrent_run *r, int64_t row, int rows) {
  const mx_task *t = r->task;
  for (int m = 0; m < rows; m++) {
    recurrent_first(r, &t->in[1], row, m, r->hidden);
    recurrent_first(r, &t->in[2], row, m, r->cell);
  }
  for (int64_t k = 0; k < t->out[0].dims[1]; k++)
    recurrent_step(r, row, rows, mx_recurrent_order(t, r->direction, k));
  for (int m = 0; t->out[1].data && m < rows; m++)
    memcpy(mx_recurrent_state(&t->out[1], r->direction, row + m), r->cell + m * r->pitch,
           (size_t)r->units * sizeof(float));
}

/* Directions times rows are shared; a block of rows lies in one direction. */
static void recurrent_kernel_run(const mx_task *t, int part, int parts) {
  recurrent_run r = recurrent_run_of(t);
  const int64_t rows = t->out[0].dims[2], total = rows * t->out[0].dims[0],
                end = mx_share(total, part + 1, parts), most = recurrent_rows(t);
  r.hidden = (float *)t->scratch;
  r.cell = r.hidden + most * r.pitch;
  r.reset = r.cell + most * r.pitch;
  r.sums = r.reset + most * r.pitch;
  for (int64_t u = mx_share(total, part, parts); u < end;) {
    const int64_t row = u % rows;
    int64_t n = rows - row < most ? rows - row : most;
    if (n > end - u) n = end - u;
    r.direction = u / rows;
    recurrent_block(&r, row, (int)n);
    u += n;
  }
}

static const mx_kernel mx_vector_recurrent = {.name = "f32-recurrent-tile-" MX_GENERIC_ISA,
                                              .pack_bytes = recurrent_pack_bytes,
                                              .pack = recurrent_pack,
                                              .scratch_bytes = recurrent_scratch_bytes,
                                              .run = recurrent_kernel_run};

#endif
