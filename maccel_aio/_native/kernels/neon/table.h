/* table.h - the kernels of the Arm levels. MX_NEON_DOT and MX_NEON_I8MM choose the level that a source is compiled for. */
#ifndef MX_NEON_TABLE_H
#define MX_NEON_TABLE_H

#include "kernels.h"

#if defined(MX_NEON_I8MM)
#define MX_NEON_NAME(name) name##i8mm
#define MX_NEON_ISA "neoni8mm"
#elif defined(MX_NEON_DOT)
#define MX_NEON_NAME(name) name##dot
#define MX_NEON_ISA "neondot"
#else
#define MX_NEON_NAME(name) name
#define MX_NEON_ISA "neon"
#endif

extern const mx_kernel MX_NEON_NAME(mx_conv_u8s8_neon);
extern const mx_kernel mx_dwconv_u8_neon;

#endif
