/* network.h - small whole networks, and the outputs that the plain kernels give.
 *
 *   image u8 [1,side,side,3] -> conv 3x3 /2 -> depthwise 3x3 -> conv 1x1 + residual in place -> max pool 2x2
 *     -> conv 3x3, hard swish -> average over the image -> fully connected -> softmax f32 [1,1,1,10] */
#ifndef MX_TEST_NETWORK_H
#define MX_TEST_NETWORK_H

#include "builder.h"
#include "exec.h"

enum { NETWORK_CLASSES = 10, NETWORK_LAYERS = 8 };

typedef struct network {
  builder b;
  test_rng rng;
  uint32_t layer, last; /* tensor */
  int side, channels;   /* of it */
} network;

static inline uint32_t network_const(network *n, int dtype, int rank, const int *dims, int lo, int hi,
                                     float unit) {
  int count = 1;
  for (int d = 0; d < rank; ++d) count *= dims[d];
  uint8_t *v = malloc((size_t)count * 4);
  CHECK(v != NULL);
  for (int k = 0; k < count; ++k) {
    const int q = rng_int(&n->rng, lo, hi);
    if (dtype == MACCEL_S8) v[k] = (uint8_t)q;
    if (dtype == MACCEL_S32) memcpy(v + 4 * k, &q, 4);
    if (dtype == MACCEL_F32) memcpy(v + 4 * k, &(float){(float)q * unit}, 4);
  }
  const uint32_t c = builder_const(&n->b, dtype, rank, dims, v);
  free(v);
  return c;
}

/* Constants come first: adding one may move the instructions' neighbours, never the record that is being filled. */
static inline mxp_insn *network_conv(network *n, int op, int out_c, int k, int stride, int dtype) {
  const int side = (n->side + 2 * (k / 2) - k) / stride + 1, depthwise = op == MX_OP_DWCONV;
  const int full[4] = {out_c, k, k, n->channels}, dw[3] = {k, k, out_c};
  const uint32_t w = depthwise ? network_const(n, MACCEL_S8, 3, dw, -127, 127, 0)
                               : network_const(n, MACCEL_S8, 4, full, -127, 127, 0);
  const uint32_t bias = network_const(n, MACCEL_S32, 1, &out_c, -4000, 4000, 0);
  const uint32_t scale = network_const(n, MACCEL_F32, 1, &out_c, 20, 60, depthwise ? 1e-4f : 2e-5f);
  const uint32_t y =
      builder_tensor(&n->b, dtype, 4, (int[]){1, side, side, out_c}, 1.0f, dtype == MACCEL_F32 ? 0 : 96);
  mxp_insn *in = builder_insn(&n->b, op);
  in->layer = n->layer++;
  in->in[0] = n->last, in->out[0] = y;
  in->cst[0] = w, in->cst[1] = bias, in->cst[2] = scale;
  builder_window(in, k, k, stride, k / 2, 1);
  in->i[10] = depthwise ? out_c : 1;
  n->last = y, n->side = side, n->channels = out_c;
  return in;
}

static inline mxp_insn *network_pool(network *n, int kind, int k) {
  const int side = n->side / k;
  const uint32_t y = builder_tensor(&n->b, MACCEL_U8, 4, (int[]){1, side, side, n->channels}, 1.0f, 96);
  mxp_insn *in = builder_insn(&n->b, MX_OP_POOL);
  in->layer = n->layer++;
  in->in[0] = n->last, in->out[0] = y;
  builder_window(in, k, k, k, 0, 1);
  in->i[10] = kind;
  n->last = y, n->side = side;
  return in;
}

/* `side` is a multiple of 4; `width` channels in the middle. */
static inline void network_build(builder *out, int side, int width, uint64_t seed) {
  network n = {.rng = {seed * 2 + 1}, .side = side, .channels = 3};
  builder_init(&n.b);
  n.b.head.num_layers = NETWORK_LAYERS;
  n.last = builder_tensor(&n.b, MACCEL_U8, 4, (int[]){1, side, side, 3}, 1.0f, 128);
  builder_input(&n.b, n.last);
  network_conv(&n, MX_OP_CONV, width, 3, 2, MACCEL_U8);
  network_conv(&n, MX_OP_DWCONV, width, 3, 1, MACCEL_U8);
  const uint32_t skip = n.last;
  mxp_insn *in = network_conv(&n, MX_OP_CONV, width + 5, 1, 1, MACCEL_U8);
  in = network_conv(&n, MX_OP_CONV, width, 1, 1, MACCEL_U8);
  in->in[1] = in->out[0] = skip; /* in place */
  in->f[2] = 0.5f;
  n.last = skip;
  network_pool(&n, 0, 2);
  in = network_conv(&n, MX_OP_CONV, width, 3, 1, MACCEL_U8);
  in->i[11] = MX_ACT_HARDSWISH, in->f[0] = 1.0f / 6.0f, in->f[1] = 0.5f;
  network_pool(&n, 1, n.side);
  network_conv(&n, MX_OP_CONV, NETWORK_CLASSES, 1, 1, MACCEL_F32);
  const uint32_t y = builder_tensor(&n.b, MACCEL_F32, 4, (int[]){1, 1, 1, NETWORK_CLASSES}, 1.0f, 0);
  in = builder_insn(&n.b, MX_OP_SOFTMAX);
  in->layer = n.layer - 1;
  in->in[0] = n.last, in->out[0] = y, in->f[4] = 0.125f;
  for (uint32_t k = 0; k < n.b.head.num_insns; ++k) n.b.head.macs += k; /* a figure, nothing depends on it */
  builder_output(&n.b, y);
  builder_finish(&n.b);
  *out = n.b;
}

/* Stripes of a colour of their own with noise: means over the image differ too. */
static inline void network_image(uint8_t *image, int side, uint64_t seed) {
  test_rng rng = {seed * 7919 + 3};
  const int colour[3] = {rng_int(&rng, 0, 191), rng_int(&rng, 0, 191), rng_int(&rng, 0, 191)};
  for (int k = 0; k < side * side * 3; ++k) {
    image[k] = (uint8_t)(colour[(k + k / 3 % 5) % 3] + rng_int(&rng, 0, 63));
  }
}

static inline void network_io(maccel_io io[2], uint8_t *image, float *out, int side) {
  io[0] = builder_io(image, MACCEL_U8, 4, (int[]){1, side, side, 3});
  io[1] = builder_io(out, MACCEL_F32, 4, (int[]){1, 1, 1, NETWORK_CLASSES});
}

static inline mx_program *network_load(const builder *b, mx_isa isa) {
  mx_program *p = NULL;
  const int status = mx_program_load(b->program, b->program_bytes, b->data, b->data_bytes, isa, &p);
  if (status != MACCEL_OK) fprintf(stderr, "refused: %s\n", maccel_last_error());
  CHECK_INT(status, MACCEL_OK);
  return p;
}

/* The outputs of one image by the plain kernels on one thread. */
static inline void network_expect(const builder *b, int side, uint64_t seed, float out[NETWORK_CLASSES]) {
  const mx_team alone = {.parts = 1};
  mx_program *p = network_load(b, MX_ISA_SCALAR);
  mx_context *c = NULL;
  uint8_t *image = malloc((size_t)(side * side * 3));
  maccel_io io[2];
  network_image(image, side, seed);
  network_io(io, image, out, side);
  CHECK_INT(mx_context_create(p, 1, &c), MACCEL_OK);
  mx_context_upload(c, io);
  mx_context_run(c, &alone, 0);
  mx_context_download(c, io);
  mx_context_free(c);
  mx_program_free(p);
  free(image);
}

#endif
