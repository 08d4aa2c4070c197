/* table.h - the kernels of this level: each source file defines one or a few. */
#ifndef MX_AVX512VNNI_TABLE_H
#define MX_AVX512VNNI_TABLE_H

#include "kernels.h"

extern const mx_kernel mx_gemv_u8s8_avx512vnni;
extern const mx_kernel mx_conv_groups_avx512vnni;
extern const mx_kernel mx_conv_stem_avx512vnni;
extern const mx_kernel mx_conv_u8s8_avx512vnni;
extern const mx_kernel mx_dwconv_avx512vnni;
extern const mx_kernel mx_dwconv_3x3_avx512vnni;
extern const mx_kernel mx_dwconv_3x3_s16_avx512vnni;
extern const mx_kernel mx_dwconv_5x5_avx512vnni;
extern const mx_kernel mx_convf_avx512vnni;
extern const mx_kernel mx_rescale_avx512vnni;

#endif
