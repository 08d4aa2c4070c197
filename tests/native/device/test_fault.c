/* The fault device: misbehaves as told, and still completes each request exactly once. */
#include "rig.h"

#define MAX 400

static void submit_many(rig *r, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    maccel_sqe sqe = rig_sqe(r, i);
    CHECK_INT(rig_submit(r, &sqe), MACCEL_OK);
  }
}

/* Results by user_data; each must come exactly once. */
static void collect(rig *r, uint32_t n, int *res) {
  int seen[MAX] = {0};
  for (uint32_t i = 0; i < n; i++) {
    maccel_cqe cqe = rig_next(r);
    CHECK(cqe.user_data < n);
    CHECK_INT(seen[cqe.user_data]++, 0);
    res[cqe.user_data] = cqe.res;
  }
  CHECK_INT(maccel_ring_in_flight(r->ring), 0);
}

static void every_nth_fails_and_the_others_do_not(void) {
  rig r;
  rig_open(&r, "fault:soft:0?fail_every=3", 64, NULL);
  int res[MAX];
  submit_many(&r, 60);
  collect(&r, 60, res);
  for (int i = 0; i < 60; i++) CHECK_INT(res[i], (i + 1) % 3 == 0 ? MACCEL_E_EXEC : MACCEL_OK);
  CHECK_INT(rig_stats(&r).failed, 20);
  rig_close(&r);
}

static int fail_pattern(const char *name, int *res) {
  rig r;
  rig_open(&r, name, MAX, NULL);
  submit_many(&r, MAX);
  collect(&r, MAX, res);
  int failed = 0;
  for (int i = 0; i < MAX; i++) failed += res[i] == MACCEL_E_EXEC;
  rig_close(&r);
  return failed;
}

static void a_rate_is_reproducible_by_its_seed(void) {
  int a[MAX], b[MAX], c[MAX];
  int failed = fail_pattern("fault:soft:0?fail_rate=0.25&seed=1", a);
  fail_pattern("fault:null?fail_rate=0.25&seed=1", b);
  fail_pattern("fault:soft:0?fail_rate=0.25&seed=2", c);
  CHECK(memcmp(a, b, sizeof a) == 0);
  CHECK(memcmp(a, c, sizeof a) != 0);
  CHECK(failed > MAX / 8 && failed < MAX / 2);
  CHECK_INT(fail_pattern("fault:null?fail_rate=0", a), 0);
  CHECK_INT(fail_pattern("fault:null?fail_rate=1", a), MAX);
}

static void completions_come_in_another_order_and_none_is_held_for_ever(void) {
  rig r;
  rig_open(&r, "fault:null?reorder=1&seed=5", 64, NULL);
  maccel_sqe sqes[64];
  for (uint64_t i = 0; i < 64; i++) sqes[i] = rig_sqe(&r, i);
  uint32_t accepted = 0;
  CHECK_INT(maccel_ring_submit(r.ring, sqes, 64, &accepted), MACCEL_OK);
  int out_of_order = 0;
  uint64_t last = 0;
  for (int i = 0; i < 64; i++) {
    uint64_t now = rig_next(&r).user_data;
    out_of_order += now < last;
    last = now;
  }
  CHECK(out_of_order > 4);
  submit_many(&r, 1); /* alone: nothing later would free it */
  CHECK_INT(rig_next(&r).res, MACCEL_OK);
  rig_close(&r);
}

static void a_completion_posted_twice_arrives_once(void) {
  rig r;
  rig_open(&r, "fault:null?duplicate_every=2", 8, NULL);
  for (int round = 0; round < 100; round++) {
    int res[MAX];
    submit_many(&r, 8);
    collect(&r, 8, res);
    for (int i = 0; i < 8; i++) CHECK_INT(res[i], MACCEL_OK);
  }
  CHECK_INT(maccel_device_close(r.dev, RIG_FOREVER),
            MACCEL_OK); /* the last duplicate may still be on its way */
  CHECK_INT(rig_stats(&r).stale, 400);
  rig_close(&r);
}

static void a_hung_request_does_not_hold_up_others_and_ends_at_close(void) {
  rig r;
  rig_open(&r, "fault:soft:0?hang_every=4", 16, NULL);
  submit_many(&r, 12);
  CHECK_INT(maccel_ring_wait(r.ring, 9, RIG_FOREVER), MACCEL_OK);
  maccel_cqe cqes[16];
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 16), 9);
  for (int i = 0; i < 9; i++) CHECK((cqes[i].user_data + 1) % 4 != 0);
  CHECK_INT(maccel_ring_cancel(r.ring, 3), MACCEL_E_ALREADY);
  CHECK_INT(maccel_ring_drain(r.ring, 1000000), MACCEL_E_TIMEOUT);
  CHECK_INT(maccel_ring_close(r.ring, 1000000), MACCEL_E_TIMEOUT);
  CHECK_INT(maccel_model_unload(r.model), MACCEL_E_BUSY);
  CHECK_INT(maccel_device_close(r.dev, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 16), 3);
  for (int i = 0; i < 3; i++) {
    CHECK((cqes[i].user_data + 1) % 4 == 0);
    CHECK_INT(cqes[i].res, MACCEL_E_DEVICE_LOST);
  }
  rig_close(&r);
}

