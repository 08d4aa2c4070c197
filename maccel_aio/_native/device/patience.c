#include "patience.h"

#include <sched.h>

#include "maccel.h"
#include "wait.h"

#define MAX_CREDIT 4
#define PENALTY (-16) /* waits without spinning after a spin during which the CPU was taken away */
#define PAUSES 32     /* between two looks at the clock */
#define NEAR 8        /* a near miss ends within so many spins */
#define MANY_NEAR 32 /* near misses in a row before a spin is tried again: 1 part in 32 of the time at most */

int mx_patience_spin(mx_patience *patience, uint64_t most_ns, int (*ready)(void *self), void *self) {
  if (patience->credit <= 0) return 0;
  uint64_t start = maccel_now_ns(), now = start;
  while (now - start < most_ns) {
    for (int i = 0; i < PAUSES; i++) {
      if (ready(self)) return 1;
      mx_pause();
    }
    sched_yield(); /* the one who is waited for may be on this very CPU */
    now = maccel_now_ns();
  }
  if (now - start > 4 * most_ns) patience->credit = PENALTY; /* somebody else needs this CPU */
  return 0;
}

/* What only just comes too late is tried with a spin now and then, and works off a penalty. */
static void just_missed(mx_patience *patience) {
  if (++patience->near < MANY_NEAR) return;
  patience->near = 0;
  patience->credit = 1;
}

void mx_patience_learn(mx_patience *patience, uint64_t most_ns, uint64_t waited_ns) {
  const int paid = waited_ns < most_ns;
  if (paid && patience->credit < MAX_CREDIT) patience->credit++;
  if (!paid && patience->credit > 0) {
    patience->credit--;
  } else if (!paid && waited_ns < NEAR * most_ns) {
    just_missed(patience);
    return;
  }
  patience->near = 0;
}
