/* test_conv_stem.c - the kernel of first layers: windows, strides, borders, channels and parts. */
#include "u8s8_case.h"

static const mx_kernel *stem;

static u8s8_shape image_of(int h, int w, int c, int o, int k, int s) {
  return (u8s8_shape){.op = MX_OP_CONV, .batch = 1, .h = h, .w = w, .c = c, .o = o, .kh = k, .kw = k, .s = s};
}

static void pad(u8s8_shape *s, int most) {
  s->pt = vt_range(0, most), s->pl = vt_range(0, most), s->pb = vt_range(0, most), s->pr = vt_range(0, most);
}

/* The shapes of known networks, small: RGB with 3x3, 7x7 and 5x5 windows, grey with 5x5. */
static int known(void) {
  static const int shapes[][4] = {{3, 32, 3, 2}, {3, 64, 3, 1}, {3, 16, 3, 2}, {3, 64, 7, 2}, {3, 24, 5, 2},
                                  {1, 20, 5, 1}, {3, 8, 11, 4}, {2, 40, 3, 1}, {1, 9, 7, 3},  {3, 70, 2, 1}};
  for (int k = 0; k < 10; k++)
    for (int round = 0; round < 25; round++) {
      const int *x = shapes[k];
      u8s8_shape s = image_of(vt_range(11, 30), vt_range(11, 40) + 8 * x[3], x[0], x[1], x[2], x[3]);
      s.batch = vt_range(1, 2), s.plain = vt_chance(60);
      pad(&s, x[2] - 1);
      if ((s.w + s.pl + s.pr - s.kw) / s.s + 1 < 8) continue;
      if (!u8s8_agrees(&s, stem, vt_range(1, 5))) return 0;
    }
  return 1;
}

/* Windows that are wider or higher than the image: every one of them crosses a border. */
static int narrow(void) {
  for (int k = 0; k < 30; k++) {
    u8s8_shape s = image_of(vt_range(1, 3), vt_range(2, 4), 3, vt_range(1, 40), 7, 1);
    s.pt = s.pb = 6, s.pl = s.pr = 6;
    if (!u8s8_agrees(&s, stem, vt_range(1, 3))) return 0;
  }
  return 1;
}

/* More output rows than a band has. */
static int bands(void) {
  u8s8_shape s = image_of(97, 131, 3, 32, 3, 2);
  s.pb = s.pr = 1, s.plain = 1;
  return u8s8_agrees(&s, stem, 1) && u8s8_agrees(&s, stem, 3);
}

static int refuses(u8s8_shape s) {
  vt_case c;
  u8s8_case(&c, &s);
  const int taken = stem->accepts(&c.task);
  vt_end(&c);
  return !taken;
}

static int refusals(void) {
  u8s8_shape gaps = image_of(20, 20, 3, 8, 3, 1);
  gaps.in_pixel = 4;
  return refuses(gaps) && refuses(image_of(20, 20, 4, 8, 3, 1)) && refuses(image_of(20, 20, 16, 8, 7, 1)) &&
         refuses(image_of(20, 20, 3, 8, 1, 1)) && refuses(image_of(9, 9, 3, 8, 3, 1));
}

int main(void) {
  if (!mx_isa_supported(MX_ISA_AVX512VNNI)) return 77;
  stem = u8s8_kernel("u8s8-stemconv-4x64-avx512vnni");
  return !(stem && known() && narrow() && bands() && refusals());
}
