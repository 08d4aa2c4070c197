/* barrier.h - the meeting point of the threads of one team. */
#ifndef MX_BARRIER_H
#define MX_BARRIER_H

#include "atomic.h"

/* The phase number is the sense: it changes when the last thread arrives. Zero-initialised memory plus init. */
typedef struct mx_barrier {
  mx_atomic32 phase;    /* written by the last to arrive; the futex word */
  mx_atomic32 arrived;
  mx_atomic32 sleepers;
  uint32_t parts;
  uint32_t spins;       /* looks before sleeping; 0 on one CPU */
} mx_barrier;

void mx_barrier_init(mx_barrier *barrier, int parts, int may_spin);
void mx_barrier_wait(void *barrier); /* the signature of mx_team.wait */

#endif
