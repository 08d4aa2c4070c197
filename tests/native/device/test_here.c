/* Requests that the submitting thread carries out itself (mx_crew_perform), and those that it must not. */
#include "crew.h"
#include "rig.h"

static int8_t in[RIG_BYTES], out[RIG_BYTES];

static maccel_sqe here(const rig *r, maccel_io io[2], uint64_t user_data) {
  rig_io(io, in, out);
  maccel_sqe sqe = rig_sqe(r, user_data);
  sqe.flags = MACCEL_SQE_HERE;
  sqe.io = io;
  sqe.num_io = 2;
  memset(in, (int)(user_data % 100), sizeof in);
  memset(out, 0, sizeof out);
  return sqe;
}

/* Is the completion there when submit returns? */
static int comes_at_once(rig *r, uint64_t user_data, maccel_cqe *cqe) {
  maccel_io io[2];
  const maccel_sqe sqe = here(r, io, user_data);
  CHECK_INT(rig_submit(r, &sqe), MACCEL_OK);
  const int got = maccel_ring_harvest(r->ring, cqe, 1);
  if (!got) *cqe = rig_next(r);
  return got;
}

static void the_first_time_is_measured_by_a_worker_and_then_nobody_is_woken(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  const mx_crew *crew = r.dev->state;
  maccel_cqe cqe;
  comes_at_once(&r, 1, &cqe);
  const int started = crew->started;
  CHECK(started > 0 && r.model->run_ns > 0);
  for (uint64_t k = 2; k < 50; k++) {
    CHECK_INT(comes_at_once(&r, k, &cqe), 1);
    CHECK_INT(cqe.res, MACCEL_OK);
    CHECK_INT(cqe.user_data, k);
    CHECK(cqe.t_submit_ns <= cqe.t_start_ns && cqe.t_start_ns <= cqe.t_done_ns);
    for (int i = 0; i < RIG_BYTES; i++) CHECK_INT(out[i], (int)k + 3);
  }
  CHECK_INT(crew->started, started);
  CHECK_INT(rig_stats(&r).completed, 49);
  rig_close(&r);
}

static void long_ones_and_batches_are_left_to_the_workers(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  maccel_model *model = r.model;
  mx_crew *crew = r.dev->state;
  mx_request request = {.device = r.dev, .model = model, .batch = 1};
  mx_duty duty;
  pthread_mutex_lock(&crew->lock);
  CHECK(!mx_plan_here(crew, &request, &duty)); /* nothing is known of it */
  mx_store_relaxed(&model->run_ns, MX_HERE_NS + 1);
  CHECK(!mx_plan_here(crew, &request, &duty));
  mx_store_relaxed(&model->run_ns, MX_HERE_NS);
  request.batch = 2;
  CHECK(!mx_plan_here(crew, &request, &duty));
  request.batch = 1;
  crew->busy = crew->limit; /* as many threads as there may be */
  CHECK(!mx_plan_here(crew, &request, &duty));
  crew->busy = 0;
  const uint32_t cores = crew->free_cores;
  crew->free_cores = 0;
  CHECK(!mx_plan_here(crew, &request, &duty));
  crew->free_cores = cores;
  pthread_mutex_unlock(&crew->lock);
  rig_close(&r);
}

static void what_was_queued_before_goes_first(void) {
  rig r;
  rig_open(&r, "soft:0", 4, &(maccel_model_options){.core_mode = MACCEL_MODE_SINGLE, .num_cores = 1});
  maccel_cqe cqe;
  comes_at_once(&r, 1, &cqe);
  mx_crew *crew = r.dev->state;
  mx_request waiting = {.device = r.dev, .model = r.model, .batch = 1}, request = waiting;
  mx_duty duty;
  pthread_mutex_lock(&crew->lock);
  crew->head = &waiting;
  CHECK(!mx_plan_here(crew, &request, &duty));
  crew->head = NULL;
  pthread_mutex_unlock(&crew->lock);
  rig_close(&r);
}

/* The limit is raised by hand, so that a visitor leads a team on every machine. */
static void a_visitor_leads_a_team(void) {
  rig r;
  rig_open(&r, "soft:0", 4, &(maccel_model_options){.core_mode = MACCEL_MODE_GLOBAL4});
  mx_crew *crew = r.dev->state;
  crew->limit = 4;
  r.model->max_parts = 4;
  maccel_cqe cqe;
  for (uint64_t k = 0; k < 200; k++) {
    comes_at_once(&r, k, &cqe);
    CHECK_INT(cqe.res, MACCEL_OK);
    for (int i = 0; i < RIG_BYTES; i++) CHECK_INT(out[i], (int)(k % 100) + 3);
  }
  CHECK(crew->started >= 3);
  rig_close(&r);
}

static void a_closed_device_refuses(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  maccel_cqe cqe;
  comes_at_once(&r, 1, &cqe);
  maccel_io io[2];
  const maccel_sqe sqe = here(&r, io, 2);
  mx_crew_stop(r.dev->state); /* as when another thread closes it between admission and start */
  CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
  CHECK_INT(rig_next(&r).res, MACCEL_E_CANCELED);
  rig_close(&r);
}

static void devices_without_it_queue_as_ever(void) {
  rig r;
  rig_open(&r, "fault:soft:0?fail_every=2", 4, NULL);
  maccel_cqe cqe;
  for (uint64_t k = 1; k < 20; k++) {
    comes_at_once(&r, k, &cqe);
    CHECK_INT(cqe.res, k % 2 ? MACCEL_OK : MACCEL_E_EXEC);
  }
  rig_close(&r);
}

int main(void) {
  the_first_time_is_measured_by_a_worker_and_then_nobody_is_woken();
  long_ones_and_batches_are_left_to_the_workers();
  what_was_queued_before_goes_first();
  a_visitor_leads_a_team();
  a_closed_device_refuses();
  devices_without_it_queue_as_ever();
  return 0;
}
