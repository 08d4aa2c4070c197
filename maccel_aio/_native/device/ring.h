/* ring.h - one submission and completion queue pair.
 *
 * `lock` guards admission: slots go from FREE to QUEUED, and requests are found for cancelling, only under it. The free
 * list belongs to the [ring] thread. Order of locks: ring, then device, then completion queue; cores take the last one. */
#ifndef MX_RING_H
#define MX_RING_H

#include "cq.h"
#include "patience.h"
#include "request.h"

struct maccel_ring {
  maccel_device *device;
  uint32_t credits;
  pthread_mutex_t lock;
  mx_atomic32 closed;   /* written under lock */
  mx_atomic32 accepted; /* counts up and wraps; written under lock */
  mx_atomic32 refs;     /* the owner, and each request until its completion is posted */
  uint64_t sequence;    /* under lock: of the last accepted request */
  mx_request *slots;
  uint32_t *free;       /* [ring] stack of free slots */
  uint32_t free_count;  /* [ring] */
  int may_spin;         /* another CPU can do the work meanwhile */
  mx_patience patience; /* [ring] of maccel_ring_wait */
  mx_cq cq;
};

void mx_ring_hold(maccel_ring *ring);
void mx_ring_release(maccel_ring *ring); /* the last one frees it */

#endif
