/* The software NPU: right answers in every core mode, and who goes first. */
#include "rig.h"

#define MAX_BATCH 9

static void infer_and_check(rig *r, uint32_t batch, int seed) {
  static int8_t in[MAX_BATCH * RIG_BYTES], out[MAX_BATCH * RIG_BYTES];
  test_rng rng = {(uint64_t)seed * 977 + 1};
  for (uint32_t i = 0; i < batch * RIG_BYTES; i++) in[i] = (int8_t)rng_next(&rng);
  memset(out, 0x55, sizeof out);
  maccel_io io[2];
  rig_io(io, in, out);
  maccel_sqe sqe = rig_sqe(r, (uint64_t)seed);
  sqe.flags = 0;
  sqe.batch = batch;
  sqe.num_io = 2;
  sqe.io = io;
  int status = rig_submit(r, &sqe);
  if (status != MACCEL_OK) fprintf(stderr, "submit: %s\n", maccel_last_error());
  CHECK_INT(status, MACCEL_OK);
  maccel_cqe cqe = rig_next(r);
  CHECK_INT(cqe.res, MACCEL_OK);
  CHECK_INT(cqe.user_data, seed);
  CHECK(cqe.t_submit_ns <= cqe.t_start_ns && cqe.t_start_ns <= cqe.t_done_ns);
  for (uint32_t i = 0; i < batch * RIG_BYTES; i++) CHECK_INT((uint8_t)out[i], (uint8_t)(in[i] + 3));
  for (uint32_t i = batch * RIG_BYTES; i < sizeof out; i++) CHECK_INT(out[i], 0x55);
}

static void every_core_mode_computes_the_same(void) {
  const int modes[] = {MACCEL_MODE_SINGLE, MACCEL_MODE_MULTI, MACCEL_MODE_GLOBAL4, MACCEL_MODE_GLOBAL8,
                       MACCEL_MODE_AUTO};
  for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
    rig r;
    rig_open(&r, "soft:0", 4, &(maccel_model_options){.core_mode = modes[m]});
    for (int seed = 1; seed < 60; seed++) infer_and_check(&r, 1 + (uint32_t)seed % MAX_BATCH, seed);
    CHECK_INT(rig_stats(&r).completed, 59);
    CHECK(rig_stats(&r).busy_ns > 0);
    rig_close(&r);
  }
}

static void one_slot_and_one_core_are_enough(void) {
  const maccel_model_options options[] = {{.core_mask = 0x100, .core_mode = MACCEL_MODE_MULTI},
                                          {.slots = 1, .core_mode = MACCEL_MODE_MULTI},
                                          {.num_cores = 1, .core_mode = MACCEL_MODE_GLOBAL8}};
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
    rig r;
    rig_open(&r, "soft:1", 4, &options[i]);
    for (int seed = 1; seed < 20; seed++) infer_and_check(&r, 5, seed);
    rig_close(&r);
  }
}

static void many_in_flight_in_all_modes_together(void) {
  enum { MODELS = 5, COUNT = 600 };
  const int modes[MODELS] = {MACCEL_MODE_SINGLE, MACCEL_MODE_MULTI, MACCEL_MODE_GLOBAL4, MACCEL_MODE_GLOBAL8,
                             MACCEL_MODE_AUTO};
  rig r;
  rig_open(&r, "soft:0", 32, NULL);
  maccel_model *models[MODELS];
  for (int m = 0; m < MODELS; m++) models[m] = rig_load(&r, &(maccel_model_options){.core_mode = modes[m]});
  static int8_t in[32 * 3 * RIG_BYTES], out[32 * 3 * RIG_BYTES];
  for (size_t i = 0; i < sizeof in; i++) in[i] = (int8_t)(i * 7);
  int sent = 0, done = 0;
  while (done < COUNT) {
    while (sent < COUNT && maccel_ring_in_flight(r.ring) < 32) {
      maccel_io io[2];
      size_t at = (size_t)(sent % 32) * 3 * RIG_BYTES;
      rig_io(io, in + at, out + at);
      maccel_sqe sqe = rig_sqe(&r, (uint64_t)sent);
      sqe.model = models[sent % MODELS];
      sqe.flags = 0;
      sqe.io = io;
      sqe.num_io = 2;
      sqe.batch = 1 + (uint32_t)sent % 3;
      sqe.priority = sent % 4;
      CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
      sent++;
    }
    if (sent % 32 == 0 || sent == COUNT) { /* the arrays of a wave are free again */
      CHECK_INT(maccel_ring_drain(r.ring, RIG_FOREVER), MACCEL_OK);
      maccel_cqe cqes[32];
      int n = maccel_ring_harvest(r.ring, cqes, 32);
      for (int i = 0; i < n; i++) {
        CHECK_INT(cqes[i].res, MACCEL_OK);
        size_t at = (size_t)(cqes[i].user_data % 32) * 3 * RIG_BYTES;
        for (size_t k = 0; k < (1 + cqes[i].user_data % 3) * RIG_BYTES; k++)
          CHECK_INT((uint8_t)out[at + k], (uint8_t)(in[at + k] + 3));
      }
      done += n;
      memset(out, 0, sizeof out);
    }
  }
  for (int m = 0; m < MODELS; m++) CHECK_INT(maccel_model_unload(models[m]), MACCEL_OK);
  rig_close(&r);
}

