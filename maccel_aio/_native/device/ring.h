/* ring.h - one submission and completion queue pair.
 *
 * `lock` guards admission: slots go from FREE to QUEUED, and requests are found for cancelling, only under it. The free
 * list belongs to the [ring] thread. Order of locks: ring, then chain, device, or completion queue, one at a time; cores
 * take only these. */
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
  mx_patience glance;   /* [ring] of maccel_ring_carry */
  pthread_mutex_t chain_lock; /* chain.c */
  mx_cq cq;
};

void mx_ring_hold(maccel_ring *ring);
void mx_ring_release(maccel_ring *ring); /* the last one frees it */

/* Most that an event loop looks out for a completion: less than it takes to sleep and wake up. */
#define MX_GLANCE_NS 20000

/* submit.c */
/* Submits one request; with MACCEL_SQE_HERE it may be done when this returns. OK, or why it was not accepted. */
int mx_ring_perform(maccel_ring *ring, const maccel_sqe *sqe, uint64_t user_data, void *input, void *output);
/* Under lock. OK: it had not begun, waits nowhere any more and is completed by the caller. ALREADY. */
int mx_ring_remove(mx_request *request);

/* chain.c: requests that come after others. */
/* Under the ring's lock, for a request that was just filled in. 1: it waits, and is submitted when its turn comes. 0: it
 * does not; *res is how what it comes after has ended. */
int mx_chain_hold(mx_request *request, const maccel_sqe *sqe, int *res);
/* It waits no more: 1. 0: it did not wait. */
int mx_chain_remove(mx_request *request);
/* It has ended so: returns those that waited for nothing else, linked by ->next. */
mx_request *mx_chain_decide(mx_request *request, int res);
/* Takes those that wait for a request away from it: they end with CANCELED. Linked by ->next. */
mx_request *mx_chain_cut(mx_request *request);
/* Submits or completes what the two above returned. */
void mx_chain_release(mx_request *ready);

#endif
