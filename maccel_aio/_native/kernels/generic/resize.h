/* resize.h - RESIZE (nearest, linear; sources and weights come from the compiler) and GATHER. */
#ifndef MX_GENERIC_RESIZE_H
#define MX_GENERIC_RESIZE_H

#include "map.h"
#include "rows.h"

/* One output row of pixels, nearest. */
static void mx_resize_nearest(const mx_task *t, const uint8_t *src, uint8_t *dst, int64_t oy) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int32_t *rows = t->cst[0], *cols = t->cst[2];
  const size_t bytes = (size_t)o->dims[3] * (size_t)mx_dtype_bytes(o->dtype);
  src += rows[2 * oy] * x->stride[1];
  for (int64_t ox = 0; ox < o->dims[2]; ++ox) {
    memcpy(dst + ox * o->stride[2], src + cols[2 * ox] * x->stride[2], bytes);
  }
}

/* n channels of one output pixel, linear: p holds the four source pixels, top left, top right, bottom left, right. */
static inline void mx_resize_blend(const mx_task *t, const uint8_t *const p[4], uint8_t *dst, int n, float wx,
                                   float wy) {
  const mxp_insn *in = t->insn;
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int bytes = mx_dtype_bytes(x->dtype);
  float d[4][MX_STRIP];
  for (int k = 0; k < 4; ++k) mx_strip_deq(d[k], x, p[k], bytes, n, in->f[4], NULL, 0);
  for (int i = 0; i < n; ++i) {
    const float top = d[0][i] + (d[1][i] - d[0][i]) * wx;
    const float bottom = d[2][i] + (d[3][i] - d[2][i]) * wx;
    d[0][i] = top + (bottom - top) * wy;
  }
  mx_strip_scale(d[0], n, in->f[3]);
  mx_strip_put(dst, o->dtype, mx_dtype_bytes(o->dtype), d[0], n, o->zero, in->i[12], in->i[13]);
}

static void mx_resize_linear(const mx_task *t, const uint8_t *src, uint8_t *dst, int64_t oy) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int32_t *rows = t->cst[0], *cols = t->cst[2];
  const float *wy = t->cst[1], *wx = t->cst[3];
  const int64_t xb = mx_dtype_bytes(x->dtype), ob = mx_dtype_bytes(o->dtype);
  const uint8_t *top = src + rows[2 * oy] * x->stride[1], *bottom = src + rows[2 * oy + 1] * x->stride[1];
  for (int64_t ox = 0; ox < o->dims[2]; ++ox) {
    const int64_t left = cols[2 * ox] * x->stride[2], right = cols[2 * ox + 1] * x->stride[2];
    for (int64_t c = 0; c < o->dims[3]; c += MX_STRIP) {
      const uint8_t *const p[4] = {top + left + c * xb, top + right + c * xb, bottom + left + c * xb,
                                   bottom + right + c * xb};
      const int n = (int)(o->dims[3] - c < MX_STRIP ? o->dims[3] - c : MX_STRIP);
      mx_resize_blend(t, p, dst + ox * o->stride[2] + c * ob, n, wx[ox], wy[oy]);
    }
  }
}

static void mx_resize_run(const mx_task *t, int part, int parts) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int64_t total = (int64_t)o->dims[0] * o->dims[1], end = mx_share(total, part + 1, parts);
  for (int64_t u = mx_share(total, part, parts); u < end; ++u) {
    const int64_t b = u / o->dims[1], oy = u % o->dims[1];
    const uint8_t *src = x->data + b * x->stride[0];
    uint8_t *dst = o->data + b * o->stride[0] + oy * o->stride[1];
    if (t->insn->i[10] == 0) {
      mx_resize_nearest(t, src, dst, oy);
    } else {
      mx_resize_linear(t, src, dst, oy);
    }
  }
}

static const mx_kernel mx_generic_resize = {.name = "any-resize-row-" MX_GENERIC_ISA, .run = mx_resize_run};

static void mx_gather_row(const mx_task *t, int64_t index, uint8_t *dst) {
  const mx_view *o = &t->out[0];
  const int64_t width = t->cst_info[0].dims[1], step = o->stride[o->rank - 1];
  const int narrow = t->cst_info[0].dtype == MACCEL_S8;
  const uint8_t *row = (const uint8_t *)t->cst[0] + index * width * (narrow ? 1 : 4);
  const float scale = narrow ? ((const float *)t->cst[2])[index] : 1.0f;
  float v[MX_STRIP];
  for (int64_t i = 0; i < width; i += MX_STRIP) {
    const int n = (int)(width - i < MX_STRIP ? width - i : MX_STRIP);
    if (narrow) {
      mx_load_s8(v, row + i, 1, n, 0);
    } else {
      mx_load_f32(v, row + 4 * i, 4, n, 0);
    }
    mx_strip_scale(v, n, scale);
    mx_strip_put(dst + i * step, o->dtype, step, v, n, o->zero, t->insn->i[12], t->insn->i[13]);
  }
}

static void mx_gather_run(const mx_task *t, int part, int parts) {
  const mx_view *o = &t->out[0];
  mx_view x = t->in[0]; /* with a last dimension of 1, so that its rows are its elements */
  x.dims[x.rank] = 1;
  x.rank = o->rank;
  const int64_t rows = mx_row_count(o), end = mx_share(rows, part + 1, parts);
  for (int64_t row = mx_share(rows, part, parts); row < end; ++row) {
    const int32_t index = *(const int32_t *)(const void *)(x.data + mx_row_offset(&x, row));
    const int32_t count = t->cst_info[0].dims[0];
    const int32_t place = index < 0 ? index + count : index;
    mx_gather_row(t, mx_clamp_i(place, 0, count - 1), o->data + mx_row_offset(o, row));
  }
}

static const mx_kernel mx_generic_gather = {.name = "any-gather-row-" MX_GENERIC_ISA, .run = mx_gather_run};

#endif
