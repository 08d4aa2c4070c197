/* conv_u8s8.c - u8 x s8 convolution and fully connected layers with vpdpbusd in 256 bits (docs/kernels.md). */
#include "conv_tile.h"

#include "../vector/panel_conv.h"

const mx_kernel MX_AVXVNNI_NAME(mx_conv_u8s8_avxvnni) = {"u8s8-conv-6x16-" MX_AVXVNNI_ISA,
                                                         panel_accepts,
                                                         panel_pack_bytes,
                                                         panel_pack,
                                                         panel_scratch_bytes,
                                                         panel_run_part};
