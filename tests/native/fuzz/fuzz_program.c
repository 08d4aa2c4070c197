/* Any bytes as a program and its constants: refused, or run inside its own memory on every instruction set.
 * Input: u32 size of the program, the program, its constants. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exec.h"
#include "program.h"

/* A verified program always ends, but nobody wants to wait for a large one. */
static const uint64_t MOST_ARENA = 1 << 20, MOST_CONSTS = 1 << 20, MOST_WORK = 1 << 20;
static const uint32_t MOST_INSNS = 64;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stand for mx_map() and mx_unmap() here (see meson.build): arenas and packed weights get a page without access on
 * either side, and end close to the upper one. */
void *__wrap_mx_map(size_t bytes);
void __wrap_mx_unmap(void *p, size_t bytes);

static size_t guarded_bytes(size_t bytes, size_t page) { return (bytes + page - 1) / page * page; }

void *__wrap_mx_map(size_t bytes) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = guarded_bytes(bytes, page);
  if (bytes == 0 || bytes > SIZE_MAX / 2) return NULL;
  uint8_t *p = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (mprotect(p + page, inner, PROT_READ | PROT_WRITE) != 0) abort();
  return p + page + (inner - bytes) / 64 * 64;
}

void __wrap_mx_unmap(void *p, size_t bytes) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = guarded_bytes(bytes, page);
  if (p != NULL) munmap((uint8_t *)p - (inner - bytes) / 64 * 64 - page, inner + 2 * page);
}

static size_t element_bytes(int32_t dtype) {
  switch (dtype) {
    case MACCEL_U8:
    case MACCEL_S8: return 1;
    case MACCEL_S16:
    case MACCEL_BF16: return 2;
    case MACCEL_S64: return 8;
    default: return 4;
  }
}

/* A dense array of the tensor's own shape, in floats or in device units; inputs are any bytes, for users may pass any. */
static int dense_array(const mx_program *program, int is_output, uint32_t index, maccel_io *io) {
  maccel_tensor_info info;
  if (mx_program_get_tensor(program, is_output, index, &info) != MACCEL_OK) return 0;
  io->dtype = info.dtype == MACCEL_S32 || info.dtype == MACCEL_S64 ? info.dtype : MACCEL_F32;
  int64_t bytes = (int64_t)element_bytes(io->dtype);
  for (int k = info.rank - 1; k >= 0; --k) {
    io->stride[k] = bytes;
    bytes *= info.dims[k];
    if (bytes > (int64_t)MOST_ARENA * 4) return 0;
  }
  io->batch_stride = bytes;
  uint8_t *data = calloc(1, (size_t)bytes);
  for (uint32_t k = 0; data != NULL && !is_output && k < bytes; ++k)
    data[k] = (uint8_t)((k + 1) * 2654435761u >> 23);
  io->data = data;
  return data != NULL;
}

static void run(const mx_program *program, const maccel_model_info *info) {
  static const mx_team alone = {.parts = 1};
  maccel_io io[2 * MACCEL_MAX_IO] = {{0}};
  const uint32_t count = info->num_inputs + info->num_outputs;
  int sound = count <= 2 * MACCEL_MAX_IO;
  for (uint32_t k = 0; sound && k < count; ++k) {
    const int is_output = k >= info->num_inputs;
    sound = dense_array(program, is_output, is_output ? k - info->num_inputs : k, &io[k]);
  }
  mx_context *context = NULL;
  if (sound && mx_program_check_io(program, io, count) == MACCEL_OK &&
      mx_context_create(program, 1, &context) == MACCEL_OK) {
    mx_context_upload(context, io);
    mx_context_run(context, &alone, 0);
    mx_context_download(context, io);
    mx_context_free(context);
  }
  for (uint32_t k = 0; k < 2 * MACCEL_MAX_IO; ++k) free(io[k].data);
}

static uint8_t *copy_of(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size > 0 ? size : 1);
  if (copy == NULL) abort();
  memcpy(copy, data, size);
  return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint32_t program_bytes;
  if (size < sizeof program_bytes) return 0;
  memcpy(&program_bytes, data, sizeof program_bytes);
  data += sizeof program_bytes;
  size -= sizeof program_bytes;
  if (program_bytes > size || size - program_bytes > MOST_CONSTS) return 0;
  /* Copies of exactly the right size: a read past either block is then seen. */
  uint8_t *program = copy_of(data, program_bytes);
  uint8_t *consts = copy_of(data + program_bytes, size - program_bytes);
  for (int isa = 0; isa <= (int)mx_isa_detected(); ++isa) {
    if (!mx_isa_supported((mx_isa)isa)) continue;
    mx_program *loaded = NULL;
    if (mx_program_load(program, program_bytes, consts, size - program_bytes, (mx_isa)isa, &loaded) !=
        MACCEL_OK)
      break;
    maccel_model_info info;
    mx_program_get_info(loaded, &info);
    if (info.arena_bytes <= MOST_ARENA && info.num_insns <= MOST_INSNS && loaded->work <= MOST_WORK)
      run(loaded, &info);
    mx_program_free(loaded);
  }
  free(program);
  free(consts);
  return 0;
}