static void higher_priority_first_then_in_order(void) {
  setenv("MACCEL_THREADS", "1", 1);
  rig r;
  rig_open(&r, "fault:soft:0?delay_ms=30&cores=1", 16, NULL);
  unsetenv("MACCEL_THREADS");
  maccel_sqe first = rig_sqe(&r, 100);
  CHECK_INT(rig_submit(&r, &first), MACCEL_OK);
  rig_wait_running(&r, 1);
  const int priorities[] = {0, 5, 0, 5, -1, 9};
  maccel_sqe rest[6];
  for (int i = 0; i < 6; i++) {
    rest[i] = rig_sqe(&r, (uint64_t)i);
    rest[i].priority = priorities[i];
  }
  uint32_t accepted = 0;
  CHECK_INT(maccel_ring_submit(r.ring, rest, 6, &accepted), MACCEL_OK);
  CHECK_INT(accepted, 6);
  const uint64_t want[] = {100, 5, 1, 3, 0, 2, 4};
  for (int i = 0; i < 7; i++) CHECK_INT(rig_next(&r).user_data, want[i]);
  rig_close(&r);
}

static void a_passed_deadline_keeps_the_request_off_the_core(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  maccel_sqe sqe = rig_sqe(&r, 1);
  sqe.deadline_ns = 1;
  CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
  CHECK_INT(rig_next(&r).res, MACCEL_E_DEADLINE);
  sqe.deadline_ns = maccel_now_ns() + (uint64_t)RIG_FOREVER;
  CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
  CHECK_INT(rig_next(&r).res, MACCEL_OK);
  CHECK_INT(rig_stats(&r).expired, 1);
  rig_close(&r);
}

static void a_request_for_a_busy_core_lets_others_pass(void) {
  rig r;
  rig_open(&r, "fault:soft:0?delay_ms=20", 8, &(maccel_model_options){.core_mask = 1});
  maccel_model *other = rig_load(&r, &(maccel_model_options){.core_mask = 2});
  maccel_sqe sqes[3] = {rig_sqe(&r, 0), rig_sqe(&r, 1), rig_sqe(&r, 2)};
  sqes[2].model = other;
  uint32_t accepted = 0;
  CHECK_INT(maccel_ring_submit(r.ring, sqes, 3, &accepted), MACCEL_OK);
  uint64_t order[3];
  for (int i = 0; i < 3; i++) order[i] = rig_next(&r).user_data;
  if (maccel_cpu_count() >= 2) CHECK_INT(order[2], 1); /* the second one of core 0 waits for the first */
  CHECK_INT(maccel_model_unload(other), MACCEL_OK);
  rig_close(&r);
}

static void profiles_and_their_limits(void) {
  const struct {
    const char *name;
    int clusters, local, global;
  } cases[] = {{"soft", 2, 4, 1},
               {"auto", 2, 4, 1},
               {"soft:7?cores=4", 1, 4, 1},
               {"soft:0?cores=2", 1, 2, 0},
               {"soft?cores=1", 1, 1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    maccel_device *dev = NULL;
    maccel_device_info info;
    CHECK_INT(maccel_device_open(cases[i].name, &dev), MACCEL_OK);
    CHECK_INT(maccel_device_get_info(dev, &info), MACCEL_OK);
    CHECK_INT(info.clusters, cases[i].clusters);
    CHECK_INT(info.local_cores, cases[i].local);
    CHECK_INT(info.global_cores, cases[i].global);
    CHECK(info.workers >= 1 && info.workers <= maccel_cpu_count());
    CHECK_TEXT(info.kind, "soft");
    maccel_device_free(dev);
  }
  maccel_device *dev = NULL;
  const char *bad[] = {"soft:x",         "soft:-1",      "soft?cores=3", "soft?cores=", "soft?core=1",
                       "soft?cores=1e9", "soft?nice=20", "soft?nice=-1", "hard:0",      "",
                       "soft:99999"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK(maccel_device_open(bad[i], &dev) < 0);
    CHECK(strlen(maccel_last_error()) > 10);
  }
}

static void options_that_the_device_cannot_follow_are_refused(void) {
  rig r;
  rig_open(&r, "soft:0?cores=1", 4, NULL);
  const struct {
    maccel_model_options options;
    int want;
  } cases[] = {{{.core_mask = 2}, MACCEL_E_INVALID},
               {{.core_mode = 2}, MACCEL_E_INVALID},
               {{.num_cores = -1}, MACCEL_E_INVALID},
               {{.slots = -1}, MACCEL_E_INVALID},
               {{.core_mode = MACCEL_MODE_GLOBAL4}, MACCEL_E_UNSUPPORTED},
               {{.core_mode = MACCEL_MODE_GLOBAL8}, MACCEL_E_UNSUPPORTED}};
  maccel_model *model = NULL;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    CHECK_INT(maccel_model_load(r.dev, r.b.program, r.b.program_bytes, r.b.data, r.b.data_bytes,
                                &cases[i].options, &model),
              cases[i].want);
  setenv("MACCEL_ISA", "mmx", 1);
  CHECK_INT(maccel_model_load(r.dev, r.b.program, r.b.program_bytes, r.b.data, r.b.data_bytes, NULL, &model),
            MACCEL_E_INVALID);
  unsetenv("MACCEL_ISA");
  CHECK(maccel_model_load(r.dev, r.b.program, 10, r.b.data, r.b.data_bytes, NULL, &model) < 0);
  rig_close(&r);
}

int main(void) {
  every_core_mode_computes_the_same();
  one_slot_and_one_core_are_enough();
  many_in_flight_in_all_modes_together();
  higher_priority_first_then_in_order();
  a_passed_deadline_keeps_the_request_off_the_core();
  a_request_for_a_busy_core_lets_others_pass();
  profiles_and_their_limits();
  options_that_the_device_cannot_follow_are_refused();
  return 0;
}
