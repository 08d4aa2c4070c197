/* Crews wider than this machine: teams of four and eight, and everything at once. usage: test_crew [REQUESTS]
 *
 * A device never has more threads than the host has processors; here the limit is raised by hand, so that the ways in
 * which threads meet are tested on every machine. */
#include "crew.h"
#include "rig.h"

#define CREDITS 48
#define MODELS 6

typedef struct wide {
  rig r;
  maccel_model *models[MODELS];
} wide;

static const maccel_model_options options[MODELS] = {
    {.core_mode = MACCEL_MODE_SINGLE},
    {.core_mode = MACCEL_MODE_MULTI},
    {.core_mode = MACCEL_MODE_GLOBAL4, .core_mask = 0x1f},
    {.core_mode = MACCEL_MODE_GLOBAL8},
    {.core_mode = MACCEL_MODE_AUTO},
    {.core_mode = MACCEL_MODE_SINGLE, .core_mask = 0x102, .slots = 1}};

static void wide_open(wide *w, const char *name, int limit) {
  rig_open(&w->r, name, CREDITS, NULL);
  mx_crew *crew = w->r.dev->state;
  crew->limit = limit;
  for (int m = 0; m < MODELS; m++) {
    w->models[m] = rig_load(&w->r, &options[m]);
    w->models[m]->info.macs = 1u << 30; /* large enough for automatic teams */
    w->models[m]->max_parts = mx_plan_max_parts(crew, w->models[m]);
  }
}

static void wide_close(wide *w) {
  CHECK_INT(maccel_device_close(w->r.dev, RIG_FOREVER), MACCEL_OK);
  const mx_crew *crew = w->r.dev->state;
  CHECK_INT(crew->free_cores, 0x1f1f); /* every token came back */
  CHECK_INT(crew->busy, 0);
  CHECK(crew->forming == NULL && crew->shared == NULL && crew->head == NULL);
  for (int m = 0; m < MODELS; m++) {
    CHECK_INT(w->models[m]->cores_used, 0);
    CHECK_INT(w->models[m]->idle_count, w->models[m]->created);
    CHECK(w->models[m]->created <= w->models[m]->options.slots);
    CHECK_INT(maccel_model_unload(w->models[m]), MACCEL_OK);
  }
  rig_close(&w->r);
}

/* Each slot has arrays of its own, filled anew for each request. */
static int8_t in[CREDITS][3 * RIG_BYTES], out[CREDITS][3 * RIG_BYTES];

static void send(wide *w, uint32_t slot, uint32_t number, test_rng *rng) {
  maccel_io io[2];
  rig_io(io, in[slot], out[slot]);
  maccel_sqe sqe = rig_sqe(&w->r, (uint64_t)number << 16 | slot);
  sqe.model = w->models[rng_next(rng) % MODELS];
  sqe.flags = number % 3 ? 0 : MACCEL_SQE_HERE;
  sqe.io = io;
  sqe.num_io = 2;
  sqe.batch = 1 + slot % 3;
  sqe.priority = rng_int(rng, 0, 2);
  memset(in[slot], (int)(number % 251), sizeof in[slot]);
  memset(out[slot], 0, sizeof out[slot]);
  CHECK_INT(rig_submit(&w->r, &sqe), MACCEL_OK);
}

static uint32_t receive(wide *w, uint32_t *free_slots, uint32_t count) {
  maccel_cqe cqes[CREDITS];
  CHECK_INT(maccel_ring_wait(w->r.ring, 1, RIG_FOREVER), MACCEL_OK);
  int n = maccel_ring_harvest(w->r.ring, cqes, CREDITS);
  for (int i = 0; i < n; i++) {
    uint32_t slot = cqes[i].user_data & 0xffff;
    uint8_t want = (uint8_t)((cqes[i].user_data >> 16) % 251 + 3);
    CHECK_INT(cqes[i].res, MACCEL_OK);
    for (uint32_t k = 0; k < (1 + slot % 3) * RIG_BYTES; k++) CHECK_INT((uint8_t)out[slot][k], want);
    free_slots[count++] = slot;
  }
  return count;
}

