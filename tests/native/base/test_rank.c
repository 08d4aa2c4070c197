/* What a thread may claim of its CPU. */
#include "rank.h"

#include <pthread.h>
#include <sched.h>

#include "../common/check.h"

static mx_rank before, after;

/* Ranks cannot be raised again, so each test has a thread of its own. */
static void in_a_thread(void *(*body)(void *)) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
  pthread_join(thread, NULL);
}

static void *lower_by_three(void *arg) {
  before = mx_rank_here();
  mx_rank_lower(3);
  after = mx_rank_here();
  return arg;
}

static void a_thread_is_lowered_by_steps(void) {
  in_a_thread(lower_by_three);
  CHECK(before.nice >= -20 && before.nice <= 19);
  CHECK_INT(after.nice, before.nice + 3 < 19 ? before.nice + 3 : 19);
  CHECK(after.slice_ns == 0 || after.slice_ns >= before.slice_ns); /* an old system knows no slices */
}

static void the_others_stay_where_they_are(void) {
  const mx_rank here = mx_rank_here();
  in_a_thread(lower_by_three);
  CHECK_INT(mx_rank_here().nice, here.nice);
  CHECK(mx_rank_here().slice_ns == here.slice_ns);
}

static void *lower_too_far(void *arg) {
  mx_rank_lower(15);
  mx_rank_lower(15);
  after = mx_rank_here();
  return arg;
}

static void nineteen_is_the_end(void) {
  in_a_thread(lower_too_far);
  CHECK_INT(after.nice, 19);
}

static void *lower_by_nothing(void *arg) {
  before = mx_rank_here();
  mx_rank_lower(0);
  after = mx_rank_here();
  return arg;
}

static void no_steps_change_nothing(void) {
  in_a_thread(lower_by_nothing);
  CHECK_INT(after.nice, before.nice);
  CHECK(after.slice_ns == before.slice_ns);
}

static void *lower_an_idle_one(void *arg) {
  const struct sched_param param = {0};
  CHECK(sched_setscheduler(0, SCHED_IDLE, &param) == 0);
  before = mx_rank_here();
  mx_rank_lower(5);
  after = mx_rank_here();
  CHECK_INT(sched_getscheduler(0), SCHED_IDLE);
  return arg;
}

static void a_policy_that_somebody_chose_stays(void) {
  in_a_thread(lower_an_idle_one);
  CHECK_INT(after.nice, before.nice);
}

int main(void) {
  a_thread_is_lowered_by_steps();
  the_others_stay_where_they_are();
  nineteen_is_the_end();
  no_steps_change_nothing();
  a_policy_that_somebody_chose_stays();
  return 0;
}
