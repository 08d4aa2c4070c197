/* ring.c - opening, harvesting, waiting, draining and closing; submit.c has the way in. */
#include "ring.h"

#include "alloc.h"
#include "cpu.h"
#include "status.h"
#include "wait.h"

#define MAX_CREDITS (1u << 16) /* a slot is 16 bits of user_data */

int maccel_ring_open(maccel_device *dev, uint32_t credits, maccel_ring **out) {
  MX_RETURN_IF(!dev || !out, MACCEL_E_INVALID, "a device and a place for the ring are needed");
  MX_RETURN_IF(credits < 1 || credits > MAX_CREDITS, MACCEL_E_INVALID, "credits is %u; allowed are 1 to %u",
               credits, MAX_CREDITS);
  MX_FORWARD(mx_device_check_process(dev));
  MX_RETURN_IF(mx_load_acquire(&dev->closed), MACCEL_E_CLOSED, "the device %s is closed", dev->info.name);
  maccel_ring *ring = mx_alloc(sizeof *ring, 64);
  mx_request *slots = mx_alloc(credits * sizeof *slots, 64);
  uint32_t *list = mx_alloc(credits * sizeof *list, 64);
  int status = ring && slots && list ? mx_cq_open(&ring->cq, credits)
                                     : mx_fail(MACCEL_E_NOMEM, "no memory for a ring of %u", credits);
  if (status != MACCEL_OK) {
    mx_free(ring);
    mx_free(slots);
    mx_free(list);
    return status;
  }
  ring->device = dev;
  ring->credits = ring->free_count = credits;
  ring->slots = slots;
  ring->free = list;
  ring->may_spin = mx_cpu_count() >= 2;
  for (uint32_t i = 0; i < credits; i++) {
    slots[i].ring = ring;
    slots[i].slot = i;
    list[i] = credits - 1 - i;
  }
  pthread_mutex_init(&ring->lock, NULL);
  pthread_mutex_init(&ring->chain_lock, NULL);
  mx_store_relaxed(&ring->refs, 1);
  mx_device_hold(dev);
  *out = ring;
  return MACCEL_OK;
}

static void ring_destroy(maccel_ring *ring) {
  mx_cq_close(&ring->cq);
  for (uint32_t i = 0; i < ring->credits; i++) mx_free(ring->slots[i].io);
  pthread_mutex_destroy(&ring->chain_lock);
  pthread_mutex_destroy(&ring->lock);
  mx_free(ring->slots);
  mx_free(ring->free);
  maccel_device *dev = ring->device;
  mx_free(ring);
  mx_device_release(dev);
}

void mx_ring_hold(maccel_ring *ring) { mx_add_relaxed(&ring->refs, 1); }

void mx_ring_release(maccel_ring *ring) {
  if (mx_sub_acq_rel(&ring->refs, 1) == 1) ring_destroy(ring);
}

/* Accepted and not completed. */
static uint32_t outstanding(maccel_ring *ring) {
  return mx_load_acquire(&ring->accepted) - mx_load_acquire(&ring->cq.tail);
}

/* ---- harvest */
#define CHUNK 64

int maccel_ring_harvest(maccel_ring *ring, maccel_cqe *out, uint32_t n) {
  MX_FORWARD(mx_device_check_process(ring->device));
  mx_request *done[CHUNK];
  uint32_t taken = 0;
  while (taken < n) {
    uint32_t want = n - taken < CHUNK ? n - taken : CHUNK;
    uint32_t got = mx_cq_take(&ring->cq, out + taken, done, want);
    for (uint32_t i = 0; i < got; i++) {
      mx_request_set_state(done[i], MX_REQUEST_FREE);
      ring->free[ring->free_count++] = done[i]->slot;
    }
    taken += got;
    if (got < want) break;
  }
  return (int)taken;
}

int maccel_ring_arm(maccel_ring *ring) {
  MX_FORWARD(mx_device_check_process(ring->device));
  return mx_cq_arm(&ring->cq) ? MACCEL_OK : MACCEL_E_BUSY;
}

int maccel_ring_clear(maccel_ring *ring) {
  MX_FORWARD(mx_device_check_process(ring->device));
  mx_notify_clear(&ring->cq.notify);
  return MACCEL_OK;
}

