/* The rules of a ring: credits, completions, cancelling, waiting, closing, forking. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

/* One core, 40 ms a request: the first runs, the others wait. */
#define SLOW "fault:null?delay_ms=40"

static void submit_many(rig *r, uint64_t first, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    maccel_sqe sqe = rig_sqe(r, first + i);
    CHECK_INT(rig_submit(r, &sqe), MACCEL_OK);
  }
}

static void credits_bound_what_is_accepted_and_not_harvested(void) {
  rig r;
  rig_open(&r, "null", 3, NULL);
  maccel_sqe sqes[5];
  for (uint64_t i = 0; i < 5; i++) sqes[i] = rig_sqe(&r, i);
  uint32_t accepted = 0;
  CHECK_INT(maccel_ring_submit(r.ring, sqes, 5, &accepted), MACCEL_E_AGAIN);
  CHECK_INT(accepted, 3);
  CHECK_INT(maccel_ring_drain(r.ring, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(rig_submit(&r, &sqes[3]), MACCEL_E_AGAIN); /* completed is not harvested */
  CHECK_INT(maccel_ring_in_flight(r.ring), 3);
  maccel_cqe cqe;
  CHECK_INT(maccel_ring_harvest(r.ring, &cqe, 1), 1);
  CHECK_INT(maccel_ring_in_flight(r.ring), 2);
  CHECK_INT(rig_submit(&r, &sqes[3]), MACCEL_OK);
  CHECK_INT(rig_submit(&r, &sqes[4]), MACCEL_E_AGAIN);
  rig_close(&r);
}

static void a_malformed_request_stops_the_batch_before_it(void) {
  rig r;
  rig_open(&r, "null", 8, NULL);
  static int8_t data[RIG_BYTES];
  maccel_io io[2], no_memory[2];
  rig_io(io, data, data);
  rig_io(no_memory, data, NULL);
  maccel_sqe bad[6];
  for (int i = 0; i < 6; i++) {
    bad[i] = rig_sqe(&r, 1);
    bad[i].flags = 0;
    bad[i].num_io = 2;
    bad[i].io = io;
  }
  bad[0].batch = 0;
  bad[1].model = NULL;
  bad[2].num_io = 1;
  bad[3].io = NULL;
  bad[4].flags = 128;
  bad[5].io = no_memory;
  for (int i = 0; i < 6; i++) {
    maccel_sqe pair[2] = {rig_sqe(&r, 0), bad[i]};
    uint32_t accepted = 9;
    CHECK_INT(maccel_ring_submit(r.ring, pair, 2, &accepted), MACCEL_E_INVALID);
    CHECK_INT(accepted, 1);
    CHECK(strlen(maccel_last_error()) > 10);
    CHECK_INT(rig_next(&r).user_data, 0);
  }
  rig_close(&r);
}

static void arguments_out_of_range_are_refused(void) {
  rig r;
  rig_open(&r, "null", 2, NULL);
  maccel_ring *ring = NULL;
  CHECK_INT(maccel_ring_open(r.dev, 0, &ring), MACCEL_E_INVALID);
  CHECK_INT(maccel_ring_open(r.dev, 65537, &ring), MACCEL_E_INVALID);
  CHECK_INT(maccel_ring_open(NULL, 1, &ring), MACCEL_E_INVALID);
  CHECK_INT(maccel_ring_wait(r.ring, 3, 0), MACCEL_E_INVALID);
  CHECK_INT(maccel_ring_wait(r.ring, 0, 0), MACCEL_OK);
  maccel_ring_free(NULL);
  maccel_device_free(NULL);
  rig_close(&r);
}

static void cancel_has_three_outcomes(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 10, 2);
  rig_wait_running(&r, 1);
  CHECK_INT(maccel_ring_cancel(r.ring, 10), MACCEL_E_ALREADY);
  CHECK_INT(maccel_ring_cancel(r.ring, 11), MACCEL_OK);
  CHECK_INT(maccel_ring_cancel(r.ring, 11), MACCEL_E_NOT_FOUND);
  CHECK_INT(maccel_ring_cancel(r.ring, 99), MACCEL_E_NOT_FOUND);
  maccel_cqe removed = rig_next(&r); /* at once, before the one that runs */
  CHECK_INT(removed.user_data, 11);
  CHECK_INT(removed.res, MACCEL_E_CANCELED);
  maccel_cqe ran = rig_next(&r);
  CHECK_INT(ran.user_data, 10);
  CHECK_INT(ran.res, MACCEL_OK);
  CHECK_INT(maccel_ring_cancel(r.ring, 10), MACCEL_E_NOT_FOUND);
  CHECK_INT(rig_stats(&r).canceled, 1);
  rig_close(&r);
}

static void drain_waits_for_what_was_accepted_before_it(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  CHECK_INT(maccel_ring_drain(r.ring, 0), MACCEL_OK);
  submit_many(&r, 0, 3);
  CHECK_INT(maccel_ring_drain(r.ring, 1000000), MACCEL_E_TIMEOUT);
  CHECK_INT(maccel_ring_drain(r.ring, RIG_FOREVER), MACCEL_OK);
  maccel_cqe cqes[4];
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 4), 3);
  rig_close(&r);
}

