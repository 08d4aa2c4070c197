/* sample.h - a small program that uses most operations, for the tests of this floor and the fuzzer's corpus.
 *
 *   image u8 [1,8,8,4] -> CONV 3x3 -> DWCONV -> POOL -> MAP (to f32) -> SOFTMAX -> ELTWISE -> output f32 [1,4,4,8] */
#ifndef MX_TEST_SAMPLE_H
#define MX_TEST_SAMPLE_H

#include "../common/builder.h"

/* Instruction numbers. */
enum { SAMPLE_CONV, SAMPLE_DWCONV, SAMPLE_POOL, SAMPLE_MAP, SAMPLE_SOFTMAX, SAMPLE_ELTWISE, SAMPLE_INSNS };
/* Tensor numbers. */
enum { SAMPLE_X, SAMPLE_A, SAMPLE_B, SAMPLE_C, SAMPLE_D, SAMPLE_E, SAMPLE_Y };

static inline uint32_t sample_bytes(builder *b, int dtype, int rank, const int *dims, uint32_t seed) {
  int n = builder_elem(dtype);
  for (int d = 0; d < rank; ++d) n *= dims[d];
  uint8_t *v = malloc((size_t)n);
  test_rng r = {seed * 7919u + 1};
  for (int k = 0; k < n; ++k) v[k] = (uint8_t)rng_next(&r);
  const uint32_t c = builder_const(b, dtype, rank, dims, v);
  free(v);
  return c;
}

static inline uint32_t sample_ints(builder *b, int n, int step) {
  int32_t v[64];
  for (int k = 0; k < n; ++k) v[k] = step * (k - n / 2);
  return builder_const(b, MACCEL_S32, 1, &n, v);
}

static inline uint32_t sample_floats(builder *b, int n, float v0, float step) {
  float v[64];
  for (int k = 0; k < n; ++k) v[k] = v0 + step * (float)k;
  return builder_const(b, MACCEL_F32, 1, &n, v);
}

static inline void sample_convs(builder *b) {
  const uint32_t w = sample_bytes(b, MACCEL_S8, 4, (int[]){8, 3, 3, 4}, 3);
  const uint32_t bias = sample_ints(b, 8, 100), scale = sample_floats(b, 8, 0.001f, 0.0001f);
  const uint32_t dw = sample_bytes(b, MACCEL_S8, 3, (int[]){3, 3, 8}, 5);
  mxp_insn *in = builder_insn(b, MX_OP_CONV);
  in->in[0] = SAMPLE_X, in->out[0] = SAMPLE_A;
  in->cst[0] = w, in->cst[1] = bias, in->cst[2] = scale;
  builder_window(in, 3, 3, 1, 1, 1);
  in->i[10] = 1;
  in = builder_insn(b, MX_OP_DWCONV);
  in->layer = 1;
  in->in[0] = SAMPLE_A, in->in[1] = SAMPLE_A, in->out[0] = SAMPLE_B;
  in->cst[0] = dw, in->cst[1] = bias, in->cst[2] = scale;
  builder_window(in, 3, 3, 1, 1, 1);
  in->i[10] = 8;
  in->f[2] = 0.25f;
}

static inline void sample_build(builder *b) {
  const int image[4] = {1, 8, 8, 4}, middle[4] = {1, 8, 8, 8}, small[4] = {1, 4, 4, 8};
  builder_init(b);
  b->head.num_layers = 3;
  builder_tensor(b, MACCEL_U8, 4, image, 0.5f, 128);
  builder_tensor(b, MACCEL_U8, 4, middle, 0.1f, 100);
  builder_padded(b, MACCEL_U8, middle, 8, 0.1f, 90);
  builder_tensor(b, MACCEL_U8, 4, small, 0.1f, 90);
  builder_tensor(b, MACCEL_F32, 4, small, 1.0f, 0);
  builder_tensor(b, MACCEL_F32, 4, small, 1.0f, 0);
  builder_tensor(b, MACCEL_F32, 4, small, 1.0f, 0);
  sample_convs(b);
  mxp_insn *in = builder_insn(b, MX_OP_POOL);
  in->layer = 2;
  in->in[0] = SAMPLE_B, in->out[0] = SAMPLE_C;
  builder_window(in, 2, 2, 2, 0, 1);
  in = builder_insn(b, MX_OP_MAP);
  in->layer = 2;
  in->in[0] = SAMPLE_C, in->out[0] = SAMPLE_D;
  in->f[4] = 0.1f;
  in = builder_insn(b, MX_OP_SOFTMAX);
  in->layer = 2;
  in->in[0] = SAMPLE_D, in->out[0] = SAMPLE_E;
  in = builder_insn(b, MX_OP_ELTWISE);
  in->layer = 2;
  in->in[0] = SAMPLE_E, in->in[1] = SAMPLE_D, in->out[0] = SAMPLE_Y;
  in->i[10] = MX_ELT_ADD;
  builder_input(b, SAMPLE_X);
  builder_output(b, SAMPLE_Y);
  builder_finish(b);
}

#endif
