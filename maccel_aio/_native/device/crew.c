/* crew.c - queue, threads, parking, stopping. */
#include "crew.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "cpu.h"
#include "rank.h"
#include "status.h"
#include "wait.h"

int mx_crew_create(const char *name, uint32_t cores, int limit, int dry, mx_crew **out) {
  mx_crew *crew = mx_alloc(sizeof *crew, 64);
  MX_RETURN_IF(!crew, MACCEL_E_NOMEM, "no memory for a device");
  int count = __builtin_popcount(cores);
  pthread_mutex_init(&crew->lock, NULL);
  mx_cond_init(&crew->exited);
  crew->free_cores = cores;
  crew->limit = limit < count ? limit : count;
  crew->dry = dry;
  crew->may_spin = mx_cpu_count() >= 2;
  snprintf(crew->name, sizeof crew->name, "%s", name);
  for (int i = 0; i < MX_MAX_CORES; i++) crew->workers[i].crew = crew;
  *out = crew;
  return MACCEL_OK;
}

/* ---- the queue, under lock */
/* LIFO: before the first one that waits for the same model. Requests of other models behind that one wait longer. */
static mx_request *latest_first(const mx_crew *crew, const mx_request *r) {
  for (mx_request *own = crew->head; own; own = own->next)
    if (own->model == r->model) return own->prev;
  return crew->tail;
}

static mx_request *predecessor(const mx_crew *crew, const mx_request *r) {
  mx_request *before = crew->tail;
  while (before && before->priority < r->priority) before = before->prev;
  return before;
}

static void link_in(mx_crew *crew, mx_request *r) {
  const int lifo = r->model->options.schedule == MACCEL_SCHEDULE_LIFO;
  mx_request *before = lifo ? latest_first(crew, r) : predecessor(crew, r);
  r->prev = before;
  r->next = before ? before->next : crew->head;
  if (r->next)
    r->next->prev = r;
  else
    crew->tail = r;
  if (before)
    before->next = r;
  else
    crew->head = r;
  r->linked = 1;
  crew->queued++;
}

void mx_crew_unlink(mx_crew *crew, mx_request *r) {
  if (r->prev)
    r->prev->next = r->next;
  else
    crew->head = r->next;
  if (r->next)
    r->next->prev = r->prev;
  else
    crew->tail = r->prev;
  r->prev = r->next = NULL;
  r->linked = 0;
  crew->queued--;
}

int mx_crew_remove(mx_crew *crew, mx_request *r) {
  pthread_mutex_lock(&crew->lock);
  int linked = r->linked;
  if (linked) mx_crew_unlink(crew, r);
  pthread_mutex_unlock(&crew->lock);
  return linked ? MACCEL_OK : MACCEL_E_ALREADY;
}

/* Takes the whole queue out, as a chain. */
static mx_request *unlink_all(mx_crew *crew) {
  mx_request *first = crew->head;
  for (mx_request *r = first; r; r = r->next) r->linked = 0;
  crew->head = crew->tail = NULL;
  crew->queued = 0;
  return first;
}

/* ---- threads */
/* The next duty, waiting for one. 0: the crew stops. */
static int next_duty(mx_worker *worker, mx_duty *duty) {
  mx_crew *crew = worker->crew;
  pthread_mutex_lock(&crew->lock);
  while (!mx_plan_next(crew, worker, duty)) {
    if (crew->stopping) {
      crew->live--;
      pthread_cond_broadcast(&crew->exited);
      pthread_mutex_unlock(&crew->lock);
      return 0;
    }
    worker->next_idle = crew->idle;
    crew->idle = worker;
    mx_park_prepare(&worker->park);
    pthread_mutex_unlock(&crew->lock);
    mx_park_sleep(&worker->park, crew->may_spin ? &crew->spinning : NULL);
    pthread_mutex_lock(&crew->lock);
  }
  pthread_mutex_unlock(&crew->lock);
  return 1;
}

static void *worker_main(void *arg) {
  mx_worker *worker = arg;
  mx_duty duty;
  mx_rank_lower(worker->crew->nice);
  while (next_duty(worker, &duty)) mx_core_perform(worker->crew, &duty);
  return NULL;
}

/* Signals are for the program's own threads: ours start with all of them blocked. */
static int start_worker(mx_crew *crew) {
  mx_worker *worker = &crew->workers[crew->started];
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (failed) return 0;
  char name[16];
  snprintf(name, sizeof name, "mx-%.8s-%u", crew->name, (unsigned)crew->started % 100u);
  pthread_setname_np(worker->thread, name);
  crew->started++;
  crew->live++;
  return 1;
}

