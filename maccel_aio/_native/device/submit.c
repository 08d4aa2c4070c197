/* submit.c - admission to a ring, and the way out of the queue before a core takes it. */
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "status.h"

static int check_sqe(const maccel_ring *ring, const maccel_sqe *sqe) {
  const maccel_model *model = sqe->model;
  const uint32_t known = MACCEL_SQE_COMPUTE_ONLY | MACCEL_SQE_HERE;
  MX_RETURN_IF(model->device != ring->device, MACCEL_E_INVALID, "the model is not on this device");
  MX_RETURN_IF(sqe->batch < 1, MACCEL_E_INVALID, "a request has at least one batch item");
  MX_RETURN_IF(sqe->flags & ~known, MACCEL_E_INVALID, "unknown request flags %#x", sqe->flags);
  MX_RETURN_IF(sqe->num_after > MACCEL_MAX_AFTER, MACCEL_E_INVALID,
               "a request may come after at most %d others, not %u", MACCEL_MAX_AFTER, sqe->num_after);
  if (sqe->flags & MACCEL_SQE_COMPUTE_ONLY) return MACCEL_OK;
  uint32_t need = model->info.num_inputs + model->info.num_outputs;
  MX_RETURN_IF(sqe->num_io != need || !sqe->io, MACCEL_E_INVALID,
               "the model has %u inputs and %u outputs, %u arrays given", model->info.num_inputs,
               model->info.num_outputs, sqe->io ? sqe->num_io : 0);
  for (uint32_t i = 0; i < need; i++)
    MX_RETURN_IF(!sqe->io[i].data, MACCEL_E_INVALID, "array %u has no memory", i);
  return mx_program_check_io(model->program, sqe->io, sqe->num_io);
}

static int copy_io(mx_request *r, const maccel_sqe *sqe) {
  r->num_io = sqe->flags & MACCEL_SQE_COMPUTE_ONLY ? 0 : sqe->num_io;
  if (r->num_io > r->io_capacity) {
    maccel_io *io = realloc(r->io, r->num_io * sizeof *io);
    MX_RETURN_IF(!io, MACCEL_E_NOMEM, "no memory for %u arrays", r->num_io);
    r->io = io;
    r->io_capacity = r->num_io;
  }
  if (r->num_io) memcpy(r->io, sqe->io, r->num_io * sizeof *r->io);
  return MACCEL_OK;
}

static void fill(mx_request *r, const maccel_sqe *sqe, uint64_t now) {
  maccel_ring *ring = r->ring;
  r->device = ring->device;
  r->model = sqe->model;
  r->user_data = sqe->user_data;
  r->deadline_ns = sqe->deadline_ns;
  r->sequence = ++ring->sequence;
  r->flags = sqe->flags;
  r->batch = sqe->batch;
  r->priority = sqe->model->options.schedule == MACCEL_SCHEDULE_BY_PRIORITY ? sqe->priority : 0;
  r->t_submit_ns = r->t_start_ns = now;
  r->hooks = NULL;
  r->prev = r->next = NULL;
  r->followers = NULL;
  r->awaited = 0;
  r->decided = 0;
  r->outcome = r->inherited = MACCEL_OK;
  r->generation++;
  mx_request_set_state(r, MX_REQUEST_QUEUED);
}

/* OK: it is not unloaded before the hold is given back. */
static int hold_model(maccel_model *model) {
  mx_add_seq(&model->users, 1); /* pairs with maccel_model_unload: unloading store, then users load */
  if (!mx_load_seq(&model->unloading)) return MACCEL_OK;
  mx_sub_seq(&model->users, 1);
  return mx_fail(MACCEL_E_INVALID, "the model is unloaded");
}

/* Puts one request into a slot. The model is held before it is looked at, so that unloading cannot slip in. */
static int accept_one(maccel_ring *ring, const maccel_sqe *sqe, uint64_t now, mx_request **out) {
  MX_RETURN_IF(ring->free_count == 0, MACCEL_E_AGAIN, "all %u credits are taken", ring->credits);
  MX_RETURN_IF(!sqe->model, MACCEL_E_INVALID, "the model is not on this device");
  MX_FORWARD(hold_model(sqe->model));
  mx_request *r = &ring->slots[ring->free[ring->free_count - 1]];
  int status = check_sqe(ring, sqe);
  if (status == MACCEL_OK) status = copy_io(r, sqe);
  if (status != MACCEL_OK) {
    mx_sub_acq_rel(&sqe->model->users, 1);
    return status;
  }
  ring->free_count--;
  fill(r, sqe, now);
  *out = r;
  return MACCEL_OK;
}

static int check_open(maccel_ring *ring) {
  maccel_device *dev = ring->device;
  MX_RETURN_IF(mx_load_acquire(&dev->lost), MACCEL_E_DEVICE_LOST, "the device %s is lost", dev->info.name);
  MX_RETURN_IF(mx_load_acquire(&ring->closed), MACCEL_E_CLOSED, "the ring is closed");
  MX_RETURN_IF(mx_load_acquire(&dev->closed), MACCEL_E_CLOSED, "the device %s is closed", dev->info.name);
  return MACCEL_OK;
}

