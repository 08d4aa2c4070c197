/* The limits of rings: one credit, all of them, batches larger than the credits, priorities at their ends, deadlines
 * at the very moment, every state a request can be cancelled in, several rings on one device. */
#include <poll.h>
#include <pthread.h>

#include "object.h"
#include "rig.h"

#define SLOW "fault:null?delay_ms=15"

static uint32_t submit_all(rig *r, const maccel_sqe *sqes, uint32_t n, int *status) {
  uint32_t accepted = 77;
  *status = maccel_ring_submit(r->ring, sqes, n, &accepted);
  CHECK(accepted <= n);
  return accepted;
}

/* Many rounds through few slots: each completion is for what was submitted last, never for an earlier tenant. */
static void few_credits_carry_many_requests(uint32_t credits, const char *name) {
  rig r;
  rig_open(&r, name, credits, NULL);
  uint64_t next = 1, seen = 0;
  while (seen < 400) {
    maccel_sqe sqes[7];
    maccel_cqe cqes[7];
    int status;
    for (uint64_t k = 0; k < 7; ++k) sqes[k] = rig_sqe(&r, (next + k) << 16 | (next + k) % 5);
    const uint32_t accepted = submit_all(&r, sqes, 7, &status);
    CHECK_INT(status, accepted == 7 ? MACCEL_OK : MACCEL_E_AGAIN);
    next += accepted;
    CHECK(maccel_ring_in_flight(r.ring) <= credits);
    CHECK_INT(maccel_ring_wait(r.ring, 1, RIG_FOREVER), MACCEL_OK);
    const int got = maccel_ring_harvest(r.ring, cqes, 7);
    CHECK(got >= 1);
    for (int k = 0; k < got; ++k) {
      CHECK(cqes[k].user_data >> 16 >= 1 && cqes[k].user_data >> 16 < next);
      CHECK_INT(cqes[k].user_data & 0xffff, (cqes[k].user_data >> 16) % 5);
      CHECK(cqes[k].t_submit_ns <= cqes[k].t_start_ns && cqes[k].t_start_ns <= cqes[k].t_done_ns);
    }
    seen += (uint64_t)got;
  }
  rig_close(&r);
}

