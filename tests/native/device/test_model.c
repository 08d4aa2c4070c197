/* Handles of models: what an unloading leaves behind for submissions that it overtook. */
#include "object.h"
#include "rig.h"

/* An address sanitizer would see a handle that was freed. */
static void an_unloaded_model_is_refused(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  const maccel_sqe late = rig_sqe(&r, 1);
  CHECK_INT(maccel_model_unload(r.model), MACCEL_OK);
  CHECK_INT(rig_submit(&r, &late), MACCEL_E_INVALID);
  r.model = NULL;
  rig_close(&r);
}

static void handles_come_back_after_many_others(void) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  const maccel_model *first = rig_load(&r, NULL);
  CHECK_INT(maccel_model_unload((maccel_model *)first), MACCEL_OK);
  int turns = 0;
  for (const maccel_model *found = NULL; found != first; turns++) {
    maccel_model *model = rig_load(&r, NULL);
    CHECK_INT(mx_load_relaxed(&model->unloading), 0);
    found = model;
    CHECK_INT(maccel_model_unload(model), MACCEL_OK);
    CHECK(turns < 10 * MX_RETIRED);
  }
  CHECK(turns >= MX_RETIRED);
  CHECK_INT(r.dev->retired.count, MX_RETIRED + 1);
  rig_close(&r);
}

typedef struct race {
  rig r;
  _Atomic(maccel_model *) model;
  _Atomic int stop;
} race;

static void *loads_and_unloads(void *arg) {
  race *x = arg;
  for (int k = 0; k < 300; k++) {
    maccel_model *model = rig_load(&x->r, NULL);
    x->model = model;
    while (maccel_model_unload(model) == MACCEL_E_BUSY) sched_yield();
  }
  x->stop = 1;
  return NULL;
}

static void submitting_while_it_is_unloaded_runs_or_is_refused(void) {
  static race x;
  rig_open(&x.r, "soft:0", 4, NULL);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, loads_and_unloads, &x) == 0);
  uint32_t ran = 0;
  while (!x.stop) {
    maccel_sqe sqe = rig_sqe(&x.r, 1);
    sqe.model = x.model;
    if (!sqe.model || rig_submit(&x.r, &sqe) != MACCEL_OK) continue;
    CHECK_INT(rig_next(&x.r).res, MACCEL_OK);
    ran++;
  }
  pthread_join(thread, NULL);
  CHECK_INT(rig_stats(&x.r).completed, ran);
  rig_close(&x.r);
}

int main(void) {
  an_unloaded_model_is_refused();
  handles_come_back_after_many_others();
  submitting_while_it_is_unloaded_runs_or_is_refused();
  return 0;
}
