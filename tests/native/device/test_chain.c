/* Requests that come after others, and requests that their own thread carries out. */
#include "rig.h"

/* One core, 40 ms a request: the first runs, the others wait. */
#define SLOW "fault:null?delay_ms=40"

static maccel_sqe after(rig *r, uint64_t user_data, uint64_t first) {
  maccel_sqe sqe = rig_sqe(r, user_data);
  sqe.num_after = 1;
  sqe.after[0] = first;
  return sqe;
}

static void submit(rig *r, maccel_sqe sqe) { CHECK_INT(rig_submit(r, &sqe), MACCEL_OK); }

static void expect(rig *r, uint64_t user_data, int res) {
  maccel_cqe cqe;
  CHECK_INT(maccel_ring_wait(r->ring, 1, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(maccel_ring_harvest(r->ring, &cqe, 1), 1);
  CHECK_INT(cqe.user_data, user_data);
  CHECK_INT(cqe.res, res);
}

static void a_chain_runs_in_its_order_on_many_cores(void) {
  rig r;
  rig_open(&r, "soft:0", 64, NULL);
  for (int round = 0; round < 50; round++) {
    const uint64_t base = 100 * (uint64_t)(round + 1);
    submit(&r, rig_sqe(&r, base));
    for (uint64_t i = 1; i < 30; i++) submit(&r, after(&r, base + i, base + i - 1));
    for (uint64_t i = 0; i < 30; i++) expect(&r, base + i, MACCEL_OK);
  }
  rig_close(&r);
}

static void what_one_writes_the_next_one_reads(void) {
  rig r;
  rig_open(&r, "soft:0", 8, NULL);
  static uint8_t data[3][RIG_BYTES];
  memset(data[0], 7, RIG_BYTES);
  for (int round = 0; round < 200; round++) {
    memset(data[1], 0, sizeof data[1]);
    memset(data[2], 0, sizeof data[2]);
    maccel_io first[2], second[2];
    rig_io(first, (int8_t *)data[0], (int8_t *)data[1]);
    rig_io(second, (int8_t *)data[1], (int8_t *)data[2]);
    maccel_sqe one = rig_sqe(&r, 1), two = after(&r, 2, 1);
    one.flags = two.flags = 0;
    one.num_io = two.num_io = 2;
    one.io = first;
    two.io = second;
    submit(&r, one);
    submit(&r, two);
    expect(&r, 1, MACCEL_OK);
    expect(&r, 2, MACCEL_OK);
    CHECK_INT(data[2][RIG_BYTES / 2], 7 + 3 + 3);
  }
  rig_close(&r);
}

static void one_that_comes_after_two_waits_for_both(void) {
  rig r;
  rig_open(&r, SLOW, 8, NULL);
  submit(&r, rig_sqe(&r, 1));
  submit(&r, rig_sqe(&r, 2));
  maccel_sqe both = after(&r, 3, 1);
  both.num_after = 2;
  both.after[1] = 2;
  submit(&r, both);
  expect(&r, 1, MACCEL_OK);
  expect(&r, 2, MACCEL_OK);
  expect(&r, 3, MACCEL_OK);
  both.num_after = MACCEL_MAX_AFTER + 1;
  CHECK_INT(rig_submit(&r, &both), MACCEL_E_INVALID);
  rig_close(&r);
}

static void what_was_harvested_counts_as_done(void) {
  rig r;
  rig_open(&r, "null", 8, NULL);
  submit(&r, rig_sqe(&r, 1));
  expect(&r, 1, MACCEL_OK);
  submit(&r, after(&r, 2, 1));
  submit(&r, after(&r, 3, 3)); /* nobody waits for himself */
  expect(&r, 2, MACCEL_OK);
  expect(&r, 3, MACCEL_OK);
  rig_close(&r);
}

static void a_failure_ends_the_chain(void) {
  rig r;
  rig_open(&r, "fault:null?delay_ms=20&fail_every=1", 8, NULL);
  submit(&r, rig_sqe(&r, 1));
  submit(&r, after(&r, 2, 1));
  submit(&r, after(&r, 3, 2));
  expect(&r, 1, MACCEL_E_EXEC);
  expect(&r, 2, MACCEL_E_EXEC);
  expect(&r, 3, MACCEL_E_EXEC);
  CHECK_INT(rig_stats(&r).failed, 3);
  rig_close(&r);
}

static void cancelling_takes_the_followers_along(void) {
  rig r;
  rig_open(&r, SLOW, 8, NULL);
  submit(&r, rig_sqe(&r, 1));
  submit(&r, after(&r, 2, 1));
  submit(&r, after(&r, 3, 2));
  submit(&r, after(&r, 4, 1));
  CHECK_INT(maccel_ring_cancel(r.ring, 4), MACCEL_OK); /* held back: it had not begun */
  expect(&r, 4, MACCEL_E_CANCELED);
  while (rig_stats(&r).running == 0) sched_yield();
  CHECK_INT(maccel_ring_cancel(r.ring, 1), MACCEL_E_ALREADY); /* its result is not wanted: nor is theirs */
  expect(&r, 2, MACCEL_E_CANCELED);
  expect(&r, 3, MACCEL_E_CANCELED);
  expect(&r, 1, MACCEL_OK);
  rig_close(&r);
}

static void closing_ends_what_is_held_back(void) {
  rig r;
  rig_open(&r, SLOW, 8, NULL);
  submit(&r, rig_sqe(&r, 1));
  submit(&r, after(&r, 2, 1));
  submit(&r, after(&r, 3, 2));
  rig_close(&r); /* checks that each got its completion */
}

static void carry_gives_back_its_own_completion(uint32_t flags) {
  rig r;
  rig_open(&r, "soft:0", 8, NULL);
  static uint8_t in[RIG_BYTES], out[RIG_BYTES];
  maccel_io io[2];
  rig_io(io, (int8_t *)in, (int8_t *)out);
  maccel_sqe sqe = rig_sqe(&r, 0);
  sqe.flags = flags;
  sqe.num_io = 2;
  sqe.io = io;
  maccel_cqe cqes[8];
  uint64_t done = 0;
  for (uint64_t i = 1; i <= 1000; i++) {
    in[5] = (uint8_t)i;
    out[5] = 0;
    int taken = maccel_ring_carry(r.ring, &sqe, i, in, out, cqes, 8);
    if (taken < MACCEL_CARRIED) {
      CHECK(taken >= 0 && taken <= 1);
      if (taken == 0) expect(&r, i, MACCEL_OK);
    }
    done++;
    CHECK_INT(out[5], (uint8_t)(i + 3));
  }
  CHECK_INT(rig_stats(&r).completed, done);
  CHECK_INT(maccel_ring_carry(r.ring, &sqe, 1, in, NULL, cqes, 8), MACCEL_E_INVALID);
  rig_close(&r);
}

static void a_descriptor_is_quiet_after_an_inline_request(void) {
  rig r;
  rig_open(&r, "soft:0", 8, NULL);
  static uint8_t data[RIG_BYTES];
  maccel_io io[2];
  rig_io(io, (int8_t *)data, (int8_t *)data);
  maccel_sqe sqe = rig_sqe(&r, 0);
  sqe.flags = MACCEL_SQE_HERE;
  sqe.num_io = 2;
  sqe.io = io;
  maccel_cqe cqes[8];
  /* A core carries out the first one: then it is known how long they take. */
  if (maccel_ring_carry(r.ring, &sqe, 1, data, data, cqes, 8) == 0) expect(&r, 1, MACCEL_OK);
  CHECK(maccel_ring_carry(r.ring, &sqe, 1, data, data, cqes, 8) >= MACCEL_CARRIED);
  CHECK_INT(maccel_ring_arm(r.ring), MACCEL_OK);
  submit(&r, rig_sqe(&r, 2)); /* armed: this one rings */
  expect(&r, 2, MACCEL_OK);
  rig_close(&r);
}

int main(void) {
  a_chain_runs_in_its_order_on_many_cores();
  what_one_writes_the_next_one_reads();
  one_that_comes_after_two_waits_for_both();
  what_was_harvested_counts_as_done();
  a_failure_ends_the_chain();
  cancelling_takes_the_followers_along();
  closing_ends_what_is_held_back();
  carry_gives_back_its_own_completion(0);
  carry_gives_back_its_own_completion(MACCEL_SQE_HERE);
  a_descriptor_is_quiet_after_an_inline_request();
  return 0;
}
