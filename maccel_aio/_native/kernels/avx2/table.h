/* table.h - the kernels of this level: each source file defines one or a few. */
#ifndef MX_AVX2_TABLE_H
#define MX_AVX2_TABLE_H

#include "kernels.h"

extern const mx_kernel mx_conv_u8s8_avx2;
extern const mx_kernel mx_conv_s16_avx2;
extern const mx_kernel mx_dwconv_u8_avx2;
extern const mx_kernel mx_dwconv_s16_avx2;
extern const mx_kernel mx_convf_avx2;

#endif
