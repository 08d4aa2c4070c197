#include "cq.h"

#include "alloc.h"
#include "request.h"
#include "status.h"
#include "wait.h"

static uint32_t round_up_pow2(uint32_t n) {
  uint32_t p = 1;
  while (p < n) p *= 2;
  return p;
}

int mx_cq_open(mx_cq *cq, uint32_t credits) {
  uint32_t size = round_up_pow2(credits);
  cq->mask = size - 1;
  cq->entries = mx_alloc(size * sizeof *cq->entries, 64);
  cq->requests = mx_alloc(size * sizeof *cq->requests, 64);
  int status = MACCEL_E_NOMEM;
  if (cq->entries && cq->requests) status = mx_notify_open(&cq->notify, 0);
  if (status != MACCEL_OK) {
    mx_free(cq->entries);
    mx_free(cq->requests);
    return status == MACCEL_E_NOMEM ? mx_fail(status, "no memory for a queue of %u", credits) : status;
  }
  pthread_mutex_init(&cq->lock, NULL);
  mx_cond_init(&cq->changed);
  return MACCEL_OK;
}

void mx_cq_close(mx_cq *cq) {
  mx_notify_close(&cq->notify);
  pthread_cond_destroy(&cq->changed);
  pthread_mutex_destroy(&cq->lock);
  mx_free(cq->entries);
  mx_free(cq->requests);
}

void mx_cq_close_notify(mx_cq *cq) {
  pthread_mutex_lock(&cq->lock);
  mx_store_seq(&cq->armed, 0);
  mx_notify_close(&cq->notify);
  pthread_mutex_unlock(&cq->lock);
}

static int someone_waits(mx_cq *cq, uint32_t tail) {
  if (cq->watchers) return 1;
  return cq->wanted && (cq->flushing || tail - mx_load_acquire(&cq->head) >= cq->wanted);
}

int mx_cq_post(mx_cq *cq, const maccel_cqe *cqe, mx_request *request) {
  pthread_mutex_lock(&cq->lock);
  uint32_t tail = mx_load_relaxed(&cq->tail); /* only producers write it, under this lock */
  int room = tail - mx_load_acquire(&cq->head) <= cq->mask;
  if (room) {
    cq->entries[tail & cq->mask] = *cqe;
    cq->requests[tail & cq->mask] = request;
    mx_request_set_state(request, MX_REQUEST_DONE);
    mx_store_seq(&cq->tail, ++tail); /* pairs with mx_cq_arm */
  }
  /* The write is under the lock so that the descriptor cannot be closed, and its number reused, in between. */
  if (mx_load_seq(&cq->armed) && mx_exchange_seq(&cq->armed, 0)) mx_notify_ring(&cq->notify);
  int wake = someone_waits(cq, tail);
  pthread_mutex_unlock(&cq->lock);
  if (wake) pthread_cond_broadcast(&cq->changed); /* the request still holds the ring */
  return room;
}

void mx_cq_ring(mx_cq *cq) {
  pthread_mutex_lock(&cq->lock);
  if (cq->notify.write_fd >= 0) mx_notify_ring(&cq->notify);
  pthread_mutex_unlock(&cq->lock);
}

void mx_cq_flush(mx_cq *cq) {
  pthread_mutex_lock(&cq->lock);
  cq->flushing = 1;
  pthread_cond_broadcast(&cq->changed);
  pthread_mutex_unlock(&cq->lock);
}

uint32_t mx_cq_available(mx_cq *cq) { return mx_load_acquire(&cq->tail) - mx_load_relaxed(&cq->head); }

uint64_t mx_cq_done_ns(const mx_cq *cq, uint32_t n) {
  const uint32_t head = mx_load_relaxed(&cq->head); /* only the caller writes it */
  return cq->entries[(head + n - 1) & cq->mask].t_done_ns;
}

uint32_t mx_cq_take(mx_cq *cq, maccel_cqe *out, mx_request **requests, uint32_t n) {
  uint32_t head = mx_load_relaxed(&cq->head), available = mx_cq_available(cq);
  if (n > available) n = available;
  for (uint32_t i = 0; i < n; i++) {
    out[i] = cq->entries[(head + i) & cq->mask];
    requests[i] = cq->requests[(head + i) & cq->mask];
  }
  mx_store_release(&cq->head, head + n); /* pairs with the room check of mx_cq_post */
  return n;
}

int mx_cq_arm(mx_cq *cq) {
  mx_store_seq(&cq->armed, 1); /* pairs with mx_cq_post: tail store, then armed load */
  if (mx_load_seq(&cq->tail) == mx_load_relaxed(&cq->head)) return 1;
  mx_store_seq(&cq->armed, 0); /* a producer may have rung meanwhile: one spurious wake-up */
  return 0;
}

void mx_cq_disarm(mx_cq *cq) { mx_store_seq(&cq->armed, 0); }

int mx_cq_sleep(mx_cq *cq, uint32_t min, int (*stop)(void *), void *self, uint64_t deadline_ns) {
  int late = 0;
  pthread_mutex_lock(&cq->lock);
  cq->wanted = min;
  if (mx_cq_available(cq) < min && !stop(self))
    late = mx_cond_wait_until(&cq->changed, &cq->lock, deadline_ns);
  cq->wanted = 0;
  pthread_mutex_unlock(&cq->lock);
  return late;
}

int mx_cq_watch(mx_cq *cq, uint32_t seen, uint64_t deadline_ns) {
  int late = 0;
  pthread_mutex_lock(&cq->lock);
  cq->watchers++;
  if (mx_load_relaxed(&cq->tail) == seen) late = mx_cond_wait_until(&cq->changed, &cq->lock, deadline_ns);
  cq->watchers--;
  pthread_mutex_unlock(&cq->lock);
  return late;
}
