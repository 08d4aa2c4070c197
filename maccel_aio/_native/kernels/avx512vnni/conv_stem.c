/* conv_stem.c - the first layer of a network: few channels, a window of several pixels (docs/kernels.md).
 *
 * Rows of a window are runs of kw * channels bytes, which rarely fill whole groups of four: 9 of 12 for 3x3 on RGB. A
 * window without gaps between its rows does (27 of 28). So the windows of a band of output rows are copied, dense, into
 * scratch memory, borders included, and the general kernel multiplies them as a 1x1 convolution of kh * kw * channels
 * channels: weights [O][KH][KW][I] are weights [O][1][1][KH*KW*I].
 *
 * packed = zero bytes | byte choices of the rows, for two windows at a time | what the general kernel packs */
#include "dot.h"
#include "table.h"

enum {
  STEM_ROWS_MAX = 16,          /* kh */
  STEM_RUN_MAX = 64,           /* bytes of a window's row */
  STEM_ZERO_BYTES = 128,       /* more than any copy reads */
  STEM_CHOICES = 3,            /* rows of a window that is built by choosing bytes */
  STEM_BAND_BYTES = 96
      << 10, /* of windows: small in the second-level cache, and the general kernel starts seldom */
  STEM_PREFIX = STEM_ZERO_BYTES + 64 * STEM_CHOICES
};

typedef struct stem_shape {
  mx_geometry s;
  int64_t run, window;  /* bytes of a row of a window, and from window to window */
  int64_t step;         /* from pixel to pixel of the output, in the input */
  int band;             /* output rows at a time */
  int pairs;            /* 1: two windows are one 64-byte store */
} stem_shape;

static stem_shape stem_shape_of(const mx_task *t) {
  stem_shape x = {.s = mx_geometry_of(t, 1)};
  x.run = (int64_t)x.s.kw * x.s.in_c;
  x.window = (x.run * x.s.kh + 3) / 4 * 4;
  x.step = x.s.sw * x.s.in_px;
  const int64_t row = x.s.out_w * x.window, rows = row > 0 ? STEM_BAND_BYTES / row : 0;
  x.band = rows < 1 ? 1 : rows < x.s.out_h ? (int)rows : x.s.out_h;
  x.pairs = x.s.kh == STEM_CHOICES && x.window <= 32 && x.step + x.run <= 16;
  return x;
}

static int64_t stem_align(int64_t bytes) { return (bytes + 63) & ~(int64_t)63; }

/* Only where dense windows have fewer groups of four bytes: elsewhere the copy would buy nothing. */
static int accepts(const mx_task *t) {
  if (t->in[0].dtype != MACCEL_U8 || t->cst_info[0].dtype != MACCEL_S8 || t->in[0].rank != 4) return 0;
  const mx_geometry s = mx_geometry_of(t, 1);
  const int64_t run = (int64_t)s.kw * s.in_c, dense = (run * s.kh + 3) / 4, rows = (run + 3) / 4 * s.kh;
  return t->insn->op == MX_OP_CONV && s.groups == 1 && s.dw == 1 && s.in_px == s.in_c &&
         s.kh <= STEM_ROWS_MAX && run <= STEM_RUN_MAX && s.out_w >= 8 && dense < rows;
}

/* ---- the 1x1 convolution that the general kernel sees */

static void stem_move(mx_view *v, const mx_geometry *s, int64_t row, int rows) {
  if (v->data) v->data += row / s->out_h * v->stride[0] + row % s->out_h * v->stride[1];
  v->dims[0] = 1, v->dims[1] = rows;
}

/* Output rows [row, row + rows) of one image; `insn` is where its instruction is kept. */
static mx_task stem_task(const mx_task *t, const stem_shape *x, int64_t row, int rows, mxp_insn *insn) {
  static const int32_t point[11] = {1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1};
  mx_task to = *t;
  *insn = *t->insn;
  memcpy(insn->i, point, sizeof point);
  to.insn = insn;
  stem_move(&to.out[0], &x->s, row, rows);
  if (insn->out[1] != MXP_NONE) stem_move(&to.out[1], &x->s, row, rows);
  if (insn->in[1] != MXP_NONE) stem_move(&to.in[1], &x->s, row, rows);
  mx_view *in = &to.in[0];
  in->dims[0] = 1, in->dims[1] = rows, in->dims[2] = x->s.out_w, in->dims[3] = (int32_t)x->run * x->s.kh;
  in->stride[2] = x->window, in->stride[1] = x->window * x->s.out_w, in->stride[0] = in->stride[1] * rows;
  in->flags = 0;
  if (t->packed) to.packed = (uint8_t *)t->packed + STEM_PREFIX;
  return to;
}

