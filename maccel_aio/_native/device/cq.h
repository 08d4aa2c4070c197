/* cq.h - the completion queue: many producers (cores), one consumer (the owner of the ring).
 *
 * Producers are serialised by a lock that the consumer never takes on its hot path. Arming is a Dekker pair: a producer
 * stores `tail`, then looks at `armed`; the consumer stores `armed`, then looks at `tail`; all four are sequentially
 * consistent, so at least one of the two sees the other and no wake-up is lost. */
#ifndef MX_CQ_H
#define MX_CQ_H

#include <pthread.h>

#include "atomic.h"
#include "maccel.h"
#include "notify.h"

typedef struct mx_request mx_request;

typedef struct mx_cq {
  uint32_t mask;
  maccel_cqe *entries;
  mx_request **requests; /* whose completion each entry is */
  _Alignas(64) mx_atomic32 tail; /* written by producers under lock */
  mx_atomic32 armed;             /* set by the consumer, taken by a producer */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint32_t watchers; /* under lock: threads that want every completion (drain, close) */
  uint32_t flushing; /* under lock: the ring is closed, fewer than wanted may ever come */
  uint32_t wanted;   /* under lock: the consumer sleeps until this many are there; 0 = it does not */
  mx_notify notify;  /* written under lock */
  _Alignas(64) mx_atomic32 head; /* written by the consumer */
} mx_cq;

int mx_cq_open(mx_cq *cq, uint32_t credits);
void mx_cq_close(mx_cq *cq);       /* frees it */
void mx_cq_close_notify(mx_cq *cq);/* [any] closes the descriptor; producers go on without */

/* [any] Makes the completion visible and marks the request DONE. 0: there was no room (never, by credits). */
int mx_cq_post(mx_cq *cq, const maccel_cqe *cqe, mx_request *request);
void mx_cq_ring(mx_cq *cq); /* [any] notifies unconditionally */
void mx_cq_flush(
    mx_cq *cq); /* [any] from now on every completion wakes the consumer; lets sleepers look again */

/* [consumer] */
uint32_t mx_cq_available(mx_cq *cq);
/* When the n-th of those was done; at least n >= 1 are available. */
uint64_t mx_cq_done_ns(const mx_cq *cq, uint32_t n);
uint32_t mx_cq_take(mx_cq *cq, maccel_cqe *out, mx_request **requests, uint32_t n);
int mx_cq_arm(mx_cq *cq); /* 1 armed, 0 completions pending */
void mx_cq_disarm(mx_cq *cq);

/* [consumer] Sleeps once until `min` are there, mx_cq_flush or the deadline. 1 when the deadline has passed. `stop` is
 * asked under the lock, so that a flush after it became true cannot be missed. */
int mx_cq_sleep(mx_cq *cq, uint32_t min, int (*stop)(void *self), void *self, uint64_t deadline_ns);
/* [any] Sleeps until tail moves on from `seen`, mx_cq_flush or the deadline. 1 when the deadline has passed. */
int mx_cq_watch(mx_cq *cq, uint32_t seen, uint64_t deadline_ns);

#endif
