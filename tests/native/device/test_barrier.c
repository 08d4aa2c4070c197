/* The meeting point of a team: nobody passes before all have come, whether they spin or sleep. */
#include "barrier.h"

#include <pthread.h>
#include <sched.h>

#include "../common/check.h"

#define ROUNDS 3000
#define MAX_PARTS 5

typedef struct meeting {
  mx_barrier barrier;
  int count[MAX_PARTS]; /* written by its part only; read by all after the barrier */
  int parts;
} meeting;

typedef struct member {
  meeting *m;
  int part;
} member;

static void *attend(void *arg) {
  member *me = arg;
  meeting *m = me->m;
  for (int round = 1; round <= ROUNDS; round++) {
    m->count[me->part] = round;
    if ((round + me->part) % 97 == 0) sched_yield();
    mx_barrier_wait(&m->barrier);
    for (int p = 0; p < m->parts; p++) CHECK_INT(m->count[p], round);
    mx_barrier_wait(&m->barrier);
  }
  return NULL;
}

static void all_meet_in_every_round(int parts, int may_spin) {
  meeting m = {.parts = parts};
  mx_barrier_init(&m.barrier, parts, may_spin);
  pthread_t threads[MAX_PARTS];
  member members[MAX_PARTS];
  for (int p = 0; p < parts; p++) {
    members[p] = (member){&m, p};
    CHECK(pthread_create(&threads[p], NULL, attend, &members[p]) == 0);
  }
  for (int p = 0; p < parts; p++) pthread_join(threads[p], NULL);
  CHECK_INT(mx_load_relaxed(&m.barrier.sleepers), 0);
  CHECK_INT(mx_load_relaxed(&m.barrier.arrived), 0);
  CHECK_INT(mx_load_relaxed(&m.barrier.phase), 2 * ROUNDS);
}

int main(void) {
  for (int parts = 1; parts <= MAX_PARTS; parts += 2) {
    all_meet_in_every_round(parts, 0);
    all_meet_in_every_round(parts, 1);
  }
  return 0;
}
