/* Whatever happens, each accepted request gets exactly one completion. usage: test_exactly_once [ROUNDS]
 *
 * A ring thread submits with random priorities, deadlines and batches and harvests; other threads cancel at random,
 * drain, and at a random moment close the ring or the device. */
#include <pthread.h>

#include "atomic.h"
#include "rig.h"

#define CREDITS 32
#define MAX_IDS 4096

typedef struct storm {
  rig r;
  maccel_model *models[3];
  mx_atomic32 stop;
  mx_atomic32 next_id; /* ids below are in use or done */
  int removed[MAX_IDS]; /* by the canceller: told that it was removed */
  uint8_t seen[MAX_IDS];
  int res[MAX_IDS];
  uint32_t limit;
  int close_device;
  uint64_t seed;
} storm;

static void *cancel_at_random(void *arg) {
  storm *s = arg;
  test_rng rng = {s->seed * 31 + 7};
  while (!mx_load_acquire(&s->stop)) {
    uint32_t next = mx_load_acquire(&s->next_id);
    if (next == 0) continue;
    uint32_t id = next - 1 - rng_next(&rng) % (next < CREDITS ? next : CREDITS);
    int status = maccel_ring_cancel(s->r.ring, id);
    CHECK(status == MACCEL_OK || status == MACCEL_E_ALREADY || status == MACCEL_E_NOT_FOUND);
    if (status == MACCEL_OK) s->removed[id]++;
    for (uint32_t i = rng_next(&rng) % 8; i > 0; i--) sched_yield();
  }
  return NULL;
}

static void *drain_and_close(void *arg) {
  storm *s = arg;
  test_rng rng = {s->seed * 17 + 3};
  uint32_t when = rng_next(&rng) % s->limit;
  while (mx_load_acquire(&s->next_id) < when && !mx_load_acquire(&s->stop)) {
    (void)maccel_ring_drain(s->r.ring, 200000);
    sched_yield();
  }
  if (s->close_device == 1) (void)maccel_device_close(s->r.dev, 100000);
  if (s->close_device == 0) (void)maccel_ring_close(s->r.ring, 100000);
  return NULL;
}

static uint32_t harvest(storm *s) {
  maccel_cqe cqes[16];
  int n = maccel_ring_harvest(s->r.ring, cqes, 16);
  CHECK(n >= 0);
  for (int i = 0; i < n; i++) {
    CHECK(cqes[i].user_data < MAX_IDS);
    CHECK_INT(s->seen[cqes[i].user_data]++, 0);
    s->res[cqes[i].user_data] = cqes[i].res;
  }
  return (uint32_t)n;
}

static maccel_sqe random_sqe(storm *s, test_rng *rng, uint32_t id) {
  maccel_sqe sqe = rig_sqe(&s->r, id);
  sqe.model = s->models[rng_next(rng) % 3];
  sqe.priority = rng_int(rng, -1, 1);
  sqe.batch = 1 + rng_next(rng) % 4;
  if (rng_next(rng) % 4 == 0) sqe.deadline_ns = maccel_now_ns() + rng_next(rng) % 200000;
  return sqe;
}

/* Returns how many were accepted. */
static uint32_t submit_and_harvest(storm *s) {
  test_rng rng = {s->seed + 1};
  uint32_t id = 0;
  while (id < s->limit) {
    maccel_sqe sqes[4];
    uint32_t want = 1 + rng_next(&rng) % 4, accepted = 0;
    if (want > s->limit - id) want = s->limit - id;
    for (uint32_t i = 0; i < want; i++) sqes[i] = random_sqe(s, &rng, id + i);
    int status = maccel_ring_submit(s->r.ring, sqes, want, &accepted);
    id += accepted;
    mx_store_release(&s->next_id, id);
    CHECK(maccel_ring_in_flight(s->r.ring) <= CREDITS);
    if (status == MACCEL_E_CLOSED || status == MACCEL_E_DEVICE_LOST) break;
    CHECK(status == MACCEL_OK || status == MACCEL_E_AGAIN);
    if (status == MACCEL_E_AGAIN) (void)maccel_ring_wait(s->r.ring, 1, 2000000);
    harvest(s);
  }
  return id;
}

static void one_storm(const char *name, uint64_t seed, uint32_t limit) {
  static storm s;
  memset(&s, 0, sizeof s);
  s.seed = seed;
  s.limit = limit;
  s.close_device = (int)(seed % 3);
  rig_open(&s.r, name, CREDITS, NULL);
  const int modes[3] = {MACCEL_MODE_SINGLE, MACCEL_MODE_MULTI, MACCEL_MODE_GLOBAL8};
  for (int m = 0; m < 3; m++) s.models[m] = rig_load(&s.r, &(maccel_model_options){.core_mode = modes[m]});
  pthread_t threads[2];
  CHECK(pthread_create(&threads[0], NULL, cancel_at_random, &s) == 0);
  CHECK(pthread_create(&threads[1], NULL, drain_and_close, &s) == 0);
  uint32_t accepted = submit_and_harvest(&s);
  (void)maccel_ring_drain(s.r.ring, 50000000);
  mx_store_release(&s.stop, 1);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  CHECK_INT(maccel_device_close(s.r.dev, RIG_FOREVER), MACCEL_OK);
  while (harvest(&s) > 0) continue;
  for (uint32_t id = 0; id < accepted; id++) {
    CHECK_INT(s.seen[id], 1);
    CHECK(s.removed[id] <= 1);
    if (s.removed[id]) CHECK_INT(s.res[id], MACCEL_E_CANCELED);
  }
  for (uint32_t id = accepted; id < MAX_IDS; id++) CHECK_INT(s.seen[id], 0);
  for (int m = 0; m < 3; m++) CHECK_INT(maccel_model_unload(s.models[m]), MACCEL_OK);
  rig_close(&s.r);
}

int main(int argc, char **argv) {
  uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 12;
  const char *names[] = {"soft:0",
                         "null",
                         "null?inline=1",
                         "fault:soft:0?fail_rate=0.1&reorder=1&duplicate_every=3",
                         "fault:soft:0?lose_after=200&delay_ms=0.02",
                         "fault:soft:0?hang_every=900&reorder=1"};
  for (uint64_t round = 0; round < rounds; round++)
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) one_storm(names[i], round * 7 + i, 500);
  return 0;
}
