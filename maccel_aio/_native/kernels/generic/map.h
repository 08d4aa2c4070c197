/* map.h - MAP (copy, convert, activate, look up) and FILL. */
#ifndef MX_GENERIC_MAP_H
#define MX_GENERIC_MAP_H

#include "strip.h"

static inline int mx_map_is_copy(const mx_task *t) {
  const mxp_insn *in = t->insn;
  return t->in[0].dtype == t->out[0].dtype && in->i[11] == MX_ACT_NONE && t->cst[3] == NULL &&
         in->f[4] == 1.0f && in->f[3] == 1.0f && t->in[0].zero == t->out[0].zero;
}

static inline void mx_copy_strip(uint8_t *dst, int64_t ds, const uint8_t *src, int64_t ss, int n, int bytes) {
  if (ds == bytes && ss == bytes) {
    MX_STRIP_TRY(strip_copy(dst, src, (int64_t)n * bytes));
    memmove(dst, src, (size_t)n * (size_t)bytes);
    return;
  }
  switch (bytes) {
    case 1:
      for (int i = 0; i < n; ++i) dst[i * ds] = src[i * ss];
      break;
    case 2:
      for (int i = 0; i < n; ++i) memcpy(dst + i * ds, src + i * ss, 2);
      break;
    case 4:
      for (int i = 0; i < n; ++i) memcpy(dst + i * ds, src + i * ss, 4);
      break;
    default:
      for (int i = 0; i < n; ++i) memcpy(dst + i * ds, src + i * ss, 8);
      break;
  }
}

static void mx_map_copy(const mx_task *t, int part, int parts) {
  const int bytes = mx_dtype_bytes(t->out[0].dtype);
  mx_loop l = mx_loop_begin(t->out[0].rank, t->out[0].dims);
  mx_loop_add(&l, t->out[0].stride);
  mx_loop_add(&l, t->in[0].stride);
  mx_loop_finish(&l);
  const int64_t total = mx_loop_strips(&l), last = l.rank - 1;
  const int64_t end = mx_share(total, part + 1, parts);
  int64_t strip = mx_share(total, part, parts);
  mx_cursor c = mx_cursor_at(&l, strip);
  for (; strip < end; ++strip, mx_cursor_next(&l, &c)) {
    mx_copy_strip(t->out[0].data + c.off[0], l.stride[0][last], t->in[0].data + c.off[1], l.stride[1][last],
                  c.n, bytes);
  }
}

static void mx_map_table(const mx_task *t, int part, int parts) {
  const uint8_t *table = t->cst[3];
  mx_loop l = mx_loop_begin(t->out[0].rank, t->out[0].dims);
  mx_loop_add(&l, t->out[0].stride);
  mx_loop_add(&l, t->in[0].stride);
  mx_loop_finish(&l);
  const int64_t total = mx_loop_strips(&l), last = l.rank - 1;
  const int64_t end = mx_share(total, part + 1, parts), ds = l.stride[0][last], ss = l.stride[1][last];
  int64_t strip = mx_share(total, part, parts);
  mx_cursor c = mx_cursor_at(&l, strip);
  for (; strip < end; ++strip, mx_cursor_next(&l, &c)) {
    uint8_t *dst = t->out[0].data + c.off[0];
    const uint8_t *src = t->in[0].data + c.off[1];
    for (int i = 0; i < c.n; ++i) dst[i * ds] = table[src[i * ss]];
  }
}

static void mx_map_convert(const mx_task *t, int part, int parts) {
  const uint8_t *scales = (const uint8_t *)t->in[0].channel_scale, *slopes = t->cst[4];
  mx_loop l = mx_loop_begin(t->out[0].rank, t->out[0].dims);
  mx_loop_add(&l, t->out[0].stride);
  mx_loop_add(&l, t->in[0].stride);
  mx_loop_add_channels(&l, scales ? 4 : 0);
  mx_loop_add_channels(&l, slopes ? 4 : 0);
  mx_loop_finish(&l);
  const int64_t total = mx_loop_strips(&l), last = l.rank - 1;
  const int64_t end = mx_share(total, part + 1, parts);
  int64_t strip = mx_share(total, part, parts);
  mx_cursor c = mx_cursor_at(&l, strip);
  float v[MX_STRIP];
  for (; strip < end; ++strip, mx_cursor_next(&l, &c)) {
    mx_strip_deq(v, &t->in[0], t->in[0].data + c.off[1], l.stride[1][last], c.n, t->insn->f[4],
                 scales ? scales + c.off[2] : NULL, l.stride[2][last]);
    mx_strip_finish(t, v, c.n, t->out[0].data + c.off[0], l.stride[0][last],
                    slopes ? slopes + c.off[3] : NULL, l.stride[3][last]);
  }
}

static void mx_map_run(const mx_task *t, int part, int parts) {
  if (mx_map_is_copy(t)) {
    mx_map_copy(t, part, parts);
  } else if (t->cst[3] != NULL) {
    mx_map_table(t, part, parts);
  } else {
    mx_map_convert(t, part, parts);
  }
}

static const mx_kernel mx_generic_map = {.name = "any-map-strip-" MX_GENERIC_ISA, .run = mx_map_run};

static void mx_fill_run(const mx_task *t, int part, int parts) {
  const mx_view *o = &t->out[0];
  const int32_t q = t->insn->i[0];
  float v[MX_STRIP];
  for (int i = 0; i < MX_STRIP; ++i) v[i] = mx_dtype_is_float(o->dtype) ? t->insn->f[0] : 0.0f;
  mx_loop l = mx_loop_begin(o->rank, o->dims);
  mx_loop_add(&l, o->stride);
  mx_loop_finish(&l);
  const int64_t total = mx_loop_strips(&l), end = mx_share(total, part + 1, parts);
  int64_t strip = mx_share(total, part, parts);
  mx_cursor c = mx_cursor_at(&l, strip);
  for (; strip < end; ++strip, mx_cursor_next(&l, &c)) {
    mx_strip_put(o->data + c.off[0], o->dtype, l.stride[0][l.rank - 1], v, c.n, q, q, q);
  }
}

static const mx_kernel mx_generic_fill = {.name = "any-fill-strip-" MX_GENERIC_ISA, .run = mx_fill_run};

#endif
