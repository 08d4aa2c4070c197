/* crew.h - the threads of a device, its queue, and who runs what.
 *
 * A core is a token in a mask; a thread takes a token and a request together and gives both back. There are never more
 * threads than the host may run at one time, so a device with ten cores on two CPUs runs two of them.
 * One lock guards everything here; it is held for list operations only, never while something runs.
 *
 *   single  one core runs all items of a request
 *   shared  cores take the items of one request one by one (multi)
 *   team    cores run each item together (global4, global8). One team forms at a time: a thread that looks for work
 *           joins it before anything else, so two half teams never wait for each other.
 *
 * A thread of the program may be a core for the time of one short request of its own (mx_crew_perform): what would wait
 * for a core computes instead, and nobody has to be woken up. */
#ifndef MX_CREW_H
#define MX_CREW_H

#include "park.h"
#include "request.h"

typedef struct mx_worker {
  pthread_t thread;
  struct mx_crew *crew;
  struct mx_worker *next_idle; /* under lock */
  mx_park park;
} mx_worker;

typedef struct mx_crew {
  pthread_mutex_t lock;
  pthread_cond_t exited;
  /* under lock */
  mx_request *head, *tail; /* by priority, then submission */
  uint32_t queued;
  uint32_t free_cores;
  mx_request *forming;     /* a team that lacks members */
  mx_request *shared;      /* requests with items left, oldest first */
  mx_worker *idle;         /* latest first: it may still spin */
  int busy, started, live, joined, stopping;
  int visitors; /* threads of the program that are cores now */
  /* constant */
  int limit;      /* most threads */
  int dry;        /* null device: nothing is computed */
  int may_spin;
  int nice;       /* steps that its threads stand back; set before the first one starts */
  char name[12];
  mx_atomic32 spinning; /* one at a time */
  mx_worker workers[MX_MAX_CORES];
} mx_crew;

/* Longest request that a thread of the program carries out itself: its signals and timeouts wait as long. */
#define MX_HERE_NS 50000000u

/* What a thread does next. */
typedef struct mx_duty {
  mx_request *request;
  uint32_t core;       /* token; 0 for a guest, who keeps the one it has */
  int slot;            /* holds an activation slot */
  mx_context *context; /* of that slot; NULL: to be created */
  int lead;            /* took it from the queue */
  int here;            /* by the thread that submitted it */
  int part;            /* of a team */
} mx_duty;

int mx_crew_create(const char *name, uint32_t cores, int limit, int dry, mx_crew **out);
void mx_crew_enqueue(mx_crew *crew, mx_request *first, uint32_t count);
/* Like enqueue of one, but in this thread if it is a short one and a core is idle. */
void mx_crew_perform(mx_crew *crew, mx_request *request);
int mx_crew_remove(mx_crew *crew, mx_request *request);
void mx_crew_stop(mx_crew *crew);
int mx_crew_join(mx_crew *crew, int64_t timeout_ns);
void mx_crew_destroy(mx_crew *crew); /* after join */

/* For plan.c, under lock: at least `want` more threads look for work soon, if there are as many. */
void mx_crew_summon(mx_crew *crew, int want);
void mx_crew_unlink(mx_crew *crew, mx_request *request);

/* plan.c */
/* Under lock: the next duty of this thread. 0 = none. */
int mx_plan_next(mx_crew *crew, mx_worker *worker, mx_duty *duty);
/* Under lock: may the thread that submits this request carry it out? Its duty, or 0. */
int mx_plan_here(mx_crew *crew, mx_request *request, mx_duty *duty);
/* The leader, after begin: decides how many take part. Runs other teams' shares while it must wait. */
void mx_plan_expand(mx_crew *crew, mx_duty *duty);
/* The leader, after the run: how long the request took, from mx_plan_expand on. */
void mx_plan_learn(mx_crew *crew, const mx_duty *duty, uint64_t ns);
/* Takes an item of a shared request: 1 and its index, or 0. */
int mx_plan_item(mx_crew *crew, mx_request *request, uint32_t *item);
/* Gives core and context back. 1: this was the last one, who completes the request. */
int mx_plan_leave(mx_crew *crew, mx_duty *duty, int res);
/* Most threads in one inference of this model. */
int mx_plan_max_parts(const mx_crew *crew, const maccel_model *model);

/* core.c */
void mx_core_perform(mx_crew *crew, mx_duty *duty);
void mx_core_conclude(mx_crew *crew, mx_duty *duty, int res); /* leaves; the last one completes the request */
void mx_core_team_part(mx_request *request, int part);

#endif
