/* dw_instances.h - dw_slide_s1() and dw_slide_s2() for every width and mode, by the file that defines them. */
#ifndef MX_AVX512VNNI_DW_INSTANCES_H
#define MX_AVX512VNNI_DW_INSTANCES_H

typedef void (*dw_slide_fn)(const dw_strip *t);

#define DW_SLIDE(stride, width, mode)                                                       \
  static __attribute__((noinline)) void dw_##stride##_##width##_##mode(const dw_strip *t) { \
    dw_slide_##stride(width, mode, t);                                                      \
  }
#define DW_SLIDES(stride, width)       \
  DW_SLIDE(stride, width, DW_SATURATE) \
  DW_SLIDE(stride, width, DW_CLAMP)    \
  DW_SLIDE(stride, width, DW_SUMS)     \
  DW_SLIDE(stride, width, DW_HARD)
#define DW_SLIDE_ROW(stride, width)                                                                        \
  {dw_##stride##_##width##_DW_SATURATE, dw_##stride##_##width##_DW_CLAMP, dw_##stride##_##width##_DW_SUMS, \
   dw_##stride##_##width##_DW_HARD}

DW_SLIDES(s1, DW_64)
DW_SLIDES(s1, DW_32)
DW_SLIDES(s1, DW_16)
DW_SLIDES(s1, DW_SOME)
DW_SLIDES(s2, DW_64)
DW_SLIDES(s2, DW_32)
DW_SLIDES(s2, DW_16)
DW_SLIDES(s2, DW_SOME)

static const dw_slide_fn dw_slides[2][DW_WIDTHS][DW_MODES] = {
    {DW_SLIDE_ROW(s1, DW_64), DW_SLIDE_ROW(s1, DW_32), DW_SLIDE_ROW(s1, DW_16), DW_SLIDE_ROW(s1, DW_SOME)},
    {DW_SLIDE_ROW(s2, DW_64), DW_SLIDE_ROW(s2, DW_32), DW_SLIDE_ROW(s2, DW_16), DW_SLIDE_ROW(s2, DW_SOME)}};

#endif