static void hanging_and_reordering_together_hold_nothing_back(void) {
  rig r;
  rig_open(&r, "fault:soft:0?hang_every=5&reorder=1", 16, NULL);
  submit_many(&r, 15);
  CHECK_INT(maccel_ring_wait(r.ring, 12, RIG_FOREVER), MACCEL_OK);
  maccel_ring_free(r.ring); /* with three in flight */
  r.ring = NULL;
  CHECK_INT(rig_stats(&r).abandoned, 3);
  rig_close(&r);
}

static void a_lost_device_ends_every_request_exactly_once(const char *name, int successes) {
  rig r;
  rig_open(&r, name, 64, NULL);
  maccel_sqe sqes[64];
  for (uint64_t i = 0; i < 64; i++) sqes[i] = rig_sqe(&r, i);
  uint32_t accepted = 0;
  CHECK_INT(maccel_ring_submit(r.ring, sqes, 64, &accepted), MACCEL_OK);
  int res[MAX], good = 0, lost = 0;
  collect(&r, 64, res);
  for (int i = 0; i < 64; i++) {
    good += res[i] == MACCEL_OK;
    lost += res[i] == MACCEL_E_DEVICE_LOST;
  }
  CHECK_INT(good, successes);
  CHECK_INT(lost, 64 - successes);
  CHECK_INT(rig_submit(&r, &sqes[0]), MACCEL_E_DEVICE_LOST);
  maccel_model *model = NULL;
  CHECK_INT(maccel_model_load(r.dev, r.b.program, r.b.program_bytes, r.b.data, r.b.data_bytes, NULL, &model),
            MACCEL_E_DEVICE_LOST);
  rig_close(&r);
}

static void loss_is_visible_to_whoever_saw_the_last_success(void) {
  rig r;
  rig_open(&r, "fault:soft:0?lose_after=2", 4, NULL);
  maccel_sqe sqe = rig_sqe(&r, 1);
  for (int i = 0; i < 2; i++) {
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    CHECK_INT(rig_next(&r).res, MACCEL_OK);
  }
  CHECK_INT(rig_submit(&r, &sqe), MACCEL_E_DEVICE_LOST);
  rig_close(&r);
}

static void the_delay_is_kept_and_a_loss_ends_it(void) {
  rig r;
  rig_open(&r, "fault:null?delay_ms=20", 4, NULL);
  submit_many(&r, 1);
  maccel_cqe cqe = rig_next(&r);
  CHECK(cqe.t_done_ns - cqe.t_start_ns >= 20000000);
  rig_close(&r);
}

static void names_and_options_are_checked(void) {
  maccel_device *dev = NULL;
  const char *bad[] = {
      "fault",          "fault:",       "fault:fault:soft:0",    "fault:hard:0",
      "fault:soft:0?x", "fault:soft:q", "fault:soft:0?seed=1.5", "fault:soft:0?fail_every=0"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK(maccel_device_open(bad[i], &dev) < 0);
  CHECK_INT(maccel_device_open("fault:soft:0?colour=red", &dev), MACCEL_E_INVALID);
  CHECK(strstr(maccel_last_error(), "colour"));
  CHECK(strstr(maccel_last_error(), "cores"));
  CHECK(strstr(maccel_last_error(), "lose_after"));
  CHECK_INT(maccel_device_open("fault:soft:3?cores=2&delay_ms=1", &dev), MACCEL_OK);
  maccel_device_info info;
  CHECK_INT(maccel_device_get_info(dev, &info), MACCEL_OK);
  CHECK_TEXT(info.name, "fault:soft:3");
  CHECK_TEXT(info.kind, "fault");
  CHECK_INT(info.local_cores, 2);
  maccel_device_free(dev);
}

int main(void) {
  every_nth_fails_and_the_others_do_not();
  a_rate_is_reproducible_by_its_seed();
  completions_come_in_another_order_and_none_is_held_for_ever();
  a_completion_posted_twice_arrives_once();
  a_hung_request_does_not_hold_up_others_and_ends_at_close();
  hanging_and_reordering_together_hold_nothing_back();
  a_lost_device_ends_every_request_exactly_once("fault:soft:0?lose_after=10", 10);
  a_lost_device_ends_every_request_exactly_once("fault:null?lose_after=0&delay_ms=1", 0);
  a_lost_device_ends_every_request_exactly_once("fault:soft:0?lose_after=5&reorder=1", 5);
  a_lost_device_ends_every_request_exactly_once("fault:soft:0?lose_after=5&hang_every=7", 5);
  loss_is_visible_to_whoever_saw_the_last_success();
  the_delay_is_kept_and_a_loss_ends_it();
  names_and_options_are_checked();
  return 0;
}
