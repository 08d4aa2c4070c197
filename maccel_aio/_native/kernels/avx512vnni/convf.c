/* convf.c - float convolution and fully connected layers for this level. */
#include "../vector/convf.h"
#include "table.h"

const mx_kernel mx_convf_avx512vnni = {"f32-convf-tile-avx512vnni", convf_accepts, NULL, NULL,
                                       convf_scratch_bytes,         convf_run_part};
