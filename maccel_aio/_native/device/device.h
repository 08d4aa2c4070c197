/* device.h - what a device is: one vtable, filled by soft.c, null.c and fault.c.
 *
 * A device executes accepted requests and completes each exactly once with mx_request_complete(). The ring owns
 * credits, generations, deadlines and notification; a device only ever sees requests that hold a credit. */
#ifndef MX_DEVICE_H
#define MX_DEVICE_H

#include "maccel.h"

#define MX_DEVICE_API_VERSION 1

typedef struct mx_request mx_request; /* request.h */

typedef struct mx_device_iface {
  uint32_t api_version;
  const char *kind;
  /* Opens instance `index` with the text after '?', or "". */
  int (*open)(maccel_device *dev, int index, const char *options);
  /* Takes a request: queues it. Never blocks, never fails: problems become its completion. */
  void (*enqueue)(maccel_device *dev, mx_request *request);
  /* OK: it was queued, is out of the queue now and is completed by the caller. ALREADY: it runs. */
  int (*remove)(maccel_device *dev, mx_request *request);
  /* (optional) Loads a program; default: models have no program (null). */
  int (*load)(maccel_device *dev, maccel_model *model, const void *program, uint64_t program_bytes,
              const void *consts, uint64_t const_bytes);
  /* (optional) Frees what load made. No request uses the model. */
  void (*unload)(maccel_device *dev, maccel_model *model);
  /* Stops taking requests; returns those still queued through complete(CANCELED or DEVICE_LOST). */
  void (*stop)(maccel_device *dev);
  /* Joins the threads, at most timeout_ns. OK or TIMEOUT. */
  int (*join)(maccel_device *dev, int64_t timeout_ns);
  void (*close)(maccel_device *dev);
} mx_device_iface;

extern const mx_device_iface mx_device_soft;
extern const mx_device_iface mx_device_null;
extern const mx_device_iface mx_device_fault;

#endif
