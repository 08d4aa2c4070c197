/* Execution: contexts are independent, a team gives the bits of one thread, profiles add up, inputs and outputs
 * go through tables, orders and strides. */
#include <pthread.h>

#include "cpu.h"
#include "exec.h"
#include "sample.h"

static mx_program *load(const builder *b) {
  mx_program *p = NULL;
  const int status =
      mx_program_load(b->program, b->program_bytes, b->data, b->data_bytes, mx_isa_detected(), &p);
  if (status != MACCEL_OK) fprintf(stderr, "refused: %s\n", maccel_last_error());
  CHECK_INT(status, MACCEL_OK);
  return p;
}

static void image_of(uint8_t *image, int seed) {
  for (int k = 0; k < 256; ++k) image[k] = (uint8_t)(k * (2 * seed + 1) + seed);
}

typedef struct run {
  mx_context *context;
  const mx_team *team;
  int part;
} run;

static void *run_part(void *self) {
  const run *r = self;
  mx_context_run(r->context, r->team, r->part);
  return NULL;
}

static void meet(void *self) { pthread_barrier_wait(self); }

static void infer(mx_context *c, int seed, int parts, float *out) {
  uint8_t image[256];
  image_of(image, seed);
  const maccel_io io[2] = {builder_io(image, MACCEL_U8, 4, (int[]){1, 8, 8, 4}),
                           builder_io(out, MACCEL_F32, 4, (int[]){1, 4, 4, 8})};
  pthread_barrier_t barrier;
  pthread_t threads[8];
  run runs[8];
  pthread_barrier_init(&barrier, NULL, (unsigned)parts);
  const mx_team team = {.parts = parts, .wait = parts > 1 ? meet : NULL, .self = &barrier};
  mx_context_upload(c, io);
  for (int part = 0; part < parts; ++part) runs[part] = (run){c, &team, part};
  for (int part = 1; part < parts; ++part)
    CHECK(pthread_create(&threads[part], NULL, run_part, &runs[part]) == 0);
  run_part(&runs[0]);
  for (int part = 1; part < parts; ++part) pthread_join(threads[part], NULL);
  mx_context_download(c, io);
  pthread_barrier_destroy(&barrier);
}

static void contexts_and_teams_agree(void) {
  builder b;
  float want[3][128], got[128];
  mx_context *one = NULL, *other = NULL;
  sample_build(&b);
  mx_program *p = load(&b);
  CHECK_INT(mx_context_create(p, 1, &one), MACCEL_OK);
  CHECK_INT(mx_context_create(p, 5, &other), MACCEL_OK);
  for (int seed = 0; seed < 3; ++seed) infer(one, seed, 1, want[seed]);
  CHECK(memcmp(want[0], want[1], sizeof got) != 0);
  for (int parts = 1; parts <= 5; ++parts) {
    for (int seed = 2; seed >= 0; --seed) {
      memset(got, 0xff, sizeof got);
      infer(other, seed, parts, got);
      CHECK(memcmp(got, want[seed], sizeof got) == 0);
    }
  }
  mx_context_free(one);
  mx_context_free(other);
  mx_program_free(p);
  builder_free(&b);
}

static void profiles_add_up(void) {
  builder b;
  float out[128];
  maccel_layer_time rows[8];
  uint32_t count = 0;
  mx_context *c = NULL;
  sample_build(&b);
  mx_program *p = load(&b);
  CHECK_INT(mx_context_create(p, 2, &c), MACCEL_OK);
  infer(c, 0, 1, out);
  CHECK_INT(mx_program_get_profile(p, rows, 8, &count), MACCEL_OK);
  CHECK_INT(count, 3);
  CHECK_INT(rows[0].calls + rows[0].total_ns, 0);
  mx_program_set_profile(p, 1);
  infer(c, 0, 1, out);
  infer(c, 0, 2, out);
  CHECK_INT(mx_program_get_profile(p, rows, 8, &count), MACCEL_OK);
  for (uint32_t k = 0; k < 3; ++k) {
    CHECK_INT(rows[k].layer, k);
    CHECK_INT(rows[k].calls, 2);
    CHECK(rows[k].total_ns > 0);
  }
  CHECK_INT(rows[0].op, MX_OP_CONV);
  CHECK_INT(rows[0].macs, 8 * 8 * 8 * 36);
  CHECK_INT(rows[1].op, MX_OP_DWCONV);
  CHECK_INT(rows[1].macs, 8 * 8 * 8 * 9);
  CHECK_INT(rows[0].bytes_written, 8 * 8 * 8);
  CHECK(rows[0].bytes_read >= 8 * 8 * 4 + 8 * 36 + 8 * 4 + 8 * 4);
  CHECK(rows[0].bytes_read < 8192); /* padded and packed, not more */
  CHECK(rows[1].bytes_read >= 2 * 8 * 8 * 8 + 9 * 8 + 8 * 4 + 8 * 4);
  CHECK_INT(rows[2].bytes_read, 8 * 8 * 8 + 128 + 4 * 128 + 2 * 4 * 128); /* pool, map, softmax, sum */
  CHECK_INT(rows[2].bytes_written, 128 + 3 * 4 * 128);
  mx_program_set_profile(p, 0);
  infer(c, 0, 1, out);
  mx_program_get_profile(p, rows, 1, &count);
  CHECK_INT(rows[0].calls, 2);
  CHECK_INT(count, 3);
  mx_program_set_profile(p, 1);
  mx_program_get_profile(p, rows, 8, &count);
  CHECK_INT(rows[0].calls, 0);
  CHECK_INT(mx_program_get_profile(p, NULL, 0, NULL), MACCEL_E_INVALID);
  mx_context_free(c);
  mx_program_free(p);
  builder_free(&b);
}

