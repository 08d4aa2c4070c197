/* builder.h - makes programs in memory, record by record, for tests.
 *
 *   builder b;
 *   builder_init(&b);
 *   uint32_t x = builder_tensor(&b, MACCEL_U8, 4, (int[]){1, 8, 8, 3}, 0.5f, 10);    contiguous, own place in the arena
 *   uint32_t w = builder_const(&b, MACCEL_S8, 4, (int[]){16, 3, 3, 3}, weights);
 *   mxp_insn *in = builder_insn(&b, MX_OP_CONV);  in->in[0] = x; ...                 valid until the next builder_insn
 *   builder_input(&b, x);  builder_output(&b, y);
 *   builder_finish(&b);                                                             b.program, b.program_bytes, b.data, b.data_bytes
 *   builder_free(&b);
 */
#ifndef MX_TEST_BUILDER_H
#define MX_TEST_BUILDER_H

#include <limits.h>
#include <stddef.h>

#include "check.h"
#include "maccel.h"
#include "mxq.h"

typedef struct builder {
  mxp_header head;
  mxp_input inputs[MACCEL_MAX_IO];
  uint32_t outputs[MACCEL_MAX_IO];
  mxp_tensor *tensors;
  mxp_const *consts;
  mxp_insn *insns;
  uint8_t *data; /* the CONSTS section, 64-byte aligned */
  uint64_t data_bytes, data_capacity;
  uint8_t *program;
  uint64_t program_bytes;
} builder;

static inline int builder_elem(int dtype) {
  static const int bytes[] = {0, 1, 1, 2, 4, 4, 2, 8};
  return bytes[dtype];
}

static inline void builder_init(builder *b) {
  memset(b, 0, sizeof *b);
  b->head.magic = MXP_MAGIC;
  b->head.version = MXP_VERSION;
  b->head.num_layers = 1;
}

static inline void *builder_grow(void *records, uint32_t count, size_t bytes) {
  void *grown = realloc(records, (count + (size_t)1) * bytes);
  CHECK(grown != NULL);
  memset((uint8_t *)grown + count * bytes, 0, bytes);
  return grown;
}

/* Where the next tensor goes. The 64 bytes between are for kernels that read a little behind their operands: what lies
 * there must not be written at that moment. */
static inline uint64_t builder_next(const builder *b) {
  return b->head.arena_bytes == 0 ? 0 : (b->head.arena_bytes + 127) & ~(uint64_t)63;
}

/* A view at `offset` with these strides (bytes; NULL: contiguous). Grows the arena when needed. */
static inline uint32_t builder_view(builder *b, int dtype, int rank, const int *dims, const int64_t *stride,
                                    uint64_t offset, float scale, int zero) {
  b->tensors = builder_grow(b->tensors, b->head.num_tensors, sizeof *b->tensors);
  mxp_tensor *t = &b->tensors[b->head.num_tensors];
  *t = (mxp_tensor){.dtype = (uint8_t)dtype,
                    .rank = (uint8_t)rank,
                    .scale_const = MXP_NONE,
                    .offset = offset,
                    .scale = scale,
                    .zero = zero};
  int64_t step = builder_elem(dtype);
  uint64_t end = offset + (uint64_t)step;
  for (int d = MXP_MAX_RANK - 1; d >= 0; --d) {
    t->dims[d] = d < rank ? dims[d] : 1;
    t->stride[d] = d < rank ? (stride ? stride[d] : step) : 0;
    if (d < rank) step *= dims[d];
    if (d < rank) end += (uint64_t)(dims[d] - 1) * (uint64_t)t->stride[d];
  }
  if (end > b->head.arena_bytes) b->head.arena_bytes = end;
  return b->head.num_tensors++;
}

/* A contiguous tensor after everything that is in the arena. */
static inline uint32_t builder_tensor(builder *b, int dtype, int rank, const int *dims, float scale,
                                      int zero) {
  return builder_view(b, dtype, rank, dims, NULL, builder_next(b), scale, zero);
}

/* An image whose pixels are `gap` elements longer than its channels; the gap belongs to it. */
static inline uint32_t builder_padded(builder *b, int dtype, const int *dims, int gap, float scale,
                                      int zero) {
  const int64_t e = builder_elem(dtype), pixel = (dims[3] + gap) * e;
  const int64_t stride[4] = {pixel * dims[1] * dims[2], pixel * dims[2], pixel, e};
  const uint32_t k = builder_view(b, dtype, 4, dims, stride, builder_next(b), scale, zero);
  b->tensors[k].flags = MX_TENSOR_PAD_CHANNELS;
  b->head.arena_bytes += (uint64_t)(gap * e);
  return k;
}

