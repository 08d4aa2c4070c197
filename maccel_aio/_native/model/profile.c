/* profile.c - per-layer times, summed over all contexts of a program. */
#include <stdlib.h>

#include "alloc.h"
#include "program.h"

static uint64_t step_macs(const mx_step *s) {
  const mx_task *t = &s->task;
  const mxp_const *w = &t->cst_info[0];
  uint64_t elements = 1;
  for (int d = 0; d < t->out[0].rank; ++d) elements *= (uint64_t)t->out[0].dims[d];
  switch (t->insn->op) {
    case MX_OP_CONV:
    case MX_OP_CONVF:
    case MX_OP_CONVDYN: return elements * (uint64_t)w->dims[1] * (uint64_t)w->dims[2] * (uint64_t)w->dims[3];
    case MX_OP_DWCONV: return elements * (uint64_t)w->dims[0] * (uint64_t)w->dims[1];
    case MX_OP_RECURRENT: return elements * (uint64_t)w->dims[1];
    case MX_OP_ATTENTION: {
      const mx_view *k = &t->in[1], *o = &t->out[0];
      const uint64_t rows = elements / (uint64_t)o->dims[o->rank - 1];
      return rows * (uint64_t)k->dims[k->rank - 2] * (uint64_t)(k->dims[k->rank - 1] + o->dims[o->rank - 1]);
    }
    case MX_OP_MATMUL: return elements * (uint64_t)t->in[0].dims[t->in[0].rank - 1];
    default: return 0;
  }
}

/* What is repeated by a stride of zero is there once. */
static uint64_t view_bytes(const mx_view *v) {
  uint64_t bytes = v->rank > 0 ? (uint64_t)mx_elem_bytes(v->dtype) : 0;
  for (int d = 0; d < v->rank; ++d) bytes *= v->stride[d] != 0 || v->dims[d] == 0 ? (uint64_t)v->dims[d] : 1;
  return bytes;
}

static uint64_t step_bytes_written(const mx_step *s) {
  return view_bytes(&s->task.out[0]) + view_bytes(&s->task.out[1]);
}

static uint64_t step_bytes_read(const mx_step *s) {
  const mx_task *t = &s->task;
  uint64_t bytes = s->packed_bytes;
  for (int k = 0; k < 6; ++k) bytes += view_bytes(&t->in[k]);
  if (t->insn->op == MX_OP_GATHER) return bytes + view_bytes(&t->out[0]); /* the rows that were asked for */
  for (int k = s->packed_bytes > 0 ? 1 : 0; k < 8; ++k) bytes += t->cst_info[k].bytes;
  return bytes;
}

static int by_layer(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t row_of(const mx_program *p, uint32_t layer) {
  uint32_t lo = 0, hi = p->num_rows;
  while (lo + 1 < hi) {
    const uint32_t mid = lo + (hi - lo) / 2;
    if (p->rows[mid].layer <= layer) {
      lo = mid;
    } else {
      hi = mid;
    }
  }
  return lo;
}

/* The rows are the distinct layers in rising order; a row is named after its costliest instruction. */
static void fill_rows(mx_program *p, const uint32_t *layers) {
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    if (k == 0 || layers[k] != layers[k - 1]) p->rows[p->num_rows++].layer = layers[k];
  }
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_step *s = &p->steps[k];
    s->row = row_of(p, s->task.insn->layer);
    mx_profile_row *row = &p->rows[s->row];
    const uint64_t macs = step_macs(s);
    s->opens_layer = row->op == 0;
    if (row->op == 0 || macs > 0) row->op = s->task.insn->op;
    row->macs += macs;
    row->bytes_read += step_bytes_read(s);
    row->bytes_written += step_bytes_written(s);
  }
}

int mx_profile_init(mx_program *p) {
  p->rows = mx_alloc((p->num_steps + (size_t)1) * sizeof *p->rows, 64);
  uint32_t *layers = mx_alloc((p->num_steps + (size_t)1) * sizeof *layers, 64);
  if (p->rows == NULL || layers == NULL) {
    mx_free(layers);
    return mx_fail(MACCEL_E_NOMEM, "no memory for the profile of %u instructions", p->num_steps);
  }
  for (uint32_t k = 0; k < p->num_steps; ++k) layers[k] = p->steps[k].task.insn->layer;
  qsort(layers, p->num_steps, sizeof *layers, by_layer);
  fill_rows(p, layers);
  mx_free(layers);
  return MACCEL_OK;
}

void mx_program_set_profile(mx_program *p, int on) {
  if (on && !atomic_load_explicit(&p->profiling, memory_order_relaxed)) {
    for (uint32_t k = 0; k < p->num_rows; ++k) {
      atomic_store_explicit(&p->rows[k].calls, 0, memory_order_relaxed);
      atomic_store_explicit(&p->rows[k].total_ns, 0, memory_order_relaxed);
    }
  }
  atomic_store_explicit(&p->profiling, on != 0, memory_order_relaxed);
}

int mx_program_get_profile(const mx_program *p, maccel_layer_time *out, uint32_t cap, uint32_t *count) {
  MX_RETURN_IF(count == NULL || (out == NULL && cap > 0), MACCEL_E_INVALID, "a pointer is NULL");
  *count = p->num_rows;
  for (uint32_t k = 0; k < p->num_rows && k < cap; ++k) {
    const mx_profile_row *row = &p->rows[k];
    out[k] = (maccel_layer_time){.layer = row->layer,
                                 .op = row->op,
                                 .macs = row->macs,
                                 .bytes_read = row->bytes_read,
                                 .bytes_written = row->bytes_written,
                                 .calls = atomic_load_explicit(&row->calls, memory_order_relaxed),
                                 .total_ns = atomic_load_explicit(&row->total_ns, memory_order_relaxed)};
  }
  return MACCEL_OK;
}
