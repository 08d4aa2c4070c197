/* The completion queue: no wake-up is lost, nothing overflows. usage: test_cq [ITERATIONS] */
#include <poll.h>
#include <sched.h>

#include "../common/check.h"
#include "cq.h"
#include "request.h"
#include "wait.h"

#define CREDITS 8
#define HANG_MS 30000

typedef struct hammer {
  mx_cq cq;
  mx_request requests[CREDITS];
  uint64_t total;
} hammer;

/* A few nanoseconds a step, so that posts fall on every point between the consumer's instructions. */
static void linger(uint32_t steps) {
  for (volatile uint32_t i = 0; i < steps; i++) continue;
}

/* Mostly one at a time: a lost wake-up is then never made good by the next post, and the consumer sleeps for ever. */
static void *producer(void *arg) {
  hammer *h = arg;
  test_rng rng = {88172645463325252u};
  for (uint64_t i = 0; i < h->total; i++) {
    uint32_t depth = rng_next(&rng) % 16 == 0 ? CREDITS : 1;
    for (int looks = 0; mx_load_relaxed(&h->cq.tail) - mx_load_acquire(&h->cq.head) >= depth; looks++)
      if (looks > 100000) sched_yield();
    linger(rng_next(&rng) % 64);
    maccel_cqe cqe = {.user_data = i};
    CHECK(mx_cq_post(&h->cq, &cqe, &h->requests[i % CREDITS]));
  }
  return NULL;
}

static void sleep_until_readable(hammer *h) {
  struct pollfd p = {.fd = h->cq.notify.read_fd, .events = POLLIN};
  int ready = 0;
  for (int looks = 0; !ready && looks < 20; looks++)
    ready = poll(&p, 1, 0); /* awake, the next race comes sooner */
  if (!ready) ready = poll(&p, 1, HANG_MS);
  CHECK_INT(ready, 1); /* 0: the wake-up was lost */
  mx_notify_clear(&h->cq.notify);
}

/* What a loop does: clear, harvest, arm, and sleep only when armed. */
static void posts_between_harvest_and_arm_are_not_lost(uint64_t total) {
  static hammer h;
  memset(&h, 0, sizeof h);
  CHECK_INT(mx_cq_open(&h.cq, CREDITS), MACCEL_OK);
  h.total = total;
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, producer, &h) == 0);
  uint64_t taken = 0;
  while (taken < total) {
    maccel_cqe out[3];
    mx_request *requests[3];
    uint32_t n = mx_cq_take(&h.cq, out, requests, 3);
    for (uint32_t i = 0; i < n; i++) CHECK(out[i].user_data == taken + i);
    taken += n;
    if (n == 0 && mx_cq_arm(&h.cq)) sleep_until_readable(&h);
  }
  pthread_join(thread, NULL);
  mx_cq_close(&h.cq);
}

static int never(void *self) {
  (void)self;
  return 0;
}

static void posts_around_a_blocking_wait_are_not_lost(uint64_t total) {
  static hammer h;
  memset(&h, 0, sizeof h);
  CHECK_INT(mx_cq_open(&h.cq, CREDITS), MACCEL_OK);
  h.total = total;
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, producer, &h) == 0);
  for (uint64_t taken = 0; taken < total;) {
    while (mx_cq_available(&h.cq) < 1)
      CHECK(!mx_cq_sleep(&h.cq, 1, never, NULL, mx_deadline((int64_t)HANG_MS * 1000000)));
    maccel_cqe out[CREDITS];
    mx_request *requests[CREDITS];
    taken += mx_cq_take(&h.cq, out, requests, CREDITS);
  }
  pthread_join(thread, NULL);
  mx_cq_close(&h.cq);
}

static void a_full_queue_refuses_and_keeps_what_it_has(void) {
  static hammer h;
  memset(&h, 0, sizeof h);
  CHECK_INT(mx_cq_open(&h.cq, 3), MACCEL_OK); /* four places */
  maccel_cqe cqe = {0};
  for (uint64_t i = 0; i < 4; i++) {
    cqe.user_data = i;
    CHECK(mx_cq_post(&h.cq, &cqe, &h.requests[i]));
    CHECK_INT(mx_request_get_state(&h.requests[i]), MX_REQUEST_DONE);
  }
  CHECK(!mx_cq_post(&h.cq, &cqe, &h.requests[5]));
  CHECK_INT(mx_cq_available(&h.cq), 4);
  maccel_cqe out[8];
  mx_request *requests[8];
  CHECK_INT(mx_cq_take(&h.cq, out, requests, 8), 4);
  for (uint64_t i = 0; i < 4; i++) CHECK(out[i].user_data == i && requests[i] == &h.requests[i]);
  mx_cq_close(&h.cq);
}

static int readable(const mx_cq *cq) {
  struct pollfd p = {.fd = cq->notify.read_fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void the_bell_rings_only_when_armed_and_once(void) {
  static hammer h;
  memset(&h, 0, sizeof h);
  CHECK_INT(mx_cq_open(&h.cq, 8), MACCEL_OK);
  maccel_cqe cqe = {0}, out[8];
  mx_request *requests[8];
  CHECK(mx_cq_post(&h.cq, &cqe, &h.requests[0]));
  CHECK(!readable(&h.cq));
  CHECK_INT(mx_cq_arm(&h.cq), 0); /* something is pending */
  CHECK_INT(mx_cq_take(&h.cq, out, requests, 8), 1);
  CHECK_INT(mx_cq_arm(&h.cq), 1);
  CHECK(mx_cq_post(&h.cq, &cqe, &h.requests[1]));
  CHECK(readable(&h.cq));
  mx_notify_clear(&h.cq.notify);
  CHECK(mx_cq_post(&h.cq, &cqe, &h.requests[2])); /* disarmed by the first */
  CHECK(!readable(&h.cq));
  mx_cq_ring(&h.cq);
  CHECK(readable(&h.cq));
  mx_cq_close_notify(&h.cq);
  mx_cq_ring(&h.cq); /* without a descriptor: nothing */
  mx_cq_close(&h.cq);
}

int main(int argc, char **argv) {
  uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  a_full_queue_refuses_and_keeps_what_it_has();
  the_bell_rings_only_when_armed_and_once();
  posts_between_harvest_and_arm_are_not_lost(total);
  posts_around_a_blocking_wait_are_not_lost(total / 8);
  return 0;
}
