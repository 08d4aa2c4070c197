/* bind.h - one instruction of a builder as a task with memory of its own, for kernel tests that use no model floor. */
#ifndef MX_TEST_BIND_H
#define MX_TEST_BIND_H

#include "builder.h"
#include "kernels.h"

enum { BIND_SLACK = 64 };

typedef struct bound {
  mx_task task;
  uint8_t *region, *arena; /* the arena lies in the region with slack on both sides */
  uint64_t arena_bytes;
  uint8_t *zero_row;
} bound;

static inline uint8_t *bind_alloc(size_t bytes) {
  uint8_t *p = NULL;
  CHECK(posix_memalign((void **)&p, 64, bytes + 64) == 0);
  memset(p, 0, bytes + 64);
  return p;
}

static inline mx_view bind_view(const builder *b, uint8_t *arena, uint32_t k) {
  const mxp_tensor *t = &b->tensors[k];
  mx_view v = {.data = arena + t->offset,
               .dtype = t->dtype,
               .rank = t->rank,
               .scale = t->scale,
               .zero = t->zero,
               .flags = t->flags};
  memcpy(v.dims, t->dims, sizeof v.dims);
  memcpy(v.stride, t->stride, sizeof v.stride);
  if (t->scale_const != MXP_NONE)
    v.channel_scale = (const float *)(const void *)(b->data + b->consts[t->scale_const].offset);
  return v;
}

/* The builder must stay as it is while the task is used. */
static inline bound bind_insn(const builder *b, uint32_t index) {
  const mxp_insn *in = &b->insns[index];
  bound r = {.arena_bytes = b->head.arena_bytes};
  r.region = bind_alloc(r.arena_bytes + 2 * BIND_SLACK);
  r.arena = r.region + BIND_SLACK;
  r.task.insn = in;
  for (int k = 0; k < 6; ++k) {
    if (in->in[k] != MXP_NONE) r.task.in[k] = bind_view(b, r.arena, in->in[k]);
  }
  for (int k = 0; k < 2; ++k) {
    if (in->out[k] != MXP_NONE) r.task.out[k] = bind_view(b, r.arena, in->out[k]);
  }
  for (int k = 0; k < 8; ++k) {
    if (in->cst[k] == MXP_NONE) continue;
    r.task.cst[k] = b->data + b->consts[in->cst[k]].offset;
    r.task.cst_info[k] = b->consts[in->cst[k]];
  }
  const mx_view *x = &r.task.in[0];
  if (x->rank == 4) {
    r.task.zero_row_bytes = ((size_t)x->dims[3] * 4 + 191) & ~(size_t)63;
    r.zero_row = bind_alloc(r.task.zero_row_bytes);
    for (size_t i = 0; i < r.task.zero_row_bytes; ++i) {
      if (x->dtype == MACCEL_U8) r.zero_row[i] = (uint8_t)x->zero;
      if (x->dtype == MACCEL_S16) r.zero_row[i] = (uint8_t)((uint32_t)x->zero >> (i & 1 ? 8 : 0));
    }
    r.task.zero_row = r.zero_row;
  }
  return r;
}

static inline void bind_run(bound *r, const mx_kernel *k, int parts) {
  mx_task t = r->task;
  uint8_t *packed = NULL;
  if (k->pack != NULL) {
    packed = bind_alloc(k->pack_bytes(&t));
    k->pack(&t, packed);
    t.packed = packed;
    t.cst[0] = NULL;
  }
  for (int part = 0; part < parts; ++part) {
    uint8_t *scratch = k->scratch_bytes ? bind_alloc(k->scratch_bytes(&t)) : NULL;
    t.scratch = scratch;
    k->run(&t, part, parts);
    free(scratch);
  }
  free(packed);
}

static inline void bind_free(bound *r) {
  free(r->region);
  free(r->zero_row);
}

/* ---- elements of views, one at a time: what the independent loops of the tests read and compare */

static inline uint8_t *at(const mx_view *v, const int *index) {
  uint8_t *p = v->data;
  for (int d = 0; d < v->rank; ++d) p += index[d] * v->stride[d];
  return p;
}

/* The stored number: a code for integer types, the value for float types. */
static inline double stored(const mx_view *v, const int *index) {
  const uint8_t *p = at(v, index);
  switch (v->dtype) {
    case MACCEL_U8: return *p;
    case MACCEL_S8: return *(const int8_t *)p;
    case MACCEL_S16: return *(const int16_t *)(const void *)p;
    case MACCEL_S32: return *(const int32_t *)(const void *)p;
    case MACCEL_S64: return (double)*(const int64_t *)(const void *)p;
    case MACCEL_BF16: {
      const uint32_t u = (uint32_t)*(const uint16_t *)(const void *)p << 16;
      float f;
      memcpy(&f, &u, 4);
      return (double)f;
    }
    default: return (double)*(const float *)(const void *)p;
  }
}

/* Calls visit(context, index) for every index of these dims, last fastest. */
static inline int next_index(int rank, const int32_t *dims, int *index) {
  for (int d = rank - 1; d >= 0; --d) {
    if (++index[d] < dims[d]) return 1;
    index[d] = 0;
  }
  return 0;
}

static inline void fill_view(const mx_view *v, test_rng *r) {
  int index[MXP_MAX_RANK] = {0};
  do {
    uint8_t *p = at(v, index);
    if (v->dtype == MACCEL_F32) {
      const float f = rng_float(r, -4.0f, 4.0f);
      memcpy(p, &f, 4);
    } else if (v->dtype == MACCEL_BF16) {
      const float f = rng_float(r, -4.0f, 4.0f);
      memcpy(p, (const uint8_t *)&f + 2, 2);
    } else if (v->dtype == MACCEL_S32 || v->dtype == MACCEL_S64) {
      const int64_t q = rng_int(r, -20, 20);
      memcpy(p, &q, (size_t)builder_elem(v->dtype));
    } else {
      const uint32_t u = rng_next(r);
      memcpy(p, &u, (size_t)builder_elem(v->dtype));
    }
  } while (next_index(v->rank, v->dims, index));
}

static inline int range_lo(int dtype) {
  return dtype == MACCEL_U8 ? 0 : dtype == MACCEL_S8 ? -128 : dtype == MACCEL_S16 ? -32768 : INT_MIN;
}
static inline int range_hi(int dtype) {
  return dtype == MACCEL_U8 ? 255 : dtype == MACCEL_S8 ? 127 : dtype == MACCEL_S16 ? 32767 : INT_MAX;
}

#endif