static void all_modes_at_once_give_each_request_its_own_answer(int limit, uint32_t requests) {
  static wide w;
  wide_open(&w, "soft:0", limit);
  test_rng rng = {(uint64_t)limit * 7919 + 5};
  uint32_t free_slots[CREDITS], count = CREDITS;
  for (uint32_t i = 0; i < CREDITS; i++) free_slots[i] = i;
  for (uint32_t sent = 0; sent < requests || count < CREDITS;) {
    uint32_t burst = rng_next(&rng) % 8;
    for (; burst > 0 && count > 0 && sent < requests; burst--) send(&w, free_slots[--count], sent++, &rng);
    if (count < CREDITS) count = receive(&w, free_slots, count);
  }
  CHECK_INT(rig_stats(&w.r).completed, requests);
  wide_close(&w);
}

/* One at a time, so that an automatic model finds the device idle and takes all of it. */
static void alone_every_mode_gets_its_team(void) {
  static wide w;
  wide_open(&w, "soft:0", 10);
  const int parts[MODELS] = {1, 1, 4, 8, 8, 1};
  for (int m = 0; m < MODELS; m++) CHECK_INT(w.models[m]->max_parts, parts[m]);
  for (uint32_t i = 0; i < 200; i++) {
    maccel_sqe sqe = rig_sqe(&w.r, i);
    sqe.model = w.models[i % MODELS];
    CHECK_INT(rig_submit(&w.r, &sqe), MACCEL_OK);
    CHECK_INT(rig_next(&w.r).res, MACCEL_OK);
  }
  const mx_crew *crew = w.r.dev->state;
  CHECK(crew->started >= 8);
  CHECK_INT(w.models[3]->created, 1); /* a team shares one context */
  wide_close(&w);
}

/* Members fetch outputs from it, and the leader may find none left and go first. */
static void the_context_of_a_team_is_free_when_the_last_member_leaves(void) {
  static wide w;
  wide_open(&w, "soft:0", 2);
  mx_crew *crew = w.r.dev->state;
  maccel_model *model = w.models[3];
  mx_context *context = (mx_context *)&w;
  static mx_request r;
  r.model = model;
  r.job = (mx_job){.kind = MX_JOB_TEAM, .parts = 2, .active = 2, .context = context};
  mx_duty leader = {.request = &r, .slot = 1, .context = context, .lead = 1};
  mx_duty member = {.request = &r, .part = 1};
  CHECK_INT(mx_plan_leave(crew, &leader, MACCEL_OK), 0);
  CHECK_INT(model->idle_count, 0);
  CHECK_INT(mx_plan_leave(crew, &member, MACCEL_OK), 1);
  CHECK_INT(model->idle_count, 1);
  CHECK(model->idle[0] == context);
  model->idle_count = 0;
  wide_close(&w);
}

static void stopping_in_the_middle_ends_every_request(int limit) {
  for (int round = 0; round < 30; round++) {
    static wide w;
    wide_open(&w, "soft:0", limit);
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < CREDITS; i++) {
      maccel_sqe sqe = rig_sqe(&w.r, i);
      sqe.model = w.models[i % MODELS];
      sqe.batch = 1 + i % 4;
      CHECK_INT(maccel_ring_submit(w.r.ring, &sqe, 1, &accepted), MACCEL_OK);
    }
    CHECK_INT(maccel_device_close(w.r.dev, RIG_FOREVER), MACCEL_OK);
    maccel_cqe cqes[CREDITS];
    CHECK_INT(maccel_ring_harvest(w.r.ring, cqes, CREDITS), CREDITS);
    wide_close(&w);
  }
}

int main(int argc, char **argv) {
  uint32_t requests = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 3000;
  alone_every_mode_gets_its_team();
  the_context_of_a_team_is_free_when_the_last_member_leaves();
  for (int limit = 1; limit <= 10; limit += 3) {
    all_modes_at_once_give_each_request_its_own_answer(limit, requests);
    stopping_in_the_middle_ends_every_request(limit);
  }
  return 0;
}