static inline uint32_t builder_const(builder *b, int dtype, int rank, const int *dims, const void *values) {
  uint64_t bytes = (uint64_t)builder_elem(dtype);
  for (int d = 0; d < rank; ++d) bytes *= (uint64_t)dims[d];
  const uint64_t offset = (b->data_bytes + 63) & ~(uint64_t)63;
  if (offset + bytes > b->data_capacity) {
    uint8_t *grown = NULL;
    const uint64_t capacity = (offset + bytes) * 2 + 4096;
    CHECK(posix_memalign((void **)&grown, 64, capacity) == 0);
    memset(grown, 0, capacity);
    if (b->data != NULL) memcpy(grown, b->data, b->data_bytes);
    free(b->data);
    b->data = grown;
    b->data_capacity = capacity;
  }
  memcpy(b->data + offset, values, bytes);
  b->data_bytes = offset + bytes;
  b->consts = builder_grow(b->consts, b->head.num_consts, sizeof *b->consts);
  mxp_const *c = &b->consts[b->head.num_consts];
  *c = (mxp_const){.dtype = (uint8_t)dtype, .rank = (uint8_t)rank, .offset = offset, .bytes = bytes};
  for (int d = 0; d < MXP_MAX_RANK; ++d) c->dims[d] = d < rank ? dims[d] : 1;
  return b->head.num_consts++;
}

/* An instruction with nothing in its slots, multipliers of 1 and no clamp limits beyond those of u8. */
static inline mxp_insn *builder_insn(builder *b, int op) {
  b->insns = builder_grow(b->insns, b->head.num_insns, sizeof *b->insns);
  mxp_insn *in = &b->insns[b->head.num_insns++];
  in->op = (uint16_t)op;
  for (int k = 0; k < 6; ++k) in->in[k] = MXP_NONE;
  for (int k = 0; k < 2; ++k) in->out[k] = MXP_NONE;
  for (int k = 0; k < 8; ++k) in->cst[k] = MXP_NONE;
  in->f[2] = in->f[3] = in->f[4] = in->f[5] = 1.0f;
  in->i[13] = in->i[15] = 255;
  return in;
}

/* Window fields of a convolution or pool. */
static inline void builder_window(mxp_insn *in, int kh, int kw, int stride, int pad, int dilation) {
  in->i[0] = kh, in->i[1] = kw;
  in->i[2] = in->i[3] = stride;
  in->i[4] = in->i[5] = in->i[6] = in->i[7] = pad;
  in->i[8] = in->i[9] = dilation;
}

static inline void builder_input(builder *b, uint32_t tensor) {
  b->inputs[b->head.num_inputs++] = (mxp_input){.tensor = tensor, .table = MXP_NONE, .order = MXP_NONE};
}

static inline void builder_output(builder *b, uint32_t tensor) { b->outputs[b->head.num_outputs++] = tensor; }

static inline uint8_t *builder_put(uint8_t *at, const void *from, size_t bytes) {
  if (bytes > 0) memcpy(at, from, bytes);
  return at + bytes;
}

/* Lays the section out. May be called again after a change. */
static inline void builder_finish(builder *b) {
  const mxp_header *h = &b->head;
  b->head.const_bytes = b->data_bytes;
  if (b->data == NULL) CHECK(posix_memalign((void **)&b->data, 64, 64) == 0);
  const size_t io = sizeof *h + h->num_inputs * sizeof(mxp_input) + h->num_outputs * sizeof(uint32_t);
  b->program_bytes = ((io + 7) & ~(size_t)7) + h->num_tensors * sizeof(mxp_tensor) +
                     h->num_consts * sizeof(mxp_const) + h->num_insns * sizeof(mxp_insn);
  free(b->program);
  b->program = NULL;
  CHECK(posix_memalign((void **)&b->program, 64, b->program_bytes) == 0);
  memset(b->program, 0, b->program_bytes);
  uint8_t *at = builder_put(b->program, h, sizeof *h);
  at = builder_put(at, b->inputs, h->num_inputs * sizeof(mxp_input));
  builder_put(at, b->outputs, h->num_outputs * sizeof(uint32_t));
  at = builder_put(b->program + ((io + 7) & ~(size_t)7), b->tensors, h->num_tensors * sizeof(mxp_tensor));
  at = builder_put(at, b->consts, h->num_consts * sizeof(mxp_const));
  builder_put(at, b->insns, h->num_insns * sizeof(mxp_insn));
}

static inline void builder_free(builder *b) {
  free(b->tensors);
  free(b->consts);
  free(b->insns);
  free(b->data);
  free(b->program);
  memset(b, 0, sizeof *b);
}

/* A host array for a tensor of these dims, C order, no gaps. */
static inline maccel_io builder_io(void *data, int dtype, int rank, const int *dims) {
  maccel_io io = {.data = data, .dtype = dtype};
  int64_t step = builder_elem(dtype);
  for (int d = rank - 1; d >= 0; --d) {
    io.stride[d] = step;
    step *= dims[d];
  }
  io.batch_stride = step;
  return io;
}

#endif
