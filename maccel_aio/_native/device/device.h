/* device.h - what a device is: one vtable, filled by soft.c, null.c and fault.c.
 *
 * A device executes accepted requests and completes each exactly once with mx_request_complete(). The ring owns
 * credits, generations and notification; a device only ever sees requests that hold a credit. */
#ifndef MX_DEVICE_H
#define MX_DEVICE_H

#include "maccel.h"

#define MX_DEVICE_API_VERSION 3

typedef struct mx_request mx_request; /* request.h */

typedef struct mx_device_iface {
  uint32_t api_version;
  const char *kind;
  /* Opens the instance that `target` names (the text between "kind:" and '?'), with the text after '?', or "". */
  int (*open)(maccel_device *dev, const char *target, const char *options);
  /* Takes a chain of `count` requests linked by ->next: queues them in order, with one doorbell. Never blocks, never
   * fails: problems become completions. */
  void (*enqueue)(maccel_device *dev, mx_request *first, uint32_t count);
  /* Takes one request, like enqueue; may carry it out in the calling thread. Without any lock of a ring. NULL: cannot. */
  void (*perform)(maccel_device *dev, mx_request *request);
  /* OK: it was queued, is out of the queue now and is completed by the caller. ALREADY: it runs. */
  int (*remove)(maccel_device *dev, mx_request *request);
  /* Loads a program into the model. */
  int (*load)(maccel_device *dev, maccel_model *model, const void *program, uint64_t program_bytes,
              const void *consts, uint64_t const_bytes);
  /* Frees what load made. No request uses the model. */
  void (*unload)(maccel_device *dev, maccel_model *model);
  /* Stops taking requests; those still queued, and later ones, are completed with CANCELED. [any], more than once. */
  void (*stop)(maccel_device *dev);
  /* After stop: joins the threads, at most until timeout_ns. OK or TIMEOUT. [any], more than once. */
  int (*join)(maccel_device *dev, int64_t timeout_ns);
  /* Frees the state. After join returned OK, or after open failed half-way. */
  void (*close)(maccel_device *dev);
} mx_device_iface;

extern const mx_device_iface mx_device_soft;
extern const mx_device_iface mx_device_null;
extern const mx_device_iface mx_device_fault;

#endif
