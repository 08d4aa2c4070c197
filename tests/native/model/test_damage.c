/* Damaged files: every byte of a container's header and table, every byte of a program's records and of its constants.
 * Whatever is accepted in spite of it can be loaded and run on every level without touching anything it does not own. */
#include "exec.h"
#include "sample.h"

/* ---- the container */

enum { SECTIONS = 4, TABLE_END = 64 + SECTIONS * 64, FILE_BYTES = TABLE_END + SECTIONS * 64 };

static void make_file(uint8_t *file) {
  mxq_header h = {.version = MXQ_VERSION,
                  .section_count = SECTIONS,
                  .section_bytes = 64,
                  .file_bytes = FILE_BYTES,
                  .table_offset = 64};
  memset(file, 0, FILE_BYTES);
  memcpy(h.magic, MXQ_MAGIC, 8);
  memcpy(file, &h, sizeof h);
  for (uint32_t k = 0; k < SECTIONS; ++k) {
    mxq_section s = {.type = k + 1, .offset = TABLE_END + 64 * k, .size = 60};
    memset(s.sha256, (int)(0x11 * (k + 1)), sizeof s.sha256);
    memcpy(file + 64 + 64 * k, &s, sizeof s);
  }
}

static int parse(const uint8_t *file, uint64_t size, maccel_section out[SECTIONS]) {
  uint32_t count = 0;
  return maccel_file_parse(file, size, out, SECTIONS, &count);
}

/* Which bytes may differ in a file that is still sound: the number of sections (fewer of them are a file too), their
 * types, sizes that still fit, and digests, which the caller checks. */
static int may_change(int at) {
  if (at < 64) return at == 16;
  const int in_entry = (at - 64) % 64;
  return in_entry == 0 || in_entry == 16 || (in_entry >= 24 && in_entry < 56);
}

static void every_byte_of_the_container(void) {
  uint8_t *file = malloc(FILE_BYTES);
  maccel_section out[SECTIONS];
  make_file(file);
  CHECK_INT(parse(file, FILE_BYTES, out), MACCEL_OK);
  for (int at = 0; at < TABLE_END; ++at) {
    for (int value = 1; value < 256; ++value) {
      file[at] ^= (uint8_t)value;
      const int status = parse(file, FILE_BYTES, out);
      if (status == MACCEL_OK) {
        if (!may_change(at)) fprintf(stderr, "byte %d ^ %d is accepted\n", at, value);
        CHECK(may_change(at));
        for (int k = 0; k < SECTIONS; ++k)
          CHECK(out[k].offset + out[k].size <= FILE_BYTES && out[k].offset >= TABLE_END);
      } else {
        CHECK_INT(status, MACCEL_E_FORMAT);
        CHECK(strlen(maccel_last_error()) > 10);
      }
      file[at] ^= (uint8_t)value;
    }
  }
  free(file);
}

/* In memory of exactly that size: reading behind it is found by the sanitizers. */
static void every_length_of_the_container(void) {
  uint8_t whole[FILE_BYTES];
  maccel_section out[SECTIONS];
  make_file(whole);
  for (uint64_t size = 0; size < FILE_BYTES; ++size) {
    uint8_t *file = malloc(size + 1);
    memcpy(file, whole, size);
    CHECK_INT(parse(file, size, out), MACCEL_E_FORMAT);
    if (size >= 40) memcpy(file + 24, &size, 8); /* a header that agrees */
    CHECK_INT(parse(file, size, out), size >= FILE_BYTES - 4 ? MACCEL_OK : MACCEL_E_FORMAT);
    free(file);
  }
}

/* ---- the program */

static void run_on(const builder *b, mx_isa isa) {
  const mx_team alone = {.parts = 1};
  mx_program *p = NULL;
  mx_context *c = NULL;
  maccel_model_info info;
  const int status = mx_program_load(b->program, b->program_bytes, b->data, b->data_bytes, isa, &p);
  if (status == MACCEL_E_NOMEM) return; /* an arena of many gigabytes is sound too */
  CHECK_INT(status, MACCEL_OK);
  CHECK_INT(mx_program_get_info(p, &info), MACCEL_OK);
  if (info.arena_bytes < (uint64_t)1 << 24) {
    CHECK_INT(mx_context_create(p, 1, &c), MACCEL_OK);
    mx_context_run(c, &alone, 0);
    mx_context_free(c);
  }
  mx_program_free(p);
}