int maccel_ring_notify(maccel_ring *ring) {
  MX_FORWARD(mx_device_check_process(ring->device));
  mx_cq_ring(&ring->cq);
  return MACCEL_OK;
}

/* Takes what is there until there is no room, or nothing more to take and the notification armed. */
static int harvest_and_arm(maccel_ring *ring, maccel_cqe *out, uint32_t n, int32_t *armed) {
  uint32_t taken = 0;
  for (;;) {
    taken += (uint32_t)maccel_ring_harvest(ring, out + taken, n - taken);
    *armed = mx_cq_available(&ring->cq) == 0 && mx_cq_arm(&ring->cq);
    if (*armed || taken == n) return (int)taken;
  }
}

int maccel_ring_reap(maccel_ring *ring, maccel_cqe *out, uint32_t n, int32_t *armed) {
  *armed = 0;
  MX_FORWARD(maccel_ring_clear(
      ring)); /* before harvesting: a completion after it makes the descriptor readable again */
  const int taken = harvest_and_arm(ring, out, n, armed);
  /* A request that was alone and brief: the next one is worth a look-out. */
  if (taken == 1) mx_patience_learn(&ring->glance, MX_GLANCE_NS, out->t_done_ns - out->t_submit_ns);
  return taken;
}

int maccel_ring_fd(const maccel_ring *ring) { return ring->cq.notify.read_fd; }

uint32_t maccel_ring_in_flight(const maccel_ring *ring) {
  maccel_ring *r = (maccel_ring *)ring; /* atomics are read through plain pointers */
  uint32_t head = mx_load_acquire(&r->cq.head);
  return mx_load_acquire(&r->accepted) - head;
}

/* ---- waiting */
static int nothing_will_come(void *self) {
  maccel_ring *ring = self;
  return mx_load_acquire(&ring->closed) && outstanding(ring) == 0;
}

typedef struct awaited {
  mx_cq *cq;
  uint32_t min;
} awaited;

static int has_come(void *self) {
  const awaited *a = self;
  return mx_cq_available(a->cq) >= a->min;
}

/* Before sleeping: what comes within a few microseconds is not worth a sleep. */
static void look_out(maccel_ring *ring, uint32_t min, int64_t timeout_ns) {
  awaited a = {&ring->cq, min};
  if (ring->may_spin && (timeout_ns < 0 || timeout_ns > MX_SPIN_NS))
    mx_patience_spin(&ring->patience, MX_SPIN_NS, has_come, &a);
}

static void glance(maccel_ring *ring, uint64_t start) {
  awaited a = {&ring->cq, 1};
  if (mx_cq_available(&ring->cq) || !ring->may_spin || ring->glance.credit <= 0) return;
  const int came = mx_patience_spin(&ring->glance, MX_GLANCE_NS, has_come, &a);
  mx_patience_learn(&ring->glance, MX_GLANCE_NS, came ? mx_cq_done_ns(&ring->cq, 1) - start : MX_GLANCE_NS);
}

int maccel_ring_carry(maccel_ring *ring, const maccel_sqe *sqe, uint64_t user_data, void *input, void *output,
                      maccel_cqe *out, uint32_t n) {
  MX_FORWARD(mx_device_check_process(ring->device));
  mx_cq_disarm(&ring->cq); /* we are looking: nobody needs to write a descriptor */
  const uint64_t start = maccel_now_ns();
  int status = mx_ring_perform(ring, sqe, user_data, input, output), armed = 0;
  if (status == MACCEL_OK) glance(ring, start);
  const int taken = harvest_and_arm(ring, out, n, &armed);
  if (!armed) mx_cq_ring(&ring->cq);
  if (status != MACCEL_OK) return status;
  if (taken != 1 || out->user_data != user_data || out->res != MACCEL_OK) return taken;
  const uint64_t since = maccel_now_ns() - out->t_done_ns;
  return MACCEL_CARRIED + (int)(since < MACCEL_CARRIED ? since : MACCEL_CARRIED - 1);
}

