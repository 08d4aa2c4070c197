/* program.c - from a verified image to steps with kernels.
 *
 * The order matters: the file's blocks are copied first and the copies verified, so that nothing that changes under
 * a mapped file later can break a proof. After packing, only the constants that kernels still read are kept. */
#include "program.h"

#include <string.h>

#include "alloc.h"

#define MX_ZERO_SLACK 128u

mx_view mx_program_view(const mx_program *p, uint32_t tensor) {
  const mxp_tensor *t = &p->image.tensors[tensor];
  mx_view v = {.dtype = t->dtype, .rank = t->rank, .scale = t->scale, .zero = t->zero, .flags = t->flags};
  memcpy(v.dims, t->dims, sizeof v.dims);
  memcpy(v.stride, t->stride, sizeof v.stride);
  v.channel_scale = mx_image_const_data(&p->image, t->scale_const);
  return v;
}

static void *copy_block(const void *from, uint64_t bytes, size_t align) {
  void *to = mx_alloc(bytes > 0 ? bytes : 1, align);
  if (to != NULL && bytes > 0) memcpy(to, from, bytes);
  return to;
}

/* ---- steps */

static void bind_step(mx_program *p, mx_step *s, const mxp_insn *in) {
  const mx_image *im = &p->image;
  s->task.insn = in;
  for (int k = 0; k < 6; ++k) {
    if (in->in[k] == MXP_NONE) continue;
    s->task.in[k] = mx_program_view(p, in->in[k]);
    s->offset_in[k] = im->tensors[in->in[k]].offset;
  }
  for (int k = 0; k < 2; ++k) {
    if (in->out[k] == MXP_NONE) continue;
    s->task.out[k] = mx_program_view(p, in->out[k]);
    s->offset_out[k] = im->tensors[in->out[k]].offset;
  }
  for (int k = 0; k < 8; ++k) {
    if (in->cst[k] == MXP_NONE) continue;
    s->task.cst[k] = mx_image_const_data(im, in->cst[k]);
    s->task.cst_info[k] = im->consts[in->cst[k]];
  }
}

static int needs_zeros(const mx_task *t) {
  switch (t->insn->op) {
    case MX_OP_CONV:
    case MX_OP_DWCONV:
    case MX_OP_CONVF: return 1;
    default: return 0;
  }
}

static size_t packed_size(const mx_step *s) {
  const size_t bytes =
      s->kernel->pack != NULL && s->kernel->pack_bytes != NULL ? s->kernel->pack_bytes(&s->task) : 0;
  return (bytes + 63) & ~(size_t)63;
}

static int build_steps(mx_program *p) {
  p->num_steps = p->image.head.num_insns;
  p->steps = mx_alloc((p->num_steps + (size_t)1) * sizeof *p->steps, 64);
  MX_RETURN_IF(p->steps == NULL, MACCEL_E_NOMEM, "no memory for %u instructions", p->num_steps);
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_step *s = &p->steps[k];
    bind_step(p, s, &p->image.insns[k]);
    /* Enough for a run of all taps of one row, gaps between pixels included. */
    if (needs_zeros(&s->task)) {
      const mx_view *x = &s->task.in[0];
      const size_t pixel = (size_t)x->dims[3] * (size_t)mx_elem_bytes(x->dtype);
      s->task.zero_row_bytes = (pixel + MX_ZERO_SLACK + 63) & ~(size_t)63;
    }
    s->kernel = mx_kernel_select(p->isa, &s->task);
    MX_RETURN_IF(s->kernel == NULL, MACCEL_E_UNSUPPORTED,
                 "instruction %u (%s): this build has no kernel for it", k, mx_op_name(s->task.insn->op));
    s->scratch_bytes = s->kernel->scratch_bytes ? s->kernel->scratch_bytes(&s->task) : 0;
    s->packed_bytes = packed_size(s);
  }
  return MACCEL_OK;
}

/* ---- load */

static int load_into(mx_program *p, const void *program, uint64_t program_bytes, const void *consts,
                     uint64_t const_bytes) {
  p->records = copy_block(program, program_bytes, 64);
  MX_RETURN_IF(p->records == NULL, MACCEL_E_NOMEM, "no memory for %llu bytes of program",
               (unsigned long long)program_bytes);
  MX_FORWARD(mx_constants_stage(p, consts, const_bytes));
  MX_FORWARD(mx_image_open(&p->image, p->records, program_bytes, p->staging.data, const_bytes));
  MX_FORWARD(mx_image_verify(&p->image, &p->work));
  MX_FORWARD(build_steps(p));
  MX_FORWARD(mx_constants_survey(p));
  MX_FORWARD(mx_program_pack(p));
  MX_FORWARD(mx_constants_settle(p));
  return mx_profile_init(p);
}

int mx_program_load(const void *program, uint64_t program_bytes, const void *consts, uint64_t const_bytes,
                    mx_isa isa, mx_program **out) {
  MX_RETURN_IF(program == NULL || out == NULL || (consts == NULL && const_bytes > 0), MACCEL_E_INVALID,
               "a pointer is NULL");
  mx_program *p = mx_alloc(sizeof *p, 64);
  MX_RETURN_IF(p == NULL, MACCEL_E_NOMEM, "no memory for a program");
  p->isa = isa;
  const int status = load_into(p, program, program_bytes, consts, const_bytes);
  if (status < 0) {
    mx_program_free(p);
    return status;
  }
  *out = p;
  return MACCEL_OK;
}

void mx_program_free(mx_program *p) {
  if (p == NULL) return;
  mx_free(p->rows);
  mx_free(p->steps);
  if (p->packed != NULL) mx_unmap(p->packed, p->packed_region);
  mx_constants_unstage(p);
  mx_free(p->consts);
  mx_free(p->records);
  mx_free(p);
}

int mx_program_get_info(const mx_program *p, maccel_model_info *out) {
  const mxp_header *h = &p->image.head;
  *out = (maccel_model_info){.num_inputs = h->num_inputs,
                             .num_outputs = h->num_outputs,
                             .num_insns = h->num_insns,
                             .num_layers = h->num_layers,
                             .arena_bytes = h->arena_bytes,
                             .packed_bytes = p->packed_bytes,
                             .macs = h->macs};
  return MACCEL_OK;
}

int mx_program_get_tensor(const mx_program *p, int is_output, uint32_t index, maccel_tensor_info *out) {
  const mxp_header *h = &p->image.head;
  MX_RETURN_IF(index >= (is_output ? h->num_outputs : h->num_inputs), MACCEL_E_INVALID,
               "%s %u does not exist", is_output ? "output" : "input", index);
  const uint32_t k = is_output ? p->image.outputs[index] : p->image.inputs[index].tensor;
  const mxp_tensor *t = &p->image.tensors[k];
  *out = (maccel_tensor_info){.dtype = t->dtype, .rank = t->rank, .scale = t->scale, .zero_point = t->zero};
  memcpy(out->dims, t->dims, sizeof out->dims);
  return MACCEL_OK;
}