/* 1 when the damaged program was accepted. */
static int try_program(const builder *b) {
  const int status = mx_program_verify(b->program, b->program_bytes, b->data, b->data_bytes);
  if (status == MACCEL_OK) {
    for (int isa = 0; isa <= (int)mx_isa_detected(); ++isa)
      if (mx_isa_supported((mx_isa)isa)) run_on(b, (mx_isa)isa);
    return 1;
  }
  CHECK(status == MACCEL_E_FORMAT || status == MACCEL_E_UNSUPPORTED);
  CHECK(strlen(maccel_last_error()) > 10);
  return 0;
}

static void every_byte_of_the_program(void) {
  static const uint8_t values[] = {0x01, 0x02, 0x04, 0x10, 0x40, 0x80, 0xff};
  builder b;
  int accepted = 0, refused = 0;
  sample_build(&b);
  for (uint64_t at = 0; at < b.program_bytes; ++at) {
    for (size_t v = 0; v < sizeof values; ++v) {
      b.program[at] ^= values[v];
      if (try_program(&b))
        accepted++;
      else
        refused++;
      b.program[at] ^= values[v];
    }
  }
  CHECK(accepted > 100 && refused > 5000); /* both ways were taken */
  builder_free(&b);
}

/* Constants may be anything; only those whose values carry a proof are looked at. */
static void every_byte_of_the_constants(void) {
  builder b;
  int accepted = 0, refused = 0;
  sample_build(&b);
  for (uint64_t at = 0; at < b.data_bytes; ++at) {
    b.data[at] ^= 0xff;
    if (try_program(&b))
      accepted++;
    else
      refused++;
    b.data[at] ^= 0xff;
  }
  CHECK(accepted > 200 && refused > 0);
  builder_free(&b);
}

/* Cut anywhere, or with something behind its end, it is refused. */
static void every_length_of_the_program(void) {
  builder b;
  sample_build(&b);
  for (uint64_t size = 0; size < b.program_bytes; ++size) {
    uint8_t *cut = malloc(size + 1);
    memcpy(cut, b.program, size);
    CHECK_INT(mx_program_verify(cut, size, b.data, b.data_bytes), MACCEL_E_FORMAT);
    free(cut);
  }
  uint8_t *longer = calloc(1, b.program_bytes + 256);
  memcpy(longer, b.program, b.program_bytes);
  CHECK_INT(mx_program_verify(longer, b.program_bytes + 256, b.data, b.data_bytes), MACCEL_E_FORMAT);
  CHECK_INT(mx_program_verify(longer, b.program_bytes + 1, b.data, b.data_bytes), MACCEL_E_FORMAT);
  free(longer);
  builder_free(&b);
}

/* Two fields at a time, at random: what one check catches alone may slip through together with another. */
static void random_pairs_of_bytes(void) {
  builder b;
  test_rng rng = {0xfeedfacecafebeefu};
  sample_build(&b);
  for (int k = 0; k < 20000; ++k) {
    const uint64_t at[2] = {rng_next(&rng) % b.program_bytes, rng_next(&rng) % b.program_bytes};
    const uint8_t value[2] = {(uint8_t)rng_next(&rng), (uint8_t)rng_next(&rng)};
    for (int j = 0; j < 2; ++j) b.program[at[j]] ^= value[j];
    try_program(&b);
    for (int j = 1; j >= 0; --j) b.program[at[j]] ^= value[j];
  }
  CHECK_INT(mx_program_verify(b.program, b.program_bytes, b.data, b.data_bytes), MACCEL_OK); /* as before */
  builder_free(&b);
}

int main(void) {
  every_byte_of_the_container();
  every_length_of_the_container();
  every_byte_of_the_program();
  every_byte_of_the_constants();
  every_length_of_the_program();
  random_pairs_of_bytes();
  return 0;
}
