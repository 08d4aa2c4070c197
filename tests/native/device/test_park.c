/* How a worker waits: signals are never lost, and spinning follows what it brings. */
#include "park.h"

#include <pthread.h>
#include <sched.h>

#include "../common/check.h"
#include "maccel.h"

#define ROUNDS 20000

typedef struct duel {
  mx_park park;
  pthread_mutex_t lock;
  mx_atomic32 spinner;
  int idle;  /* under lock */
  int woken; /* under lock */
} duel;

static void *sleeper(void *arg) {
  duel *d = arg;
  for (int i = 0; i < ROUNDS; i++) {
    pthread_mutex_lock(&d->lock);
    d->idle = 1;
    mx_park_prepare(&d->park);
    pthread_mutex_unlock(&d->lock);
    mx_park_sleep(&d->park, i % 2 ? &d->spinner : NULL);
    pthread_mutex_lock(&d->lock);
    d->woken++;
    d->park.patience.credit = i % 3; /* all ways of waiting */
    pthread_mutex_unlock(&d->lock);
  }
  return NULL;
}

static void every_signal_ends_one_wait(void) {
  static duel d = {.lock = PTHREAD_MUTEX_INITIALIZER};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, sleeper, &d) == 0);
  for (int sent = 0; sent < ROUNDS;) {
    pthread_mutex_lock(&d.lock);
    int wake = 0, idle = d.idle;
    if (idle) {
      d.idle = 0;
      wake = mx_park_signal(&d.park);
      sent++;
    }
    pthread_mutex_unlock(&d.lock);
    if (wake) mx_park_wake(&d.park);
    if (!idle) sched_yield();
  }
  pthread_join(thread, NULL);
  CHECK_INT(d.woken, ROUNDS);
}

static void credit_grows_with_work_that_comes_soon_and_shrinks_with_work_that_does_not(void) {
  mx_park p = {0};
  for (int i = 0; i < 20; i++) {
    p.idle_since_ns = 1000000;
    mx_park_learn(&p, 1000000 + MX_SPIN_NS / 2);
  }
  CHECK(p.patience.credit > 0);
  const int most = p.patience.credit;
  p.idle_since_ns = 1000000;
  mx_park_learn(&p, 1000000 + MX_SPIN_NS / 2);
  CHECK_INT(p.patience.credit, most);
  mx_park_learn(&p, 1); /* the same wait teaches once */
  CHECK_INT(p.patience.credit, most);
  for (int i = 0; i < 20; i++) {
    p.idle_since_ns = 1000000;
    mx_park_learn(&p, 1000000 + 10 * MX_SPIN_NS);
  }
  CHECK_INT(p.patience.credit, 0);
}

int main(void) {
  every_signal_ends_one_wait();
  credit_grows_with_work_that_comes_soon_and_shrinks_with_work_that_does_not();
  return 0;
}
