/* transfer.h - host arrays to device tensors and back, with layout, order and quantisation in one pass.
 *
 * Host arrays may have any strides and any alignment: they are only touched through memcpy of single elements or
 * as bytes. */
#ifndef MX_GENERIC_TRANSFER_H
#define MX_GENERIC_TRANSFER_H

#include "map.h"
#include "strip.h"

#define MX_DEFINE_HOST_LOAD(NAME, TYPE)                                                     \
  static inline void NAME(float *restrict dst, const uint8_t *src, int64_t stride, int n) { \
    if (stride == (int64_t)sizeof(TYPE)) {                                                  \
      for (int i = 0; i < n; ++i) {                                                         \
        TYPE q;                                                                             \
        memcpy(&q, src + (int64_t)i * (int64_t)sizeof(TYPE), sizeof q);                     \
        dst[i] = (float)q;                                                                  \
      }                                                                                     \
    } else {                                                                                \
      for (int i = 0; i < n; ++i) {                                                         \
        TYPE q;                                                                             \
        memcpy(&q, src + i * stride, sizeof q);                                             \
        dst[i] = (float)q;                                                                  \
      }                                                                                     \
    }                                                                                       \
  }
MX_DEFINE_HOST_LOAD(mx_host_u8, uint8_t)
MX_DEFINE_HOST_LOAD(mx_host_s32, int32_t)
MX_DEFINE_HOST_LOAD(mx_host_s64, int64_t)
MX_DEFINE_HOST_LOAD(mx_host_f32, float)

static inline void mx_host_load(float *restrict dst, const uint8_t *src, int dtype, int64_t stride, int n) {
  switch (dtype) {
    case MACCEL_U8: mx_host_u8(dst, src, stride, n); break;
    case MACCEL_S32: mx_host_s32(dst, src, stride, n); break;
    case MACCEL_S64: mx_host_s64(dst, src, stride, n); break;
    default: mx_host_f32(dst, src, stride, n); break;
  }
}

/* Integer values for an integer tensor of scale 1 and zero 0 (token ids): exact beyond 2^24, clamped to s32. */
static inline void mx_upload_ids(const mx_view *d, uint8_t *dst, int64_t ds, const uint8_t *src, int64_t ss,
                                 int n, int host_dtype) {
  for (int i = 0; i < n; ++i) {
    int64_t q = 0;
    if (host_dtype == MACCEL_S64) {
      memcpy(&q, src + i * ss, 8);
    } else {
      int32_t narrow;
      memcpy(&narrow, src + i * ss, 4);
      q = narrow;
    }
    if (d->dtype == MACCEL_S64) {
      memcpy(dst + i * ds, &q, 8);
      continue;
    }
    q = q < INT32_MIN ? INT32_MIN : q;
    q = q > INT32_MAX ? INT32_MAX : q;
    const int32_t narrow = (int32_t)q;
    memcpy(dst + i * ds, &narrow, 4);
  }
}

static inline void mx_range_of(int dtype, int32_t *lo, int32_t *hi) {
  switch (dtype) {
    case MACCEL_U8: *lo = 0, *hi = 255; break;
    case MACCEL_S8: *lo = -128, *hi = 127; break;
    case MACCEL_S16: *lo = -32768, *hi = 32767; break;
    default: *lo = INT32_MIN, *hi = INT32_MAX; break;
  }
}

static inline int mx_is_ids(const mx_view *d, int host_dtype) {
  return (d->dtype == MACCEL_S32 || d->dtype == MACCEL_S64) && d->scale == 1.0f &&
         (host_dtype == MACCEL_S32 || host_dtype == MACCEL_S64);
}

/* Signed 8-bit values from or to a u8 tensor: the sign bit flips. */
static inline void mx_flip_strip(uint8_t *dst, int64_t ds, const uint8_t *src, int64_t ss, int n) {
  for (int i = 0; i < n; ++i) dst[i * ds] = src[i * ss] ^ 0x80u;
}

static inline void mx_upload_strip(const mx_transfer *t, uint8_t *dst, int64_t ds, const uint8_t *src,
                                   int64_t ss, int n) {
  const mx_view *d = &t->device;
  if (t->host.dtype == MACCEL_S8) {
    if (d->dtype == MACCEL_U8) {
      mx_flip_strip(dst, ds, src, ss, n);
    } else {
      mx_copy_strip(dst, ds, src, ss, n, 1);
    }
  } else if (mx_is_ids(d, t->host.dtype)) {
    mx_upload_ids(d, dst, ds, src, ss, n, t->host.dtype);
  } else {
    float v[MX_STRIP];
    int32_t lo, hi;
    mx_range_of(d->dtype, &lo, &hi);
    mx_host_load(v, src, t->host.dtype, ss, n);
    if (!mx_dtype_is_float(d->dtype)) mx_strip_scale(v, n, 1.0f / d->scale);
    mx_strip_put(dst, d->dtype, ds, v, n, d->zero, lo, hi);
  }
}

static void mx_upload_plain(const mx_transfer *t) {
  mx_loop l = mx_loop_begin(t->device.rank, t->device.dims);
  mx_loop_add(&l, t->device.stride);
  mx_loop_add(&l, t->host.stride);
  mx_loop_finish(&l);
  const int last = l.rank - 1;
  const uint8_t *host = t->host.data;
  mx_cursor c = mx_cursor_at(&l, 0);
  for (int64_t strips = mx_loop_strips(&l); strips > 0; --strips, mx_cursor_next(&l, &c)) {
    mx_upload_strip(t, t->device.data + c.off[0], l.stride[0][last], host + c.off[1], l.stride[1][last], c.n);
  }
}

