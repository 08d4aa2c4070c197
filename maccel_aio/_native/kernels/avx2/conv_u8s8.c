/* conv_u8s8.c - u8 x s8 convolution and fully connected layers in 8-bit products (docs/kernels.md). */
#include "conv_tile.h"

#include "../vector/panel_conv.h"
#include "table.h"

const mx_kernel mx_conv_u8s8_avx2 = {"u8s8-conv-4x16-avx2", panel_accepts, panel_pack_bytes, panel_pack,
                                     panel_scratch_bytes,   panel_run_part};