/* One that still spins, or else the latest. */
static mx_worker *take_idle(mx_crew *crew) {
  mx_worker **at = &crew->idle;
  while (*at && !mx_park_is_awake(&(*at)->park)) at = &(*at)->next_idle;
  if (!*at) at = &crew->idle;
  mx_worker *worker = *at;
  *at = worker->next_idle;
  return worker;
}

void mx_crew_summon(mx_crew *crew, int want) {
  for (; want > 0 && crew->idle; want--) {
    mx_worker *worker = take_idle(crew);
    if (mx_park_signal(&worker->park)) mx_park_wake(&worker->park);
  }
  for (; want > 0 && crew->started < crew->limit && !crew->stopping; want--)
    if (!start_worker(crew)) break;
}

/* ---- the way in */
static void complete_chain(mx_request *first, int res) {
  while (first) {
    mx_request *next = first->next;
    first->next = NULL;
    mx_request_complete(first, res);
    first = next;
  }
}

static int helpers_for(const mx_crew *crew, const mx_request *r) {
  switch (r->model->options.core_mode) {
    case MACCEL_MODE_SINGLE: return 1;
    case MACCEL_MODE_MULTI: return (int)(r->batch < MX_MAX_CORES ? r->batch : MX_MAX_CORES);
    default:
      if (r->batch == 1 && !mx_choice_expects_team(&r->model->choice)) return 1;
      return mx_plan_max_parts(crew, r->model);
  }
}

void mx_crew_enqueue(mx_crew *crew, mx_request *first, uint32_t count) {
  pthread_mutex_lock(&crew->lock);
  if (crew->stopping) {
    pthread_mutex_unlock(&crew->lock);
    complete_chain(first, MACCEL_E_CANCELED);
    return;
  }
  int want = 0;
  for (mx_request *r = first, *next; r && count > 0; r = next, count--) {
    next = r->next;
    link_in(crew, r);
    if (want < crew->limit) want += helpers_for(crew, r);
  }
  mx_crew_summon(crew, want < crew->limit ? want : crew->limit);
  mx_request *stranded = crew->live == 0 ? unlink_all(crew) : NULL; /* not one thread could be started */
  pthread_mutex_unlock(&crew->lock);
  complete_chain(stranded, MACCEL_E_SYSTEM);
}

/* The completion comes before the end of this call; the device lives on, as the ring of the caller holds it. */
void mx_crew_perform(mx_crew *crew, mx_request *r) {
  mx_duty duty;
  pthread_mutex_lock(&crew->lock);
  const int here = mx_plan_here(crew, r, &duty);
  crew->visitors += here;
  pthread_mutex_unlock(&crew->lock);
  if (!here) {
    mx_crew_enqueue(crew, r, 1);
    return;
  }
  mx_core_perform(crew, &duty);
  pthread_mutex_lock(&crew->lock);
  crew->visitors--;
  /* What came meanwhile found no idle core. */
  if (crew->head) mx_crew_summon(crew, 1);
  if (crew->stopping) pthread_cond_broadcast(&crew->exited);
  pthread_mutex_unlock(&crew->lock);
}

/* ---- the way out */
void mx_crew_stop(mx_crew *crew) {
  pthread_mutex_lock(&crew->lock);
  crew->stopping = 1;
  mx_request *queued = unlink_all(crew);
  mx_crew_summon(crew, crew->limit);
  pthread_mutex_unlock(&crew->lock);
  complete_chain(queued, MACCEL_E_CANCELED);
}

int mx_crew_join(mx_crew *crew, int64_t timeout_ns) {
  uint64_t deadline = mx_deadline(timeout_ns);
  int late = 0;
  pthread_mutex_lock(&crew->lock);
  while (crew->live + crew->visitors > 0 && !late)
    late = mx_cond_wait_until(&crew->exited, &crew->lock, deadline);
  int left = crew->live + crew->visitors, first = crew->joined;
  if (left == 0) crew->joined = crew->started; /* each thread is joined once, whoever comes first */
  pthread_mutex_unlock(&crew->lock);
  MX_RETURN_IF(left > 0, MACCEL_E_TIMEOUT, "%d cores still run", left);
  for (int i = first; i < crew->started; i++) pthread_join(crew->workers[i].thread, NULL);
  return MACCEL_OK;
}

void mx_crew_destroy(mx_crew *crew) {
  pthread_cond_destroy(&crew->exited);
  pthread_mutex_destroy(&crew->lock);
  mx_free(crew);
}
