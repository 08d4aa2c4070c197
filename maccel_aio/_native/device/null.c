/* null.c - a device that completes at once and computes nothing: what is left is the cost of the way there and back. */
#include <stdio.h>

#include "alloc.h"
#include "crew.h"
#include "options.h"
#include "status.h"

typedef struct null_state {
  mx_crew *crew;
  int in_submit; /* complete inside submit, without a thread */
} null_state;

static int null_open(maccel_device *dev, const char *target, const char *options) {
  double in_submit = 0;
  const mx_option table[] = {{.key = "inline", .low = 0, .high = 1, .whole = 1, .value = &in_submit}};
  MX_FORWARD(mx_options_index(target, &dev->info.index));
  MX_FORWARD(mx_options_parse(options, table, 1, NULL, 0));
  maccel_device_info *info = &dev->info;
  info->clusters = 2;
  info->local_cores = 4;
  info->global_cores = 1;
  info->workers = 1;
  snprintf(info->name, sizeof info->name, "null:%d", info->index);
  dev->core_mask = 0x1f1f;
  null_state *state = mx_alloc(sizeof *state, 64);
  MX_RETURN_IF(!state, MACCEL_E_NOMEM, "no memory for a device");
  dev->state = state;
  state->in_submit = in_submit != 0;
  return mx_crew_create("null", dev->core_mask, 1, 1, &state->crew);
}

static void null_enqueue(maccel_device *dev, mx_request *first, uint32_t count) {
  null_state *state = dev->state;
  if (!state->in_submit) {
    mx_crew_enqueue(state->crew, first, count);
    return;
  }
  while (first) {
    mx_request *next = first->next;
    mx_request_start(first);
    mx_request_complete(first, mx_request_begin(first));
    first = next;
  }
}

static int null_remove(maccel_device *dev, mx_request *request) {
  return mx_crew_remove(((null_state *)dev->state)->crew, request);
}
static void null_stop(maccel_device *dev) { mx_crew_stop(((null_state *)dev->state)->crew); }
static int null_join(maccel_device *dev, int64_t timeout_ns) {
  return mx_crew_join(((null_state *)dev->state)->crew, timeout_ns);
}

static void null_close(maccel_device *dev) {
  null_state *state = dev->state;
  if (state && state->crew) mx_crew_destroy(state->crew);
  mx_free(state);
}

const mx_device_iface mx_device_null = {
    .api_version = MX_DEVICE_API_VERSION,
    .kind = "null",
    .open = null_open,
    .enqueue = null_enqueue,
    .remove = null_remove,
    .load = mx_model_load_program,
    .unload = mx_model_unload_program,
    .stop = null_stop,
    .join = null_join,
    .close = null_close,
};
