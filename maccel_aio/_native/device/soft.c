/* soft.c - the software NPU: two clusters of four local cores and a global one, or a smaller profile. */
#include <stdio.h>
#include <string.h>

#include "cpu.h"
#include "crew.h"
#include "options.h"
#include "status.h"

/* Cores stand back behind the program's own threads: an event loop that wakes up must not wait for the end of an
 * inference, as it would not on a host whose NPU is a chip of its own. One step and long slices keep it as near as ten
 * do; three cost a round trip on one CPU 7 us, and ten leave a tenth of a CPU that another program wants whole. */
#define MX_NICE 1

typedef struct profile {
  int cores; /* the value of the option */
  int clusters, local_cores, global_cores;
} profile;
static const profile profiles[] = {{8, 2, 4, 1}, {4, 1, 4, 1}, {2, 1, 2, 0}, {1, 1, 1, 0}};

static const profile *find_profile(double cores) {
  for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
    if (profiles[i].cores == cores) return &profiles[i];
  return NULL;
}

static uint32_t mask_of(const profile *p) {
  uint32_t mask = 0;
  for (int c = 0; c < p->clusters; c++) {
    uint32_t cluster = (1u << p->local_cores) - 1;
    if (p->global_cores) cluster |= 1u << 4;
    mask |= cluster << (c * MX_CLUSTER_STRIDE);
  }
  return mask;
}

static int soft_open(maccel_device *dev, const char *target, const char *options) {
  double cores = 8, nice = MX_NICE;
  const mx_option table[] = {{.key = "cores", .low = 1, .high = 8, .whole = 1, .value = &cores},
                             {.key = "nice", .low = 0, .high = 19, .whole = 1, .value = &nice}};
  mx_isa isa;
  MX_FORWARD(
      mx_isa_check(&isa)); /* what it is told by the environment is refused here, not at the first model */
  MX_FORWARD(mx_threads_check());
  MX_FORWARD(mx_options_index(target, &dev->info.index));
  MX_FORWARD(mx_options_parse(options, table, 2, NULL, 0));
  const profile *p = find_profile(cores);
  MX_RETURN_IF(!p, MACCEL_E_INVALID, "device option cores is %g; allowed are 1, 2, 4, 8", cores);
  maccel_device_info *info = &dev->info;
  info->clusters = p->clusters;
  info->local_cores = p->local_cores;
  info->global_cores = p->global_cores;
  snprintf(info->name, sizeof info->name, "soft:%d", info->index);
  dev->core_mask = mask_of(p);
  char name[12];
  snprintf(name, sizeof name, "soft%d", info->index);
  mx_crew *crew = NULL;
  MX_FORWARD(mx_crew_create(name, dev->core_mask, mx_worker_limit(), 0, &crew));
  crew->nice = (int)nice;
  info->workers = crew->limit;
  dev->state = crew;
  return MACCEL_OK;
}

static void soft_enqueue(maccel_device *dev, mx_request *first, uint32_t count) {
  mx_crew_enqueue(dev->state, first, count);
}
static void soft_perform(maccel_device *dev, mx_request *request) { mx_crew_perform(dev->state, request); }
static int soft_remove(maccel_device *dev, mx_request *request) {
  return mx_crew_remove(dev->state, request);
}
static void soft_stop(maccel_device *dev) { mx_crew_stop(dev->state); }
static int soft_join(maccel_device *dev, int64_t timeout_ns) { return mx_crew_join(dev->state, timeout_ns); }

static int soft_load(maccel_device *dev, maccel_model *model, const void *program, uint64_t program_bytes,
                     const void *consts, uint64_t const_bytes) {
  MX_FORWARD(mx_model_load_program(dev, model, program, program_bytes, consts, const_bytes));
  model->max_parts = mx_plan_max_parts(dev->state, model);
  return MACCEL_OK;
}

static void soft_close(maccel_device *dev) {
  if (dev->state) mx_crew_destroy(dev->state);
}

const mx_device_iface mx_device_soft = {
    .api_version = MX_DEVICE_API_VERSION,
    .kind = "soft",
    .open = soft_open,
    .enqueue = soft_enqueue,
    .perform = soft_perform,
    .remove = soft_remove,
    .load = soft_load,
    .unload = mx_model_unload_program,
    .stop = soft_stop,
    .join = soft_join,
    .close = soft_close,
};
