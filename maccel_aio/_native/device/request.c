#include "request.h"

#include "ring.h"

void mx_request_start(mx_request *r) {
  mx_request_set_state(r, MX_REQUEST_RUNNING);
  mx_sub_relaxed(&r->device->counters.queued, 1);
  mx_add_relaxed(&r->device->counters.running, 1);
}

/* The shortest time, not the last: a model that was held up once must get another try. */
static uint64_t needed_ns(maccel_model *model) {
  return model->options.foresee ? mx_load_relaxed(&model->best_ns) : model->options.early_ns;
}

static int is_late(const mx_request *r) {
  if (!r->deadline_ns) return 0;
  const uint64_t left = r->deadline_ns > r->t_start_ns ? r->deadline_ns - r->t_start_ns : 0;
  return left <= needed_ns(r->model);
}

int mx_request_begin(mx_request *r) {
  r->t_start_ns = maccel_now_ns();
  if (is_late(r)) return MACCEL_E_DEADLINE;
  return r->hooks ? r->hooks->begin(r->hooks_self, r) : MACCEL_OK;
}

void mx_request_complete(mx_request *r, int res) {
  if (r->hooks)
    r->hooks->complete(r->hooks_self, r, res);
  else
    mx_request_finish(r, r->generation, res);
}

static void count(mx_counters *c, mx_request_state was, int res) {
  mx_sub_relaxed(was == MX_REQUEST_RUNNING ? &c->running : &c->queued, 1);
  switch (res) {
    case MACCEL_OK: mx_add_relaxed(&c->completed, 1); break;
    case MACCEL_E_CANCELED: mx_add_relaxed(&c->canceled, 1); break;
    case MACCEL_E_DEADLINE: mx_add_relaxed(&c->expired, 1); break;
    default: mx_add_relaxed(&c->failed, 1); break;
  }
}

void mx_request_finish(mx_request *r, uint64_t generation, int res) {
  maccel_ring *ring = r->ring;
  maccel_device *dev = ring->device;
  uint64_t word = mx_load_acquire(&r->word);
  mx_request_state state;
  do {
    state = (mx_request_state)(word & 0xff);
    if (word >> 8 != generation || (state != MX_REQUEST_QUEUED && state != MX_REQUEST_RUNNING)) {
      mx_add_relaxed(&dev->counters.stale, 1);
      return;
    }
  } while (!mx_cas(&r->word, &word, generation << 8 | MX_REQUEST_FINISHING));
  mx_request *ready = mx_chain_decide(r, res);
  count(&dev->counters, state, res);
  mx_sub_acq_rel(&r->model->users, 1); /* whoever sees the completion may unload the model */
  uint64_t now = maccel_now_ns();
  maccel_cqe cqe = {.user_data = r->user_data,
                    .res = res,
                    .t_submit_ns = r->t_submit_ns,
                    .t_start_ns = state == MX_REQUEST_RUNNING ? r->t_start_ns : now,
                    .t_done_ns = now};
  if (!mx_cq_post(&ring->cq, &cqe, r)) mx_add_relaxed(&dev->counters.overflow, 1);
  mx_chain_release(ready); /* after the completion: theirs come later */
  mx_ring_release(ring);
}
