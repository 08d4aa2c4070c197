/* program.h - a loaded program: immutable after load but for the profile. */
#ifndef MX_PROGRAM_H
#define MX_PROGRAM_H

#include "atomic.h"
#include "check.h"
#include "exec.h"
#include "kernels.h"

typedef struct mx_profile_row {
  uint32_t layer, op;
  uint64_t macs, bytes_read, bytes_written; /* of one call */
  _Atomic uint64_t calls, total_ns;
} mx_profile_row;

typedef struct mx_step {
  mx_task task;            /* views without addresses; constants and packed weights are final */
  const mx_kernel *kernel;
  size_t scratch_bytes;    /* of one part */
  size_t packed_bytes;     /* of its weights; 0 = not packed */
  uint64_t offset_in[6], offset_out[2]; /* of the views in the arena */
  uint32_t row;            /* of the profile */
  uint32_t opens_layer;    /* 1: the first instruction of its layer */
} mx_step;

/* Only while a program is loaded. */
typedef struct mx_staging {
  uint8_t *data;        /* copy of the CONSTS section, a region */
  size_t bytes;
  uint8_t *keep;        /* [constant] kernels read it at run time */
  mx_atomic32 *readers; /* [constant] steps that have not packed it yet */
  int apart;            /* no two constants share bytes */
} mx_staging;

struct mx_program {
  mx_image image;          /* over `records` and the constants */
  void *records;           /* copy of the program section */
  mx_staging staging;
  void *consts;            /* constants that are needed after packing */
  mx_isa isa;
  uint64_t work;           /* proven bound of one inference */
  uint64_t packed_bytes;
  void *packed;            /* one region: packed weights, then rows of zeros */
  size_t packed_region;
  uint32_t num_steps;
  mx_step *steps;
  uint32_t num_rows;
  mx_profile_row *rows;
  _Atomic int profiling;
};

/* The view of a tensor, without its address. */
mx_view mx_program_view(const mx_program *p, uint32_t tensor);

/* constants.c, in this order: */
int mx_constants_stage(mx_program *p, const void *consts, uint64_t bytes); /* NOMEM */
int mx_constants_survey(mx_program *p); /* after the steps are built; NOMEM */
void mx_constants_packed(mx_program *p, const mx_step *step); /* [any thread] once for each step that packs */
int mx_constants_settle(mx_program *p); /* NOMEM */
void mx_constants_unstage(mx_program *p); /* also after a failure */

/* pack.c: NOMEM. */
int mx_program_pack(mx_program *p);

/* Rows of the profile from the instructions; NOMEM. */
int mx_profile_init(mx_program *p);

#endif
