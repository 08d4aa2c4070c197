/* test_gemv.c - the kernel of fully connected layers: rows, depths, outputs and parts around the sizes of its tiles. */
#include "u8s8_case.h"

static const mx_kernel *gemv;

static int check(u8s8_shape s, int parts) { return u8s8_agrees(&s, gemv, parts); }

static u8s8_shape rows_of(int op, int rows, int depth, int outputs) {
  return (u8s8_shape){
      .op = op, .batch = 1, .h = 1, .w = rows, .c = depth, .o = outputs, .kh = 1, .kw = 1, .s = 1};
}

static int every_size(int op) {
  static const int depths[] = {1, 3, 4, 5, 15, 16, 33, 64, 130},
                   outputs[] = {1, 15, 16, 17, 48, 63, 64, 65, 130, 600};
  for (int rows = 1; rows <= 6; rows++)
    for (int d = 0; d < 9; d++)
      for (int o = 0; o < 10; o++)
        if (!check(rows_of(op, rows, depths[d], outputs[o]), vt_range(1, 6))) return 0;
  return 1;
}

/* Rows as pixels of several images, of a strided one, and with gaps between them. */
static int places(void) {
  for (int k = 0; k < 60; k++) {
    u8s8_shape s = rows_of(MX_OP_CONV, vt_range(1, 3), vt_range(1, 90), vt_range(1, 100));
    s.batch = vt_range(1, 2), s.in_pixel = s.c + vt_range(0, 20);
    if (!check(s, vt_range(1, 3))) return 0;
    s.batch = 1, s.h = vt_range(1, 5), s.w = vt_range(1, 4), s.s = 2;
    if (!check(s, vt_range(1, 3))) return 0;
  }
  return 1;
}

/* A window as large as its image is one row. */
static int whole_images(void) {
  for (int k = 0; k < 40; k++) {
    u8s8_shape s = rows_of(MX_OP_CONV, 1, vt_range(1, 20), vt_range(1, 80));
    s.batch = vt_range(1, 6), s.h = s.kh = vt_range(1, 7), s.w = s.kw = vt_range(2, 7), s.s = vt_range(1, 2);
    if (!check(s, vt_range(1, 3))) return 0;
  }
  return 1;
}

/* More outputs than are finished at a time, deep rows. */
static int large(void) {
  return check(rows_of(MX_OP_CONV, 2, 2050, 2100), 1) && check(rows_of(MX_OP_CONV, 1, 4096, 1040), 3);
}

static int refuses(u8s8_shape s) {
  vt_case c;
  u8s8_case(&c, &s);
  const int taken = gemv->accepts(&c.task);
  vt_end(&c);
  return !taken;
}

static int refusals(void) {
  u8s8_shape padded = rows_of(MX_OP_CONV, 3, 8, 8), grouped = padded, gaps = padded;
  padded.pl = 1, grouped.groups = 2;
  gaps.w = gaps.kw = 3, gaps.in_pixel = 9;
  return refuses(rows_of(MX_OP_CONV, 7, 8, 8)) && refuses(padded) && refuses(grouped) && refuses(gaps);
}

int main(void) {
  if (!mx_isa_supported(MX_ISA_AVX512VNNI)) return 77;
  gemv = u8s8_kernel("u8s8-gemv-6x32-avx512vnni");
  return !(gemv && every_size(MX_OP_CONV) && every_size(MX_OP_CONVDYN) && places() && whole_images() &&
           large() && refusals());
}
