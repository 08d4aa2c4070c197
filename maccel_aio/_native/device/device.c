/* device.c - opening by name, closing, figures. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "cpu.h"
#include "object.h"
#include "status.h"

#define MAX_NAME 512

static const mx_device_iface *const kinds[] = {&mx_device_soft, &mx_device_null, &mx_device_fault};

/* getpid() is a system call, so it is asked once a process. */
static mx_atomic32 known_pid;

static void forget_pid(void) { mx_store_relaxed(&known_pid, 0); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_pid); }

static int32_t process_id(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  uint32_t pid = mx_load_relaxed(&known_pid);
  if (pid == 0) {
    pthread_once(&once, watch_forks);
    pid = (uint32_t)getpid();
    mx_store_relaxed(&known_pid, pid);
  }
  return (int32_t)pid;
}

static const mx_device_iface *find_kind(const char *kind) {
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (strcmp(kinds[i]->kind, kind) == 0 && kinds[i]->api_version == MX_DEVICE_API_VERSION) return kinds[i];
  return NULL;
}

/* Cuts `text` at the first of `mark`; what follows, or "". */
static char *cut(char *text, char mark) {
  char *at = strchr(text, mark);
  if (!at) return text + strlen(text);
  *at = 0;
  return at + 1;
}

int mx_device_create(const char *name, maccel_device **out) {
  char text[MAX_NAME];
  MX_RETURN_IF(strlen(name) >= sizeof text, MACCEL_E_INVALID, "the device name is longer than %d characters",
               MAX_NAME - 1);
  memcpy(text, name, strlen(name) + 1);
  char *options = cut(text, '?');
  char *target = cut(text, ':');
  const mx_device_iface *iface = find_kind(strcmp(text, "auto") == 0 ? "soft" : text);
  MX_RETURN_IF(!iface, MACCEL_E_NOT_FOUND,
               "there is no device \"%.64s\"; names are auto, soft[:N][?cores=4&nice=0], null[:N], "
               "fault:INNER?key=value",
               name);
  maccel_device *dev = mx_alloc(sizeof *dev, 64);
  mx_pool *pool = mx_pool_create();
  int status = dev && pool ? MACCEL_OK : mx_fail(MACCEL_E_NOMEM, "no memory for a device");
  if (status == MACCEL_OK) {
    dev->iface = iface;
    dev->pool = pool;
    pthread_mutex_init(&dev->retired.lock, NULL);
    dev->t_open_ns = maccel_now_ns();
    dev->info.pid = process_id();
    snprintf(dev->info.kind, sizeof dev->info.kind, "%s", iface->kind);
    mx_store_relaxed(&dev->refs, 1);
    status = iface->open(dev, target, options);
    if (status != MACCEL_OK) iface->close(dev);
  }
  if (status != MACCEL_OK) {
    mx_pool_destroy(pool);
    mx_free(dev);
    return status;
  }
  *out = dev;
  return MACCEL_OK;
}

int maccel_device_open(const char *name, maccel_device **out) {
  MX_RETURN_IF(!name || !out, MACCEL_E_INVALID, "a name and a place for the device are needed");
  return mx_device_create(name, out);
}

int mx_device_check_process(const maccel_device *dev) {
  MX_RETURN_IF(dev->info.pid != process_id(), MACCEL_E_FORKED,
               "the device %s was opened in process %d, this is process %d", dev->info.name, dev->info.pid,
               (int)process_id());
  return MACCEL_OK;
}

void mx_device_hold(maccel_device *dev) { mx_add_relaxed(&dev->refs, 1); }

void mx_device_release(maccel_device *dev) {
  if (mx_sub_acq_rel(&dev->refs, 1) != 1) return;
  dev->iface->close(dev);
  mx_pool_destroy(dev->pool);
  mx_model_free_retired(dev);
  pthread_mutex_destroy(&dev->retired.lock);
  mx_free(dev);
}

int maccel_device_close(maccel_device *dev, int64_t timeout_ns) {
  MX_RETURN_IF(!dev, MACCEL_E_INVALID, "there is no device");
  MX_FORWARD(mx_device_check_process(dev));
  if (mx_load_acquire(&dev->joined)) return MACCEL_OK;
  mx_store_release(&dev->closed, 1);
  dev->iface->stop(dev);
  MX_FORWARD(dev->iface->join(dev, timeout_ns));
  mx_store_release(&dev->joined, 1);
  return MACCEL_OK;
}

/* A device whose threads still run, or that belongs to another process, is left where it is: leaking is the safe side. */
void maccel_device_free(maccel_device *dev) {
  if (!dev || mx_device_check_process(dev) != MACCEL_OK) return;
  if (maccel_device_close(dev, 0) == MACCEL_OK) mx_device_release(dev);
}

int maccel_device_get_info(const maccel_device *dev, maccel_device_info *out) {
  MX_RETURN_IF(!dev || !out, MACCEL_E_INVALID, "a device and a place for the answer are needed");
  *out = dev->info;
  return MACCEL_OK;
}

int maccel_device_get_stats(const maccel_device *dev, maccel_device_stats *out) {
  MX_RETURN_IF(!dev || !out, MACCEL_E_INVALID, "a device and a place for the answer are needed");
  MX_FORWARD(mx_device_check_process(dev));
  mx_counters *c = &((maccel_device *)dev)->counters; /* atomics are read through plain pointers */
  *out = (maccel_device_stats){
      .submitted = mx_load_relaxed(&c->submitted),
      .completed = mx_load_relaxed(&c->completed),
      .canceled = mx_load_relaxed(&c->canceled),
      .expired = mx_load_relaxed(&c->expired),
      .failed = mx_load_relaxed(&c->failed),
      .abandoned = mx_load_relaxed(&c->abandoned),
      .queued = mx_load_relaxed(&c->queued),
      .running = mx_load_relaxed(&c->running),
      .busy_ns = mx_load_relaxed(&c->busy_ns),
      .open_ns = maccel_now_ns() - dev->t_open_ns,
      .overflow = mx_load_relaxed(&c->overflow),
      .stale = mx_load_relaxed(&c->stale),
      .buffer_bytes = mx_pool_bytes(dev->pool),
      .lost = mx_load_acquire(&((maccel_device *)dev)->lost),
  };
  return MACCEL_OK;
}
