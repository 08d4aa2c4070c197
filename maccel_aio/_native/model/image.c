/* image.c - header and record layout of a program section. */
#include "image.h"

#include <string.h>

#include "maccel.h"
#include "status.h"

static int check_header(const mxp_header *h, uint64_t data_bytes) {
  MX_RETURN_IF(h->magic != MXP_MAGIC, MACCEL_E_FORMAT, "the program does not start with its magic number");
  MX_RETURN_IF(h->version != MXP_VERSION, MACCEL_E_UNSUPPORTED,
               "the program has version %u, this build reads version %u", h->version, MXP_VERSION);
  MX_RETURN_IF(h->num_outputs == 0, MACCEL_E_FORMAT, "the program has no outputs");
  MX_RETURN_IF(h->num_inputs > MACCEL_MAX_IO || h->num_outputs > MACCEL_MAX_IO - h->num_inputs,
               MACCEL_E_FORMAT, "the program has %u inputs and %u outputs, at most %d together are allowed",
               h->num_inputs, h->num_outputs, MACCEL_MAX_IO);
  MX_RETURN_IF(h->num_tensors > MXP_MAX_TENSORS, MACCEL_E_FORMAT,
               "the program has %u tensors, at most %u are allowed", h->num_tensors, MXP_MAX_TENSORS);
  MX_RETURN_IF(h->num_insns > MXP_MAX_INSNS, MACCEL_E_FORMAT,
               "the program has %u instructions, at most %u are allowed", h->num_insns, MXP_MAX_INSNS);
  MX_RETURN_IF(h->arena_bytes > MXP_MAX_ARENA, MACCEL_E_FORMAT,
               "the program asks for an arena of %llu bytes, at most %llu are allowed",
               (unsigned long long)h->arena_bytes, (unsigned long long)MXP_MAX_ARENA);
  MX_RETURN_IF(h->const_bytes != data_bytes, MACCEL_E_FORMAT,
               "the program reads %llu bytes of constants, the section has %llu",
               (unsigned long long)h->const_bytes, (unsigned long long)data_bytes);
  for (size_t i = 0; i < sizeof h->reserved; ++i) {
    MX_RETURN_IF(h->reserved[i] != 0, MACCEL_E_FORMAT, "reserved bytes of the program header are not zero");
  }
  return MACCEL_OK;
}

int mx_image_open(mx_image *im, const void *program, uint64_t program_bytes, const void *data,
                  uint64_t data_bytes) {
  MX_RETURN_IF(program_bytes < sizeof im->head, MACCEL_E_FORMAT,
               "the program has %llu bytes, its header needs %zu", (unsigned long long)program_bytes,
               sizeof im->head);
  memcpy(&im->head, program, sizeof im->head);
  MX_FORWARD(check_header(&im->head, data_bytes));
  const mxp_header *h = &im->head;
  const uint64_t inputs = sizeof *h, outputs = inputs + (uint64_t)h->num_inputs * sizeof(mxp_input);
  const uint64_t after_outputs = outputs + (uint64_t)h->num_outputs * sizeof(uint32_t);
  const uint64_t tensors = (after_outputs + 7) & ~(uint64_t)7;
  const uint64_t consts = tensors + (uint64_t)h->num_tensors * sizeof(mxp_tensor);
  const uint64_t insns = consts + (uint64_t)h->num_consts * sizeof(mxp_const);
  const uint64_t end = insns + (uint64_t)h->num_insns * sizeof(mxp_insn);
  MX_RETURN_IF(end != program_bytes, MACCEL_E_FORMAT,
               "the records of the program take %llu bytes, the section has %llu", (unsigned long long)end,
               (unsigned long long)program_bytes);
  const uint8_t *base = program;
  for (uint64_t i = after_outputs; i < tensors; ++i) {
    MX_RETURN_IF(base[i] != 0, MACCEL_E_FORMAT, "padding bytes of the program are not zero");
  }
  im->inputs = (const mxp_input *)(const void *)(base + inputs);
  im->outputs = (const uint32_t *)(const void *)(base + outputs);
  im->tensors = (const mxp_tensor *)(const void *)(base + tensors);
  im->consts = (const mxp_const *)(const void *)(base + consts);
  im->insns = (const mxp_insn *)(const void *)(base + insns);
  im->data = data;
  return MACCEL_OK;
}
