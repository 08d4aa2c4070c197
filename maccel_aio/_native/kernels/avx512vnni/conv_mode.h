/* conv_mode.h - which end of a tile a convolution needs, and its numbers. */
#ifndef MX_AVX512VNNI_CONV_MODE_H
#define MX_AVX512VNNI_CONV_MODE_H

#include "../scalar/num.h"
#include "hard_swish.h"
#include "tile.h"

static int conv_is_byte(const mx_view *v) { return v->dtype == MACCEL_U8 || v->dtype == MACCEL_S8; }

/* A residual of bytes or of words that can be added in a tile? */
static int conv_byte_residual(const mx_view *r) {
  return conv_is_byte(r) && r->stride[3] == 1 && !r->channel_scale;
}
static int conv_word_residual(const mx_view *r) {
  return r->dtype == MACCEL_S16 && r->stride[3] == 2 && r->zero == 0 && !r->channel_scale;
}

static int conv_byte_mode(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const mx_view *r = &t->in[1];
  const int plain = n->i[11] == MX_ACT_NONE;
  if (n->in[1] == MXP_NONE) {
    const int saturate =
        t->out[0].dtype == MACCEL_U8 && t->out[0].zero == 0 && n->i[12] == 0 && n->i[13] == 255;
    if (hard_swish_is_small(n)) return TILE_NARROW;
    return !plain || n->f[3] != 1.0f ? TILE_SUMS : saturate ? TILE_SATURATE : TILE_CLAMP;
  }
  if (n->f[3] != 1.0f) return TILE_SUMS;
  if (conv_word_residual(r)) return plain || n->i[11] == MX_ACT_CLAMP ? TILE_NARROW : TILE_SUMS;
  return plain && conv_byte_residual(r) ? TILE_RESIDUAL : TILE_SUMS;
}

static int conv_wide_mode(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const int residual_ok = n->in[1] == MXP_NONE || conv_word_residual(&t->in[1]);
  const int second_ok = n->out[1] == MXP_NONE || conv_is_byte(&t->out[1]);
  const int act_ok = n->i[11] == MX_ACT_NONE || (n->i[11] == MX_ACT_CLAMP && n->in[1] != MXP_NONE);
  return act_ok && residual_ok && second_ok && t->out[0].zero == 0 ? TILE_WIDE : TILE_SUMS;
}

/* May the tile write its floats to the output? Otherwise they go through scratch. */
static int conv_float_direct(const mx_task *t) {
  const mxp_insn *n = t->insn;
  const mx_view *r = &t->in[1];
  const int residual_ok =
      n->in[1] == MXP_NONE || (r->dtype == MACCEL_F32 && r->stride[3] == 4 && !r->channel_scale);
  return t->out[0].dtype == MACCEL_F32 && n->out[1] == MXP_NONE && n->i[11] == MX_ACT_NONE &&
         n->f[3] == 1.0f && residual_ok;
}

/* TILE_SUMS: whatever the others do not cover. */
static int conv_mode(const mx_task *t) {
  const mxp_insn *n = t->insn;
  if (n->op == MX_OP_CONVDYN || conv_float_direct(t)) return TILE_FLOAT;
  if (t->out[0].dtype == MACCEL_S16) return n->f[3] == 1.0f ? conv_wide_mode(t) : TILE_SUMS;
  return conv_is_byte(&t->out[0]) && n->out[1] == MXP_NONE ? conv_byte_mode(t) : TILE_SUMS;
}

/* Do the results pass through scratch, to be finished there? */
static int conv_staged(const mx_task *t, int mode) {
  return mode == TILE_SUMS || (mode == TILE_FLOAT && !conv_float_direct(t));
}

static __mmask64 conv_first_columns(int n) {
  return n >= 64 ? ~(__mmask64)0 : n <= 0 ? 0 : ((__mmask64)1 << n) - 1;
}

