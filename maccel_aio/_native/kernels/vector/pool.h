/* pool.h - POOL: maxima of 8-bit images in blocks of whole registers, averages of integer images 16 channels at a time.
 *
 * Windows of 2x2 and 3x3 taps that lie in the image have loops of their own; all others share one. */
#ifndef MX_VECTOR_POOL_H
#define MX_VECTOR_POOL_H

#include "../generic/pool.h"
#include "row.h"

#ifdef __AVX512BW__
enum { POOL_BLOCK = 64 };
typedef __m512i pool_bytes;
MX_INLINE __mmask64 pool_first(int n) { return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1; }
/* Only n bytes are read: behind them may lie what another part writes now. */
MX_INLINE pool_bytes pool_load(const uint8_t *p, int n) {
  return n >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(pool_first(n), p);
}
MX_INLINE void pool_store(uint8_t *p, pool_bytes v, int n) {
  if (n >= 64)
    _mm512_storeu_si512(p, v);
  else
    _mm512_mask_storeu_epi8(p, pool_first(n), v);
}
MX_INLINE pool_bytes pool_max(pool_bytes a, pool_bytes b) { return _mm512_max_epu8(a, b); }
#else
enum { POOL_BLOCK = 32 };
typedef __m256i pool_bytes;
MX_INLINE pool_bytes pool_load(const uint8_t *p, int n) {
  uint8_t copy[32] = {0};
  if (n >= 32) return _mm256_loadu_si256((const __m256i *)p);
  memcpy(copy, p, (size_t)n);
  return _mm256_loadu_si256((const __m256i *)copy);
}
MX_INLINE void pool_store(uint8_t *p, pool_bytes v, int n) {
  uint8_t copy[32];
  if (n >= 32) {
    _mm256_storeu_si256((__m256i *)p, v);
    return;
  }
  _mm256_storeu_si256((__m256i *)copy, v);
  memcpy(p, copy, (size_t)n);
}
MX_INLINE pool_bytes pool_max(pool_bytes a, pool_bytes b) { return _mm256_max_epu8(a, b); }
#endif

/* The taps of one window: the first one, their number, and the bytes between them. */
typedef struct pool_taps {
  const uint8_t *first;
  int64_t rows, columns, row_step, column_step;
} pool_taps;

MX_INLINE pool_bytes pool_maximum(pool_taps w, int64_t rows, int64_t columns, int64_t c0, int n) {
  pool_bytes best = pool_load(w.first + c0, n);
  for (int64_t y = 0; y < rows; y++) {
    const uint8_t *p = w.first + y * w.row_step + c0;
    for (int64_t x = 0; x < columns; x++) best = pool_max(best, pool_load(p + x * w.column_step, n));
  }
  return best;
}

MX_INLINE void pool_max_block(pool_taps w, uint8_t *dst, int64_t c0, int n) {
  pool_bytes best;
  if (w.rows == 3 && w.columns == 3)
    best = pool_maximum(w, 3, 3, c0, n);
  else if (w.rows == 2 && w.columns == 2)
    best = pool_maximum(w, 2, 2, c0, n);
  else
    best = pool_maximum(w, w.rows, w.columns, c0, n);
  pool_store(dst + c0, best, n);
}

static void pool_max_pixel(pool_taps w, uint8_t *dst, int64_t channels) {
  int64_t c0 = 0;
  for (; c0 + POOL_BLOCK <= channels; c0 += POOL_BLOCK) pool_max_block(w, dst, c0, POOL_BLOCK);
  if (c0 < channels) pool_max_block(w, dst, c0, (int)(channels - c0));
}

MX_INLINE i16 pool_load_some(int dtype, const uint8_t *p, int n) {
  uint8_t copy[32] = {0};
  if (n < 16) {
    memcpy(copy, p, (size_t)(n * mx_dtype_bytes(dtype)));
    p = copy;
  }
  return dtype == MACCEL_U8   ? i16_load_u8(p)
         : dtype == MACCEL_S8 ? i16_load_s8((const int8_t *)p)
                              : i16_load_s16((const int16_t *)(const void *)p);
}

MX_INLINE i16 pool_sum(int dtype, pool_taps w, int64_t rows, int64_t columns, int64_t offset, int n) {
  i16 sum = i16_all(0);
  for (int64_t y = 0; y < rows; y++) {
    const uint8_t *p = w.first + y * w.row_step + offset;
    for (int64_t x = 0; x < columns; x++) sum = i16_add(sum, pool_load_some(dtype, p + x * w.column_step, n));
  }
  return sum;
}