static int wants_here(const maccel_device *dev, const maccel_sqe *sqes, uint32_t n) {
  return n == 1 && (sqes[0].flags & MACCEL_SQE_HERE) && dev->iface->perform;
}

/* What one call accepted. */
typedef struct batch {
  mx_request *first, *last; /* to be queued, linked by ->next */
  uint32_t queued, accepted;
  mx_request *ended;        /* what they come after has failed: linked by ->next */
} batch;

static void add(batch *b, mx_request *r, const maccel_sqe *sqe) {
  b->accepted++;
  if (sqe->num_after && mx_chain_hold(r, sqe, &r->inherited)) return;
  if (r->inherited != MACCEL_OK) {
    r->next = b->ended;
    b->ended = r;
    return;
  }
  if (b->last)
    b->last->next = r;
  else
    b->first = r;
  b->last = r;
  b->queued++;
}

/* Under the lock of the ring. */
static int accept_all(maccel_ring *ring, const maccel_sqe *sqes, uint32_t n, batch *b) {
  maccel_device *dev = ring->device;
  MX_FORWARD(check_open(ring));
  mx_request *r = NULL;
  uint64_t now = maccel_now_ns();
  int status = MACCEL_OK;
  while (b->accepted < n && (status = accept_one(ring, &sqes[b->accepted], now, &r)) == MACCEL_OK) {
    mx_add_relaxed(&ring->refs, 1); /* before anybody can complete it */
    mx_store_release(&ring->accepted, mx_load_relaxed(&ring->accepted) + 1);
    mx_add_relaxed(&dev->counters.submitted, 1);
    mx_add_relaxed(&dev->counters.queued, 1);
    add(b, r, &sqes[b->accepted]);
  }
  return status;
}

static int take_in(maccel_ring *ring, const maccel_sqe *sqes, uint32_t n, uint32_t *accepted) {
  maccel_device *dev = ring->device;
  const int here = wants_here(dev, sqes, n);
  batch b = {0};
  pthread_mutex_lock(&ring->lock);
  int status = accept_all(ring, sqes, n, &b);
  if (b.queued && !here) dev->iface->enqueue(dev, b.first, b.queued);
  mx_chain_release(b.ended);
  pthread_mutex_unlock(&ring->lock);
  *accepted = b.accepted;
  /* Without the lock: others may cancel and close meanwhile, and see a request that is on the device. */
  if (b.queued && here) dev->iface->perform(dev, b.first);
  return status;
}

int maccel_ring_submit(maccel_ring *ring, const maccel_sqe *sqes, uint32_t n, uint32_t *accepted) {
  *accepted = 0;
  MX_FORWARD(mx_device_check_process(ring->device));
  return take_in(ring, sqes, n, accepted);
}

int mx_ring_perform(maccel_ring *ring, const maccel_sqe *sqe, uint64_t user_data, void *input, void *output) {
  maccel_io io[MX_MAX_REQUEST_IO];
  maccel_sqe own = *sqe;
  const uint32_t inputs = sqe->model ? sqe->model->info.num_inputs : 0;
  MX_RETURN_IF(inputs < 1 || !sqe->io || sqe->num_io <= inputs || sqe->num_io > MX_MAX_REQUEST_IO,
               MACCEL_E_INVALID, "a request that is carried has an input and an output");
  memcpy(io, sqe->io, sqe->num_io * sizeof *io);
  io[0].data = input;
  io[inputs].data = output;
  own.io = io;
  own.user_data = user_data;
  uint32_t accepted = 0;
  return take_in(ring, &own, 1, &accepted);
}

int mx_ring_remove(mx_request *r) {
  return mx_chain_remove(r) ? MACCEL_OK : r->device->iface->remove(r->device, r);
}

/* The live request with this user_data, or NULL. Under the lock: a slot cannot be taken again meanwhile. */
static mx_request *find_live(maccel_ring *ring, uint64_t user_data) {
  for (uint32_t i = 0; i < ring->credits; i++) {
    mx_request *r = &ring->slots[i];
    mx_request_state state = mx_request_get_state(r);
    if ((state == MX_REQUEST_QUEUED || state == MX_REQUEST_RUNNING) && r->user_data == user_data) return r;
  }
  return NULL;
}

int maccel_ring_cancel(maccel_ring *ring, uint64_t user_data) {
  MX_FORWARD(mx_device_check_process(ring->device));
  pthread_mutex_lock(&ring->lock);
  mx_request *r = find_live(ring, user_data);
  int status = r ? mx_ring_remove(r) : MACCEL_E_NOT_FOUND;
  if (status == MACCEL_OK) mx_request_complete(r, MACCEL_E_CANCELED);
  if (status == MACCEL_E_ALREADY) mx_chain_release(mx_chain_cut(r));
  pthread_mutex_unlock(&ring->lock);
  /* Plain outcomes, not mishaps, but the sentence must not be an older one. */
  if (status == MACCEL_E_NOT_FOUND) return mx_fail(status, "no such request, or it is done");
  if (status == MACCEL_E_ALREADY) return mx_fail(status, "the request is on the device");
  return status;
}
