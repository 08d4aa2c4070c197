/* table.h - the kernels of this level. With MX_AVXVNNI_EVEX they carry other names and use the encoding of AVX-512. */
#ifndef MX_AVXVNNI_TABLE_H
#define MX_AVXVNNI_TABLE_H

#include "kernels.h"

#ifdef MX_AVXVNNI_EVEX
#define MX_AVXVNNI_NAME(name) name##_evex
#define MX_AVXVNNI_ISA "avxvnni-evex"
#define MX_AVXVNNI_ENCODING "%{evex%} "
#else
#define MX_AVXVNNI_NAME(name) name
#define MX_AVXVNNI_ISA "avxvnni"
#define MX_AVXVNNI_ENCODING "%{vex%} "
#endif

const mx_kernel *const *MX_AVXVNNI_NAME(mx_kernels_avxvnni)(int op);
extern const mx_kernel MX_AVXVNNI_NAME(mx_conv_u8s8_avxvnni);

#endif
