/* The null device: shapes are known, nothing is computed, outputs are not touched. */
#include "rig.h"

static void requests_complete_and_outputs_stay(const char *name) {
  rig r;
  rig_open(&r, name, 4, NULL);
  static int8_t in[RIG_BYTES], out[RIG_BYTES];
  memset(out, 0x3c, sizeof out);
  maccel_io io[2];
  rig_io(io, in, out);
  for (uint64_t i = 0; i < 100; i++) {
    maccel_sqe sqe = rig_sqe(&r, i);
    sqe.flags = 0;
    sqe.num_io = 2;
    sqe.io = io;
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    maccel_cqe cqe = rig_next(&r);
    CHECK_INT(cqe.res, MACCEL_OK);
    CHECK(cqe.user_data == i);
  }
  for (size_t i = 0; i < sizeof out; i++) CHECK_INT(out[i], 0x3c);
  maccel_model_info info;
  CHECK_INT(maccel_model_get_info(r.model, &info), MACCEL_OK);
  CHECK_INT(info.num_inputs, 1);
  CHECK_INT(info.num_insns, 3);
  maccel_tensor_info tensor;
  CHECK_INT(maccel_model_get_tensor(r.model, 1, 0, &tensor), MACCEL_OK);
  CHECK_INT(tensor.dims[3], RIG_CHANNELS);
  CHECK(maccel_model_get_tensor(r.model, 1, 1, &tensor) < 0);
  rig_close(&r);
}

static void inside_submit_the_completion_is_there_at_once(void) {
  rig r;
  rig_open(&r, "null:2?inline=1", 8, NULL);
  maccel_sqe sqes[8];
  for (uint64_t i = 0; i < 8; i++) sqes[i] = rig_sqe(&r, i);
  uint32_t accepted = 0;
  CHECK_INT(maccel_ring_submit(r.ring, sqes, 8, &accepted), MACCEL_OK);
  maccel_cqe cqes[8];
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 8), 8);
  for (uint64_t i = 0; i < 8; i++) CHECK(cqes[i].user_data == i);
  sqes[0].deadline_ns = 1;
  CHECK_INT(rig_submit(&r, &sqes[0]), MACCEL_OK);
  CHECK_INT(rig_next(&r).res, MACCEL_E_DEADLINE);
  rig_close(&r);
}

static void profiles_forward_to_the_program(void) {
  rig r;
  rig_open(&r, "soft:0", 4, &(maccel_model_options){.core_mode = MACCEL_MODE_SINGLE});
  CHECK_INT(maccel_model_set_profile(r.model, 1), MACCEL_OK);
  for (uint64_t i = 0; i < 5; i++) {
    maccel_sqe sqe = rig_sqe(&r, i);
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    CHECK_INT(rig_next(&r).res, MACCEL_OK);
  }
  maccel_layer_time times[4];
  uint32_t count = 0;
  CHECK_INT(maccel_model_get_profile(r.model, times, 4, &count), MACCEL_OK);
  CHECK_INT(count, 1);
  CHECK(times[0].calls >= 5);
  rig_close(&r);
}

int main(void) {
  requests_complete_and_outputs_stay("null");
  requests_complete_and_outputs_stay("null:1?inline=1");
  inside_submit_the_completion_is_there_at_once();
  profiles_forward_to_the_program();
  maccel_device *dev = NULL;
  CHECK_INT(maccel_device_open("null?cores=1", &dev), MACCEL_E_INVALID);
  CHECK_INT(maccel_device_open("null?inline=2", &dev), MACCEL_E_INVALID);
  return 0;
}