/* Columns of a panel of `wide` that may be written, `left` of which exist: padding is free. */
static __mmask64 conv_store_mask(const mx_view *o, int groups, int column, int left, int wide) {
  const int64_t room = (groups == 1 && (o->flags & MX_TENSOR_PAD_CHANNELS))
                           ? o->stride[2] / mx_dtype_bytes(o->dtype) - column
                           : left;
  const int n = room > left ? (int)(room < wide ? room : wide) : left;
  return conv_first_columns(n < wide ? n : wide);
}

static tile_bytes conv_bytes(const mx_view *o, int low, int high) {
  const int flip = o->dtype == MACCEL_S8 ? 128 : 0;
  const int saturate = o->dtype == MACCEL_U8 && o->zero == 0 && low == 0 && high == 255;
  return (tile_bytes){tile_all_words(o->zero + flip),
                      tile_all_bytes(low + flip),
                      tile_all_bytes(high + flip),
                      tile_all_bytes(flip),
                      0,
                      saturate};
}

static void conv_fill_residual(const mx_task *t, tile *x) {
  const mxp_insn *n = t->insn;
  const mx_view *r = &t->in[1];
  const int flip = r->dtype == MACCEL_S8 ? 128 : 0;
  x->residual = n->in[1] != MXP_NONE;
  if (!x->residual) return;
  x->res_flip = tile_all_bytes(flip);
  x->res_zero = tile_all_ints(r->zero + flip);
  x->res_scale = tile_all_floats(n->f[2]);
  const int clamp = n->i[11] == MX_ACT_CLAMP, after = (n->flags & MX_INSN_RES_AFTER_ACT) != 0;
  x->clamp_before = clamp && after, x->clamp_after = clamp && !after;
  x->clamp_a = tile_all_floats(n->f[0]), x->clamp_b = tile_all_floats(n->f[1]);
}

static void conv_fill_words(const mx_task *t, tile *x) {
  const mxp_insn *n = t->insn;
  x->wide_low = tile_all_words(n->i[12]), x->wide_high = tile_all_words(n->i[13]);
  x->wide_floor = n->i[12] > INT16_MIN, x->wide_ceiling = n->i[13] < INT16_MAX;
  x->second = n->out[1] != MXP_NONE;
  if (!x->second) return;
  x->second_scale = tile_all_floats(n->f[4]);
  x->bytes = conv_bytes(&t->out[1], n->i[14], n->i[15]);
}

static void conv_fill_hard(const mx_task *t, tile *x) {
  const mxp_insn *n = t->insn;
  x->hard = hard_swish_is_small(n);
  if (!x->hard) return;
  x->hard_a = tile_all_floats(n->f[0]), x->hard_b = tile_all_floats(n->f[1]),
  x->times = tile_all_floats(n->f[3]);
  x->clamp_a = tile_all_floats((float)(n->i[12] - t->out[0].zero));
  x->clamp_b = tile_all_floats((float)(n->i[13] - t->out[0].zero));
}

/* What the ends of all panels share. */
static void conv_fill_epilogue(const mx_task *t, tile *x, int mode) {
  conv_fill_residual(t, x);
  if (mode == TILE_NARROW && !x->residual) conv_fill_hard(t, x);
  if (mode == TILE_WIDE) conv_fill_words(t, x);
  if (mode <= TILE_NARROW) x->bytes = conv_bytes(&t->out[0], t->insn->i[12], t->insn->i[13]);
}

/* The columns of a panel of `wide` from `column` on; `left` columns of the group are still to come. */
static void conv_fill_columns(const mx_task *t, tile *x, int groups, int column, int left, int wide) {
  const mx_view *o = &t->out[0];
  const __mmask64 all = conv_first_columns(wide);
  x->wide_mask = x->bytes.mask = conv_store_mask(o, groups, column, left, wide);
  x->out_at = column * (int64_t)mx_dtype_bytes(o->dtype);
  x->res_mask = conv_first_columns(left < wide ? left : wide);
  x->res_at = column * t->in[1].stride[3];
  if (x->second) {
    x->out1_at = column;
    x->bytes.mask = conv_store_mask(&t->out[1], groups, column, left, wide);
  }
  x->whole = x->wide_mask == all && x->bytes.mask == all && (!x->residual || x->res_mask == all);
}

#endif
