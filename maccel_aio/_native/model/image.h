/* image.h - the records of a program section, in place. */
#ifndef MX_IMAGE_H
#define MX_IMAGE_H

#include "mxq.h"

typedef struct mx_image {
  mxp_header head;
  const mxp_input *inputs;
  const uint32_t *outputs;
  const mxp_tensor *tensors;
  const mxp_const *consts;
  const mxp_insn *insns;
  const uint8_t *data; /* the CONSTS section, head.const_bytes */
} mx_image;

/* Finds the records and proves that header and sizes agree. Nothing else is judged. `program` must be aligned to 8
 * and `data` to 64 bytes; both must stay while the image is used. */
int mx_image_open(mx_image *im, const void *program, uint64_t program_bytes, const void *data,
                  uint64_t data_bytes);

static inline const void *mx_image_const_data(const mx_image *im, uint32_t k) {
  return k == MXP_NONE ? (const void *)0 : im->data + im->consts[k].offset;
}

#endif