/* A program without instructions whose output is its input: what comes back shows what went in. */
static void tables_orders_and_strides_are_applied(void) {
  builder b;
  uint8_t tables[2 * 256], pixels[3 * 2] = {1, 2, 3, 4, 5, 6};
  const int32_t order[2] = {1, 0};
  float out[6];
  mx_context *c = NULL;
  const mx_team alone = {.parts = 1};
  builder_init(&b);
  for (int k = 0; k < 512; ++k) tables[k] = (uint8_t)(k < 256 ? 100 + k : 200 + k);
  const uint32_t x = builder_tensor(&b, MACCEL_U8, 2, (int[]){3, 2}, 0.5f, 100);
  builder_input(&b, x);
  builder_output(&b, x);
  b.inputs[0].table = builder_const(&b, MACCEL_U8, 2, (int[]){2, 256}, tables);
  b.inputs[0].order = builder_const(&b, MACCEL_S32, 1, (int[]){2}, order);
  builder_finish(&b);
  mx_program *p = load(&b);
  CHECK_INT(mx_context_create(p, 1, &c), MACCEL_OK);
  maccel_io io[2] = {{.data = pixels, .dtype = MACCEL_U8, .stride = {1, 3}},
                     builder_io(out, MACCEL_F32, 2, (int[]){3, 2})};
  mx_context_upload(c, io);
  mx_context_run(c, &alone, 0);
  mx_context_download(c, io);
  for (int k = 0; k < 3; ++k) {
    CHECK(out[2 * k] == (float)(100 + pixels[3 + k] - 100) * 0.5f);
    CHECK(out[2 * k + 1] == (float)((200 + 256 + pixels[k]) % 256 - 100) * 0.5f);
  }
  const float real[6] = {-50.0f, 0.26f, 0.25f, 500.0f, -1.0f, 7.0f};
  io[0] = builder_io((void *)(uintptr_t)real, MACCEL_F32, 2, (int[]){3, 2});
  mx_context_upload(c, io);
  mx_context_download(c, io);
  CHECK(out[0] == 0.5f && out[1] == -50.0f && out[2] == 77.5f && out[3] == 0.0f && out[4] == 7.0f &&
        out[5] == -1.0f);
  mx_context_free(c);
  mx_program_free(p);
  builder_free(&b);
}

/* In shares of any number and in any order: the bytes of one transfer. */
static void transfers_can_be_cut(void) {
  builder b;
  float want[128], got[128];
  uint8_t image[256];
  mx_context *whole = NULL, *cut = NULL;
  const mx_team alone = {.parts = 1};
  sample_build(&b);
  mx_program *p = load(&b);
  CHECK_INT(mx_context_create(p, 1, &whole), MACCEL_OK);
  CHECK_INT(mx_context_create(p, 1, &cut), MACCEL_OK);
  CHECK_INT(mx_context_upload_shares(cut), 1); /* 256 pixels are not worth two threads */
  CHECK_INT(mx_context_download_shares(cut), 1);
  for (uint32_t shares = 1; shares <= 11; ++shares) {
    image_of(image, (int)shares);
    infer(whole, (int)shares, 1, want);
    memset(got, 0xff, sizeof got);
    const maccel_io io[2] = {builder_io(image, MACCEL_U8, 4, (int[]){1, 8, 8, 4}),
                             builder_io(got, MACCEL_F32, 4, (int[]){1, 4, 4, 8})};
    for (uint32_t k = shares; k-- > 0;) mx_context_upload_share(cut, io, k, shares);
    mx_context_run(cut, &alone, 0);
    for (uint32_t k = 0; k < shares; ++k) mx_context_download_share(cut, io, (k + 3) % shares, shares);
    CHECK(memcmp(want, got, sizeof got) == 0);
  }
  mx_context_free(whole);
  mx_context_free(cut);
  mx_program_free(p);
  builder_free(&b);
}

static void wrong_calls_are_refused(void) {
  builder b;
  mx_context *c = NULL;
  sample_build(&b);
  mx_program *p = load(&b);
  CHECK_INT(mx_context_create(p, 0, &c), MACCEL_E_INVALID);
  CHECK_INT(mx_context_create(NULL, 1, &c), MACCEL_E_INVALID);
  CHECK_INT(mx_context_create(p, 1, NULL), MACCEL_E_INVALID);
  mx_context_free(NULL);
  mx_program_free(p);
  builder_free(&b);
}

int main(void) {
  contexts_and_teams_agree();
  profiles_add_up();
  tables_orders_and_strides_are_applied();
  transfers_can_be_cut();
  wrong_calls_are_refused();
  return 0;
}