/* One channel after the other when the channels are reordered. */
static void mx_upload_ordered(const mx_transfer *t) {
  const int last = t->device.rank - 1;
  mx_transfer one = *t;
  one.order = NULL;
  one.device.dims[last] = 1;
  for (int32_t ch = 0; ch < t->device.dims[last]; ++ch) {
    one.device.data = t->device.data + ch * t->device.stride[last];
    one.host.data = (uint8_t *)t->host.data + t->order[ch] * t->host.stride[last];
    mx_upload_plain(&one);
  }
}

/* Pixels of three adjacent channels, both sides: the common camera frame. */
static void mx_upload_rgb(const mx_transfer *t, uint8_t *dst, const uint8_t *src, int64_t n) {
  const int32_t o0 = t->order ? t->order[0] : 0, o1 = t->order ? t->order[1] : 1,
                o2 = t->order ? t->order[2] : 2;
  const uint8_t *t0 = t->table, *t1 = t->table + 256, *t2 = t->table + 512;
  for (int64_t i = 0; i < n; ++i, dst += 3, src += 3) {
    dst[0] = t0[src[o0]];
    dst[1] = t1[src[o1]];
    dst[2] = t2[src[o2]];
  }
}

static int mx_upload_is_rgb(const mx_transfer *t) {
  const mx_view *d = &t->device;
  return d->rank == 4 && d->dims[3] == 3 && d->stride[3] == 1 && d->stride[2] == 3 &&
         t->host.stride[3] == 1 && t->host.stride[2] == 3;
}

static void mx_upload_table(const mx_transfer *t) {
  const mx_view *d = &t->device;
  const int last = d->rank - 1;
  const uint8_t *host = t->host.data;
  if (mx_upload_is_rgb(t)) {
    for (int64_t b = 0; b < d->dims[0]; ++b) {
      for (int64_t y = 0; y < d->dims[1]; ++y) {
        mx_upload_rgb(t, d->data + b * d->stride[0] + y * d->stride[1],
                      host + b * t->host.stride[0] + y * t->host.stride[1], d->dims[2]);
      }
    }
    return;
  }
  for (int32_t ch = 0; ch < d->dims[last]; ++ch) {
    const uint8_t *table = t->table + 256 * (int64_t)ch;
    mx_loop l = mx_loop_begin(last, d->dims);
    mx_loop_add(&l, d->stride);
    mx_loop_add(&l, t->host.stride);
    mx_loop_finish(&l);
    uint8_t *dst = d->data + ch * d->stride[last];
    const uint8_t *src = host + (t->order ? t->order[ch] : ch) * t->host.stride[last];
    const int64_t ds = l.stride[0][l.rank - 1], ss = l.stride[1][l.rank - 1];
    mx_cursor c = mx_cursor_at(&l, 0);
    for (int64_t strips = mx_loop_strips(&l); strips > 0; --strips, mx_cursor_next(&l, &c)) {
      for (int i = 0; i < c.n; ++i) dst[c.off[0] + i * ds] = table[src[c.off[1] + i * ss]];
    }
  }
}

static void mx_upload_run(const mx_transfer *t) {
  if (t->table != NULL && t->host.dtype == MACCEL_U8) {
    mx_upload_table(t);
  } else if (t->order != NULL) {
    mx_upload_ordered(t);
  } else {
    mx_upload_plain(t);
  }
}

static inline void mx_host_store_f32(uint8_t *dst, int64_t stride, const float *v, int n) {
  if (stride == 4) {
    memcpy(dst, v, (size_t)n * 4);
    return;
  }
  for (int i = 0; i < n; ++i) memcpy(dst + i * stride, v + i, 4);
}

static inline void mx_download_strip(const mx_transfer *t, uint8_t *dst, int64_t ds, const uint8_t *src,
                                     int64_t ss, int n) {
  const mx_view *d = &t->device;
  if (t->host.dtype == MACCEL_F32 && d->dtype != MACCEL_F32) {
    float v[MX_STRIP];
    mx_strip_load(v, src, d->dtype, ss, n, d->zero);
    if (!mx_dtype_is_float(d->dtype)) mx_strip_scale(v, n, d->scale);
    mx_host_store_f32(dst, ds, v, n);
  } else if (t->host.dtype == MACCEL_S8 && d->dtype == MACCEL_U8) {
    mx_flip_strip(dst, ds, src, ss, n);
  } else {
    mx_copy_strip(dst, ds, src, ss, n, mx_dtype_bytes(d->dtype));
  }
}

static void mx_download_run(const mx_transfer *t) {
  mx_loop l = mx_loop_begin(t->device.rank, t->device.dims);
  mx_loop_add(&l, t->device.stride);
  mx_loop_add(&l, t->host.stride);
  mx_loop_finish(&l);
  const int last = l.rank - 1;
  uint8_t *host = t->host.data;
  mx_cursor c = mx_cursor_at(&l, 0);
  for (int64_t strips = mx_loop_strips(&l); strips > 0; --strips, mx_cursor_next(&l, &c)) {
    mx_download_strip(t, host + c.off[1], l.stride[1][last], t->device.data + c.off[0], l.stride[0][last],
                      c.n);
  }
}

#endif
