/* mxq.c - reads the container: header and section table. The layout is specified in mxq.h.
 *
 * Only structure is judged here. Digests are checked by the caller, programs by verify.c. */
#include "mxq.h"

#include <string.h>

#include "maccel.h"
#include "status.h"

_Static_assert(sizeof(mxq_header) == 64, "container header");
_Static_assert(sizeof(mxq_section) == 64, "section table entry");
_Static_assert(sizeof(mxp_header) == 96, "program header");
_Static_assert(sizeof(mxp_input) == 16, "program input");
_Static_assert(sizeof(mxp_tensor) == 96, "tensor record");
_Static_assert(sizeof(mxp_const) == 48, "constant record");
_Static_assert(sizeof(mxp_insn) == 256, "instruction record");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are read in place: this code needs a little-endian machine"
#endif

static int all_zero(const uint8_t *bytes, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (bytes[i] != 0) return 0;
  }
  return 1;
}

static int parse_header(const uint8_t *base, uint64_t size, mxq_header *out) {
  MX_RETURN_IF(size < sizeof *out, MACCEL_E_FORMAT,
               "the file has %llu bytes, too few for the %zu byte header", (unsigned long long)size,
               sizeof *out);
  memcpy(out, base, sizeof *out);
  MX_RETURN_IF(memcmp(out->magic, MXQ_MAGIC, sizeof out->magic) != 0, MACCEL_E_FORMAT,
               "the file does not start with the mxq magic bytes");
  MX_RETURN_IF(out->version != MXQ_VERSION, MACCEL_E_FORMAT,
               "the file has format version %u, this build reads version %u", out->version, MXQ_VERSION);
  MX_RETURN_IF(out->flags != 0, MACCEL_E_FORMAT, "the header has unknown flags 0x%x", out->flags);
  MX_RETURN_IF(out->section_bytes != sizeof(mxq_section), MACCEL_E_FORMAT,
               "the header says %u bytes for a section table entry, not %zu", out->section_bytes,
               sizeof(mxq_section));
  MX_RETURN_IF(
      out->file_bytes != size, MACCEL_E_FORMAT,
      "the header says %llu bytes, the file has %llu: it is truncated or has something after its end",
      (unsigned long long)out->file_bytes, (unsigned long long)size);
  MX_RETURN_IF(out->table_offset != sizeof *out, MACCEL_E_FORMAT,
               "the section table does not follow the header");
  MX_RETURN_IF(out->section_count == 0 || out->section_count > MXQ_MAX_SECTIONS, MACCEL_E_FORMAT,
               "the file has %u sections, 1 to %u are allowed", out->section_count, MXQ_MAX_SECTIONS);
  MX_RETURN_IF(!all_zero(out->reserved, sizeof out->reserved), MACCEL_E_FORMAT,
               "reserved bytes of the header are not zero");
  return MACCEL_OK;
}

/* Sections lie in table order without overlap: `floor` is the end of what came before. */
static int check_section(const mxq_section *s, uint32_t i, uint64_t file_bytes, uint64_t floor) {
  MX_RETURN_IF(s->type < MXQ_SECTION_MANIFEST || s->type > MXQ_SECTION_ONNX, MACCEL_E_FORMAT,
               "section %u has unknown type %u", i, s->type);
  MX_RETURN_IF(s->flags != 0, MACCEL_E_FORMAT, "section %u has unknown flags 0x%x", i, s->flags);
  MX_RETURN_IF(s->offset % MXQ_ALIGN != 0, MACCEL_E_FORMAT, "section %u starts at %llu, not a multiple of %u",
               i, (unsigned long long)s->offset, MXQ_ALIGN);
  MX_RETURN_IF(s->offset > file_bytes || s->size > file_bytes - s->offset, MACCEL_E_FORMAT,
               "section %u (%llu bytes at %llu) ends after the file", i, (unsigned long long)s->size,
               (unsigned long long)s->offset);
  MX_RETURN_IF(s->offset < floor, MACCEL_E_FORMAT, "section %u overlaps what comes before it", i);
  MX_RETURN_IF(!all_zero(s->reserved, sizeof s->reserved), MACCEL_E_FORMAT,
               "reserved bytes of section %u are not zero", i);
  return MACCEL_OK;
}

int maccel_file_parse(const void *base, uint64_t size, maccel_section *sections, uint32_t cap,
                      uint32_t *count) {
  MX_RETURN_IF(base == NULL || count == NULL || (sections == NULL && cap > 0), MACCEL_E_INVALID,
               "a pointer is NULL");
  mxq_header header = {0};
  MX_FORWARD(parse_header(base, size, &header));
  uint64_t end = sizeof header + (uint64_t)header.section_count * sizeof(mxq_section);
  MX_RETURN_IF(end > size, MACCEL_E_FORMAT, "the table of %u sections ends after the file",
               header.section_count);
  uint32_t manifests = 0;
  for (uint32_t i = 0; i < header.section_count; ++i) {
    mxq_section s;
    memcpy(&s, (const uint8_t *)base + sizeof header + (size_t)i * sizeof s, sizeof s);
    MX_FORWARD(check_section(&s, i, size, end));
    end = s.offset + s.size;
    manifests += s.type == MXQ_SECTION_MANIFEST;
    if (i < cap) {
      sections[i] = (maccel_section){.type = s.type, .flags = s.flags, .offset = s.offset, .size = s.size};
      memcpy(sections[i].sha256, s.sha256, sizeof s.sha256);
    }
  }
  MX_RETURN_IF(manifests != 1, MACCEL_E_FORMAT, "the file has %u manifests, exactly one is needed",
               manifests);
  *count = header.section_count;
  return MACCEL_OK;
}
