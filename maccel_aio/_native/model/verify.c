/* verify.c - proves a program before anything of it is used: tables here, instructions in verify_<kind>.c.
 *
 * After it, every address that an instruction can form lies inside the arena or a constant, every index inside its
 * table, every integer sum inside its type, and the work of one inference under a bound. Execution checks nothing. */
#include <math.h>
#include <string.h>

#include "alloc.h"
#include "check.h"
#include "exec.h"

static int reject_record(const char *kind, uint32_t k, const char *why) {
  return mx_fail(MACCEL_E_FORMAT, "%s %u: %s", kind, k, why);
}

/* ---- constants */

static const char *const_fault(const mx_image *im, const mxp_const *c) {
  if (mx_elem_bytes(c->dtype) == 0) return "its type does not exist";
  if (c->rank < 1 || c->rank > MXP_MAX_RANK) return "its rank is not 1 to 6";
  if (c->flags != 0 || c->reserved != 0) return "reserved bits are set";
  uint64_t bytes = (uint64_t)mx_elem_bytes(c->dtype);
  for (int d = 0; d < MXP_MAX_RANK; ++d) {
    if (d >= c->rank && c->dims[d] != 0 && c->dims[d] != 1) return "an unused dimension is not 1";
    if (d >= c->rank) continue;
    if (c->dims[d] < 1) return "a dimension is not positive";
    if (bytes > MXP_MAX_ARENA) return "it is too large";
    bytes *= (uint64_t)c->dims[d];
  }
  if (bytes != c->bytes) return "its size does not follow from its dimensions";
  if (c->offset % MXQ_ALIGN != 0) return "its offset is not a multiple of 64";
  if (c->offset > im->head.const_bytes || bytes > im->head.const_bytes - c->offset) {
    return "it ends after the section of constants";
  }
  return NULL;
}

/* ---- tensors */

static const char *quant_fault(const mx_image *im, const mxp_tensor *t) {
  if (!isfinite(t->scale) || t->scale <= 0.0f) return "its scale is not a positive number";
  if (mx_is_float_type(t->dtype)) {
    if (t->scale != 1.0f || t->zero != 0) return "a float tensor has scale 1 and zero 0";
    return t->scale_const == MXP_NONE ? NULL : "a float tensor has no channel scales";
  }
  int64_t lo, hi;
  mx_dtype_range(t->dtype, &lo, &hi);
  if (t->zero < lo || t->zero > hi) return "its zero does not fit its type";
  if (t->dtype == MACCEL_S32 || t->dtype == MACCEL_S64) {
    if (t->zero != 0) return "a 32 or 64 bit tensor has zero 0";
    return t->scale_const == MXP_NONE ? NULL : "a 32 or 64 bit tensor has no channel scales";
  }
  if (t->scale_const == MXP_NONE) return NULL;
  if (t->scale_const >= im->head.num_consts) return "its channel scales do not exist";
  const mxp_const *c = &im->consts[t->scale_const];
  if (c->dtype != MACCEL_F32 || c->rank != 1 || c->dims[0] != t->dims[t->rank - 1]) {
    return "its channel scales are not one float per channel";
  }
  const float *scale = mx_image_const_data(im, t->scale_const);
  for (int32_t k = 0; k < c->dims[0]; ++k) {
    if (!isfinite(scale[k]) || scale[k] <= 0.0f) return "a channel scale is not a positive number";
  }
  return NULL;
}

static const char *layout_fault(const mxp_tensor *t) {
  const int bytes = mx_elem_bytes(t->dtype);
  if (bytes == 0) return "its type does not exist";
  if (t->rank < 1 || t->rank > MXP_MAX_RANK) return "its rank is not 1 to 6";
  if (t->flags & ~MX_TENSOR_PAD_CHANNELS) return "unknown flags are set";
  if (t->offset % (uint64_t)bytes != 0) return "its offset is not a multiple of its element size";
  int64_t elements = 1;
  for (int d = 0; d < MXP_MAX_RANK; ++d) {
    if (d >= t->rank) {
      if (t->dims[d] != 1 || t->stride[d] != 0) return "an unused dimension is not 1 with stride 0";
      continue;
    }
    if (t->dims[d] < 1) return "a dimension is not positive";
    if (t->stride[d] < 0) return "a stride is negative";
    if (t->stride[d] % bytes != 0) return "a stride is not a multiple of its element size";
    if (t->dims[d] > MX_MAX_ELEMENTS / elements) return "it has too many elements";
    elements *= t->dims[d];
  }
  return NULL;
}