static size_t pack_bytes(const mx_task *t) {
  const stem_shape x = stem_shape_of(t);
  mxp_insn insn;
  const mx_task inner = stem_task(t, &x, 0, x.band, &insn);
  return STEM_PREFIX + mx_conv_u8s8_avx512vnni.pack_bytes(&inner);
}

/* Byte d of two windows comes from byte `choice` of 16 input bytes of row ky, or (128) from another row. */
static void stem_choices(const stem_shape *x, uint8_t *to) {
  memset(to, 128, 64 * STEM_CHOICES);
  for (int64_t q = 0; q < 2; q++)
    for (int64_t ky = 0; ky < x->s.kh; ky++)
      for (int64_t e = 0; e < x->run; e++)
        to[64 * ky + q * x->window + ky * x->run + e] = (uint8_t)(q * x->step + e);
}

static void pack(const mx_task *t, void *packed) {
  const stem_shape x = stem_shape_of(t);
  mxp_insn insn;
  mx_task inner = stem_task(t, &x, 0, x.band, &insn);
  uint8_t *to = (uint8_t *)packed;
  memset(to, t->in[0].zero, STEM_ZERO_BYTES);
  if (x.pairs) stem_choices(&x, to + STEM_ZERO_BYTES);
  inner.packed = to + STEM_PREFIX;
  mx_conv_u8s8_avx512vnni.pack(&inner, to + STEM_PREFIX);
}

static int64_t stem_band_bytes(const stem_shape *x) {
  return stem_align(x->band * x->s.out_w * x->window + STEM_RUN_MAX);
}

static size_t scratch_bytes(const mx_task *t) {
  const stem_shape x = stem_shape_of(t);
  mxp_insn insn;
  const mx_task inner = stem_task(t, &x, 0, x.band, &insn);
  return (size_t)stem_band_bytes(&x) + mx_conv_u8s8_avx512vnni.scratch_bytes(&inner);
}

/* ---- windows. A copy may write past its window: what comes next is written later. */

typedef struct stem_line {
  const uint8_t *row[STEM_ROWS_MAX]; /* of the window of output column 0, which may begin left of the image */
  int64_t step[STEM_ROWS_MAX]; /* 0 for a row of zero bytes */
} stem_line;

static void stem_border(const stem_shape *x, const stem_line *l, int column, int zero, uint8_t *to) {
  const mx_geometry *s = &x->s;
  const int first = column * s->sw - s->pl; /* in the image */
  memset(to, zero, (size_t)x->window);
  for (int ky = 0; ky < s->kh; ky++)
    for (int kx = 0; l->step[ky] && kx < s->kw; kx++)
      if (first + kx >= 0 && first + kx < s->in_w)
        memcpy(to + ky * x->run + kx * s->in_c, l->row[ky] + column * x->step + kx * s->in_px,
               (size_t)s->in_c);
}

/* Rows one after the other, `rows` and `bytes` known to the compiler or not. */
MX_INLINE void stem_copy(int rows, int bytes, const stem_shape *x, const stem_line *l, int64_t lo, int64_t hi,
                         uint8_t *to) {
  const uint8_t *row[STEM_ROWS_MAX];
  MX_UNROLL for (int ky = 0; ky < rows; ky++) row[ky] = l->row[ky] + lo * l->step[ky];
  for (int64_t column = lo; column < hi; column++, to += x->window) {
    uint8_t *at = to;
    MX_UNROLL for (int ky = 0; ky < rows; ky++, at += x->run) {
      memcpy(at, row[ky], (size_t)bytes);
      row[ky] += l->step[ky];
    }
  }
}

#define STEM_COPY(name, rows, bytes)                                                            \
  static void stem_copy_##name(const stem_shape *x, const stem_line *l, int64_t lo, int64_t hi, \
                               uint8_t *to) {                                                   \
    stem_copy(rows, bytes, x, l, lo, hi, to);                                                   \
  }
