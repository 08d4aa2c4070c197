/* convf.c - float convolution and fully connected layers for this level. */
#include "../vector/convf.h"
#include "table.h"

const mx_kernel mx_convf_avx512vnni = {
    "f32-convf-tile-avx512vnni", convf_accepts, convf_pack_bytes, convf_pack,
    convf_scratch_bytes,         convf_run_part};