MX_INLINE void pool_average_typed(const mx_task *t, int dtype, pool_taps w, uint8_t *dst) {
  const mxp_insn *in = t->insn;
  const mx_view *o = &t->out[0];
  const int64_t channels = o->dims[3], valid = w.rows * w.columns;
  const int bytes = mx_dtype_bytes(dtype), out_bytes = mx_dtype_bytes(o->dtype);
  const int64_t count = in->i[10] == 1 ? valid : (int64_t)in->i[0] * in->i[1];
  const f16 m = f16_all(in->f[2] / (float)count);
  const i16 zeros = i16_all((int)valid * t->in[0].zero);
  for (int64_t c = 0; c < channels; c += 16) {
    const int n = (int)(channels - c < 16 ? channels - c : 16);
    i16 sum;
    if (n == 16 && w.rows == 3 && w.columns == 3)
      sum = pool_sum(dtype, w, 3, 3, c * bytes, 16);
    else if (n == 16)
      sum = pool_sum(dtype, w, w.rows, w.columns, c * bytes, 16);
    else
      sum = pool_sum(dtype, w, w.rows, w.columns, c * bytes, n);
    f16 v = f16_mul(f16_from(i16_sub(sum, zeros)), m);
    if (in->f[3] != 1.0f) v = f16_mul(v, f16_all(in->f[3]));
    row_store_some(o, dst + c * out_bytes, v, in->i[12], in->i[13], n, 0);
  }
}

static void pool_average_pixel(const mx_task *t, pool_taps w, uint8_t *dst) {
  switch (t->in[0].dtype) {
    case MACCEL_U8: pool_average_typed(t, MACCEL_U8, w, dst); break;
    case MACCEL_S8: pool_average_typed(t, MACCEL_S8, w, dst); break;
    default: pool_average_typed(t, MACCEL_S16, w, dst); break;
  }
}

static int vector_pool_accepts(const mx_task *t) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const mxp_insn *in = t->insn;
  if (x->channel_scale || o->channel_scale) return 0;
  if (x->stride[3] != mx_dtype_bytes(x->dtype) || o->stride[3] != mx_dtype_bytes(o->dtype)) return 0;
  if (in->i[10] == 0) return x->dtype == MACCEL_U8;
  return row_integer(x->dtype) && (row_integer(o->dtype) || o->dtype == MACCEL_F32) &&
         in->i[11] == MX_ACT_NONE;
}

/* Output pixels [x0, x1) of one row, whose rows of taps are known. */
static void pool_row(const mx_task *t, pool_taps w, const uint8_t *src, uint8_t *dst, int64_t x0,
                     int64_t x1) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int64_t width = x->dims[2], reach = (int64_t)(in->i[1] - 1) * in->i[9];
  for (int64_t ox = x0; ox < x1; ox++) {
    const int64_t left = ox * in->i[3] - in->i[5];
    int64_t first = 0, last = in->i[1];
    if (left < 0 || left + reach >= width) mx_valid_taps(left, in->i[1], in->i[9], width, &first, &last);
    w.columns = last - first;
    w.first = src + left * x->stride[2] + first * w.column_step;
    if (in->i[10] == 0)
      pool_max_pixel(w, dst + ox * o->stride[2], o->dims[3]);
    else
      pool_average_pixel(t, w, dst + ox * o->stride[2]);
  }
}

static void vector_pool_run(const mx_task *t, int part, int parts) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int64_t height = o->dims[1], width = o->dims[2], total = o->dims[0] * height * width,
                end = mx_share(total, part + 1, parts);
  pool_taps w = {.row_step = x->stride[1] * in->i[8], .column_step = x->stride[2] * in->i[9]};
  for (int64_t pixel = mx_share(total, part, parts); pixel < end;) {
    const int64_t line = pixel / width, x0 = pixel % width, b = line / height, oy = line % height;
    const int64_t y = oy * in->i[2] - in->i[4], x1 = end - pixel < width - x0 ? x0 + end - pixel : width;
    int64_t first, last;
    mx_valid_taps(y, in->i[0], in->i[8], x->dims[1], &first, &last);
    w.rows = last - first;
    pool_row(t, w, x->data + b * x->stride[0] + y * x->stride[1] + first * w.row_step,
             o->data + b * o->stride[0] + oy * o->stride[1], x0, x1);
    pixel += x1 - x0;
  }
}

static const mx_kernel mx_vector_pool = {
    .name = "int-pool-block-" MX_GENERIC_ISA, .accepts = vector_pool_accepts, .run = vector_pool_run};

#endif
