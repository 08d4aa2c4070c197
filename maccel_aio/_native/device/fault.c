/* fault.c - wraps another device and makes it misbehave, the same way for the same seed and order of submission.
 *
 *   delay_ms=X         a core takes this much longer before it runs a request
 *   fail_every=N       every Nth submitted request ends in E_EXEC and does not run
 *   fail_rate=P        so does this share of the requests
 *   hang_every=N       every Nth never completes; at loss or close it ends in E_DEVICE_LOST. Its core goes on.
 *   reorder=1          completions come in another order
 *   duplicate_every=N  the completion of every Nth is posted twice
 *   lose_after=N       after N successes the device is gone: all others, and all later ones, end in E_DEVICE_LOST
 *   seed=S
 * Other options go to the wrapped device. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "options.h"
#include "ring.h"
#include "status.h"
#include "wait.h"

#define RES_HANG (-1000) /* internal: a core reports that the request will not complete */
#define MAX_HELD 8

typedef struct settings {
  double delay_ms, fail_every, fail_rate, hang_every, reorder, duplicate_every, lose_after, seed;
} settings;

typedef struct held_result {
  mx_request *request;
  int res;
} held_result;

typedef struct fault_state {
  maccel_device *outer, *inner;
  settings set;
  pthread_mutex_t lock;
  pthread_cond_t gone; /* the device was lost */
  /* under lock */
  uint64_t ordinal; /* of the last submitted request, from 1 */
  uint64_t successes; /* given out */
  uint64_t outstanding; /* inside the inner device */
  uint64_t random;
  int lost, joined;
  mx_request *hung; /* linked by next */
  held_result held[MAX_HELD];
  int held_count;
} fault_state;

