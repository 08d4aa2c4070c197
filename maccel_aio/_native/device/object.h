/* object.h - the structures behind maccel_device and maccel_model. */
#ifndef MX_OBJECT_H
#define MX_OBJECT_H

#include <pthread.h>

#include "atomic.h"
#include "choice.h"
#include "device.h"
#include "exec.h"

#define MX_CLUSTER_STRIDE 8 /* bits of a core mask per cluster */
#define MX_MAX_CORES 10     /* 2 clusters of 4 local cores and 1 global one */

/* Each request ends in one of completed (OK), canceled, expired and failed. All relaxed: figures, not decisions. */
typedef struct mx_counters {
  mx_atomic64 submitted, completed, canceled, expired, failed, abandoned;
  mx_atomic64 queued, running;
  mx_atomic64 busy_ns;
  mx_atomic64 overflow, stale;
} mx_counters;

typedef struct mx_pool mx_pool; /* buffer.c */

/* Handles of unloaded models. A submission that an unloading overtakes still looks at its handle, so its memory stays a
 * handle: it is not freed before the device, and given out again only after so many others. */
#define MX_RETIRED 64
typedef struct mx_retired {
  pthread_mutex_t lock;
  maccel_model *first, *last;
  uint32_t count;
} mx_retired;

struct maccel_device {
  const mx_device_iface *iface;
  void *state; /* of the iface */
  uint32_t core_mask; /* cores that exist */
  maccel_device_info info;
  uint64_t t_open_ns;
  mx_pool *pool;
  mx_retired retired;
  mx_atomic32 refs; /* the owner, each ring, model and buffer */
  mx_atomic32 closed; /* admission stopped */
  mx_atomic32 joined; /* no thread of the device is left */
  mx_atomic32 lost; /* set by a device that has gone */
  mx_counters counters;
};

struct maccel_model {
  maccel_device *device;
  maccel_model *next_retired;
  mx_program *program;
  maccel_model_options options; /* with the defaults filled in */
  maccel_model_info info;
  int max_parts; /* most threads in one inference */
  mx_atomic32 users; /* requests accepted and not completed */
  mx_atomic32 unloading;
  /* Activation slots, written under the lock of the crew that runs the model. */
  mx_context *idle[MX_MAX_CORES];
  int idle_count, created, cores_used;
  mx_choice choice; /* under the same lock */
  mx_atomic64 run_ns; /* of one item, the last time; 0 = not known */
  mx_atomic64 best_ns; /* of one item, the shortest so far; 0 = not known */
};

/* Opens any device by name, without the checks of the public call. */
int mx_device_create(const char *name, maccel_device **out);
void mx_device_hold(maccel_device *dev);
void mx_device_release(maccel_device *dev); /* the last one frees it */
/* E_FORKED when this is not the process that opened the device. */
int mx_device_check_process(const maccel_device *dev);

/* The load entry of every device that keeps programs itself: for the active instruction set. */
int mx_model_load_program(maccel_device *dev, maccel_model *model, const void *program,
                          uint64_t program_bytes, const void *consts, uint64_t const_bytes);
void mx_model_unload_program(maccel_device *dev, maccel_model *model);
void mx_model_free_retired(maccel_device *dev);

/* buffer.c */
mx_pool *mx_pool_create(void);
void mx_pool_destroy(mx_pool *pool); /* unmaps what is cached */
uint64_t mx_pool_bytes(const mx_pool *pool);

#endif
