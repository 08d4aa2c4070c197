/* Packing: equal weights in equal use are there once, others are not mixed up, and every step runs as if alone. */
#include "../common/network.h"
#include "cpu.h"
#include "program.h"

static mx_program *load(const builder *b, mx_isa isa) {
  mx_program *p = NULL;
  CHECK_INT(mx_program_load(b->program, b->program_bytes, b->data, b->data_bytes, isa, &p), MACCEL_OK);
  return p;
}

enum { SIDE = 6, CHANNELS = 32, CONVS = 4 };

/* The same convolution CONVS times in a row; the input of number `odd` has another zero (-1: none). */
static void build_chain(builder *b, int odd) {
  const int image[4] = {1, SIDE, SIDE, CHANNELS}, full[4] = {CHANNELS, 3, 3, CHANNELS};
  network n = {.rng = {99}};
  builder_init(&n.b);
  n.b.head.num_layers = 1;
  for (int k = 0; k <= CONVS; ++k) builder_tensor(&n.b, MACCEL_U8, 4, image, 1.0f, k == odd ? 77 : 96);
  const uint32_t w = network_const(&n, MACCEL_S8, 4, full, -127, 127, 0);
  const uint32_t bias = network_const(&n, MACCEL_S32, 1, full, -4000, 4000, 0);
  const uint32_t scale = network_const(&n, MACCEL_F32, 1, full, 20, 60, 2e-5f);
  for (uint32_t k = 0; k < CONVS; ++k) {
    mxp_insn *in = builder_insn(&n.b, MX_OP_CONV);
    in->in[0] = k, in->out[0] = k + 1;
    in->cst[0] = w, in->cst[1] = bias, in->cst[2] = scale;
    builder_window(in, 3, 3, 1, 1, 1);
    in->i[10] = 1;
  }
  builder_input(&n.b, 0);
  builder_output(&n.b, CONVS);
  builder_finish(&n.b);
  *b = n.b;
}

static void infer(mx_program *p, uint8_t *out) {
  uint8_t image[SIDE * SIDE * CHANNELS];
  const int dims[4] = {1, SIDE, SIDE, CHANNELS};
  const mx_team alone = {.parts = 1};
  mx_context *c = NULL;
  for (size_t k = 0; k < sizeof image; ++k) image[k] = (uint8_t)(k * 37);
  const maccel_io io[2] = {builder_io(image, MACCEL_U8, 4, dims), builder_io(out, MACCEL_U8, 4, dims)};
  CHECK_INT(mx_context_create(p, 1, &c), MACCEL_OK);
  mx_context_upload(c, io);
  mx_context_run(c, &alone, 0);
  mx_context_download(c, io);
  mx_context_free(c);
}

static void equal_use_shares(mx_isa isa) {
  builder b;
  build_chain(&b, -1);
  mx_program *p = load(&b, isa);
  for (uint32_t k = 1; k < CONVS; ++k) {
    CHECK(p->steps[k].task.packed == p->steps[0].task.packed);
    CHECK(p->steps[k].task.zero_row == p->steps[0].task.zero_row);
  }
  CHECK(p->packed_bytes < 2 * p->steps[0].packed_bytes + 1024);
  mx_program_free(p);
  builder_free(&b);
}

/* Whatever is shared or not: the bits of the plain kernels. */
static void other_use_stays_apart(mx_isa isa) {
  for (int odd = 0; odd < CONVS; ++odd) {
    builder b;
    uint8_t want[SIDE * SIDE * CHANNELS], got[SIDE * SIDE * CHANNELS];
    build_chain(&b, odd);
    mx_program *plain = load(&b, MX_ISA_SCALAR), *p = load(&b, isa);
    CHECK(p->steps[odd].task.zero_row != p->steps[(odd + 1) % CONVS].task.zero_row);
    infer(plain, want);
    infer(p, got);
    CHECK(memcmp(want, got, sizeof want) == 0);
    mx_program_free(plain);
    mx_program_free(p);
    builder_free(&b);
  }
}

/* Enough weights for several threads: every load gives the same region. */
static void threads_pack_the_same(mx_isa isa) {
  builder b;
  network_build(&b, 16, 512, 3);
  mx_program *first = load(&b, isa);
  CHECK(isa == MX_ISA_SCALAR || first->packed_bytes > (size_t)1 << 20);
  for (int round = 0; round < 4; ++round) {
    mx_program *p = load(&b, isa);
    CHECK_INT(p->packed_bytes, first->packed_bytes);
    CHECK(memcmp(p->packed, first->packed, first->packed_bytes) == 0);
    mx_program_free(p);
  }
  mx_program_free(first);
  builder_free(&b);
}

int main(void) {
  for (int isa = 0; isa <= (int)mx_isa_detected(); ++isa) {
    if (!mx_isa_supported((mx_isa)isa)) continue;
    equal_use_shares((mx_isa)isa);
    other_use_stays_apart((mx_isa)isa);
    threads_pack_the_same((mx_isa)isa);
  }
  return 0;
}
