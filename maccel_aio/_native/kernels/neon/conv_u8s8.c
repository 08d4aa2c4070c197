/* conv_u8s8.c - u8 x s8 convolution and fully connected layers, compiled for each of the Arm levels (docs/kernels.md). */
#include "conv_tile.h"

#include "../vector/panel_conv.h"
#include "table.h"

const mx_kernel MX_NEON_NAME(mx_conv_u8s8_neon) = {
    "u8s8-conv-tile-" MX_NEON_ISA, panel_accepts, panel_pack_bytes, panel_pack,
    panel_scratch_bytes,           panel_run_part};