STEM_COPY(5x16, 5, 16)
STEM_COPY(7x32, 7, 32)
STEM_COPY(16, x->s.kh, 16)
STEM_COPY(32, x->s.kh, 32)
STEM_COPY(64, x->s.kh, 64)

typedef void (*stem_copy_fn)(const stem_shape *x, const stem_line *l, int64_t lo, int64_t hi, uint8_t *to);

static stem_copy_fn stem_copy_for(const stem_shape *x) {
  if (x->run <= 16) return x->s.kh == 5 ? stem_copy_5x16 : stem_copy_16;
  if (x->run <= 32) return x->s.kh == 7 ? stem_copy_7x32 : stem_copy_32;
  return stem_copy_64;
}

MX_INLINE __m512i stem_choose(const uint8_t *from, __m512i choice) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)from)),
                             choice);
}

static void stem_copy_pairs(const stem_shape *x, const stem_line *l, const uint8_t *choices, int64_t lo,
                            int64_t hi, uint8_t *to) {
  const __m512i c0 = _mm512_loadu_si512(choices), c1 = _mm512_loadu_si512(choices + 64),
                c2 = _mm512_loadu_si512(choices + 128);
  const uint8_t *r0 = l->row[0] + lo * l->step[0], *r1 = l->row[1] + lo * l->step[1],
                *r2 = l->row[2] + lo * l->step[2];
  for (int64_t column = lo; column < hi; column += 2, to += 2 * x->window) {
    const __m512i bytes =
        _mm512_or_si512(_mm512_or_si512(stem_choose(r0, c0), stem_choose(r1, c1)), stem_choose(r2, c2));
    _mm512_storeu_si512(to, bytes);
    r0 += 2 * l->step[0], r1 += 2 * l->step[1], r2 += 2 * l->step[2];
  }
}

static stem_line stem_line_of(const mx_task *t, const stem_shape *x, int64_t row) {
  const mx_geometry *s = &x->s;
  const uint8_t *image = t->in[0].data + row / s->out_h * s->in_n - s->pl * s->in_px;
  stem_line l;
  for (int ky = 0; ky < s->kh; ky++) {
    const int64_t y = row % s->out_h * s->sh - s->pt + ky * s->dh;
    const int inside = y >= 0 && y < s->in_h;
    l.row[ky] = inside ? image + y * s->in_row : (const uint8_t *)t->packed;
    l.step[ky] = inside ? x->step : 0;
  }
  return l;
}

static void stem_windows(const mx_task *t, const stem_shape *x, int64_t row, uint8_t *to) {
  const stem_line l = stem_line_of(t, x, row);
  const int zero = t->in[0].zero;
  int lo, hi;
  mx_geometry_interior(&x->s, &lo, &hi);
  for (int column = 0; column < lo; column++) stem_border(x, &l, column, zero, to + column * x->window);
  uint8_t *at = to + lo * x->window;
  if (x->pairs)
    stem_copy_pairs(x, &l, (const uint8_t *)t->packed + STEM_ZERO_BYTES, lo, hi, at);
  else
    stem_copy_for(x)(x, &l, lo, hi, at);
  for (int column = hi; column < x->s.out_w; column++)
    stem_border(x, &l, column, zero, to + column * x->window);
}

static void run(const mx_task *t, int part, int parts) {
  const stem_shape x = stem_shape_of(t);
  uint8_t *windows = (uint8_t *)t->scratch;
  int64_t lo, hi;
  mx_share_units((int64_t)x.s.batch * x.s.out_h, 1, part, parts, &lo, &hi);
  for (int64_t row = lo; row < hi;) {
    int64_t end = row + x.band < hi ? row + x.band : hi;
    const int64_t image_end = (row / x.s.out_h + 1) * x.s.out_h;
    if (end > image_end) end = image_end;
    for (int64_t y = row; y < end; y++) stem_windows(t, &x, y, windows + (y - row) * x.s.out_w * x.window);
    mxp_insn insn;
    mx_task inner = stem_task(t, &x, row, (int)(end - row), &insn);
    inner.in[0].data = windows, inner.scratch = windows + stem_band_bytes(&x);
    mx_conv_u8s8_avx512vnni.run(&inner, 0, 1);
    row = end;
  }
}

const mx_kernel mx_conv_stem_avx512vnni = {
    "u8s8-stemconv-4x64-avx512vnni", accepts, pack_bytes, pack, scratch_bytes, run};
