/* geometry.h - the geometry of a convolution as the vector kernels see it, read from a task. */
#ifndef MX_GEOMETRY_H
#define MX_GEOMETRY_H

#include "kernels.h"

#define MX_INLINE static inline __attribute__((always_inline))
#define MX_UNROLL _Pragma("GCC unroll 8")

typedef struct mx_geometry {
  int batch, in_h, in_w, out_h, out_w;
  int in_c, out_c, groups;   /* channels of one group */
  int kh, kw, sh, sw, pt, pl, dh, dw;
  int64_t in_n, in_row, in_px; /* bytes */
  int segment;               /* 1: the kw taps of one row are one run of bytes (small channel counts) */
  int taps;                  /* address changes of one window: kh when segment, else kh * kw */
  int tap_elems;             /* elements read per tap, gaps included */
  int flat;                  /* 1: one row of all pixels (1x1, stride 1, no padding) */
} mx_geometry;

/* Bytes one tap may span in segment form: a window that crosses the border is copied to this much scratch. */
enum { MX_SEGMENT_BYTES = 64 };

static inline int mx_view_flat(const mx_view *v) {
  const int rows_joined = v->dims[1] == 1 || v->stride[1] == v->dims[2] * v->stride[2];
  const int images_joined =
      v->dims[0] == 1 || v->stride[0] == (int64_t)v->dims[1] * v->dims[2] * v->stride[2];
  return rows_joined && images_joined;
}

/* Are all pixels of the task's images equally spaced, so that rows and images may be joined? */
static inline int mx_conv_views_flat(const mx_task *t) {
  if (!mx_view_flat(&t->in[0]) || !mx_view_flat(&t->out[0])) return 0;
  if (t->insn->in[1] != MXP_NONE && !mx_view_flat(&t->in[1])) return 0;
  if (t->insn->op == MX_OP_CONVDYN && !mx_view_flat(&t->in[2])) return 0;
  return t->insn->out[1] == MXP_NONE || mx_view_flat(&t->out[1]);
}

static inline void mx_geometry_flatten(mx_geometry *s) {
  s->flat = 1;
  s->in_w = s->out_w = s->batch * s->out_h * s->out_w;
  s->batch = s->in_h = s->out_h = 1;
}

static inline mx_geometry mx_geometry_of(const mx_task *t, int elem_bytes) {
  const int32_t *i = t->insn->i;
  const mx_view *in = &t->in[0], *out = &t->out[0];
  mx_geometry s = {.batch = in->dims[0],
                   .in_h = in->dims[1],
                   .in_w = in->dims[2],
                   .out_h = out->dims[1],
                   .out_w = out->dims[2]};
  s.kh = i[0], s.kw = i[1], s.sh = i[2], s.sw = i[3], s.pt = i[4], s.pl = i[5], s.dh = i[8], s.dw = i[9];
  s.groups = i[10] > 0 ? i[10] : 1;
  s.in_c = in->dims[3] / s.groups, s.out_c = out->dims[3] / s.groups;
  s.in_n = in->stride[0], s.in_row = in->stride[1], s.in_px = in->stride[2];
  const int64_t run = (s.kw - 1) * s.in_px + (int64_t)s.in_c * elem_bytes;
  s.segment = elem_bytes == 1 && s.kw > 1 && s.dw == 1 && s.in_px <= 8 && s.in_px >= s.in_c &&
              run <= MX_SEGMENT_BYTES;
  s.taps = s.segment ? s.kh : s.kh * s.kw;
  s.tap_elems = s.segment ? (int)run : s.in_c;
  const int point =
      s.kh == 1 && s.kw == 1 && s.sh == 1 && s.sw == 1 && s.pt == 0 && s.pl == 0 && i[6] == 0 && i[7] == 0;
  if (point && mx_conv_views_flat(t)) mx_geometry_flatten(&s);
  return s;
}

/* Weight of output o for element e of tap k, as an index into [O][KH][KW][I]; -1 in a gap between pixels. */
static inline int64_t mx_weight_index(const mx_geometry *s, int64_t o, int k, int e) {
  const int64_t base = o * s->kh * s->kw * s->in_c;
  if (!s->segment) return base + (int64_t)k * s->in_c + e;
  const int kx = (int)(e / s->in_px), c = (int)(e % s->in_px);
  return c < s->in_c ? base + ((int64_t)k * s->kw + kx) * s->in_c + c : -1;
}

/* Output columns whose windows stay inside the row: [*lo, *hi). */
static inline void mx_geometry_interior(const mx_geometry *s, int *lo, int *hi) {
  const int reach = s->in_w - 1 - (s->kw - 1) * s->dw + s->pl;
  *lo = (s->pl + s->sw - 1) / s->sw;
  *hi = reach < 0 ? 0 : reach / s->sw + 1;
  if (*hi > s->out_w) *hi = s->out_w;
  if (*lo > *hi) *lo = *hi;
}

static inline int64_t mx_geometry_pixels(const mx_geometry *s) {
  return (int64_t)s->batch * s->out_h * s->out_w;
}

/* Address of output pixel p of a view with the task's output dims; a flat shape has joined rows. */
static inline uint8_t *mx_pixel_at(const mx_geometry *s, const mx_view *v, int64_t p) {
  if (s->flat) return v->data + p * v->stride[2];
  const int64_t row = p / s->out_w, x = p % s->out_w;
  return v->data + row / s->out_h * v->stride[0] + row % s->out_h * v->stride[1] + x * v->stride[2];
}

/* Share `part` of `parts` of [0, total) in steps of `unit`. */
static inline void mx_share_units(int64_t total, int64_t unit, int part, int parts, int64_t *lo,
                                  int64_t *hi) {
  const int64_t units = (total + unit - 1) / unit;
  *lo = units * part / parts * unit;
  *hi = units * (part + 1) / parts * unit;
  if (*lo > total) *lo = total;
  if (*hi > total) *hi = total;
}

#endif
