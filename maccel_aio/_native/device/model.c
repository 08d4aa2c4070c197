/* model.c - programs on a device. */
#include <string.h>

#include "alloc.h"
#include "object.h"
#include "status.h"

int mx_model_load_program(maccel_device *dev, maccel_model *model, const void *program,
                          uint64_t program_bytes, const void *consts, uint64_t const_bytes) {
  (void)dev;
  mx_isa isa;
  MX_FORWARD(mx_isa_check(&isa));
  MX_FORWARD(mx_program_load(program, program_bytes, consts, const_bytes, isa, &model->program));
  return mx_program_get_info(model->program, &model->info);
}

void mx_model_unload_program(maccel_device *dev, maccel_model *model) {
  (void)dev;
  for (int i = 0; i < model->idle_count; i++) mx_context_free(model->idle[i]);
  if (model->program) mx_program_free(model->program);
}

static int check_mode(const maccel_device *dev, int mode) {
  switch (mode) {
    case MACCEL_MODE_SINGLE:
    case MACCEL_MODE_MULTI:
    case MACCEL_MODE_AUTO: return MACCEL_OK;
    case MACCEL_MODE_GLOBAL4:
      MX_RETURN_IF(dev->info.global_cores < 1, MACCEL_E_UNSUPPORTED,
                   "global4 needs a cluster with a global core; %s has none", dev->info.name);
      return MACCEL_OK;
    case MACCEL_MODE_GLOBAL8:
      MX_RETURN_IF(dev->info.clusters < 2, MACCEL_E_UNSUPPORTED, "global8 needs two clusters; %s has %d",
                   dev->info.name, dev->info.clusters);
      return MACCEL_OK;
    default:
      return mx_fail(MACCEL_E_INVALID,
                     "core mode %d is unknown; allowed are single 0, multi 1, global4 3, global8 4, auto 14",
                     mode);
  }
}

static int min_int(int a, int b) { return a < b ? a : b; }

/* Fills in the defaults, so that nobody after this line sees a zero that means something else. */
static int settle_options(const maccel_device *dev, const maccel_model_options *asked,
                          maccel_model_options *out) {
  *out = asked ? *asked : (maccel_model_options){.core_mode = MACCEL_MODE_AUTO};
  MX_RETURN_IF(out->core_mask & ~dev->core_mask, MACCEL_E_INVALID,
               "core mask %#x names cores that %s lacks (it has %#x)", out->core_mask, dev->info.name,
               dev->core_mask);
  MX_RETURN_IF(out->num_cores < 0 || out->slots < 0, MACCEL_E_INVALID,
               "num_cores and slots cannot be negative");
  MX_RETURN_IF(out->schedule < MACCEL_SCHEDULE_BY_PRIORITY || out->schedule > MACCEL_SCHEDULE_LIFO,
               MACCEL_E_INVALID, "schedule %d is unknown; allowed are by priority 0, fifo 1, lifo 2",
               out->schedule);
  MX_RETURN_IF(out->foresee & ~1, MACCEL_E_INVALID, "foresee is 0 or 1, not %d", out->foresee);
  MX_FORWARD(check_mode(dev, out->core_mode));
  if (out->core_mask == 0) out->core_mask = dev->core_mask;
  int cores = __builtin_popcount(out->core_mask);
  out->num_cores = out->num_cores ? min_int(out->num_cores, cores) : cores;
  out->slots = out->slots ? min_int(out->slots, cores) : out->num_cores;
  return MACCEL_OK;
}

/* ---- handles */
static maccel_model *new_handle(maccel_device *dev) {
  mx_retired *list = &dev->retired;
  maccel_model *model = NULL;
  pthread_mutex_lock(&list->lock);
  if (list->count > MX_RETIRED) {
    model = list->first;
    list->first = model->next_retired;
    list->count--;
  }
  pthread_mutex_unlock(&list->lock);
  if (!model) return mx_alloc(sizeof *model, 64);
  memset(model, 0, sizeof *model);
  return model;
}

