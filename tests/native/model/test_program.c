/* Loading: what a program reports, that it keeps nothing of the caller's memory, what it refuses. */
#include "cpu.h"
#include "exec.h"
#include "sample.h"

static mx_program *load(const builder *b, mx_isa isa) {
  mx_program *p = NULL;
  CHECK_INT(mx_program_load(b->program, b->program_bytes, b->data, b->data_bytes, isa, &p), MACCEL_OK);
  CHECK(p != NULL);
  return p;
}

static void info_follows_the_file(void) {
  builder b;
  maccel_model_info info;
  maccel_tensor_info tensor;
  sample_build(&b);
  b.head.macs = 12345;
  builder_finish(&b);
  mx_program *p = load(&b, MX_ISA_SCALAR);
  CHECK_INT(mx_program_get_info(p, &info), MACCEL_OK);
  CHECK_INT(info.num_inputs, 1);
  CHECK_INT(info.num_outputs, 1);
  CHECK_INT(info.num_insns, SAMPLE_INSNS);
  CHECK_INT(info.num_layers, 3);
  CHECK_INT(info.arena_bytes, b.head.arena_bytes);
  CHECK_INT(info.macs, 12345);
  CHECK_INT(mx_program_get_tensor(p, 0, 0, &tensor), MACCEL_OK);
  CHECK(tensor.dtype == MACCEL_U8 && tensor.rank == 4 && tensor.dims[1] == 8 && tensor.dims[3] == 4);
  CHECK(tensor.scale == 0.5f && tensor.zero_point == 128);
  CHECK_INT(mx_program_get_tensor(p, 1, 0, &tensor), MACCEL_OK);
  CHECK(tensor.dtype == MACCEL_F32 && tensor.dims[3] == 8);
  CHECK_INT(mx_program_get_tensor(p, 1, 1, &tensor), MACCEL_E_INVALID);
  CHECK_TEXT(maccel_last_error(), "output 1 does not exist");
  mx_program_free(p);
  builder_free(&b);
}

static void run_once(mx_program *p, float *out) {
  uint8_t image[256];
  mx_context *c = NULL;
  const mx_team alone = {.parts = 1};
  for (int k = 0; k < 256; ++k) image[k] = (uint8_t)(k * 37);
  const maccel_io io[2] = {builder_io(image, MACCEL_U8, 4, (int[]){1, 8, 8, 4}),
                           builder_io(out, MACCEL_F32, 4, (int[]){1, 4, 4, 8})};
  CHECK_INT(mx_program_check_io(p, io, 2), MACCEL_OK);
  CHECK_INT(mx_context_create(p, 1, &c), MACCEL_OK);
  mx_context_upload(c, io);
  mx_context_run(c, &alone, 0);
  mx_context_download(c, io);
  mx_context_free(c);
}

/* The blocks are overwritten after load; every level gives the same bits. */
static void nothing_of_the_caller_is_kept(void) {
  float first[128], again[128];
  for (int level = 0; level <= (int)mx_isa_detected(); ++level) {
    if (!mx_isa_supported((mx_isa)level)) continue;
    builder b;
    sample_build(&b);
    mx_program *p = load(&b, (mx_isa)level);
    memset(b.program, 0xa5, b.program_bytes);
    memset(b.data, 0xa5, b.data_bytes);
    builder_free(&b);
    run_once(p, level == 0 ? first : again);
    if (level > 0) CHECK(memcmp(first, again, sizeof first) == 0);
    mx_program_free(p);
  }
  float sum = 0.0f;
  for (int k = 0; k < 128; ++k) sum += first[k] != first[0];
  CHECK(sum > 0.0f);
}

static void misaligned_blocks_load(void) {
  builder b;
  mx_program *p = NULL;
  sample_build(&b);
  uint8_t *copy = malloc(b.program_bytes + b.data_bytes + 2);
  CHECK(copy != NULL);
  memcpy(copy + 1, b.program, b.program_bytes);
  memcpy(copy + 1 + b.program_bytes, b.data, b.data_bytes);
  CHECK_INT(
      mx_program_load(copy + 1, b.program_bytes, copy + 1 + b.program_bytes, b.data_bytes, MX_ISA_SCALAR, &p),
      MACCEL_OK);
  free(copy);
  mx_program_free(p);
  builder_free(&b);
}

static void broken_programs_do_not_load(void) {
  builder b;
  mx_program *p = NULL;
  sample_build(&b);
  b.insns[0].i[0] = 4;
  builder_finish(&b);
  CHECK_INT(mx_program_load(b.program, b.program_bytes, b.data, b.data_bytes, MX_ISA_SCALAR, &p),
            MACCEL_E_FORMAT);
  CHECK_TEXT(maccel_last_error(),
             "instruction 0 (CONV): output height is 8 but padding, stride and kernel give 7");
  CHECK(p == NULL);
  CHECK_INT(mx_program_load(NULL, 0, NULL, 0, MX_ISA_SCALAR, &p), MACCEL_E_INVALID);
  CHECK_INT(mx_program_load(b.program, b.program_bytes, b.data, b.data_bytes, MX_ISA_SCALAR, NULL),
            MACCEL_E_INVALID);
  mx_program_free(NULL);
  builder_free(&b);
}

static void arrays_are_checked_by_format(void) {
  builder b;
  uint8_t memory[4];
  sample_build(&b);
  mx_program *p = load(&b, MX_ISA_SCALAR);
  maccel_io io[2] = {builder_io(memory, MACCEL_U8, 4, (int[]){1, 8, 8, 4}),
                     builder_io(memory, MACCEL_F32, 4, (int[]){1, 4, 4, 8})};
  CHECK_INT(mx_program_check_io(p, io, 2), MACCEL_OK);
  CHECK_INT(mx_program_check_io(p, io, 1), MACCEL_E_INVALID);
  CHECK_TEXT(maccel_last_error(), "1 arrays are given, the program has 1 inputs and 1 outputs");
  CHECK_INT(mx_program_check_io(p, NULL, 2), MACCEL_E_INVALID);
  io[0].dtype = MACCEL_BF16;
  CHECK_INT(mx_program_check_io(p, io, 2), MACCEL_E_INVALID);
  CHECK_TEXT(maccel_last_error(), "input 0: a bf16 array cannot be transferred to a u8 tensor");
  io[0].dtype = MACCEL_S8, io[1].dtype = MACCEL_S8;
  CHECK_INT(mx_program_check_io(p, io, 2), MACCEL_E_INVALID);
  CHECK_TEXT(maccel_last_error(), "output 0: a s8 array cannot be transferred from a f32 tensor");
  io[1].dtype = MACCEL_F32, io[1].data = NULL;
  CHECK_INT(mx_program_check_io(p, io, 2), MACCEL_E_INVALID);
  CHECK_TEXT(maccel_last_error(), "output 0 has no data");
  mx_program_free(p);
  builder_free(&b);
}

int main(void) {
  info_follows_the_file();
  nothing_of_the_caller_is_kept();
  misaligned_blocks_load();
  broken_programs_do_not_load();
  arrays_are_checked_by_format();
  return 0;
}
