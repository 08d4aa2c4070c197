/* Convolutions at the borders of the vector tiles: every channel count from 1 to 130, every width from 1 to 40, every
 * padding that a window can have, all strides and dilations, groups, batches, layouts with gaps. */
#include "../common/levels.h"

static test_rng rng = {0xd1b54a32d192ed03u};
static builder b;

typedef struct shape {
  int op, batch, h, w, in_c, out_c, groups;
  int kh, kw, stride, dilation, pad[4]; /* top, left, bottom, right */
  int x_type, w_type, y_type;
  int gap; /* elements of padding between two pixels of the output */
} shape;

static const shape usual = {.op = MX_OP_CONV,
                            .batch = 1,
                            .h = 5,
                            .w = 6,
                            .in_c = 4,
                            .out_c = 8,
                            .groups = 1,
                            .kh = 1,
                            .kw = 1,
                            .stride = 1,
                            .dilation = 1,
                            .x_type = MACCEL_U8,
                            .w_type = MACCEL_S8,
                            .y_type = MACCEL_U8};

static uint32_t random_const(int dtype, int rank, const int *dims, int lo, int hi, float unit) {
  int n = 1;
  for (int d = 0; d < rank; ++d) n *= dims[d];
  uint8_t *v = malloc((size_t)n * 4);
  CHECK(v != NULL);
  for (int k = 0; k < n; ++k) {
    const int q = rng_int(&rng, lo, hi);
    if (dtype == MACCEL_S8) v[k] = (uint8_t)q;
    if (dtype == MACCEL_S16) memcpy(v + 2 * k, &(int16_t){(int16_t)q}, 2);
    if (dtype == MACCEL_S32) memcpy(v + 4 * k, &q, 4);
    if (dtype == MACCEL_F32) memcpy(v + 4 * k, &(float){(float)q * unit}, 4);
  }
  const uint32_t c = builder_const(&b, dtype, rank, dims, v);
  free(v);
  return c;
}

static int extent(int in, int k, int stride, int dilation, int before, int after) {
  const int left = in + before + after - dilation * (k - 1) - 1;
  return left < 0 ? 0 : left / stride + 1;
}

static void constants_of(mxp_insn *in, const shape *s) {
  const int depthwise = s->op == MX_OP_DWCONV, full[4] = {s->out_c, s->kh, s->kw, s->in_c / s->groups},
            dw[3] = {s->kh, s->kw, s->out_c};
  const uint32_t w = depthwise ? random_const(s->w_type, 3, dw, -120, 120, 0.01f)
                               : random_const(s->w_type, 4, full, -120, 120, 0.01f);
  const uint32_t scale = random_const(MACCEL_F32, 1, &s->out_c, 1, 90, 1e-4f);
  const uint32_t bias = s->op == MX_OP_CONVF ? random_const(MACCEL_F32, 1, &s->out_c, -9, 9, 0.1f)
                                             : random_const(MACCEL_S32, 1, &s->out_c, -9000, 9000, 1.0f);
  in->cst[0] = w, in->cst[1] = bias, in->cst[2] = scale;
}

/* 0 when the window does not fit the image. */
static int try_shape(shape s) {
  const int oh = extent(s.h, s.kh, s.stride, s.dilation, s.pad[0], s.pad[2]);
  const int ow = extent(s.w, s.kw, s.stride, s.dilation, s.pad[1], s.pad[3]);
  if (oh < 1 || ow < 1) return 0;
  if (s.op == MX_OP_DWCONV) s.in_c = s.groups = s.out_c;
  builder_init(&b);
  const int from[4] = {s.batch, s.h, s.w, s.in_c}, to[4] = {s.batch, oh, ow, s.out_c};
  const int zero = s.x_type == MACCEL_F32 ? 0 : rng_int(&rng, 0, 255);
  const uint32_t x = builder_tensor(&b, s.x_type, 4, from, 1.0f, zero);
  const uint32_t y =
      s.gap ? builder_padded(&b, s.y_type, to, s.gap, 1.0f, 0) : builder_tensor(&b, s.y_type, 4, to, 1.0f, 0);
  mxp_insn *in = builder_insn(&b, s.op);
  in->in[0] = x, in->out[0] = y;
  builder_window(in, s.kh, s.kw, s.stride, 0, s.dilation);
  memcpy(in->i + 4, s.pad, sizeof s.pad);
  in->i[10] = s.groups;
  in->i[12] = range_lo(s.y_type), in->i[13] = range_hi(s.y_type);
  constants_of(in, &s);
  levels_agree(&b, &rng, 3);
  builder_free(&b);
  return 1;
}

