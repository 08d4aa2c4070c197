#include "barrier.h"

#include <limits.h>

#include "wait.h"

/* A look with a pause is 10 to 50 ns: the partners of an instruction arrive within that many microseconds, and a
 * partner that lost its CPU does not hold up ours for longer. */
#define SPINS 1000

void mx_barrier_init(mx_barrier *barrier, int parts, int may_spin) {
  mx_store_relaxed(&barrier->phase, 0);
  mx_store_relaxed(&barrier->arrived, 0);
  mx_store_relaxed(&barrier->sleepers, 0);
  barrier->parts = (uint32_t)parts;
  barrier->spins = may_spin ? SPINS : 0;
}

static void sleep_until_changed(mx_barrier *barrier, uint32_t phase) {
  mx_add_seq(&barrier->sleepers, 1); /* pairs with the last arrival: phase store, then sleepers load */
  while (mx_load_seq(&barrier->phase) == phase) mx_futex_wait(&barrier->phase, phase);
  mx_sub_seq(&barrier->sleepers, 1);
}

void mx_barrier_wait(void *self) {
  mx_barrier *barrier = self;
  uint32_t phase = mx_load_acquire(&barrier->phase); /* cannot change before we arrive */
  if (mx_add_seq(&barrier->arrived, 1) + 1 == barrier->parts) {
    mx_store_relaxed(&barrier->arrived, 0); /* published by the phase store */
    mx_store_seq(&barrier->phase, phase + 1);
    if (mx_load_seq(&barrier->sleepers) > 0) mx_futex_wake(&barrier->phase, INT_MAX);
    return;
  }
  for (uint32_t i = 0; i < barrier->spins; i++) {
    if (mx_load_acquire(&barrier->phase) != phase) return;
    mx_pause();
  }
  sleep_until_changed(barrier, phase);
}