static const char *range_fault(const mx_image *im, const mxp_tensor *t) {
  __uint128_t end = (__uint128_t)t->offset + (uint64_t)mx_elem_bytes(t->dtype);
  for (int d = 0; d < t->rank; ++d) end += (__uint128_t)(uint64_t)(t->dims[d] - 1) * (uint64_t)t->stride[d];
  if (t->flags & MX_TENSOR_PAD_CHANNELS) {
    if (t->rank < 2 || t->stride[t->rank - 1] != mx_elem_bytes(t->dtype))
      return "padded channels are not adjacent";
    const __uint128_t used = (__uint128_t)(uint64_t)t->dims[t->rank - 1] * (uint64_t)mx_elem_bytes(t->dtype);
    if (used > (uint64_t)t->stride[t->rank - 2]) return "the channels do not fit between two pixels";
    end += (uint64_t)t->stride[t->rank - 2] - used;
  }
  return end > im->head.arena_bytes ? "it ends after the arena" : NULL;
}

/* ---- inputs and outputs */

static const char *input_fault(const mx_image *im, const mxp_input *in) {
  if (in->tensor >= im->head.num_tensors) return "its tensor does not exist";
  if (in->reserved != 0) return "reserved bits are set";
  const mxp_tensor *t = &im->tensors[in->tensor];
  const int32_t channels = t->dims[t->rank - 1];
  if (t->scale_const != MXP_NONE) return "a program input has no channel scales";
  for (int d = 0; d < t->rank; ++d) {
    if (t->dims[d] > 1 && t->stride[d] == 0) return "it is broadcast";
  }
  if (in->table != MXP_NONE) {
    if (in->table >= im->head.num_consts) return "its table does not exist";
    const mxp_const *c = &im->consts[in->table];
    if (c->dtype != MACCEL_U8 || c->rank != 2 || c->dims[0] != channels || c->dims[1] != 256) {
      return "its table is not u8 [channels][256]";
    }
    if (t->dtype != MACCEL_U8) return "a table needs a u8 tensor";
  }
  if (in->order == MXP_NONE) return NULL;
  if (in->order >= im->head.num_consts) return "its channel order does not exist";
  const mxp_const *c = &im->consts[in->order];
  if (c->dtype != MACCEL_S32 || c->rank != 1 || c->dims[0] != channels)
    return "its channel order is not s32 [channels]";
  const int32_t *order = mx_image_const_data(im, in->order);
  for (int32_t k = 0; k < channels; ++k) {
    if (order[k] < 0 || order[k] >= channels) return "its channel order names a channel that does not exist";
  }
  return NULL;
}

static int check_tables(const mx_image *im) {
  const mxp_header *h = &im->head;
  for (uint32_t k = 0; k < h->num_consts; ++k) {
    const char *why = const_fault(im, &im->consts[k]);
    if (why != NULL) return reject_record("constant", k, why);
  }
  for (uint32_t k = 0; k < h->num_tensors; ++k) {
    const mxp_tensor *t = &im->tensors[k];
    const char *why = layout_fault(t);
    if (why == NULL) why = quant_fault(im, t);
    if (why == NULL) why = range_fault(im, t);
    if (why != NULL) return reject_record("tensor", k, why);
  }
  for (uint32_t k = 0; k < h->num_inputs; ++k) {
    const char *why = input_fault(im, &im->inputs[k]);
    if (why != NULL) return reject_record("input", k, why);
  }
  for (uint32_t k = 0; k < h->num_outputs; ++k) {
    if (im->outputs[k] >= h->num_tensors) return reject_record("output", k, "its tensor does not exist");
    if (im->tensors[im->outputs[k]].scale_const != MXP_NONE) {
      return reject_record("output", k, "a program output has no channel scales");
    }
  }
  return MACCEL_OK;
}

/* ---- instructions */

typedef int (*op_check)(mx_check *c);