static uint64_t mix(uint64_t x) { /* splitmix64 */
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static int every(double n, uint64_t ordinal) { return n > 0 && ordinal > 0 && ordinal % (uint64_t)n == 0; }

static int should_fail(const fault_state *f, uint64_t ordinal) {
  if (every(f->set.fail_every, ordinal)) return 1;
  uint64_t r = mix((uint64_t)f->set.seed ^ mix(ordinal));
  return (double)(r >> 11) * 0x1p-53 < f->set.fail_rate;
}

/* ---- delivery: never under the lock */
static void deliver(const fault_state *f, mx_request *r, int res) {
  maccel_ring *ring = r->ring;
  uint64_t generation = r->generation;
  int twice = every(f->set.duplicate_every, r->ordinal);
  if (twice) mx_ring_hold(ring); /* the first completion may be the one that frees it */
  mx_request_finish(r, generation, res);
  if (!twice) return;
  mx_request_finish(r, generation, res);
  mx_ring_release(ring);
}

static void deliver_hung(fault_state *f) {
  pthread_mutex_lock(&f->lock);
  mx_request *r = f->hung;
  f->hung = NULL;
  pthread_mutex_unlock(&f->lock);
  while (r) {
    mx_request *next = r->next;
    r->next = NULL;
    deliver(f, r, MACCEL_E_DEVICE_LOST);
    r = next;
  }
}

static void lose(fault_state *f) {
  mx_store_release(&f->outer->lost, 1);
  pthread_mutex_lock(&f->lock);
  f->lost = 1;
  pthread_cond_broadcast(&f->gone);
  pthread_mutex_unlock(&f->lock);
  f->inner->iface->stop(f->inner); /* what is queued comes back through hook_complete */
  deliver_hung(f);
}

/* ---- hooks, on the threads of the inner device */
static int hook_begin(void *self, mx_request *r) {
  fault_state *f = self;
  if (every(f->set.hang_every, r->ordinal)) return RES_HANG;
  uint64_t until = mx_deadline((int64_t)(f->set.delay_ms * 1e6));
  int late = f->set.delay_ms == 0;
  pthread_mutex_lock(&f->lock);
  while (!f->lost && !late) late = mx_cond_wait_until(&f->gone, &f->lock, until);
  int lost = f->lost || (f->set.lose_after >= 0 && (double)f->successes >= f->set.lose_after);
  pthread_mutex_unlock(&f->lock);
  if (lost) return MACCEL_E_DEVICE_LOST;
  return should_fail(f, r->ordinal) ? MACCEL_E_EXEC : MACCEL_OK;
}

/* Under lock: the result as the device gives it out. *loses: the device is to be lost now. */
static int final_result(fault_state *f, const mx_request *r, int res, int *loses) {
  int removed = r->ordinal == 0; /* by the caller, who was told so */
  if (removed) return res;
  int over = f->set.lose_after >= 0 && (double)f->successes >= f->set.lose_after;
  if (f->lost || (over && (res == MACCEL_OK || res == MACCEL_E_DEVICE_LOST))) res = MACCEL_E_DEVICE_LOST;
  if (res == MACCEL_OK) f->successes++;
  *loses = f->set.lose_after >= 0 && (double)f->successes >= f->set.lose_after && !f->lost;
  return res;
}

static void shuffle(fault_state *f, held_result *list, int n) {
  for (int i = n - 1; i > 0; i--) {
    f->random = mix(f->random);
    int j = (int)(f->random % (uint64_t)(i + 1));
    held_result swap = list[i];
    list[i] = list[j];
    list[j] = swap;
  }
}

/* Under lock: adds one result, takes out what may go. Nothing is held when no more can come to free it. */
static int hold_back(fault_state *f, held_result one, held_result *out) {
  f->held[f->held_count++] = one;
  if (f->set.reorder != 0 && f->outstanding > 0 && f->held_count < MAX_HELD && !f->lost) return 0;
  int n = f->held_count;
  memcpy(out, f->held, (size_t)n * sizeof *out);
  f->held_count = 0;
  if (f->set.reorder != 0) shuffle(f, out, n);
  return n;
}

static int release_held(fault_state *f, held_result *out) {
  if (f->outstanding > 0) return 0;
  int n = f->held_count;
  memcpy(out, f->held, (size_t)n * sizeof *out);
  f->held_count = 0;
  return n;
}

static void hook_complete(void *self, mx_request *r, int res) {
  fault_state *f = self;
  held_result out[MAX_HELD];
  int loses = 0, n = 0;
  pthread_mutex_lock(&f->lock);
  f->outstanding--;
  if (res == RES_HANG && !f->lost && !f->joined) {
    r->next = f->hung;
    f->hung = r;
    n = release_held(f, out);
  } else {
    int result = final_result(f, r, res == RES_HANG ? MACCEL_E_DEVICE_LOST : res, &loses);
    n = hold_back(f, (held_result){r, result}, out);
  }
  pthread_mutex_unlock(&f->lock);
  if (loses)
    mx_store_release(&f->outer->lost, 1); /* before the last success shows: what comes after it is refused */
  for (int i = 0; i < n; i++) deliver(f, out[i].request, out[i].res);
  if (loses) lose(f);
}

static const mx_request_hooks hooks = {.begin = hook_begin, .complete = hook_complete};

/* ---- the device */
static int open_inner(fault_state *f, const char *target, const char *rest, const mx_option *table,
                      int count) {
  char name[512], own[160], reason[300];
  MX_RETURN_IF(!*target || strncmp(target, "fault", 5) == 0, MACCEL_E_INVALID,
               "a fault device wraps another kind: fault:soft:0?key=value");
  snprintf(name, sizeof name, "%.200s%s%s", target, *rest ? "?" : "", rest);
  int status = mx_device_create(name, &f->inner);
  if (status == MACCEL_OK || !*rest) return status;
  mx_options_list(table, count, own, sizeof own);
  snprintf(reason, sizeof reason, "%s", maccel_last_error());
  return mx_fail(status, "%s; the fault device itself knows %s", reason, own);
}

static void take_info(maccel_device *dev, const maccel_device *inner) {
  maccel_device_info info = inner->info;
  snprintf(info.name, sizeof info.name, "fault:%.50s", inner->info.name);
  snprintf(info.kind, sizeof info.kind, "fault");
  dev->info = info;
  dev->core_mask = inner->core_mask;
}

static int fault_open(maccel_device *dev, const char *target, const char *options) {
  fault_state *f = mx_alloc(sizeof *f, 64);
  MX_RETURN_IF(!f, MACCEL_E_NOMEM, "no memory for a device");
  dev->state = f;
  f->outer = dev;
  pthread_mutex_init(&f->lock, NULL);
  mx_cond_init(&f->gone);
  settings *s = &f->set;
  s->lose_after = -1;
  const mx_option table[] = {
      {"delay_ms", 0, 1e6, 0, &s->delay_ms},     {"fail_every", 1, 1e9, 1, &s->fail_every},
      {"fail_rate", 0, 1, 0, &s->fail_rate},     {"hang_every", 1, 1e9, 1, &s->hang_every},
      {"reorder", 0, 1, 1, &s->reorder},         {"duplicate_every", 1, 1e9, 1, &s->duplicate_every},
      {"lose_after", 0, 1e9, 1, &s->lose_after}, {"seed", 0, 1e15, 1, &s->seed},
  };
  const int count = (int)(sizeof table / sizeof table[0]);
  char rest[256] = "";
  MX_FORWARD(mx_options_parse(options, table, count, rest, sizeof rest));
  f->random = mix((uint64_t)s->seed);
  MX_FORWARD(open_inner(f, target, rest, table, count));
  take_info(dev, f->inner);
  return MACCEL_OK;
}

static void fault_enqueue(maccel_device *dev, mx_request *first, uint32_t count) {
  fault_state *f = dev->state;
  pthread_mutex_lock(&f->lock);
  f->outstanding += count;
  for (mx_request *r = first; r; r = r->next) {
    r->hooks = &hooks;
    r->hooks_self = f;
    r->ordinal = ++f->ordinal;
  }
  pthread_mutex_unlock(&f->lock);
  f->inner->iface->enqueue(f->inner, first, count);
}

static int fault_remove(maccel_device *dev, mx_request *r) {
  fault_state *f = dev->state;
  MX_FORWARD(f->inner->iface->remove(f->inner, r));
  r->ordinal = 0;
  return MACCEL_OK;
}

static int fault_load(maccel_device *dev, maccel_model *model, const void *program, uint64_t program_bytes,
                      const void *consts, uint64_t const_bytes) {
  maccel_device *inner = ((fault_state *)dev->state)->inner;
  return inner->iface->load(inner, model, program, program_bytes, consts, const_bytes);
}

static void fault_unload(maccel_device *dev, maccel_model *model) {
  maccel_device *inner = ((fault_state *)dev->state)->inner;
  inner->iface->unload(inner, model);
}

static void fault_stop(maccel_device *dev) {
  maccel_device *inner = ((fault_state *)dev->state)->inner;
  inner->iface->stop(inner);
}

/* Hung requests end here: with the threads gone it is certain that nothing writes their memory. */
static int fault_join(maccel_device *dev, int64_t timeout_ns) {
  fault_state *f = dev->state;
  MX_FORWARD(f->inner->iface->join(f->inner, timeout_ns));
  pthread_mutex_lock(&f->lock);
  f->joined = 1;
  pthread_mutex_unlock(&f->lock);
  deliver_hung(f);
  return MACCEL_OK;
}

static void fault_close(maccel_device *dev) {
  fault_state *f = dev->state;
  if (!f) return;
  if (f->inner) mx_device_release(f->inner);
  pthread_cond_destroy(&f->gone);
  pthread_mutex_destroy(&f->lock);
  mx_free(f);
}

const mx_device_iface mx_device_fault = {
    .api_version = MX_DEVICE_API_VERSION,
    .kind = "fault",
    .open = fault_open,
    .enqueue = fault_enqueue,
    .remove = fault_remove,
    .load = fault_load,
    .unload = fault_unload,
    .stop = fault_stop,
    .join = fault_join,
    .close = fault_close,
};