static void waiting_ends_by_count_by_time_or_by_closing(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 2);
  CHECK_INT(maccel_ring_wait(r.ring, 1, 1000000), MACCEL_E_TIMEOUT);
  CHECK_INT(maccel_ring_wait(r.ring, 2, RIG_FOREVER), MACCEL_OK);
  maccel_cqe cqes[2];
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 2), 2);
  CHECK_INT(maccel_ring_close(r.ring, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(maccel_ring_wait(r.ring, 1, RIG_FOREVER), MACCEL_E_CLOSED);
  rig_close(&r);
}

static void *wait_for_all(void *arg) {
  rig *r = arg;
  return (void *)(intptr_t)maccel_ring_wait(r->ring, 4, -1);
}

/* Three of the four never come: the one that runs must end the wait although it is not enough. */
static void a_waiter_learns_that_the_ring_was_closed(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 1);
  rig_wait_running(&r, 1);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, wait_for_all, &r) == 0);
  usleep(5000);
  CHECK_INT(maccel_ring_close(r.ring, 0), MACCEL_E_TIMEOUT);
  void *status = NULL;
  pthread_join(thread, &status);
  CHECK_INT((intptr_t)status, MACCEL_E_CLOSED);
  rig_close(&r);
}

static int readable(const rig *r) {
  struct pollfd p = {.fd = maccel_ring_fd(r->ring), .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void reap_with_a_budget_stays_unarmed_until_the_queue_is_empty(void) {
  rig r;
  rig_open(&r, "null?inline=1", 8, NULL);
  maccel_cqe cqes[8];
  int32_t armed = -1;
  CHECK_INT(maccel_ring_reap(r.ring, cqes, 8, &armed), 0);
  CHECK_INT(armed, 1);
  submit_many(&r, 0, 5);
  CHECK(readable(&r));
  CHECK_INT(maccel_ring_reap(r.ring, cqes, 2, &armed), 2);
  CHECK_INT(armed, 0);
  CHECK(!readable(&r));
  CHECK_INT(maccel_ring_arm(r.ring), MACCEL_E_BUSY);
  CHECK_INT(maccel_ring_notify(r.ring), MACCEL_OK); /* what a loop does to come back */
  CHECK(readable(&r));
  CHECK_INT(maccel_ring_reap(r.ring, cqes, 8, &armed), 3);
  CHECK_INT(armed, 1);
  CHECK(!readable(&r));
  CHECK_INT(maccel_ring_reap(r.ring, cqes, 0, &armed), 0);
  CHECK_INT(armed, 1);
  rig_close(&r);
}

static void close_cancels_what_is_queued_and_waits_for_what_runs(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 4);
  rig_wait_running(&r, 1);
  CHECK_INT(maccel_ring_close(r.ring, 0), MACCEL_E_TIMEOUT);
  maccel_sqe sqe = rig_sqe(&r, 9);
  CHECK_INT(rig_submit(&r, &sqe), MACCEL_E_CLOSED);
  CHECK_INT(maccel_ring_close(r.ring, RIG_FOREVER), MACCEL_OK);
  maccel_cqe cqes[4];
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 4), 4);
  int canceled = 0;
  for (int i = 0; i < 4; i++) canceled += cqes[i].res == MACCEL_E_CANCELED;
  CHECK_INT(canceled, 3);
  rig_close(&r);
}

static void a_ring_that_is_freed_while_it_runs_goes_with_the_last_request(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 3);
  rig_wait_running(&r, 1);
  int fd = maccel_ring_fd(r.ring);
  maccel_ring_free(r.ring);
  r.ring = NULL;
  CHECK_INT(fcntl(fd, F_GETFD), -1);
  CHECK_INT(rig_stats(&r).abandoned, 1);
  CHECK_INT(maccel_model_unload(r.model), MACCEL_E_BUSY);
  rig_close(&r); /* the sanitizers say whether anything was touched afterwards, or never freed */
}

static void closing_the_device_ends_every_request(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 4);
  rig_wait_running(&r, 1);
  CHECK_INT(maccel_device_close(r.dev, 0), MACCEL_E_TIMEOUT);
  maccel_sqe sqe = rig_sqe(&r, 9);
  CHECK_INT(rig_submit(&r, &sqe), MACCEL_E_CLOSED);
  CHECK_INT(maccel_device_close(r.dev, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(maccel_device_close(r.dev, 0), MACCEL_OK);
  maccel_cqe cqes[4];
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 4), 4);
  maccel_ring *late = NULL;
  CHECK_INT(maccel_ring_open(r.dev, 1, &late), MACCEL_E_CLOSED);
  rig_close(&r);
}

static void objects_may_be_freed_in_any_order(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  submit_many(&r, 0, 4);
  CHECK_INT(maccel_device_close(r.dev, RIG_FOREVER), MACCEL_OK);
  maccel_device_free(r.dev);
  CHECK_INT(maccel_model_unload(r.model), MACCEL_OK);
  maccel_ring_free(r.ring);
  builder_free(&r.b);
}

