/* test_conv_groups.c - the kernel of small groups: channels and outputs of a group, windows, borders and parts. */
#include "u8s8_case.h"

static const mx_kernel *groups;

static u8s8_shape grouped(int count, int in_c, int out_c, int k, int s) {
  u8s8_shape x = {
      .op = MX_OP_CONV, .batch = 1, .h = vt_range(k, 12), .w = vt_range(k, 15), .kh = k, .kw = k, .s = s};
  x.groups = count, x.c = count * in_c, x.o = count * out_c;
  x.pt = vt_range(0, k - 1), x.pl = vt_range(0, k - 1), x.pb = vt_range(0, k - 1), x.pr = vt_range(0, k - 1);
  return x;
}

/* Channels and outputs of a group: chosen by bytes, by fours, across the blocks of 16 outputs. */
static int every_size(void) {
  static const int sizes[][2] = {{4, 4},  {8, 8},  {16, 16}, {1, 2},  {2, 2},   {1, 1},
                                 {3, 5},  {6, 14}, {4, 8},   {8, 4},  {16, 8},  {4, 1},
                                 {12, 6}, {4, 3},  {8, 5},   {2, 15}, {16, 12}, {5, 9}};
  for (int k = 0; k < 18; k++)
    for (int round = 0; round < 12; round++) {
      u8s8_shape s =
          grouped(vt_range(2, 19), sizes[k][0], sizes[k][1], 1 + 2 * vt_range(0, 1), vt_range(1, 2));
      s.batch = vt_range(1, 2), s.plain = vt_chance(50), s.in_pixel = s.c + vt_range(0, 9);
      if (!u8s8_agrees(&s, groups, vt_range(1, 4))) return 0;
    }
  return 1;
}

/* More pixels than one list has. */
static int large(void) {
  u8s8_shape s = grouped(32, 4, 4, 3, 1);
  s.h = 23, s.w = 31, s.plain = 1;
  return u8s8_agrees(&s, groups, 1) && u8s8_agrees(&s, groups, 3);
}

static int refuses(u8s8_shape s) {
  vt_case c;
  u8s8_case(&c, &s);
  const int taken = groups->accepts(&c.task);
  vt_end(&c);
  return !taken;
}

static int refusals(void) {
  return refuses(grouped(1, 4, 4, 3, 1)) && refuses(grouped(4, 20, 20, 1, 1)) &&
         refuses(grouped(8, 7, 2, 3, 1)) && refuses(grouped(16, 8, 1, 3, 1));
}

int main(void) {
  if (!mx_isa_supported(MX_ISA_AVX512VNNI)) return 77;
  groups = u8s8_kernel("u8s8-groupconv-8x16-avx512vnni");
  return !(groups && every_size() && large() && refusals());
}
