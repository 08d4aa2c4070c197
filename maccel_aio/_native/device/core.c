/* core.c - what a core does with a request: upload, run, download, item by item. */
#include <string.h>

#include "cpu.h"
#include "crew.h"
#include "status.h"

static const mx_team solo = {.parts = 1};

/* The arrays of one batch item. COMPUTE_ONLY requests have none. */
static void advance_io(const mx_request *r, uint32_t item, maccel_io *out) {
  for (uint32_t i = 0; i < r->num_io; i++) {
    out[i] = r->io[i];
    out[i].data = (char *)r->io[i].data + (int64_t)item * r->io[i].batch_stride;
  }
}

static void run_item(const mx_request *r, mx_context *context, uint32_t item) {
  maccel_io io[MX_MAX_REQUEST_IO];
  int transfer = !(r->flags & MACCEL_SQE_COMPUTE_ONLY);
  advance_io(r, item, io);
  if (transfer) mx_context_upload(context, io);
  mx_context_run(context, &solo, 0);
  if (transfer) mx_context_download(context, io);
}

/* Takes the next share, if one is left below `end`. */
static int take_share(mx_atomic64 *taken, uint64_t end, uint64_t *share) {
  *share = mx_load_relaxed(taken);
  while (*share < end)
    if (mx_cas(taken, share, *share + 1)) return 1;
  return 0;
}

/* Who is here does what is left: nobody waits for a member that is still on its way. */
static void upload_together(mx_job *job, uint32_t item, const maccel_io *io) {
  const uint32_t shares = mx_context_upload_shares(job->context);
  const uint64_t first = (uint64_t)item * shares;
  uint64_t share;
  while (take_share(&job->uploads, first + shares, &share))
    mx_context_upload_share(job->context, io, (uint32_t)(share - first), shares);
}

static void download_together(mx_job *job, uint32_t item, const maccel_io *io) {
  const uint32_t shares = mx_context_download_shares(job->context);
  const uint64_t first = (uint64_t)item * shares;
  uint64_t share;
  while (take_share(&job->downloads, first + shares, &share))
    mx_context_download_share(job->context, io, (uint32_t)(share - first), shares);
}

/* Every member comes here. A run ends with a meeting, so outputs are whole when the first of them is read; between two
 * items another one keeps the inputs of the next, which may lie where outputs were, from coming too early. */
void mx_core_team_part(mx_request *r, int part) {
  mx_job *job = &r->job;
  maccel_io io[MX_MAX_REQUEST_IO];
  const int transfer = !(r->flags & MACCEL_SQE_COMPUTE_ONLY);
  /* A thread that is woken up often starts on the CPU of its waker, and takes milliseconds to be moved. */
  if (part > 0 && mx_cpu_here() == job->cpu) mx_cpu_leave(job->cpu);
  for (uint32_t item = 0; item < r->batch; item++) {
    if (transfer) {
      if (item > 0) mx_barrier_wait(&job->barrier);
      advance_io(r, item, io);
      upload_together(job, item, io);
      mx_barrier_wait(&job->barrier);
    }
    mx_context_run(job->context, &job->team, part);
    if (transfer) download_together(job, item, io);
  }
}

static int ensure_context(mx_duty *duty) {
  if (!duty->slot || duty->context) return MACCEL_OK;
  const maccel_model *model = duty->request->model;
  return mx_context_create(model->program, model->max_parts, &duty->context);
}

static void run_shared(mx_crew *crew, const mx_duty *duty) {
  uint32_t item;
  while (mx_plan_item(crew, duty->request, &item)) run_item(duty->request, duty->context, item);
}

static void run_job(mx_crew *crew, const mx_duty *duty) {
  mx_request *r = duty->request;
  switch (r->job.kind) {
    case MX_JOB_TEAM: mx_core_team_part(r, duty->part); return;
    case MX_JOB_SHARED: run_shared(crew, duty); return;
    default:
      for (uint32_t item = 0; item < r->batch; item++) run_item(r, duty->context, item);
  }
}

void mx_core_conclude(mx_crew *crew, mx_duty *duty, int res) {
  mx_request *r = duty->request;
  if (mx_plan_leave(crew, duty, res)) mx_request_complete(r, r->job.res);
}

static int lead(mx_crew *crew, mx_duty *duty) {
  MX_FORWARD(mx_request_begin(duty->request));
  if (crew->dry) return MACCEL_OK;
  MX_FORWARD(ensure_context(duty));
  const uint64_t start = maccel_now_ns();
  mx_plan_expand(crew, duty);
  run_job(crew, duty);
  mx_plan_learn(crew, duty, maccel_now_ns() - start);
  return MACCEL_OK;
}

/* A helper without memory takes no item; the leader does them all. */
static void help(mx_crew *crew, mx_duty *duty) {
  if (ensure_context(duty) == MACCEL_OK) run_job(crew, duty);
}

void mx_core_perform(mx_crew *crew, mx_duty *duty) {
  mx_counters *counters = &duty->request->device->counters;
  uint64_t start = maccel_now_ns();
  int res = MACCEL_OK;
  if (duty->lead)
    res = lead(crew, duty);
  else
    help(crew, duty);
  mx_add_relaxed(&counters->busy_ns, maccel_now_ns() - start);
  mx_core_conclude(crew, duty, res);
}
