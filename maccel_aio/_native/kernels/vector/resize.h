/* resize.h - RESIZE by rows. Linear: a source row is interpolated along the columns once, in floats, and kept while output rows
 * need it; nearest: pixels are copied in whole vectors, and a row that repeats is copied as a row. */
#ifndef MX_VECTOR_RESIZE_H
#define MX_VECTOR_RESIZE_H

#include "../generic/resize.h"
#include "lanes.h"

enum {
  RESIZE_SLACK = 16,
  RESIZE_MOST = 1 << 24
}; /* floats behind a row that whole vectors may touch, and in a row */

typedef struct resize_run {
  const mx_task *task;
  int64_t channels, wide; /* wide: floats of an interpolated row */
  int dense_in, dense_out; /* pixels without gaps */
  float *source; /* one source row */
  float *row[2]; /* interpolated ones, of source rows held[] of image `image` */
  int64_t held[2], image;
} resize_run;

/* Rows are kept as floats: not of images whose width is nowhere in memory (stride 0). */
static int resize_accepts(const mx_task *t) {
  return (int64_t)t->out[0].dims[3] * t->in[0].dims[2] <= RESIZE_MOST;
}

static size_t resize_scratch_bytes(const mx_task *t) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int64_t channels = o->dims[3];
  if (t->insn->i[10] == 0) return 0;
  return (size_t)(channels * x->dims[2] + 2 * channels * o->dims[2] + 3 * RESIZE_SLACK) * sizeof(float);
}

static resize_run resize_run_of(const mx_task *t) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  resize_run r = {.task = t, .channels = o->dims[3], .held = {-1, -1}, .image = -1};
  r.wide = r.channels * o->dims[2];
  r.dense_in = x->stride[2] == r.channels * mx_dtype_bytes(x->dtype);
  r.dense_out = o->stride[2] == r.channels * mx_dtype_bytes(o->dtype);
  r.source = (float *)t->scratch;
  r.row[0] = r.source + r.channels * x->dims[2] + RESIZE_SLACK;
  r.row[1] = r.row[0] + r.wide + RESIZE_SLACK;
  return r;
}

static void resize_load(const resize_run *r, const uint8_t *src, int64_t n, float *to) {
  const mx_view *x = &r->task->in[0];
  const int bytes = mx_dtype_bytes(x->dtype);
  for (int64_t i = 0; i < n; i += MX_STRIP)
    mx_strip_deq(to + i, x, src + i * bytes, bytes, (int)(n - i < MX_STRIP ? n - i : MX_STRIP),
                 r->task->insn->f[4], NULL, 0);
}

/* d0 + (d1 - d0) * wx for a row of pixels. Vectors run over the end of a pixel; the next pixel overwrites. */
static void resize_columns(const resize_run *r, float *to) {
  const int32_t *columns = (const int32_t *)r->task->cst[2];
  const float *weights = (const float *)r->task->cst[3];
  const int64_t channels = r->channels;
  for (int64_t ox = 0; ox < r->task->out[0].dims[2]; ox++, to += channels) {
    const float *left = r->source + columns[2 * ox] * channels,
                *right = r->source + columns[2 * ox + 1] * channels;
    const f16 w = f16_all(weights[ox]);
    for (int64_t c = 0; c < channels; c += 16) {
      const f16 a = f16_load(left + c);
      f16_store(to + c, f16_add(a, f16_mul(f16_sub(f16_load(right + c), a), w)));
    }
  }
}

/* The interpolated source row y, computed unless it is held; row `other` is not given up for it. */
static const float *resize_row(resize_run *r, const uint8_t *image, int64_t y, int64_t other) {
  const mx_view *x = &r->task->in[0];
  if (r->held[0] == y) return r->row[0];
  if (r->held[1] == y) return r->row[1];
  const int slot = r->held[0] == other;
  const uint8_t *src = image + y * x->stride[1];
  if (r->dense_in)
    resize_load(r, src, r->channels * x->dims[2], r->source);
  else
    for (int64_t p = 0; p < x->dims[2]; p++)
      resize_load(r, src + p * x->stride[2], r->channels, r->source + p * r->channels);
  resize_columns(r, r->row[slot]);
  r->held[slot] = y;
  return r->row[slot];
}

