/* check.h - what the verifier's parts share. verify.c walks the program, verify_<kind>.c judge instructions. */
#ifndef MX_CHECK_H
#define MX_CHECK_H

#include "image.h"
#include "maccel.h"
#include "status.h"

/* Most multiply-accumulates (or elements touched) of one inference: a bound on how long a file can keep a core. */
#define MX_MAX_WORK ((uint64_t)1 << 46)
#define MX_MAX_ELEMENTS ((int64_t)1 << 40)
/* Largest kernel, stride, padding or dilation of a window. */
#define MX_MAX_WINDOW (1 << 20)

typedef struct mx_check {
  const mx_image *im;
  uint32_t index; /* of the instruction */
  const mxp_insn *in;
  uint64_t work; /* filled by the check */
} mx_check;

/* FORMAT with "instruction 12 (CONV): ..." */
int mx_reject(const mx_check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define MX_REQUIRE(c, cond, ...)                     \
  do {                                               \
    if (!(cond)) return mx_reject((c), __VA_ARGS__); \
  } while (0)

const char *mx_op_name(int op);
const char *mx_dtype_name(int dtype);

/* Slots by bit masks: every slot of `need` is used, none outside need | may is, all indices exist. */
typedef struct mx_slots {
  uint32_t in_need, in_may, out_need, out_may, cst_need, cst_may;
} mx_slots;
int mx_check_slots(const mx_check *c, mx_slots s);

/* After mx_check_slots: the record of a used slot, NULL for an unused one. */
const mxp_tensor *mx_in(const mx_check *c, int slot);
const mxp_tensor *mx_out(const mx_check *c, int slot);
const mxp_const *mx_cst(const mx_check *c, int slot);
const void *mx_cst_data(const mx_check *c, int slot);

/* dtype is one of the bits 1 << MACCEL_*. */
#define MX_BIT(dtype) (1u << (dtype))
#define MX_CONV_OUT_TYPES (MX_BIT(MACCEL_U8) | MX_BIT(MACCEL_S8) | MX_BIT(MACCEL_S16) | MX_BIT(MACCEL_F32))
#define MX_ALL_TYPES 0xfeu
int mx_check_dtype(const mx_check *c, const char *what, int dtype, uint32_t allowed);
/* Rank 4 and channels next to each other. */
int mx_check_image(const mx_check *c, const char *what, const mxp_tensor *t);
int mx_check_same_dims(const mx_check *c, const char *a_name, const mxp_tensor *a, const char *b_name,
                       const mxp_tensor *b);
/* Constant in `slot` of this type and these dimensions. */
int mx_check_const(const mx_check *c, int slot, const char *what, int dtype, int rank, const int32_t *dims);
int mx_check_vector(const mx_check *c, int slot, const char *what, int dtype, int32_t n);
/* All values of an f32 or bf16 constant are finite; those of f32 at least `least` too. */
int mx_check_finite(const mx_check *c, int slot, const char *what, float least);
/* A multiplier: finite and not 0. */
int mx_check_multiplier(const mx_check *c, int f, const char *what);
/* Clamp limits i[lo] <= i[lo + 1] inside the type of t; nothing for float types. */
int mx_check_clamp(const mx_check *c, const mxp_tensor *t, int lo);
/* act i11 with f0, f1 and cst4 for `channels`. */
int mx_check_act(const mx_check *c, int32_t channels);
/* i[slot] in [lo, hi] */
int mx_check_int(const mx_check *c, int slot, const char *what, int64_t lo, int64_t hi);
void mx_dtype_range(int dtype, int64_t *lo, int64_t *hi);
int mx_is_float_type(int dtype);
int mx_elem_bytes(int dtype);
int64_t mx_elements(const mxp_tensor *t);

/* No output shares memory with an input, another output or itself, except in place as mxq.h allows. */
int mx_check_alias(const mx_check *c);

/* One per group of opcodes. */
int mx_check_conv(mx_check *c);
int mx_check_convf(mx_check *c);
int mx_check_matmul(mx_check *c);
int mx_check_pool(mx_check *c);
int mx_check_resize(mx_check *c);
int mx_check_eltwise(mx_check *c);
int mx_check_map(mx_check *c);
int mx_check_fill(mx_check *c);
int mx_check_softmax(mx_check *c);
int mx_check_reduce(mx_check *c);
int mx_check_layernorm(mx_check *c);
int mx_check_gather(mx_check *c);
int mx_check_dynquant(mx_check *c);
int mx_check_recurrent(mx_check *c);
int mx_check_attention(mx_check *c);

/* Padding, stride, kernel and dilation i0..i9 against input and output height and width. */
int mx_check_window(const mx_check *c, const mxp_tensor *x, const mxp_tensor *o);

/* Proves the whole image; *work gets the work of one inference. */
int mx_image_verify(const mx_image *im, uint64_t *work);

#endif