static const op_check op_checks[] = {
    [MX_OP_CONV] = mx_check_conv,
    [MX_OP_DWCONV] = mx_check_conv,
    [MX_OP_CONVF] = mx_check_convf,
    [MX_OP_MATMUL] = mx_check_matmul,
    [MX_OP_POOL] = mx_check_pool,
    [MX_OP_ELTWISE] = mx_check_eltwise,
    [MX_OP_MAP] = mx_check_map,
    [MX_OP_FILL] = mx_check_fill,
    [MX_OP_RESIZE] = mx_check_resize,
    [MX_OP_SOFTMAX] = mx_check_softmax,
    [MX_OP_REDUCE] = mx_check_reduce,
    [MX_OP_LAYERNORM] = mx_check_layernorm,
    [MX_OP_GATHER] = mx_check_gather,
    [MX_OP_DYNQUANT] = mx_check_dynquant,
    [MX_OP_CONVDYN] = mx_check_conv,
    [MX_OP_RECURRENT] = mx_check_recurrent,
    [MX_OP_ATTENTION] = mx_check_attention,
};

static int check_insn(mx_check *c) {
  const mxp_insn *in = c->in;
  const int known = in->op > 0 && in->op < sizeof op_checks / sizeof op_checks[0];
  if (!known && in->op > MX_OP_ATTENTION && in->op < 64) {
    return mx_fail(MACCEL_E_UNSUPPORTED, "instruction %u: this build does not know operation %u", c->index,
                   in->op);
  }
  MX_REQUIRE(c, known, "operation %u does not exist", in->op);
  MX_REQUIRE(c, in->layer < c->im->head.num_layers, "its layer is number %u of only %u", in->layer,
             c->im->head.num_layers);
  for (size_t k = 0; k < sizeof in->reserved; ++k)
    MX_REQUIRE(c, in->reserved[k] == 0, "reserved bytes are not zero");
  const int takes_flags =
      in->op == MX_OP_CONV || in->op == MX_OP_DWCONV || in->op == MX_OP_CONVF || in->op == MX_OP_CONVDYN;
  MX_REQUIRE(c, in->flags == 0 || takes_flags, "unknown flags 0x%x", in->flags);
  MX_FORWARD(op_checks[in->op](c));
  return mx_check_alias(c);
}

int mx_image_verify(const mx_image *im, uint64_t *work) {
  MX_FORWARD(check_tables(im));
  uint64_t total = 0;
  for (uint32_t k = 0; k < im->head.num_insns; ++k) {
    mx_check c = {.im = im, .index = k, .in = &im->insns[k]};
    MX_FORWARD(check_insn(&c));
    MX_REQUIRE(&c, c.work <= MX_MAX_WORK - total,
               "one inference would take more than 2^46 multiply-accumulates");
    total += c.work;
  }
  *work = total;
  return MACCEL_OK;
}

/* Copies a block that is not aligned as the records need it. */
static int aligned(const void *p, uint64_t bytes, size_t align, const void **use, void **copy) {
  *use = p;
  *copy = NULL;
  if ((uintptr_t)p % align == 0) return MACCEL_OK;
  *copy = mx_alloc(bytes > 0 ? bytes : 1, align);
  MX_RETURN_IF(*copy == NULL, MACCEL_E_NOMEM, "no memory for %llu bytes", (unsigned long long)bytes);
  memcpy(*copy, p, bytes);
  *use = *copy;
  return MACCEL_OK;
}

int mx_program_verify(const void *program, uint64_t program_bytes, const void *consts, uint64_t const_bytes) {
  MX_RETURN_IF(program == NULL || (consts == NULL && const_bytes > 0), MACCEL_E_INVALID, "a pointer is NULL");
  const void *records, *data;
  void *records_copy, *data_copy = NULL;
  MX_FORWARD(aligned(program, program_bytes, 8, &records, &records_copy));
  int status = aligned(consts, const_bytes, MXQ_ALIGN, &data, &data_copy);
  if (status >= 0) {
    mx_image im;
    uint64_t work;
    status = mx_image_open(&im, records, program_bytes, data, const_bytes);
    if (status >= 0) status = mx_image_verify(&im, &work);
  }
  mx_free(records_copy);
  mx_free(data_copy);
  return status;
}

int maccel_program_verify(const void *program, uint64_t program_bytes, const void *consts,
                          uint64_t const_bytes) {
  return mx_program_verify(program, program_bytes, consts, const_bytes);
}
