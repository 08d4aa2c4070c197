/* park.h - how a worker without work waits: a short spin where it pays, then a futex. */
#ifndef MX_PARK_H
#define MX_PARK_H

#include "atomic.h"
#include "patience.h"

typedef struct mx_park {
  mx_atomic32 word;       /* AWAKE -> IDLE (owner) -> PARKED (owner) -> SIGNALED (waker) -> AWAKE (owner) */
  mx_patience patience;   /* owner */
  uint64_t idle_since_ns; /* owner: 0 when the last wait has been learned from */
} mx_park;

/* Owner, under the lock that guards signalling: from now on mx_park_signal may come. */
void mx_park_prepare(mx_park *park);
/* Owner, without the lock: returns after the signal. `spinner` is shared: one of a crew spins at a time; NULL = never. */
void mx_park_sleep(mx_park *park, mx_atomic32 *spinner);
/* Waker, under the lock: has it not gone to sleep yet? */
int mx_park_is_awake(mx_park *park);
/* Waker, under the lock, once per prepare. 1: mx_park_wake must follow (the lock may be dropped before). */
int mx_park_signal(mx_park *park);
void mx_park_wake(mx_park *park);
/* Owner: the work that ended the last wait came at this time. */
void mx_park_learn(mx_park *park, uint64_t work_ns);

#endif
