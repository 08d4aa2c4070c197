/* Constants on their way into a program: what stays is what kernels read, and overlapping ones survive the packing. */
#include "cpu.h"
#include "program.h"
#include "sample.h"

static mx_program *load(const builder *b, mx_isa isa) {
  mx_program *p = NULL;
  CHECK_INT(mx_program_load(b->program, b->program_bytes, b->data, b->data_bytes, isa, &p), MACCEL_OK);
  return p;
}

static void packed_weights_do_not_stay(void) {
  builder b;
  sample_build(&b);
  mx_program *p = load(&b, mx_isa_detected());
  CHECK(p->staging.data == NULL && p->staging.keep == NULL && p->staging.readers == NULL);
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const mx_step *s = &p->steps[k];
    CHECK((s->task.packed != NULL) == (s->packed_bytes > 0));
    if (s->packed_bytes > 0) CHECK(s->task.cst[0] == NULL);
    for (int slot = 1; slot < 8; ++slot) {
      if (s->task.insn->cst[slot] == MXP_NONE) continue;
      const mxp_const *record = &b.consts[s->task.insn->cst[slot]];
      CHECK(memcmp(s->task.cst[slot], b.data + record->offset, record->bytes) == 0);
    }
  }
  mx_program_free(p);
  builder_free(&b);
}

/* Two convolutions by one block of bytes under two records: packing the first must not take it from the second. */
static void constants_may_overlap(void) {
  builder b;
  enum { CHANNELS = 64 };
  const int image[4] = {1, 4, 4, CHANNELS}, full[4] = {CHANNELS, 3, 3, CHANNELS};
  builder_init(&b);
  b.head.num_layers = 2;
  for (int k = 0; k < 3; ++k) builder_tensor(&b, MACCEL_U8, 4, image, 1.0f, 100);
  const uint32_t w = sample_bytes(&b, MACCEL_S8, 4, full, 3), again = sample_bytes(&b, MACCEL_S8, 4, full, 5);
  const uint32_t bias = sample_ints(&b, CHANNELS, 10), scale = sample_floats(&b, CHANNELS, 1e-5f, 1e-7f);
  for (uint32_t k = 0; k < 2; ++k) {
    mxp_insn *in = builder_insn(&b, MX_OP_CONV);
    in->layer = k, in->in[0] = k, in->out[0] = k + 1;
    in->cst[0] = k == 0 ? w : again, in->cst[1] = bias, in->cst[2] = scale;
    builder_window(in, 3, 3, 1, 1, 1);
    in->i[10] = 1;
  }
  builder_input(&b, 0);
  builder_output(&b, 2);
  b.consts[again].offset = b.consts[w].offset;
  builder_finish(&b);
  mx_program *p = load(&b, mx_isa_detected());
  if (p->steps[0].packed_bytes > 0)
    CHECK(memcmp(p->steps[0].task.packed, p->steps[1].task.packed, p->steps[0].packed_bytes) == 0);
  mx_program_free(p);
  builder_free(&b);
}

int main(void) {
  packed_weights_do_not_stay();
  constants_may_overlap();
  return 0;
}
