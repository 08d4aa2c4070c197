/* Whole networks: every level, every number of parts, real teams at the real meeting point, and through devices in
 * every core mode give the bits of the plain kernels on one thread. Profiles add up to what was run. */
#include <pthread.h>

#include "../common/network.h"
#include "barrier.h"
#include "rig.h"

enum { IMAGES = 3, MOST_PARTS = 4 };

typedef struct member {
  mx_context *context;
  const mx_team *team;
  int part, rounds;
} member;

/* Each round starts when all are there, so that the arena can be reused right away. */
static void *take_part(void *self) {
  const member *m = self;
  for (int round = 0; round < m->rounds; ++round) mx_context_run(m->context, m->team, m->part);
  return NULL;
}

static void run_team(mx_context *c, int parts, int rounds) {
  mx_barrier barrier;
  mx_barrier_init(&barrier, parts, parts % 2);
  const mx_team team = {.parts = parts, .wait = parts > 1 ? mx_barrier_wait : NULL, .self = &barrier};
  pthread_t threads[MOST_PARTS];
  member members[MOST_PARTS];
  for (int k = 0; k < parts; ++k) members[k] = (member){c, &team, k, rounds};
  for (int k = 1; k < parts; ++k) CHECK(pthread_create(&threads[k], NULL, take_part, &members[k]) == 0);
  take_part(&members[0]);
  for (int k = 1; k < parts; ++k) pthread_join(threads[k], NULL);
}

static void levels_and_teams_agree(int side, int width) {
  builder b;
  float want[IMAGES][NETWORK_CLASSES], got[NETWORK_CLASSES];
  uint8_t *image = malloc((size_t)(side * side * 3));
  maccel_io io[2];
  network_build(&b, side, width, (uint64_t)width);
  for (uint64_t k = 0; k < IMAGES; ++k) network_expect(&b, side, k, want[k]);
  CHECK(memcmp(want[0], want[1], sizeof got) != 0); /* the network looks at its input */
  network_io(io, image, got, side);
  for (int isa = 0; isa <= (int)mx_isa_detected(); ++isa) {
    if (!mx_isa_supported((mx_isa)isa)) continue;
    mx_program *p = network_load(&b, (mx_isa)isa);
    mx_context *c = NULL;
    CHECK_INT(mx_context_create(p, MOST_PARTS, &c), MACCEL_OK);
    for (int parts = 1; parts <= MOST_PARTS; ++parts) {
      for (uint64_t k = 0; k < IMAGES; ++k) {
        network_image(image, side, k);
        mx_context_upload(c, io);
        run_team(c, parts, 1);
        mx_context_download(c, io);
        CHECK(memcmp(got, want[k], sizeof got) == 0);
      }
    }
    mx_context_free(c);
    mx_program_free(p);
  }
  free(image);
  builder_free(&b);
}

/* Calls are counted once a layer and inference, whatever the team; times only grow; switching on starts anew. */
static void profiles_add_up(void) {
  builder b;
  maccel_layer_time rows[2 * NETWORK_LAYERS];
  uint32_t count = 0;
  mx_context *c = NULL;
  network_build(&b, 16, 20, 5);
  mx_program *p = network_load(&b, mx_isa_detected());
  CHECK_INT(mx_context_create(p, MOST_PARTS, &c), MACCEL_OK);
  for (int again = 0; again < 2; ++again) {
    uint64_t calls = 0;
    mx_program_set_profile(p, 1);
    for (int parts = 1; parts <= MOST_PARTS; ++parts) {
      run_team(c, parts, 5);
      calls += 5;
      CHECK_INT(mx_program_get_profile(p, rows, 2 * NETWORK_LAYERS, &count), MACCEL_OK);
      CHECK_INT(count, NETWORK_LAYERS);
      for (uint32_t k = 0; k < count; ++k) {
        CHECK_INT(rows[k].layer, k);
        CHECK_INT(rows[k].calls, calls);
      }
    }
    CHECK_INT(rows[0].macs, 8 * 8 * 20 * 27);
    CHECK_INT(rows[1].macs, 8 * 8 * 20 * 9);
    CHECK_INT(rows[2].macs, 8 * 8 * 25 * 20);
    CHECK_INT(rows[4].macs, 0);
    CHECK_INT(rows[7].op, MX_OP_CONV); /* not the softmax that follows in the same layer */
    mx_program_set_profile(p, 0);
    run_team(c, 2, 3);
    CHECK_INT(mx_program_get_profile(p, rows, 1, &count), MACCEL_OK);
    CHECK_INT(rows[0].calls, calls);
  }
  mx_context_free(c);
  mx_program_free(p);
  builder_free(&b);
}

