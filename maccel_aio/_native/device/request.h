/* request.h - one accepted request, from submission to completion.
 *
 * Life: FREE -> QUEUED (submit) -> RUNNING (a core takes it) -> FINISHING -> DONE (completion visible) -> FREE
 * (harvest). A removed request goes QUEUED -> FINISHING. The state and the generation of the slot share one word, so
 * whoever completes a request twice, or completes an earlier tenant of the slot, changes nothing and is counted. */
#ifndef MX_REQUEST_H
#define MX_REQUEST_H

#include "barrier.h"
#include "object.h"

#define MX_MAX_REQUEST_IO (2 * MACCEL_MAX_IO)

typedef enum mx_request_state {
  MX_REQUEST_FREE = 0,
  MX_REQUEST_QUEUED = 1,
  MX_REQUEST_RUNNING = 2,
  MX_REQUEST_FINISHING = 3,
  MX_REQUEST_DONE = 4
} mx_request_state;

/* What a wrapping device sees of a request on its way through the inner one. */
typedef struct mx_request_hooks {
  /* On the core, before anything runs. OK, or the status to complete with instead of running. */
  int (*begin)(void *self, mx_request *request);
  /* In place of mx_request_finish, which it calls now or later. */
  void (*complete)(void *self, mx_request *request, int res);
} mx_request_hooks;

typedef enum mx_job_kind { MX_JOB_SOLO, MX_JOB_SHARED, MX_JOB_TEAM } mx_job_kind;

/* How cores share the request; under the lock of the crew, except the team's meeting point. */
typedef struct mx_job {
  mx_job_kind kind;
  int active;           /* cores at work on it */
  int res;
  uint32_t next_item;   /* SHARED: first batch item that nobody has taken */
  uint32_t cores;       /* SHARED: cores that may join */
  mx_request *next;     /* SHARED: list of the crew */
  int parts, joined;    /* TEAM */
  mx_context *context;  /* TEAM */
  int cpu;              /* TEAM: where the leader runs */
  mx_atomic64 uploads, downloads; /* TEAM: shares of transfers that someone has taken, over all items */
  mx_team team;
  mx_barrier barrier;
} mx_job;

/* One thing that a request comes after. */
typedef struct mx_link {
  mx_request *who, *behind; /* behind: NULL when it is over */
  struct mx_link *next;     /* of those that are behind the same request */
} mx_link;

struct mx_request {
  mx_atomic64 word; /* generation << 8 | state */
  uint64_t generation;
  maccel_ring *ring;
  uint32_t slot; /* in the ring */
  /* As submitted; written by submit, then constant. */
  maccel_device *device;
  maccel_model *model;
  uint64_t user_data, deadline_ns, sequence;
  uint32_t flags, batch, num_io, io_capacity;
  int32_t priority;
  maccel_io *io;
  uint64_t t_submit_ns, t_start_ns;
  const mx_request_hooks *hooks; /* set by a wrapping device, or NULL */
  void *hooks_self;
  uint64_t ordinal;              /* of a wrapping device */
  mx_request *prev, *next; /* queue of the device */
  int linked;              /* in that queue; under the lock of the device */
  /* Under the chain lock of the ring. */
  mx_link links[MACCEL_MAX_AFTER];
  mx_link *followers;
  uint32_t awaited; /* links that are not over */
  int decided, outcome, inherited;
  mx_job job;
};

static inline mx_request_state mx_request_get_state(mx_request *r) {
  return (mx_request_state)(mx_load_acquire(&r->word) & 0xff);
}
static inline void mx_request_set_state(mx_request *r, mx_request_state state) {
  mx_store_release(&r->word, r->generation << 8 | state);
}

/* A core takes it; under the lock that remove() takes too. */
void mx_request_start(mx_request *r);
/* On the core: the deadline, then the hook. OK to run, else the status to complete with. */
int mx_request_begin(mx_request *r);
/* Exactly once for each request; the request must not be touched afterwards. */
void mx_request_complete(mx_request *r, int res);
/* The end of the way: figures, completion queue. A stale generation or a second call is counted and dropped. */
void mx_request_finish(mx_request *r, uint64_t generation, int res);

#endif
