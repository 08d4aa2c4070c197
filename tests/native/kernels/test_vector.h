/* test_vector.h - random tasks in guarded memory, run by one kernel and by the scalar reference, compared byte by byte.
 *
 * Every tensor has its own buffer with slack on both sides. A second buffer of the same size says of each byte of an
 * output whether it is an element (must equal the reference), padding that a kernel may write, or neither (must stay). */
#ifndef TEST_VECTOR_H
#define TEST_VECTOR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { VT_SLACK = 64, VT_TENSORS = 8 };
enum { VT_FREE = 0, VT_ELEMENT = 1, VT_PADDING = 2 };

static uint64_t vt_state = 88172645463325252u;

static inline uint32_t vt_random(void) {
  vt_state ^= vt_state << 13, vt_state ^= vt_state >> 7, vt_state ^= vt_state << 17;
  return (uint32_t)(vt_state >> 16);
}
static inline int vt_range(int lo, int hi) { return lo + (int)(vt_random() % (uint32_t)(hi - lo + 1)); }
static inline int vt_chance(int percent) { return vt_range(0, 99) < percent; }
static inline float vt_float(float lo, float hi) {
  return lo + (hi - lo) * (float)(vt_random() & 0xffff) / 65536.0f;
}

typedef struct vt_buffer {
  uint8_t *memory;
  size_t bytes; /* of the tensor, without the slack */
} vt_buffer;

typedef struct vt_case {
  mxp_insn insn;
  mx_task task;
  vt_buffer in[6], out[2];
  void *constants[8];
  uint8_t *zero_row;
} vt_case;

static inline int vt_bytes(int dtype) {
  static const int bytes[8] = {0, 1, 1, 2, 4, 4, 2, 8};
  return bytes[dtype];
}

static inline void *vt_alloc(size_t n) {
  void *p = malloc(n ? n : 1);
  if (!p) abort();
  return p;
}

static inline void vt_fill(uint8_t *p, size_t n, int dtype) {
  if (dtype == MACCEL_F32)
    for (size_t i = 0; i + 4 <= n; i += 4) {
      const float v = vt_float(-3.0f, 3.0f);
      memcpy(p + i, &v, 4);
    }
  else if (dtype == MACCEL_BF16)
    for (size_t i = 0; i + 2 <= n; i += 2) {
      const float v = vt_float(-3.0f, 3.0f);
      memcpy(p + i, (const uint8_t *)&v + 2, 2);
    }
  else
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)vt_random();
}

/* An image view with random gaps between pixels, rows and images. */
static inline void vt_image(vt_case *c, mx_view *v, vt_buffer *b, int dtype, const int dims[4], int loose) {
  const int e = vt_bytes(dtype);
  memset(v, 0, sizeof *v);
  v->dtype = dtype, v->rank = 4, v->scale = 1.0f;
  for (int d = 0; d < 4; d++) v->dims[d] = dims[d];
  int64_t pixel = (int64_t)dims[3] * e;
  if (loose && vt_chance(50)) {
    pixel = (pixel + 15) / 16 * 16;
    if (vt_chance(70)) v->flags = MX_TENSOR_PAD_CHANNELS;
  } else if (loose && vt_chance(30)) {
    pixel += e * vt_range(1, 9);
  }
  v->stride[3] = e, v->stride[2] = pixel;
  v->stride[1] = pixel * dims[2] + (loose && vt_chance(20) ? e * vt_range(1, 40) : 0);
  v->stride[0] = v->stride[1] * dims[1] + (loose && vt_chance(20) ? e * vt_range(1, 40) : 0);
  b->bytes = (size_t)(v->stride[0] * dims[0]);
  b->memory = (uint8_t *)vt_alloc(b->bytes + 2 * VT_SLACK);
  vt_fill(b->memory, b->bytes + 2 * VT_SLACK, dtype);
  v->data = b->memory + VT_SLACK;
  (void)c;
}

static inline void *vt_constant(vt_case *c, int slot, int dtype, const int *dims, int rank) {
  size_t n = 1;
  mxp_const *info = &c->task.cst_info[slot];
  memset(info, 0, sizeof *info);
  for (int d = 0; d < rank; d++) n *= (size_t)dims[d], info->dims[d] = dims[d];
  info->dtype = (uint8_t)dtype, info->rank = (uint8_t)rank, info->bytes = n * (size_t)vt_bytes(dtype);
  c->constants[slot] = vt_alloc(info->bytes);
  vt_fill((uint8_t *)c->constants[slot], info->bytes, dtype);
  c->task.cst[slot] = c->constants[slot], c->insn.cst[slot] = (uint32_t)slot;
  return c->constants[slot];
}

static inline void vt_begin(vt_case *c, int op) {
  memset(c, 0, sizeof *c);
  c->insn.op = (uint16_t)op;
  for (int k = 0; k < 6; k++) c->insn.in[k] = MXP_NONE;
  for (int k = 0; k < 2; k++) c->insn.out[k] = MXP_NONE;
  for (int k = 0; k < 8; k++) c->insn.cst[k] = MXP_NONE;
  c->task.insn = &c->insn;
}