static void retire(maccel_device *dev, maccel_model *model) {
  mx_retired *list = &dev->retired;
  pthread_mutex_lock(&list->lock);
  if (list->count++ == 0)
    list->first = model;
  else
    list->last->next_retired = model;
  list->last = model;
  pthread_mutex_unlock(&list->lock);
}

void mx_model_free_retired(maccel_device *dev) {
  maccel_model *model = dev->retired.count ? dev->retired.first : NULL;
  for (uint32_t left = dev->retired.count; left > 0; left--) {
    maccel_model *next = model->next_retired;
    mx_free(model);
    model = next;
  }
}

int maccel_model_load(maccel_device *dev, const void *program, uint64_t program_bytes, const void *consts,
                      uint64_t const_bytes, const maccel_model_options *options, maccel_model **out) {
  MX_RETURN_IF(!dev || !program || !out, MACCEL_E_INVALID,
               "a device, a program and a place for the model are needed");
  MX_FORWARD(mx_device_check_process(dev));
  MX_RETURN_IF(mx_load_acquire(&dev->lost), MACCEL_E_DEVICE_LOST, "the device %s is lost", dev->info.name);
  MX_RETURN_IF(mx_load_acquire(&dev->closed), MACCEL_E_CLOSED, "the device %s is closed", dev->info.name);
  maccel_model_options settled;
  MX_FORWARD(settle_options(dev, options, &settled));
  maccel_model *model = new_handle(dev);
  MX_RETURN_IF(!model, MACCEL_E_NOMEM, "no memory for a model");
  model->device = dev;
  model->options = settled;
  model->max_parts = 1;
  int status = dev->iface->load(dev, model, program, program_bytes, consts, const_bytes);
  if (status == MACCEL_OK && model->info.num_inputs + model->info.num_outputs > 2 * MACCEL_MAX_IO)
    status =
        mx_fail(MACCEL_E_UNSUPPORTED, "the program has more than %d inputs and outputs", 2 * MACCEL_MAX_IO);
  if (status != MACCEL_OK) {
    dev->iface->unload(dev, model);
    mx_free(model);
    return status;
  }
  mx_device_hold(dev);
  *out = model;
  return MACCEL_OK;
}

int maccel_model_unload(maccel_model *model) {
  MX_RETURN_IF(!model, MACCEL_E_INVALID, "there is no model");
  maccel_device *dev = model->device;
  MX_FORWARD(mx_device_check_process(dev));
  mx_store_seq(&model->unloading, 1); /* pairs with accept_one: users add, then unloading load */
  uint32_t users = mx_load_seq(&model->users);
  if (users > 0) {
    mx_store_seq(&model->unloading, 0);
    return mx_fail(MACCEL_E_BUSY, "%u requests use the model", users);
  }
  dev->iface->unload(dev, model);
  retire(dev, model);
  mx_device_release(dev);
  return MACCEL_OK;
}

int maccel_model_get_info(const maccel_model *model, maccel_model_info *out) {
  MX_RETURN_IF(!model || !out, MACCEL_E_INVALID, "a model and a place for the answer are needed");
  *out = model->info;
  return MACCEL_OK;
}

int maccel_model_get_tensor(const maccel_model *model, int is_output, uint32_t index,
                            maccel_tensor_info *out) {
  MX_RETURN_IF(!model || !out, MACCEL_E_INVALID, "a model and a place for the answer are needed");
  return mx_program_get_tensor(model->program, is_output, index, out);
}

int maccel_model_set_profile(maccel_model *model, int on) {
  MX_RETURN_IF(!model, MACCEL_E_INVALID, "there is no model");
  MX_FORWARD(mx_device_check_process(model->device));
  mx_program_set_profile(model->program, on);
  return MACCEL_OK;
}

int maccel_model_get_profile(const maccel_model *model, maccel_layer_time *out, uint32_t cap,
                             uint32_t *count) {
  MX_RETURN_IF(!model || !count || (cap && !out), MACCEL_E_INVALID,
               "a model and a place for the answer are needed");
  return mx_program_get_profile(model->program, out, cap, count);
}
