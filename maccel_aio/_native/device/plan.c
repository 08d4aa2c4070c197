/* plan.c - which thread does what next, and how many take part. Everything under the lock of the crew. */
#include "cpu.h"
#include "crew.h"

/* Below this many multiply-accumulates, some ten microseconds, no team was ever seen to pay: auto mode does not try.
 * Above it the times of the model itself decide (choice.h). */
#define TEAM_MIN_MACS 1000000u

static int min_int(int a, int b) { return a < b ? a : b; }

static int can_wake_partners(const mx_crew *crew) { return crew->limit > 1 && !crew->dry; }

int mx_plan_max_parts(const mx_crew *crew, const maccel_model *model) {
  int want = 1;
  switch (model->options.core_mode) {
    case MACCEL_MODE_GLOBAL4: want = 4; break;
    case MACCEL_MODE_GLOBAL8: want = 8; break;
    case MACCEL_MODE_AUTO: want = model->info.macs >= TEAM_MIN_MACS ? 8 : 1; break;
    default: break;
  }
  if (!can_wake_partners(crew)) return 1;
  want = min_int(want, crew->limit);
  return min_int(want, model->options.num_cores);
}

/* ---- tokens */
static uint32_t lowest_bit(uint32_t mask) { return mask & (0u - mask); }

static uint32_t usable_core(const mx_crew *crew, const maccel_model *model, uint32_t within) {
  return lowest_bit(crew->free_cores & model->options.core_mask & within);
}

static int has_slot(const mx_crew *crew, const maccel_model *model) {
  return crew->dry || model->idle_count > 0 || model->created < model->options.slots;
}

/* May one more core run this model with a context of its own? */
static uint32_t core_for(const mx_crew *crew, const maccel_model *model, uint32_t within) {
  if (model->cores_used >= model->options.num_cores || !has_slot(crew, model)) return 0;
  return usable_core(crew, model, within);
}

static void take_core(mx_crew *crew, mx_request *r, uint32_t core, mx_duty *duty) {
  *duty = (mx_duty){.request = r, .core = core};
  crew->free_cores &= ~core;
  crew->busy++;
  r->model->cores_used++;
  r->job.active++;
}

static void take_slot(mx_crew *crew, maccel_model *model, mx_duty *duty) {
  if (crew->dry) return;
  duty->slot = 1;
  if (model->idle_count > 0)
    duty->context = model->idle[--model->idle_count];
  else
    model->created++; /* the thread creates it, without the lock */
}

/* ---- what to do next */
static int join_team(mx_crew *crew, mx_worker *worker, mx_duty *duty) {
  mx_request *r = crew->forming;
  uint32_t core = r ? usable_core(crew, r->model, ~0u) : 0;
  if (!core) return 0;
  mx_park_learn(&worker->park, r->t_start_ns);
  take_core(crew, r, core, duty);
  duty->part = r->job.joined++;
  if (r->job.joined == r->job.parts) crew->forming = NULL;
  return 1;
}

static int join_shared(mx_crew *crew, mx_duty *duty) {
  for (mx_request *r = crew->shared; r; r = r->job.next) {
    uint32_t core = core_for(crew, r->model, r->job.cores);
    if (!core) continue;
    take_core(crew, r, core, duty);
    take_slot(crew, r->model, duty);
    return 1;
  }
  return 0;
}

static mx_request *first_runnable(const mx_crew *crew, uint32_t *core) {
  for (mx_request *r = crew->head; r; r = r->next)
    if ((*core = core_for(crew, r->model, ~0u))) return r;
  return NULL;
}

/* A core, and a slot, for the leader of a request that is in no queue. */
static void start(mx_crew *crew, mx_request *r, uint32_t core, mx_duty *duty) {
  mx_request_start(r);
  r->job = (mx_job){.kind = MX_JOB_SOLO, .parts = 1};
  take_core(crew, r, core, duty);
  take_slot(crew, r->model, duty);
  duty->lead = 1;
}

static int take_queued(mx_crew *crew, mx_worker *worker, mx_duty *duty) {
  uint32_t core = 0;
  mx_request *r = first_runnable(crew, &core);
  if (!r) return 0;
  mx_crew_unlink(crew, r);
  mx_park_learn(&worker->park, r->t_submit_ns);
  start(crew, r, core, duty);
  if (crew->idle && first_runnable(crew, &core))
    mx_crew_summon(crew, 1); /* what we gave back can serve two */
  return 1;
}

int mx_plan_next(mx_crew *crew, mx_worker *worker, mx_duty *duty) {
  return join_team(crew, worker, duty) || join_shared(crew, duty) || take_queued(crew, worker, duty);
}

int mx_plan_here(mx_crew *crew, mx_request *r, mx_duty *duty) {
  const uint64_t ns = mx_load_relaxed(&r->model->run_ns);
  if (crew->stopping || crew->head || crew->forming || crew->busy >= crew->limit) return 0;
  if (r->batch != 1 || ns == 0 || ns > MX_HERE_NS) return 0;
  const uint32_t core = core_for(crew, r->model, ~0u);
  if (!core) return 0;
  start(crew, r, core, duty);
  duty->here = 1;
  return 1;
}

/* ---- giving back */
/* A context is free when nobody reads it any more: that of a team when its last member leaves, since each fetches its
 * share of the outputs, and the leader may be the first to find none left. */
static mx_context *context_to_return(const mx_duty *duty) {
  const mx_job *job = &duty->request->job;
  if (job->kind == MX_JOB_TEAM) return job->active == 1 ? job->context : NULL;
  return duty->context;
}