/* The most credits that a slot number has room for, all taken at once, given back in odd portions. */
static void all_credits_at_once(void) {
  enum { ALL = 65536 };
  rig r;
  rig_open(&r, "null", ALL, NULL);
  maccel_sqe *sqes = malloc((ALL + 1) * sizeof *sqes);
  uint8_t *seen = calloc(ALL, 1);
  maccel_cqe cqes[777];
  int status;
  for (uint64_t k = 0; k <= ALL; ++k) sqes[k] = rig_sqe(&r, k);
  CHECK_INT(submit_all(&r, sqes, ALL + 1, &status), ALL);
  CHECK_INT(status, MACCEL_E_AGAIN);
  CHECK_INT(maccel_ring_wait(r.ring, ALL, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(maccel_ring_in_flight(r.ring), ALL);
  for (int got, total = 0; total < ALL; total += got) {
    got = maccel_ring_harvest(r.ring, cqes, 777);
    CHECK_INT(got, ALL - total < 777 ? ALL - total : 777);
    for (int k = 0; k < got; ++k) CHECK_INT(seen[cqes[k].user_data]++, 0);
  }
  CHECK_INT(maccel_ring_in_flight(r.ring), 0);
  CHECK_INT(maccel_ring_harvest(r.ring, cqes, 777), 0);
  free(sqes);
  free(seen);
  rig_close(&r);
}

/* Highest first, equal ones in order, also at the ends of the type; nothing overflows. */
static void priorities_at_the_ends_of_their_type(void) {
  static const int32_t priority[] = {0, INT32_MIN, INT32_MAX, -1, 0, INT32_MAX, INT32_MIN, 1};
  static const uint64_t order[] = {2, 5, 7, 0, 4, 3, 1, 6};
  rig r;
  const maccel_model_options one_core = {.num_cores = 1};
  rig_open(&r, SLOW, 16, &one_core);
  maccel_sqe first = rig_sqe(&r, 100), sqes[8];
  int status;
  CHECK_INT(rig_submit(&r, &first), MACCEL_OK);
  rig_wait_running(&r, 1);
  for (uint64_t k = 0; k < 8; ++k) {
    sqes[k] = rig_sqe(&r, k);
    sqes[k].priority = priority[k];
  }
  CHECK_INT(submit_all(&r, sqes, 8, &status), 8);
  CHECK_INT(rig_next(&r).user_data, 100);
  for (int k = 0; k < 8; ++k) CHECK_INT(rig_next(&r).user_data, order[k]);
  rig_close(&r);
}

/* A deadline is passed from the moment that it names on; 0 is none; the far end of the type is far away. */
static void deadlines_at_the_moment(void) {
  rig r;
  rig_open(&r, "null", 4, NULL);
  const uint64_t deadlines[] = {0, 1, maccel_now_ns(), UINT64_MAX, maccel_now_ns() + (uint64_t)RIG_FOREVER};
  const int results[] = {MACCEL_OK, MACCEL_E_DEADLINE, MACCEL_E_DEADLINE, MACCEL_OK, MACCEL_OK};
  for (uint64_t k = 0; k < 5; ++k) {
    maccel_sqe sqe = rig_sqe(&r, k);
    sqe.deadline_ns = deadlines[k];
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    const maccel_cqe cqe = rig_next(&r);
    CHECK_INT(cqe.user_data, k);
    CHECK_INT(cqe.res, results[k]);
  }
  CHECK_INT(rig_stats(&r).expired, 2);
  CHECK_INT(rig_stats(&r).completed, 3);
  rig_close(&r);
}

/* A deadline that passes in the queue is found when a core comes to it, whatever its priority. */
static void deadlines_pass_in_the_queue(void) {
  rig r;
  const maccel_model_options one_core = {.num_cores = 1};
  rig_open(&r, SLOW, 8, &one_core);
  maccel_sqe running = rig_sqe(&r, 0);
  CHECK_INT(rig_submit(&r, &running), MACCEL_OK);
  rig_wait_running(&r, 1);
  for (uint64_t k = 1; k <= 4; ++k) {
    maccel_sqe sqe = rig_sqe(&r, k);
    sqe.priority = (int32_t)k;
    sqe.deadline_ns = k % 2 ? maccel_now_ns() + 1000 : 0;
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
  }
  CHECK_INT(rig_next(&r).user_data, 0);
  for (uint64_t k = 4; k >= 1; --k) {
    const maccel_cqe cqe = rig_next(&r);
    CHECK_INT(cqe.user_data, k);
    CHECK_INT(cqe.res, k % 2 ? MACCEL_E_DEADLINE : MACCEL_OK);
  }
  rig_close(&r);
}

/* A deadline that leaves less time than a core needs has passed: told by the options, or seen by the device. */
static void deadlines_leave_time_for_the_core(void) {
  const uint64_t second = 1000000000u;
  const struct {
    maccel_model_options options;
    uint64_t left_ns;
    int res;
  } cases[] = {{{.early_ns = 0}, 10 * second, MACCEL_OK},
               {{.early_ns = 20 * second}, 10 * second, MACCEL_E_DEADLINE},
               {{.early_ns = 20 * second}, 60 * second, MACCEL_OK},
               {{.early_ns = 20 * second}, 0, MACCEL_OK}, /* it has no deadline */
               {{.early_ns = UINT64_MAX}, UINT64_MAX, MACCEL_E_DEADLINE},
               {{.foresee = 1, .early_ns = 20 * second}, 10 * second, MACCEL_OK}};
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
    rig r;
    rig_open(&r, "soft", 4, &cases[k].options);
    maccel_sqe sqe = rig_sqe(&r, k);
    const uint64_t left = cases[k].left_ns;
    sqe.deadline_ns = left == 0 || left == UINT64_MAX ? left : maccel_now_ns() + left;
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    CHECK_INT(rig_next(&r).res, cases[k].res);
    rig_close(&r);
  }
}

/* The first run teaches how long one takes; a deadline one nanosecond shorter cannot be met any more. */
static void the_device_learns_what_a_core_needs(void) {
  rig r;
  rig_open(&r, "soft", 4, &(maccel_model_options){.core_mode = MACCEL_MODE_AUTO, .foresee = 1});
  CHECK_INT(mx_load_relaxed(&r.model->best_ns), 0);
  for (uint64_t k = 0; k < 8; k++) {
    const uint64_t before = mx_load_relaxed(&r.model->best_ns);
    maccel_sqe sqe = rig_sqe(&r, k);
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    CHECK_INT(rig_next(&r).res, MACCEL_OK);
    const uint64_t after = mx_load_relaxed(&r.model->best_ns);
    CHECK(after > 0 && (before == 0 || after <= before));
  }
  mx_store_relaxed(&r.model->best_ns, 5000000000u);
  maccel_sqe hopeless = rig_sqe(&r, 99);
  hopeless.deadline_ns = maccel_now_ns() + 4000000000u;
  CHECK_INT(rig_submit(&r, &hopeless), MACCEL_OK);
  CHECK_INT(rig_next(&r).res, MACCEL_E_DEADLINE);
  rig_close(&r);
}

/* Never submitted, queued, running, hung, completed and not harvested, harvested, of another ring. */
static void every_state_is_cancelled_or_says_why_not(void) {
  rig r;
  const maccel_model_options one_core = {.num_cores = 1};
  rig_open(&r, SLOW "&hang_every=4", 8, &one_core);
  maccel_ring *other = NULL;
  CHECK_INT(maccel_ring_open(r.dev, 2, &other), MACCEL_OK);
  maccel_sqe sqes[4];
  int status;
  for (uint64_t k = 0; k < 4; ++k) sqes[k] = rig_sqe(&r, 10 + k);
  CHECK_INT(maccel_ring_cancel(r.ring, 10), MACCEL_E_NOT_FOUND);
  CHECK_INT(submit_all(&r, sqes, 4, &status), 4);
  rig_wait_running(&r, 1);
  CHECK_INT(maccel_ring_cancel(r.ring, 10), MACCEL_E_ALREADY);
  CHECK_INT(maccel_ring_cancel(other, 11), MACCEL_E_NOT_FOUND);
  CHECK_INT(maccel_ring_cancel(r.ring, 11), MACCEL_OK);
  CHECK_INT(maccel_ring_cancel(r.ring, 11), MACCEL_E_NOT_FOUND);
  CHECK_TEXT(maccel_last_error(), "no such request, or it is done");
  CHECK_INT(maccel_ring_wait(r.ring, 3, RIG_FOREVER), MACCEL_OK); /* 10 and 12 ran, 13 hangs */
  CHECK_INT(maccel_ring_cancel(r.ring, 10), MACCEL_E_NOT_FOUND);
  rig_wait_running(&r, 1);
  CHECK_INT(maccel_ring_cancel(r.ring, 13), MACCEL_E_ALREADY);
  CHECK_TEXT(maccel_last_error(), "the request is on the device");
  int res[4] = {99, 99, 99, 99};
  for (int k = 0; k < 3; ++k) {
    const maccel_cqe cqe = rig_next(&r);
    res[cqe.user_data - 10] = cqe.res;
  }
  CHECK_INT(maccel_ring_cancel(r.ring, 12), MACCEL_E_NOT_FOUND);
  CHECK_INT(res[0], MACCEL_OK);
  CHECK_INT(res[1], MACCEL_E_CANCELED);
  CHECK_INT(res[2], MACCEL_OK);
  CHECK_INT(maccel_ring_close(other, 0), MACCEL_OK);
  maccel_ring_free(other);
  CHECK_INT(maccel_ring_close(r.ring, 1000000), MACCEL_E_TIMEOUT); /* the hung one */
  CHECK_INT(maccel_device_close(r.dev, RIG_FOREVER), MACCEL_OK);
  CHECK_INT(rig_next(&r).res, MACCEL_E_DEVICE_LOST);
  rig_close(&r);
}

/* ---- several rings on one device */

typedef struct user {
  const rig *r;
  uint64_t number;
  uint32_t done;
} user;

/* One ring a thread: no completion of another one's requests comes here. */
static void *use_ring(void *self) {
  user *u = self;
  rig mine = *u->r;
  test_rng rng = {u->number * 77 + 5};
  CHECK_INT(maccel_ring_open(mine.dev, (uint32_t)rng_int(&rng, 1, 9), &mine.ring), MACCEL_OK);
  for (uint64_t sent = 0; u->done < 200;) {
    maccel_sqe sqe = rig_sqe(&mine, u->number << 32 | sent);
    sqe.priority = rng_int(&rng, -2, 2);
    if (sent < 200 && rig_submit(&mine, &sqe) == MACCEL_OK) {
      if (rng_int(&rng, 0, 9) == 0) (void)maccel_ring_cancel(mine.ring, sqe.user_data);
      sent++;
      continue;
    }
    const maccel_cqe cqe = rig_next(&mine);
    CHECK_INT(cqe.user_data >> 32, u->number);
    CHECK(cqe.res == MACCEL_OK || cqe.res == MACCEL_E_CANCELED);
    u->done++;
  }
  CHECK_INT(maccel_ring_in_flight(mine.ring), 0);
  CHECK_INT(maccel_ring_close(mine.ring, RIG_FOREVER), MACCEL_OK);
  maccel_ring_free(mine.ring);
  return NULL;
}

static void rings_on_one_device_are_strangers(const char *name) {
  rig r;
  rig_open(&r, name, 1, NULL);
  pthread_t threads[4];
  user users[4];
  for (uint64_t k = 0; k < 4; ++k) {
    users[k] = (user){&r, k + 1, 0};
    CHECK(pthread_create(&threads[k], NULL, use_ring, &users[k]) == 0);
  }
  for (int k = 0; k < 4; ++k) pthread_join(threads[k], NULL);
  CHECK_INT(rig_stats(&r).submitted, 800);
  rig_close(&r);
}

/* Closing one ring cancels what it has queued and nothing of its neighbour, in front of and behind it. */
static void closing_one_ring_leaves_the_other(void) {
  rig r;
  const maccel_model_options one_core = {.num_cores = 1};
  rig_open(&r, SLOW, 8, &one_core);
  rig other = r;
  CHECK_INT(maccel_ring_open(r.dev, 8, &other.ring), MACCEL_OK);
  for (uint64_t k = 0; k < 3; ++k) {
    maccel_sqe sqe = rig_sqe(&r, k);
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    CHECK_INT(rig_submit(&other, &sqe), MACCEL_OK);
  }
  rig_wait_running(&r, 1);
  CHECK_INT(maccel_ring_close(other.ring, RIG_FOREVER), MACCEL_OK);
  for (int k = 0; k < 3; ++k) CHECK_INT(rig_next(&other).res, MACCEL_E_CANCELED);
  maccel_sqe late = rig_sqe(&r, 9);
  CHECK_INT(rig_submit(&other, &late), MACCEL_E_CLOSED);
  maccel_ring_free(other.ring);
  for (uint64_t k = 0; k < 3; ++k) {
    const maccel_cqe cqe = rig_next(&r);
    CHECK_INT(cqe.user_data, k);
    CHECK_INT(cqe.res, MACCEL_OK);
  }
  rig_close(&r);
}

/* ---- the descriptor */

static int readable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

/* Armed, it becomes readable with the first completion; reaping makes it unreadable and arms it again. */
static void the_descriptor_follows_the_queue(void) {
  rig r;
  rig_open(&r, "null", 8, NULL);
  const int fd = maccel_ring_fd(r.ring);
  maccel_cqe cqes[8];
  int32_t armed = 7;
  for (int round = 0; round < 50; ++round) {
    CHECK_INT(maccel_ring_reap(r.ring, cqes, 8, &armed), 0);
    CHECK_INT(armed, 1);
    CHECK_INT(readable(fd), 0);
    for (uint64_t k = 0; k < (uint64_t)round % 8 + 1; ++k) {
      maccel_sqe sqe = rig_sqe(&r, k);
      CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    }
    CHECK_INT(maccel_ring_drain(r.ring, RIG_FOREVER), MACCEL_OK);
    CHECK_INT(readable(fd), 1);
    CHECK_INT(maccel_ring_arm(r.ring), MACCEL_E_BUSY);
    CHECK_INT(maccel_ring_reap(r.ring, cqes, 8, &armed), round % 8 + 1);
    CHECK_INT(armed, 1);
    CHECK_INT(readable(fd), 0);
    CHECK_INT(maccel_ring_notify(r.ring), MACCEL_OK);
    CHECK_INT(readable(fd), 1);
    CHECK_INT(maccel_ring_clear(r.ring), MACCEL_OK);
    CHECK_INT(readable(fd), 0);
  }
  CHECK_INT(maccel_ring_reap(r.ring, cqes, 0, &armed), 0); /* no room is no reason to stay awake */
  CHECK_INT(armed, 1);
  rig_close(&r);
}

int main(void) {
  static const uint32_t credits[] = {1, 2, 3, 5, 64};
  for (size_t k = 0; k < sizeof credits / sizeof credits[0]; ++k) {
    few_credits_carry_many_requests(credits[k], "null");
    few_credits_carry_many_requests(credits[k], "soft?cores=4");
    few_credits_carry_many_requests(credits[k], "fault:null?reorder=1&duplicate_every=3&fail_every=7");
  }
  all_credits_at_once();
  priorities_at_the_ends_of_their_type();
  deadlines_at_the_moment();
  deadlines_pass_in_the_queue();
  deadlines_leave_time_for_the_core();
  the_device_learns_what_a_core_needs();
  every_state_is_cancelled_or_says_why_not();
  rings_on_one_device_are_strangers("null");
  rings_on_one_device_are_strangers("soft?cores=4");
  rings_on_one_device_are_strangers("fault:soft?reorder=1");
  closing_one_ring_leaves_the_other();
  the_descriptor_follows_the_queue();
  return 0;
}