static inline void vt_end(vt_case *c) {
  for (int k = 0; k < 6; k++) free(c->in[k].memory);
  for (int k = 0; k < 2; k++) free(c->out[k].memory);
  for (int k = 0; k < 8; k++) free(c->constants[k]);
  free(c->zero_row);
}

/* Marks every byte of an output image's buffer. */
static inline uint8_t *vt_marks(const mx_view *v, const vt_buffer *b) {
  uint8_t *marks = (uint8_t *)calloc(1, b->bytes + 2 * VT_SLACK);
  const int64_t run = v->dims[3] * v->stride[3];
  for (int n = 0; n < v->dims[0]; n++)
    for (int y = 0; y < v->dims[1]; y++)
      for (int x = 0; x < v->dims[2]; x++) {
        uint8_t *p = marks + VT_SLACK + n * v->stride[0] + y * v->stride[1] + x * v->stride[2];
        memset(p, VT_ELEMENT, (size_t)run);
        if (v->flags & MX_TENSOR_PAD_CHANNELS) memset(p + run, VT_PADDING, (size_t)(v->stride[2] - run));
      }
  return marks;
}

static inline void vt_run(const mx_kernel *k, const mx_task *given, int parts) {
  mx_task t = *given;
  uint8_t *packed = NULL, *scratch = NULL;
  if (k->pack_bytes) {
    packed = (uint8_t *)aligned_alloc(64, (k->pack_bytes(&t) + 127) / 64 * 64);
    k->pack(&t, packed);
    t.packed = packed;
  }
  for (int part = 0; part < parts; part++) {
    if (k->scratch_bytes) {
      const size_t n = k->scratch_bytes(&t);
      scratch = (uint8_t *)aligned_alloc(64, (n + 127) / 64 * 64);
      memset(scratch, 0x5a, n);
      t.scratch = scratch;
    }
    k->run(&t, part, parts);
    free(scratch), scratch = NULL;
  }
  free(packed);
}

/* The sign and payload of a NaN are nobody's promise: make them all the same before comparing. */
static inline void vt_same_nans(const mx_view *v, uint8_t *memory, const uint8_t *marks, size_t bytes) {
  if (v->dtype != MACCEL_F32) return;
  for (size_t i = VT_SLACK; i + 4 <= bytes; i += 4) {
    float f;
    memcpy(&f, memory + i, 4);
    if (marks[i] == VT_ELEMENT && f != f) memset(memory + i, 0x7f, 4);
  }
}

static inline int vt_differs(const char *what, const mx_kernel *k, const mx_view *v, const vt_buffer *b,
                             uint8_t *want, const uint8_t *before) {
  uint8_t *marks = vt_marks(v, b);
  vt_same_nans(v, want, marks, b->bytes + VT_SLACK);
  vt_same_nans(v, b->memory, marks, b->bytes + VT_SLACK);
  int bad = 0;
  for (size_t i = 0; i < b->bytes + 2 * VT_SLACK && !bad; i++) {
    const uint8_t got = b->memory[i];
    if (marks[i] == VT_ELEMENT && got != want[i]) bad = 1;
    if (marks[i] == VT_FREE && got != before[i]) bad = 2;
    if (bad) {
      const int64_t at = (int64_t)i - VT_SLACK;
      printf("%s of %s: byte %lld (pixel %lld, byte %lld in it): %s, got %d, want %d\n", what, k->name,
             (long long)at, (long long)(at / v->stride[2]), (long long)(at % v->stride[2]),
             bad == 1 ? "wrong" : "written outside the tensor", got, bad == 1 ? want[i] : before[i]);
    }
  }
  free(marks);
  return bad;
}

/* Runs the reference, then kernel k with `parts` parts from the same state. 0 when they agree. */
static inline int vt_compare(vt_case *c, const mx_kernel *reference, const mx_kernel *k, int parts) {
  uint8_t *before[2] = {NULL, NULL}, *want[2] = {NULL, NULL};
  int bad = 0;
  for (int o = 0; o < 2; o++) {
    if (!c->out[o].memory) continue;
    const size_t n = c->out[o].bytes + 2 * VT_SLACK;
    before[o] = (uint8_t *)vt_alloc(n), want[o] = (uint8_t *)vt_alloc(n);
    memcpy(before[o], c->out[o].memory, n);
  }
  vt_run(reference, &c->task, 1);
  for (int o = 0; o < 2; o++) {
    if (!c->out[o].memory) continue;
    memcpy(want[o], c->out[o].memory, c->out[o].bytes + 2 * VT_SLACK);
    memcpy(c->out[o].memory, before[o], c->out[o].bytes + 2 * VT_SLACK);
  }
  vt_run(k, &c->task, parts);
  for (int o = 0; o < 2; o++) {
    if (!c->out[o].memory) continue;
    bad |= vt_differs(o ? "out1" : "out0", k, &c->task.out[o], &c->out[o], want[o], before[o]);
    free(before[o]), free(want[o]);
  }
  return bad;
}

#endif