static int leave(mx_crew *crew, const mx_duty *duty, int res) {
  mx_job *job = &duty->request->job;
  maccel_model *model = duty->request->model;
  if (duty->core) {
    crew->free_cores |= duty->core;
    crew->busy--;
    model->cores_used--;
  }
  mx_context *context = context_to_return(duty);
  if (context)
    model->idle[model->idle_count++] = context;
  else if (duty->slot && !duty->context)
    model->created--; /* it could not be created */
  if (res != MACCEL_OK && job->res == MACCEL_OK) job->res = res;
  return --job->active == 0;
}

int mx_plan_leave(mx_crew *crew, mx_duty *duty, int res) {
  pthread_mutex_lock(&crew->lock);
  int last = leave(crew, duty, res);
  pthread_mutex_unlock(&crew->lock);
  return last;
}

/* ---- taking part together */
static uint32_t cluster_of(uint32_t core) {
  uint32_t cluster = (uint32_t)__builtin_ctz(core) / MX_CLUSTER_STRIDE;
  return 0xffu << (cluster * MX_CLUSTER_STRIDE);
}

static void share_items(mx_crew *crew, mx_request *r, uint32_t cores) {
  mx_request **end = &crew->shared;
  r->job.kind = MX_JOB_SHARED;
  r->job.cores = cores;
  while (*end) end = &(*end)->job.next;
  *end = r;
  mx_crew_summon(crew, min_int((int)(r->batch < MX_MAX_CORES ? r->batch : MX_MAX_CORES), crew->limit) - 1);
}

int mx_plan_item(mx_crew *crew, mx_request *r, uint32_t *item) {
  pthread_mutex_lock(&crew->lock);
  int got = r->job.next_item < r->batch;
  if (got) *item = r->job.next_item++;
  if (got && r->job.next_item == r->batch) { /* nobody else can join */
    mx_request **at = &crew->shared;
    while (*at != r) at = &(*at)->job.next;
    *at = r->job.next;
  }
  pthread_mutex_unlock(&crew->lock);
  return got;
}

/* A leader that finds another team forming gives it its thread first: else both would wait for each other. */
static void be_guest(mx_crew *crew) {
  mx_duty guest = {.request = crew->forming};
  mx_job *job = &guest.request->job;
  int part = job->joined++;
  if (job->joined == job->parts) crew->forming = NULL;
  job->active++;
  pthread_mutex_unlock(&crew->lock);
  mx_core_team_part(guest.request, part);
  mx_core_conclude(crew, &guest, MACCEL_OK);
  pthread_mutex_lock(&crew->lock);
}

static void form_team(mx_crew *crew, mx_duty *duty, int parts) {
  while (crew->forming) be_guest(crew);
  mx_crew_summon(crew, parts - 1);
  /* Fewer when the system gave no more threads, or they have gone. */
  parts = min_int(parts, crew->live + duty->here);
  if (parts < 2) return;
  mx_job *job = &duty->request->job;
  job->kind = MX_JOB_TEAM;
  job->parts = parts;
  job->joined = 1;
  job->context = duty->context;
  job->cpu = mx_cpu_here();
  mx_barrier_init(&job->barrier, parts, crew->may_spin);
  job->team = (mx_team){.parts = parts, .wait = mx_barrier_wait, .self = &job->barrier};
  crew->forming = duty->request;
}

/* Results are the same to the bit, so a mode that names a team is free to do without one that does not pay: partners
 * that other programs keep off their CPUs make it slower than one core. Several items always share the cores. */
static int wants_team(const mx_request *r) { return r->batch > 1 || mx_choice_team(&r->model->choice); }

static void expand_auto(mx_crew *crew, mx_duty *duty) {
  mx_request *r = duty->request;
  int parts = mx_plan_max_parts(crew, r->model);
  if (r->batch > 1 && crew->queued == 0)
    share_items(crew, r, ~0u);
  else if (parts > 1 && crew->queued == 0 && crew->busy == 1 && wants_team(r))
    form_team(crew, duty, parts);
}

void mx_plan_learn(mx_crew *crew, const mx_duty *duty, uint64_t ns) {
  const mx_request *r = duty->request;
  const uint64_t each = ns / r->batch, best = mx_load_relaxed(&r->model->best_ns);
  mx_store_relaxed(&r->model->run_ns, each);
  if (best == 0 || each < best) mx_store_relaxed(&r->model->best_ns, each);
  if (r->batch > 1 || mx_plan_max_parts(crew, r->model) < 2) return;
  pthread_mutex_lock(&crew->lock);
  mx_choice_learn(&r->model->choice, r->job.kind == MX_JOB_TEAM, ns);
  pthread_mutex_unlock(&crew->lock);
}

void mx_plan_expand(mx_crew *crew, mx_duty *duty) {
  mx_request *r = duty->request;
  int mode = r->model->options.core_mode;
  if (mode == MACCEL_MODE_SINGLE || !can_wake_partners(crew)) return;
  pthread_mutex_lock(&crew->lock);
  int parts = mx_plan_max_parts(crew, r->model);
  if (mode == MACCEL_MODE_AUTO)
    expand_auto(crew, duty);
  else if (mode == MACCEL_MODE_MULTI && r->batch > 1)
    share_items(crew, r, cluster_of(duty->core));
  else if (mode != MACCEL_MODE_MULTI && parts > 1 && wants_team(r))
    form_team(crew, duty, parts);
  pthread_mutex_unlock(&crew->lock);
}
