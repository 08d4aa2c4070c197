/* test_dwconv.c - the depthwise kernels of 3x3 and 5x5 windows: blocks of channels, bands, chunks, shelves, parts. */
#include "u8s8_case.h"

static const mx_kernel *small, *large, *words; /* up to 3x3, up to 5x5; up to 3x3 with s16 weights */

static const mx_kernel *kernel_of(const char *name) {
  const mx_kernel *const *k = mx_kernels_of(MX_ISA_AVX512VNNI, MX_OP_DWCONV);
  for (; k && *k; k++)
    if (!strcmp((*k)->name, name)) return *k;
  return NULL;
}

static u8s8_shape image_of(int h, int w, int c, int k, int s) {
  return (u8s8_shape){
      .op = MX_OP_DWCONV, .batch = 1, .h = h, .w = w, .c = c, .o = c, .kh = k, .kw = k, .s = s, .groups = c};
}

static void pad(u8s8_shape *s) {
  s->pt = vt_range(0, s->kh - 1), s->pl = vt_range(0, s->kw - 1), s->pb = vt_range(0, s->kh - 1),
  s->pr = vt_range(0, s->kw - 1);
}

static int agrees(const u8s8_shape *s, int parts) {
  u8s8_shape wide = *s;
  wide.words = 1;
  const int fits = s->kh <= 3 && s->kw <= 3;
  return (!fits || (u8s8_agrees(s, small, parts) && u8s8_agrees(&wide, words, parts))) &&
         u8s8_agrees(s, large, parts);
}

/* Every mixture of 64, 32, 16 and fewer channels; heights that leave bands half empty. */
static int blocks(void) {
  static const int channels[] = {1, 15, 16, 17, 31, 32, 40, 48, 63, 64, 72, 96, 112, 113, 127, 144, 240};
  for (int k = 0; k < 17; k++)
    for (int round = 0; round < 12; round++) {
      u8s8_shape s =
          image_of(vt_range(5, 20), vt_range(5, 20), channels[k], vt_chance(50) ? 3 : 5, vt_range(1, 2));
      s.batch = vt_range(1, 2), s.plain = vt_chance(60);
      if (vt_chance(30)) s.in_pixel = s.c + vt_range(1, 70);
      pad(&s);
      if (!agrees(&s, vt_range(1, 5))) return 0;
    }
  return 1;
}

/* Windows that are no squares, and images that are smaller than they are. */
static int windows(void) {
  for (int k = 0; k < 150; k++) {
    u8s8_shape s = image_of(vt_range(1, 6), vt_range(1, 6), vt_range(1, 100), 5, vt_range(1, 2));
    s.kh = vt_range(1, 5), s.kw = vt_range(1, 5), s.plain = vt_chance(60);
    pad(&s);
    if (s.h + s.pt + s.pb < s.kh || s.w + s.pl + s.pr < s.kw) continue;
    if (!agrees(&s, vt_range(1, 3))) return 0;
  }
  return 1;
}

/* Wide rows: several chunks of columns, and shelves of rows that do not hold the image. */
static int shelves(void) {
  for (int k = 0; k < 8; k++) {
    u8s8_shape s =
        image_of(vt_range(33, 40), vt_range(180, 230), vt_range(140, 180), k & 1 ? 3 : 5, 1 + (k >> 1 & 1));
    s.plain = k < 6;
    pad(&s);
    if (!agrees(&s, vt_range(1, 4))) return 0;
  }
  return 1;
}

/* Teams that are larger than the work, down to single columns. */
static int parts(void) {
  for (int n = 1; n < 40; n++) {
    u8s8_shape s = image_of(7, 7, 80, n & 1 ? 3 : 5, 1);
    s.pt = s.pl = s.pb = s.pr = s.kh / 2, s.plain = n % 3 != 0;
    if (!agrees(&s, n)) return 0;
  }
  return 1;
}

static int refuses(const mx_kernel *kernel, u8s8_shape s, int slot, int value) {
  vt_case c;
  u8s8_case(&c, &s);
  c.insn.i[slot] = value;
  const int taken = kernel->accepts(&c.task);
  vt_end(&c);
  return !taken;
}

static int refusals(void) {
  const u8s8_shape s = image_of(20, 20, 32, 3, 1);
  return refuses(small, s, 0, 4) && refuses(small, s, 8, 2) && refuses(small, s, 3, 2) &&
         refuses(large, s, 1, 6) && refuses(large, s, 9, 2) && refuses(words, s, 0, 3) &&
         refuses(large, image_of(20, 20, 32, 3, 3), 0, 3);
}

int main(void) {
  if (!mx_isa_supported(MX_ISA_AVX512VNNI)) return 77;
  small = kernel_of("u8s8-dwconv3x3-2x64-avx512vnni"), large = kernel_of("u8s8-dwconv5x5-7x64-avx512vnni");
  words = kernel_of("u8s16-dwconv3x3-2x64-avx512vnni");
  return !(small && large && words && blocks() && windows() && shelves() && parts() && refusals());
}
