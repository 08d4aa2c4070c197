/* Any bytes as a model file: the header and the section table must be refused or describe what is inside. */
#include <stddef.h>

#include "maccel.h"

enum { SECTIONS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  maccel_section sections[SECTIONS];
  uint32_t count = 0;
  if (maccel_file_parse(data, size, sections, SECTIONS, &count) != MACCEL_OK) return 0;
  static volatile uint8_t seen; /* a global the compiler must write: the reads below stay */
  for (uint32_t i = 0; i < count && i < SECTIONS; ++i) {
    const uint8_t *section = data + sections[i].offset;
    if (sections[i].size > 0) seen ^= (uint8_t)(section[0] ^ section[sections[i].size - 1]);
  }
  return 0;
}
