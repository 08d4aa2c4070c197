/* The container: what a sound file gives, and the reason for each kind of damage. */
#include "../common/check.h"
#include "maccel.h"
#include "mxq.h"

enum { FILE_BYTES = 64 + 3 * 64 + 64 + 128 + 64, COUNT = 3 };

static uint8_t file[FILE_BYTES];

static mxq_header *header(void) { return (mxq_header *)(void *)file; }
static mxq_section *section(int k) { return (mxq_section *)(void *)(file + 64 + 64 * k); }

static void make(void) {
  memset(file, 0, sizeof file);
  *header() = (mxq_header){.version = MXQ_VERSION,
                           .section_count = COUNT,
                           .section_bytes = 64,
                           .file_bytes = FILE_BYTES,
                           .table_offset = 64};
  memcpy(header()->magic, MXQ_MAGIC, 8);
  *section(0) = (mxq_section){.type = MXQ_SECTION_MANIFEST, .offset = 256, .size = 50};
  *section(1) = (mxq_section){.type = MXQ_SECTION_PROGRAM, .offset = 320, .size = 128};
  *section(2) = (mxq_section){.type = MXQ_SECTION_CONSTS, .offset = 448, .size = 64};
  section(1)->sha256[5] = 77;
}

static int parse(uint64_t size, uint32_t *count) {
  maccel_section out[COUNT];
  return maccel_file_parse(file, size, out, COUNT, count);
}

static void a_sound_file_is_read(void) {
  maccel_section out[COUNT];
  uint32_t count = 0;
  make();
  CHECK_INT(maccel_file_parse(file, FILE_BYTES, out, COUNT, &count), MACCEL_OK);
  CHECK_INT(count, 3);
  CHECK_INT(out[1].type, MXQ_SECTION_PROGRAM);
  CHECK_INT(out[1].offset, 320);
  CHECK_INT(out[1].size, 128);
  CHECK_INT(out[1].sha256[5], 77);
  CHECK_INT(out[2].sha256[5], 0);
}

static void a_short_list_is_filled_and_the_count_is_the_files(void) {
  maccel_section out[2];
  uint32_t count = 0;
  make();
  memset(out, 0xee, sizeof out);
  CHECK_INT(maccel_file_parse(file, FILE_BYTES, out, 1, &count), MACCEL_OK);
  CHECK_INT(count, 3);
  CHECK_INT(out[0].type, MXQ_SECTION_MANIFEST);
  CHECK_INT(out[1].type, 0xeeeeeeee);
  CHECK_INT(maccel_file_parse(file, FILE_BYTES, NULL, 0, &count), MACCEL_OK);
}

static void expect(int status, const char *reason) {
  uint32_t count = 99;
  CHECK_INT(parse(FILE_BYTES, &count), status);
  CHECK_TEXT(maccel_last_error(), reason);
  CHECK_INT(count, 99);
}

#define DAMAGE(change, status, reason) \
  do {                                 \
    make();                            \
    change;                            \
    expect(status, reason);            \
  } while (0)

static void damage_is_named(void) {
  DAMAGE(file[6] = '\n', MACCEL_E_FORMAT, "the file does not start with the mxq magic bytes");
  DAMAGE(header()->version = 2, MACCEL_E_FORMAT, "the file has format version 2, this build reads version 1");
  DAMAGE(header()->flags = 4, MACCEL_E_FORMAT, "the header has unknown flags 0x4");
  DAMAGE(header()->section_bytes = 48, MACCEL_E_FORMAT,
         "the header says 48 bytes for a section table entry, not 64");
  DAMAGE(header()->file_bytes = 600, MACCEL_E_FORMAT,
         "the header says 600 bytes, the file has 512: it is truncated or has something after its end");
  DAMAGE(header()->table_offset = 128, MACCEL_E_FORMAT, "the section table does not follow the header");
  DAMAGE(header()->section_count = 0, MACCEL_E_FORMAT, "the file has 0 sections, 1 to 4096 are allowed");
  DAMAGE(header()->section_count = 5000, MACCEL_E_FORMAT,
         "the file has 5000 sections, 1 to 4096 are allowed");
  DAMAGE(header()->section_count = 4000, MACCEL_E_FORMAT, "the table of 4000 sections ends after the file");
  DAMAGE(header()->reserved[3] = 1, MACCEL_E_FORMAT, "reserved bytes of the header are not zero");
  DAMAGE(section(1)->type = 9, MACCEL_E_FORMAT, "section 1 has unknown type 9");
  DAMAGE(section(1)->type = 0, MACCEL_E_FORMAT, "section 1 has unknown type 0");
  DAMAGE(section(1)->flags = 1, MACCEL_E_FORMAT, "section 1 has unknown flags 0x1");
  DAMAGE(section(1)->offset = 321, MACCEL_E_FORMAT, "section 1 starts at 321, not a multiple of 64");
  DAMAGE(section(2)->size = 65, MACCEL_E_FORMAT, "section 2 (65 bytes at 448) ends after the file");
  DAMAGE(section(2)->size = UINT64_MAX, MACCEL_E_FORMAT,
         "section 2 (18446744073709551615 bytes at 448) ends after the file");
  DAMAGE(section(2)->offset = (uint64_t)1 << 40, MACCEL_E_FORMAT,
         "section 2 (64 bytes at 1099511627776) ends after the file");
  DAMAGE(section(1)->offset = 256, MACCEL_E_FORMAT, "section 1 overlaps what comes before it");
  DAMAGE(section(0)->offset = 192, MACCEL_E_FORMAT, "section 0 overlaps what comes before it");
  DAMAGE(section(2)->reserved[7] = 1, MACCEL_E_FORMAT, "reserved bytes of section 2 are not zero");
  DAMAGE(section(1)->type = MXQ_SECTION_MANIFEST, MACCEL_E_FORMAT,
         "the file has 2 manifests, exactly one is needed");
  DAMAGE(section(0)->type = MXQ_SECTION_ONNX, MACCEL_E_FORMAT,
         "the file has 0 manifests, exactly one is needed");
}

/* Exactly sized copies let the address sanitizer see any read past the end. */
static void every_truncation_is_refused(void) {
  make();
  for (size_t n = 0; n < FILE_BYTES; ++n) {
    uint8_t *copy = malloc(n + 1);
    uint32_t count;
    CHECK(copy != NULL);
    memcpy(copy + 1, file, n);
    CHECK_INT(maccel_file_parse(copy + 1, n, NULL, 0, &count), MACCEL_E_FORMAT);
    free(copy);
  }
}

static void wrong_calls_are_refused(void) {
  uint32_t count;
  make();
  CHECK_INT(maccel_file_parse(NULL, 64, NULL, 0, &count), MACCEL_E_INVALID);
  CHECK_INT(maccel_file_parse(file, FILE_BYTES, NULL, 0, NULL), MACCEL_E_INVALID);
  CHECK_INT(maccel_file_parse(file, FILE_BYTES, NULL, 3, &count), MACCEL_E_INVALID);
}

int main(void) {
  a_sound_file_is_read();
  a_short_list_is_filled_and_the_count_is_the_files();
  damage_is_named();
  every_truncation_is_refused();
  wrong_calls_are_refused();
  return 0;
}
