/* io.c - are the caller's arrays transferable? Decided before submission, from formats alone. */
#include "program.h"

static int check_array(const mx_program *p, const maccel_io *io, uint32_t k) {
  const mxp_header *h = &p->image.head;
  const int is_output = k >= h->num_inputs;
  const uint32_t index = is_output ? k - h->num_inputs : k;
  const uint32_t tensor = is_output ? p->image.outputs[index] : p->image.inputs[index].tensor;
  const int has_table = !is_output && p->image.inputs[index].table != MXP_NONE;
  const char *kind = is_output ? "output" : "input";
  const int device = p->image.tensors[tensor].dtype;
  MX_RETURN_IF(io->data == NULL, MACCEL_E_INVALID, "%s %u has no data", kind, index);
  MX_RETURN_IF(!mx_transfer_possible(device, io->dtype, is_output, has_table), MACCEL_E_INVALID,
               "%s %u: a %s array cannot be transferred %s a %s tensor", kind, index,
               mx_dtype_name(io->dtype), is_output ? "from" : "to", mx_dtype_name(device));
  return MACCEL_OK;
}

int mx_program_check_io(const mx_program *p, const maccel_io *io, uint32_t num_io) {
  const uint32_t expected = p->image.head.num_inputs + p->image.head.num_outputs;
  MX_RETURN_IF(io == NULL || num_io != expected, MACCEL_E_INVALID,
               "%u arrays are given, the program has %u inputs and %u outputs", num_io,
               p->image.head.num_inputs, p->image.head.num_outputs);
  for (uint32_t k = 0; k < num_io; ++k) MX_FORWARD(check_array(p, &io[k], k));
  return MACCEL_OK;
}