static void every_channel_count(void) {
  for (int c = 1; c <= 130; ++c) {
    shape s = usual;
    s.in_c = c, s.out_c = 9;
    try_shape(s);
    s.in_c = 7, s.out_c = c;
    try_shape(s);
    s.gap = (64 - c % 64) % 64;
    try_shape(s);
    s = usual;
    s.op = MX_OP_DWCONV, s.out_c = c, s.kh = s.kw = 3, s.pad[0] = s.pad[1] = s.pad[2] = s.pad[3] = 1;
    try_shape(s);
    s.w_type = MACCEL_S16;
    try_shape(s);
    s.op = MX_OP_CONVF, s.x_type = s.w_type = s.y_type = MACCEL_F32, s.in_c = c, s.out_c = 130 / c, s.kw = 1;
    s.pad[1] = s.pad[3] = 0;
    try_shape(s);
  }
}

static void every_width(void) {
  for (int w = 1; w <= 40; ++w) {
    for (int stride = 1; stride <= 2; ++stride) {
      shape s = usual;
      s.h = 3, s.w = w, s.stride = stride, s.kh = s.kw = 3;
      s.pad[0] = s.pad[1] = s.pad[2] = s.pad[3] = 1;
      s.in_c = 3, s.out_c = 16;
      try_shape(s);
      s.in_c = 20, s.out_c = 48;
      try_shape(s);
      s.op = MX_OP_DWCONV, s.out_c = 70;
      try_shape(s);
      s.kh = s.kw = 5, s.pad[0] = s.pad[1] = s.pad[2] = s.pad[3] = 2;
      try_shape(s);
      s.op = MX_OP_CONVF, s.x_type = s.w_type = s.y_type = MACCEL_F32, s.in_c = 3, s.out_c = 5;
      try_shape(s);
    }
  }
}

/* All four sides, each from none to beyond the kernel; images smaller than the window too. */
static void every_padding(void) {
  for (int k = 0; k < 4 * 4 * 4 * 4; ++k) {
    shape s = usual;
    s.kh = s.kw = 3, s.h = 1 + k % 5, s.w = 1 + k % 7;
    for (int side = 0; side < 4; ++side) s.pad[side] = k >> (2 * side) & 3;
    s.in_c = k % 2 ? 3 : 17, s.out_c = 12;
    try_shape(s);
    s.op = MX_OP_DWCONV, s.out_c = 66;
    try_shape(s);
    s.x_type = MACCEL_S16, s.y_type = MACCEL_S16, s.out_c = 18;
    try_shape(s);
  }
}

static void windows(void) {
  for (int kh = 1; kh <= 7; ++kh) {
    for (int kw = 1; kw <= 7; ++kw) {
      for (int k = 0; k < 9; ++k) {
        shape s = usual;
        s.kh = kh, s.kw = kw, s.stride = 1 + k % 3, s.dilation = 1 + k / 3, s.h = s.w = 15;
        s.pad[0] = s.pad[3] = kh / 2, s.pad[1] = s.pad[2] = kw / 2;
        s.in_c = 3, s.out_c = 10;
        try_shape(s);
        s.op = MX_OP_DWCONV, s.out_c = 65;
        try_shape(s);
      }
    }
  }
}

static void groups_and_batches(void) {
  static const int types[] = {MACCEL_U8, MACCEL_S8, MACCEL_S16, MACCEL_F32};
  for (int groups = 1; groups <= 6; ++groups) {
    for (int k = 0; k < 16; ++k) {
      shape s = usual;
      s.groups = groups, s.batch = 1 + k % 3, s.in_c = groups * (1 + k), s.out_c = groups * (17 - k);
      s.kh = 1 + k % 3, s.kw = 1 + k / 4 % 3, s.y_type = types[k % 4];
      s.x_type = k & 4 ? MACCEL_S16 : MACCEL_U8, s.w_type = k & 8 ? MACCEL_S16 : MACCEL_S8;
      try_shape(s);
      s.op = MX_OP_CONVF, s.x_type = MACCEL_F32, s.w_type = k & 8 ? MACCEL_S8 : MACCEL_F32;
      try_shape(s);
    }
  }
}

/* Seven by seven images and single pixels have tiles of their own. */
static void small_images(void) {
  for (int side = 1; side <= 8; ++side) {
    for (int out_c = 15; out_c <= 257; out_c += 22) {
      shape s = usual;
      s.h = s.w = side, s.in_c = 33, s.out_c = out_c;
      try_shape(s);
      s.y_type = MACCEL_S8;
      try_shape(s);
    }
  }
}

int main(void) {
  every_channel_count();
  every_width();
  every_padding();
  windows();
  groups_and_batches();
  small_images();
  return 0;
}
