/* program.c - from a verified image to steps with kernels, packed weights and rows of zeros.
 *
 * The order matters: the file's blocks are copied first and the copies verified, so that nothing that changes under
 * a mapped file later can break a proof. After packing, only the constants that kernels still read are kept. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
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
  }
  return MACCEL_OK;
}

/* ---- packed weights */

static size_t packed_size(const mx_step *s) {
  const size_t bytes =
      s->kernel->pack != NULL && s->kernel->pack_bytes != NULL ? s->kernel->pack_bytes(&s->task) : 0;
  return (bytes + 63) & ~(size_t)63;
}

static void fill_zeros(uint8_t *row, size_t bytes, const mx_view *x) {
  if (x->dtype == MACCEL_S16) {
    const int16_t zero = (int16_t)x->zero;
    for (size_t i = 0; i + 2 <= bytes; i += 2) memcpy(row + i, &zero, 2);
  } else {
    memset(row, x->dtype == MACCEL_U8 ? x->zero : 0, bytes);
  }
}

/* A row that an earlier step made already, or NULL. Only the last few steps are looked at. */
static const uint8_t *shared_zeros(const mx_program *p, uint32_t k) {
  const mx_step *s = &p->steps[k];
  const uint32_t first = k > 32 ? k - 32 : 0;
  for (uint32_t j = first; j < k; ++j) {
    const mx_task *t = &p->steps[j].task;
    if (t->zero_row_bytes >= s->task.zero_row_bytes && s->task.zero_row_bytes > 0 &&
        t->in[0].dtype == s->task.in[0].dtype && t->in[0].zero == s->task.in[0].zero) {
      return t->zero_row;
    }
  }
  return NULL;
}

static size_t region_bytes(const mx_program *p) {
  size_t total = 64;
  for (uint32_t k = 0; k < p->num_steps; ++k)
    total += packed_size(&p->steps[k]) + p->steps[k].task.zero_row_bytes;
  return total;
}

static int pack_steps(mx_program *p) {
  p->packed_region = region_bytes(p);
  p->packed = mx_map(p->packed_region);
  MX_RETURN_IF(p->packed == NULL, MACCEL_E_NOMEM, "no memory for %zu bytes of packed weights",
               p->packed_region);
  uint8_t *at = p->packed;
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_step *s = &p->steps[k];
    const size_t bytes = packed_size(s);
    s->packed_bytes = bytes;
    if (bytes > 0) {
      s->task.packed = at;
      s->kernel->pack(&s->task, at);
      at += bytes;
    }
    if (s->task.zero_row_bytes == 0) continue;
    s->task.zero_row = shared_zeros(p, k);
    if (s->task.zero_row != NULL) continue;
    fill_zeros(at, s->task.zero_row_bytes, &s->task.in[0]);
    s->task.zero_row = at;
    at += s->task.zero_row_bytes;
  }
  p->packed_bytes = (uint64_t)(at - (uint8_t *)p->packed);
  return MACCEL_OK;
}

/* ---- constants that stay */

static void mark(uint8_t *keep, uint32_t k) {
  if (k != MXP_NONE) keep[k] = 1;
}

/* Everything but weights that a kernel has packed: run() sees cst[0] = NULL there. */
static void mark_needed(const mx_program *p, uint8_t *keep) {
  const mx_image *im = &p->image;
  for (uint32_t k = 0; k < im->head.num_tensors; ++k) mark(keep, im->tensors[k].scale_const);
  for (uint32_t k = 0; k < im->head.num_inputs; ++k) {
    mark(keep, im->inputs[k].table);
    mark(keep, im->inputs[k].order);
  }
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const mx_step *s = &p->steps[k];
    for (int slot = s->task.packed != NULL ? 1 : 0; slot < 8; ++slot) mark(keep, s->task.insn->cst[slot]);
  }
}

typedef struct kept {
  uint8_t *keep;
  uint8_t *data;
  uint64_t *offset;
} kept;

static const void *moved(const mx_program *p, const kept *m, uint32_t k) {
  return k == MXP_NONE || !m->keep[k] ? NULL : p->consts == NULL ? NULL : m->data + m->offset[k];
}

static void rebind(mx_program *p, const kept *m) {
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_task *t = &p->steps[k].task;
    for (int slot = 0; slot < 8; ++slot) t->cst[slot] = moved(p, m, t->insn->cst[slot]);
    if (t->packed != NULL) t->cst[0] = NULL;
    for (int slot = 0; slot < 6; ++slot) {
      if (t->insn->in[slot] == MXP_NONE) continue;
      t->in[slot].channel_scale = moved(p, m, p->image.tensors[t->insn->in[slot]].scale_const);
    }
    for (int slot = 0; slot < 2; ++slot) {
      if (t->insn->out[slot] == MXP_NONE) continue;
      t->out[slot].channel_scale = moved(p, m, p->image.tensors[t->insn->out[slot]].scale_const);
    }
  }
}

/* Moves the constants that are still needed to a block of their own and forgets the rest. The records of the image
 * are adjusted too, so that the inputs' tables are found by them. */
static int shrink_constants(mx_program *p) {
  const uint32_t n = p->image.head.num_consts;
  mxp_const *records = (mxp_const *)(uintptr_t)p->image.consts;
  kept m = {.keep = mx_alloc(n + (size_t)1, 8), .offset = mx_alloc((n + (size_t)1) * sizeof(uint64_t), 8)};
  uint64_t total = 0;
  int status = MACCEL_OK;
  if (m.keep == NULL || m.offset == NULL) goto short_of_memory;
  mark_needed(p, m.keep);
  for (uint32_t k = 0; k < n; ++k) {
    if (!m.keep[k]) continue;
    m.offset[k] = total;
    total = (total + records[k].bytes + 63) & ~(uint64_t)63;
  }
  m.data = mx_alloc(total + 64, 64);
  if (m.data == NULL) goto short_of_memory;
  for (uint32_t k = 0; k < n; ++k) {
    if (m.keep[k]) memcpy(m.data + m.offset[k], p->image.data + records[k].offset, records[k].bytes);
    records[k].offset = m.offset[k];
  }
  rebind(p, &m);
  mx_free(p->consts);
  p->consts = m.data;
  p->image.data = m.data;
  goto done;
short_of_memory:
  status = mx_fail(MACCEL_E_NOMEM, "no memory for the constants");
done:
  mx_free(m.keep);
  mx_free(m.offset);
  return status;
}

/* ---- load */

static int load_into(mx_program *p, const void *program, uint64_t program_bytes, const void *consts,
                     uint64_t const_bytes) {
  p->records = copy_block(program, program_bytes, 64);
  p->consts = copy_block(consts, const_bytes, 64);
  MX_RETURN_IF(p->records == NULL || p->consts == NULL, MACCEL_E_NOMEM, "no memory for %llu bytes of program",
               (unsigned long long)(program_bytes + const_bytes));
  MX_FORWARD(mx_image_open(&p->image, p->records, program_bytes, p->consts, const_bytes));
  MX_FORWARD(mx_image_verify(&p->image, &p->work));
  MX_FORWARD(build_steps(p));
  MX_FORWARD(pack_steps(p));
  MX_FORWARD(shrink_constants(p));
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
