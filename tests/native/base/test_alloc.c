/* Memory: alignment, zeroes, refusal instead of death. */
#include "alloc.h"

#include "../common/check.h"

static int all_zero(const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i]) return 0;
  return 1;
}

static void memory_is_aligned_and_zeroed(void) {
  for (size_t align = 1; align <= 4096; align *= 2) {
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
      uint8_t *p = mx_alloc(bytes, align);
      CHECK(p != NULL);
      CHECK((uintptr_t)p % align == 0);
      CHECK(all_zero(p, bytes));
      memset(p, 0xff, bytes);
      mx_free(p);
    }
  }
  mx_free(NULL);
}

static void too_much_is_refused(void) {
  CHECK(mx_alloc(SIZE_MAX, 64) == NULL);
  CHECK(mx_map(SIZE_MAX) == NULL);
  CHECK(mx_map(0) == NULL);
}

static void regions_are_pages_of_zeroes(void) {
  const size_t sizes[] = {1, 4096, 5000, (size_t)3 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    uint8_t *p = mx_map(sizes[i]);
    CHECK(p != NULL);
    CHECK((uintptr_t)p % 4096 == 0);
    CHECK(all_zero(p, sizes[i]));
    memset(p, 0xff, sizes[i]);
    mx_unmap(p, sizes[i]);
  }
  mx_unmap(NULL, 4096);
}

/* Only whole pages go: what lies beside the part stays. */
static void discarded_pages_are_zeroes(void) {
  const size_t size = 8 * 4096;
  uint8_t *p = mx_map(size);
  CHECK(p != NULL);
  memset(p, 0xff, size);
  mx_discard(p + 100, 50);
  mx_discard(p + 4000, 200);
  for (size_t i = 0; i < size; i++) CHECK(p[i] == 0xff);
  mx_discard(p + 4000, 2 * 4096 + 200);
  CHECK(p[4095] == 0xff && p[3 * 4096] == 0xff);
  CHECK(all_zero(p + 4096, 2 * 4096));
  mx_unmap(p, size);
}

int main(void) {
  memory_is_aligned_and_zeroed();
  too_much_is_refused();
  regions_are_pages_of_zeroes();
  discarded_pages_are_zeroes();
  return 0;
}
