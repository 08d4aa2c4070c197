/* convf.c - float convolution and fully connected layers for this level. */
#include "../vector/convf.h"
#include "table.h"

const mx_kernel mx_convf_avx2 = {"f32-convf-tile-avx2", convf_accepts, convf_pack_bytes, convf_pack,
                                 convf_scratch_bytes,   convf_run_part};