/* n floats of an output row: top + (bottom - top) * w; f3; put */
static void resize_blend(const resize_run *r, const float *top, const float *bottom, float w, uint8_t *dst,
                         int64_t n) {
  const mxp_insn *in = r->task->insn;
  const mx_view *o = &r->task->out[0];
  const int bytes = mx_dtype_bytes(o->dtype);
  const f16 weight = f16_all(w);
  float v[MX_STRIP];
  for (int64_t i = 0; i < n; i += MX_STRIP) {
    const int some = (int)(n - i < MX_STRIP ? n - i : MX_STRIP);
    for (int k = 0; k < some; k += 16) {
      const f16 a = f16_load(top + i + k);
      f16_store(v + k, f16_add(a, f16_mul(f16_sub(f16_load(bottom + i + k), a), weight)));
    }
    mx_strip_scale(v, some, in->f[3]);
    mx_strip_put(dst + i * bytes, o->dtype, bytes, v, some, o->zero, in->i[12], in->i[13]);
  }
}

static void resize_linear(resize_run *r, int64_t b, int64_t oy) {
  const mx_task *t = r->task;
  const mx_view *o = &t->out[0];
  const int32_t *rows = (const int32_t *)t->cst[0];
  const uint8_t *image = t->in[0].data + b * t->in[0].stride[0];
  if (r->image != b) r->held[0] = r->held[1] = -1;
  r->image = b;
  const float *top = resize_row(r, image, rows[2 * oy], rows[2 * oy + 1]);
  const float *bottom = resize_row(r, image, rows[2 * oy + 1], rows[2 * oy]);
  const float w = ((const float *)t->cst[1])[oy];
  uint8_t *dst = o->data + b * o->stride[0] + oy * o->stride[1];
  if (r->dense_out) {
    resize_blend(r, top, bottom, w, dst, r->wide);
    return;
  }
  for (int64_t ox = 0; ox < o->dims[2]; ox++)
    resize_blend(r, top + ox * r->channels, bottom + ox * r->channels, w, dst + ox * o->stride[2],
                 r->channels);
}

/* Pixels of up to 64 bytes without gaps: whole vectors, except for the last ones of the row. */
static void resize_copy_row(const mx_task *t, const uint8_t *src, uint8_t *dst, int64_t bytes) {
  const int32_t *columns = (const int32_t *)t->cst[2];
  const int64_t width = t->out[0].dims[2], step = t->in[0].stride[2], pitch = t->out[0].stride[2];
  const int64_t whole = (bytes + 15) / 16 * 16;
  int64_t ox = 0;
  if (pitch == bytes && bytes <= 64)
    for (; ox < width && (width - ox) * bytes >= whole; ox++)
      for (int64_t i = 0; i < whole; i += 16)
        _mm_storeu_si128((__m128i *)(void *)(dst + ox * pitch + i),
                         _mm_loadu_si128((const __m128i *)(const void *)(src + columns[2 * ox] * step + i)));
  for (; ox < width; ox++) memcpy(dst + ox * pitch, src + columns[2 * ox] * step, (size_t)bytes);
}

static void resize_nearest(const mx_task *t, int64_t b, int64_t oy, int64_t first) {
  const mx_view *x = &t->in[0], *o = &t->out[0];
  const int32_t *rows = (const int32_t *)t->cst[0];
  const int64_t bytes = o->dims[3] * mx_dtype_bytes(o->dtype);
  uint8_t *dst = o->data + b * o->stride[0] + oy * o->stride[1];
  if (oy > first && rows[2 * oy] == rows[2 * oy - 2] && o->stride[2] == bytes) {
    memcpy(dst, dst - o->stride[1], (size_t)(bytes * o->dims[2]));
    return;
  }
  resize_copy_row(t, x->data + b * x->stride[0] + rows[2 * oy] * x->stride[1], dst, bytes);
}

static void resize_kernel_run(const mx_task *t, int part, int parts) {
  const mx_view *o = &t->out[0];
  const int64_t total = (int64_t)o->dims[0] * o->dims[1], begin = mx_share(total, part, parts),
                end = mx_share(total, part + 1, parts);
  const int nearest = t->insn->i[10] == 0;
  resize_run r;
  if (!nearest) r = resize_run_of(t);
  for (int64_t u = begin; u < end; u++) {
    const int64_t b = u / o->dims[1], oy = u % o->dims[1];
    if (nearest)
      resize_nearest(t, b, oy, u == begin ? oy : 0);
    else
      resize_linear(&r, b, oy);
  }
}

static const mx_kernel mx_vector_resize = {.name = "any-resize-row-" MX_GENERIC_ISA,
                                           .accepts = resize_accepts,
                                           .scratch_bytes = resize_scratch_bytes,
                                           .run = resize_kernel_run};

#endif