int maccel_ring_wait(maccel_ring *ring, uint32_t min, int64_t timeout_ns) {
  MX_FORWARD(mx_device_check_process(ring->device));
  MX_RETURN_IF(min > ring->credits, MACCEL_E_INVALID, "cannot wait for %u completions with %u credits", min,
               ring->credits);
  if (mx_cq_available(&ring->cq) >= min) return MACCEL_OK;
  const uint64_t start = maccel_now_ns(), deadline = mx_deadline(timeout_ns);
  look_out(ring, min, timeout_ns);
  for (int late = 0;; late = mx_cq_sleep(&ring->cq, min, nothing_will_come, ring, deadline)) {
    if (mx_cq_available(&ring->cq) >= min) {
      const uint64_t came = mx_cq_done_ns(&ring->cq, min);
      mx_patience_learn(&ring->patience, MX_SPIN_NS, came > start ? came - start : 0);
      return MACCEL_OK;
    }
    MX_RETURN_IF(nothing_will_come(ring), MACCEL_E_CLOSED, "the ring is closed and all is done");
    MX_RETURN_IF(late, MACCEL_E_TIMEOUT, "fewer than %u completions within the timeout", min);
  }
}

/* Is a request that was accepted up to `sequence` still without a completion? */
static int open_up_to(maccel_ring *ring, uint64_t sequence) {
  int found = 0;
  pthread_mutex_lock(&ring->lock);
  for (uint32_t i = 0; i < ring->credits && !found; i++) {
    mx_request *r = &ring->slots[i];
    mx_request_state state = mx_request_get_state(r);
    found = state != MX_REQUEST_FREE && state != MX_REQUEST_DONE && r->sequence <= sequence;
  }
  pthread_mutex_unlock(&ring->lock);
  return found;
}

int maccel_ring_drain(maccel_ring *ring, int64_t timeout_ns) {
  MX_FORWARD(mx_device_check_process(ring->device));
  uint64_t deadline = mx_deadline(timeout_ns);
  pthread_mutex_lock(&ring->lock);
  uint64_t sequence = ring->sequence;
  pthread_mutex_unlock(&ring->lock);
  for (int late = 0;;) {
    uint32_t seen = mx_load_acquire(&ring->cq.tail); /* before looking: a later completion ends the sleep */
    if (outstanding(ring) == 0 || !open_up_to(ring, sequence)) return MACCEL_OK;
    MX_RETURN_IF(late, MACCEL_E_TIMEOUT, "%u requests still run", outstanding(ring));
    late = mx_cq_watch(&ring->cq, seen, deadline);
  }
}

/* ---- closing */
static void cancel_queued(maccel_ring *ring) {
  for (uint32_t i = 0; i < ring->credits; i++) {
    mx_request *r = &ring->slots[i];
    if (mx_request_get_state(r) == MX_REQUEST_QUEUED && mx_ring_remove(r) == MACCEL_OK)
      mx_request_complete(r, MACCEL_E_CANCELED);
  }
}

static void stop_admission(maccel_ring *ring) {
  pthread_mutex_lock(&ring->lock);
  mx_store_release(&ring->closed, 1);
  cancel_queued(ring);
  pthread_mutex_unlock(&ring->lock);
  mx_cq_flush(&ring->cq);
}

int maccel_ring_close(maccel_ring *ring, int64_t timeout_ns) {
  MX_FORWARD(mx_device_check_process(ring->device));
  uint64_t deadline = mx_deadline(timeout_ns);
  stop_admission(ring);
  for (int late = 0;;) {
    uint32_t seen = mx_load_acquire(&ring->cq.tail);
    uint32_t left = outstanding(ring);
    if (left == 0) return MACCEL_OK;
    MX_RETURN_IF(late, MACCEL_E_TIMEOUT, "%u requests still run", left);
    late = mx_cq_watch(&ring->cq, seen, deadline);
  }
}

void maccel_ring_free(maccel_ring *ring) {
  /* In a forked child nothing is released: locks may be held by threads that do not exist here. */
  if (!ring || mx_device_check_process(ring->device) != MACCEL_OK) return;
  stop_admission(ring);
  mx_add_relaxed(&ring->device->counters.abandoned, outstanding(ring));
  mx_cq_close_notify(&ring->cq);
  mx_ring_release(ring);
}
