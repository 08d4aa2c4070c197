/* rig.h - a device with one small model and one ring, for the tests of this folder.
 *
 * The model adds 1 to every byte, `depth` times over: out = in + depth (modulo 256). */
#ifndef MX_TEST_RIG_H
#define MX_TEST_RIG_H

#include <sched.h>

#include "../common/builder.h"

#define RIG_SIDE 8
#define RIG_CHANNELS 16
#define RIG_BYTES (RIG_SIDE * RIG_SIDE * RIG_CHANNELS)
#define RIG_FOREVER ((int64_t)60 * 1000000000) /* a hang becomes a failed check */

typedef struct rig {
  maccel_device *dev;
  maccel_model *model;
  maccel_ring *ring;
  builder b;
} rig;

static inline void rig_program(builder *b, int depth) {
  const int dims[4] = {1, RIG_SIDE, RIG_SIDE, RIG_CHANNELS};
  uint8_t table[256];
  for (int i = 0; i < 256; i++) table[i] = (uint8_t)(i + 1);
  builder_init(b);
  uint32_t add_one = builder_const(b, MACCEL_U8, 1, (int[]){256}, table);
  uint32_t from = builder_tensor(b, MACCEL_U8, 4, dims, 1.0f, 0);
  builder_input(b, from);
  for (int i = 0; i < depth; i++) {
    uint32_t to = builder_tensor(b, MACCEL_U8, 4, dims, 1.0f, 0);
    mxp_insn *in = builder_insn(b, MX_OP_MAP);
    in->in[0] = from;
    in->out[0] = to;
    in->cst[3] = add_one;
    from = to;
  }
  builder_output(b, from);
  builder_finish(b);
}

static inline maccel_model *rig_load(rig *r, const maccel_model_options *options) {
  maccel_model *model = NULL;
  int status = maccel_model_load(r->dev, r->b.program, r->b.program_bytes, r->b.data, r->b.data_bytes,
                                 options, &model);
  if (status != MACCEL_OK) fprintf(stderr, "load: %s\n", maccel_last_error());
  CHECK_INT(status, MACCEL_OK);
  return model;
}

static inline void rig_open(rig *r, const char *name, uint32_t credits, const maccel_model_options *options) {
  memset(r, 0, sizeof *r);
  rig_program(&r->b, 3);
  int status = maccel_device_open(name, &r->dev);
  if (status != MACCEL_OK) fprintf(stderr, "open: %s\n", maccel_last_error());
  CHECK_INT(status, MACCEL_OK);
  r->model = rig_load(r, options);
  CHECK_INT(maccel_ring_open(r->dev, credits, &r->ring), MACCEL_OK);
}

static inline maccel_device_stats rig_stats(const rig *r) {
  maccel_device_stats stats;
  CHECK_INT(maccel_device_get_stats(r->dev, &stats), MACCEL_OK);
  return stats;
}

/* Ends a rig whose ring is done; checks that nothing was lost on the way. */
static inline void rig_close(rig *r) {
  if (r->ring) {
    CHECK_INT(maccel_ring_close(r->ring, RIG_FOREVER), MACCEL_OK);
    maccel_ring_free(r->ring);
  }
  CHECK_INT(maccel_device_close(r->dev, RIG_FOREVER), MACCEL_OK);
  maccel_device_stats s = rig_stats(r);
  CHECK_INT(s.overflow, 0);
  CHECK_INT(s.queued, 0);
  CHECK_INT(s.running, 0);
  CHECK_INT(s.completed + s.canceled + s.expired + s.failed, s.submitted);
  if (r->model) CHECK_INT(maccel_model_unload(r->model), MACCEL_OK);
  maccel_device_free(r->dev);
  builder_free(&r->b);
}

static inline maccel_sqe rig_sqe(const rig *r, uint64_t user_data) {
  return (maccel_sqe){
      .user_data = user_data, .model = r->model, .flags = MACCEL_SQE_COMPUTE_ONLY, .batch = 1};
}

/* Input and output of `batch` items as S8 arrays: the identity on the device's bytes, minus 128. */
static inline void rig_io(maccel_io io[2], int8_t *in, int8_t *out) {
  const int dims[4] = {1, RIG_SIDE, RIG_SIDE, RIG_CHANNELS};
  io[0] = builder_io(in, MACCEL_S8, 4, dims);
  io[1] = builder_io(out, MACCEL_S8, 4, dims);
}

static inline int rig_submit(rig *r, const maccel_sqe *sqe) {
  uint32_t accepted = 7;
  int status = maccel_ring_submit(r->ring, sqe, 1, &accepted);
  CHECK_INT(accepted, status == MACCEL_OK);
  return status;
}

static inline maccel_cqe rig_next(rig *r) {
  maccel_cqe cqe;
  CHECK_INT(maccel_ring_wait(r->ring, 1, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(maccel_ring_harvest(r->ring, &cqe, 1), 1);
  return cqe;
}

/* Waits until a core has taken something (queued requests cannot be told from running ones otherwise). */
static inline void rig_wait_running(const rig *r, uint64_t count) {
  while (rig_stats(r).running < count) sched_yield();
}

#endif