static int child_of(rig *r) {
  maccel_sqe sqe = rig_sqe(r, 5);
  maccel_cqe cqe;
  maccel_buffer buf = {.data = &cqe, .size = 1, .capacity = 4096};
  maccel_device_stats stats;
  uint32_t accepted = 3;
  int32_t armed = 0;
  const int got[] = {maccel_ring_submit(r->ring, &sqe, 1, &accepted),
                     maccel_ring_cancel(r->ring, 1),
                     maccel_ring_harvest(r->ring, &cqe, 1),
                     maccel_ring_arm(r->ring),
                     maccel_ring_clear(r->ring),
                     maccel_ring_notify(r->ring),
                     maccel_ring_reap(r->ring, &cqe, 1, &armed),
                     maccel_ring_wait(r->ring, 1, -1),
                     maccel_ring_drain(r->ring, -1),
                     maccel_ring_close(r->ring, -1),
                     maccel_buffer_alloc(r->dev, 1, 0, &buf),
                     maccel_buffer_free(r->dev, &buf),
                     maccel_model_unload(r->model),
                     maccel_device_get_stats(r->dev, &stats),
                     maccel_device_close(r->dev, -1)};
  for (size_t i = 0; i < sizeof got / sizeof got[0]; i++)
    if (got[i] != MACCEL_E_FORKED) return 10 + (int)i;
  if (accepted != 0 || armed != 0) return 2;
  maccel_ring_free(r->ring); /* does nothing */
  maccel_device_free(r->dev);
  return 0;
}

static void a_forked_child_is_told_so_and_disturbs_nothing(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 3);
  rig_wait_running(&r, 1);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) _exit(child_of(&r));
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  CHECK_INT(WEXITSTATUS(status), 0);
  for (int i = 0; i < 3; i++) CHECK_INT(rig_next(&r).res, MACCEL_OK);
  rig_close(&r);
}

static void a_model_in_use_is_not_unloaded_and_an_unloaded_one_is_not_used(void) {
  rig r;
  rig_open(&r, SLOW, 4, NULL);
  submit_many(&r, 0, 1);
  CHECK_INT(maccel_model_unload(r.model), MACCEL_E_BUSY);
  CHECK_INT(rig_next(&r).res, MACCEL_OK);
  submit_many(&r, 1, 1); /* still usable after the refusal */
  CHECK_INT(rig_next(&r).res, MACCEL_OK);
  rig other;
  rig_open(&other, "null", 1, NULL);
  maccel_sqe foreign = rig_sqe(&other, 1);
  CHECK_INT(rig_submit(&r, &foreign), MACCEL_E_INVALID);
  rig_close(&other);
  rig_close(&r);
}

static void schedules_order_what_is_queued(void) {
  static const struct {
    int schedule;
    uint64_t order[4];
  } cases[] = {{MACCEL_SCHEDULE_BY_PRIORITY, {1, 3, 2, 4}},
               {MACCEL_SCHEDULE_FIFO, {1, 2, 3, 4}},
               {MACCEL_SCHEDULE_LIFO, {1, 4, 3, 2}}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rig r;
    rig_open(&r, SLOW, 8,
             &(maccel_model_options){.core_mode = MACCEL_MODE_AUTO, .schedule = cases[i].schedule});
    submit_many(&r, 1, 1);
    rig_wait_running(&r, 1);
    for (uint64_t id = 2; id <= 4; id++) {
      maccel_sqe sqe = rig_sqe(&r, id);
      sqe.priority = id == 3;
      CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    }
    for (int k = 0; k < 4; k++) CHECK_INT(rig_next(&r).user_data, cases[i].order[k]);
    CHECK_INT(
        maccel_model_load(r.dev, r.b.program, r.b.program_bytes, r.b.data, r.b.data_bytes,
                          &(maccel_model_options){.core_mode = MACCEL_MODE_AUTO, .schedule = 3}, &r.model),
        MACCEL_E_INVALID);
    rig_close(&r);
  }
}

int main(void) {
  schedules_order_what_is_queued();
  credits_bound_what_is_accepted_and_not_harvested();
  a_malformed_request_stops_the_batch_before_it();
  arguments_out_of_range_are_refused();
  cancel_has_three_outcomes();
  drain_waits_for_what_was_accepted_before_it();
  waiting_ends_by_count_by_time_or_by_closing();
  a_waiter_learns_that_the_ring_was_closed();
  reap_with_a_budget_stays_unarmed_until_the_queue_is_empty();
  close_cancels_what_is_queued_and_waits_for_what_runs();
  a_ring_that_is_freed_while_it_runs_goes_with_the_last_request();
  closing_the_device_ends_every_request();
  objects_may_be_freed_in_any_order();
  a_forked_child_is_told_so_and_disturbs_nothing();
  a_model_in_use_is_not_unloaded_and_an_unloaded_one_is_not_used();
  return 0;
}