static void submit_batch(rig *r, const maccel_io io[2], uint32_t batch, uint64_t user_data) {
  const maccel_sqe sqe = {.user_data = user_data, .model = r->model, .batch = batch, .num_io = 2, .io = io};
  CHECK_INT(rig_submit(r, &sqe), MACCEL_OK);
}

/* Batches in all modes at a device of every size, several in flight: each item has its own answer. */
static void devices_agree(const char *name, int mode) {
  enum { SIDE = 12, BATCH = 5, REQUESTS = 6, IMAGE = SIDE * SIDE * 3 };
  static uint8_t images[REQUESTS][BATCH][IMAGE];
  static float out[REQUESTS][BATCH][NETWORK_CLASSES];
  float want[NETWORK_CLASSES];
  maccel_io io[REQUESTS][2];
  rig r = {0};
  network_build(&r.b, SIDE, 17, 3);
  CHECK_INT(maccel_device_open(name, &r.dev), MACCEL_OK);
  const maccel_model_options options = {.core_mode = mode};
  r.model = rig_load(&r, &options);
  CHECK_INT(maccel_ring_open(r.dev, REQUESTS, &r.ring), MACCEL_OK);
  memset(out, 0, sizeof out);
  for (int k = 0; k < REQUESTS; ++k) {
    for (int i = 0; i < BATCH; ++i) network_image(images[k][i], SIDE, (uint64_t)(k * BATCH + i));
    network_io(io[k], images[k][0], out[k][0], SIDE);
    CHECK_INT(io[k][0].batch_stride, IMAGE);
    submit_batch(&r, io[k], BATCH, (uint64_t)k);
  }
  for (int k = 0; k < REQUESTS; ++k) CHECK_INT(rig_next(&r).res, MACCEL_OK);
  for (int k = 0; k < REQUESTS; k += 2) {
    for (int i = 0; i < BATCH; ++i) {
      network_expect(&r.b, SIDE, (uint64_t)(k * BATCH + i), want);
      CHECK(memcmp(out[k][i], want, sizeof want) == 0);
    }
  }
  rig_close(&r);
}

int main(void) {
  static const int modes[] = {MACCEL_MODE_SINGLE, MACCEL_MODE_MULTI, MACCEL_MODE_GLOBAL4, MACCEL_MODE_GLOBAL8,
                              MACCEL_MODE_AUTO};
  levels_and_teams_agree(16, 7);
  levels_and_teams_agree(20, 33);
  levels_and_teams_agree(28, 80);
  levels_and_teams_agree(8, 130);
  profiles_add_up();
  for (size_t k = 0; k < 5; ++k) {
    setenv("MACCEL_ISA", mx_isa_name((mx_isa)((int)k % ((int)mx_isa_detected() + 1))), 1);
    devices_agree("soft", modes[k]);
    if (modes[k] != MACCEL_MODE_GLOBAL8) devices_agree("soft:3?cores=4", modes[k]);
  }
  setenv("MACCEL_ISA", mx_isa_name(mx_isa_detected()), 1);
  devices_agree("soft?cores=2", MACCEL_MODE_MULTI);
  devices_agree("soft?cores=1", MACCEL_MODE_AUTO);
  devices_agree("fault:soft?reorder=1&seed=4", MACCEL_MODE_AUTO);
  devices_agree("fault:soft?duplicate_every=2", MACCEL_MODE_MULTI);
  return 0;
}
