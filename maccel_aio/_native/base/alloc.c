#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *mx_alloc(size_t bytes, size_t align) {
  if (align < sizeof(void *)) align = sizeof(void *);
  if (bytes > SIZE_MAX - align) return NULL;
  size_t rounded = (bytes + align - 1) / align * align;
  void *p = NULL;
  if (posix_memalign(&p, align, rounded ? rounded : align) != 0) return NULL;
  memset(p, 0, rounded);
  return p;
}

void mx_free(void *p) { free(p); }

static size_t page_round(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (bytes + page - 1) / page * page;
}

void *mx_map(size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) return NULL;
  size_t rounded = page_round(bytes);
  void *p = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (rounded >= HUGE_PAGE) (void)madvise(p, rounded, MADV_HUGEPAGE); /* advice: refusal changes nothing */
  return p;
}

void mx_unmap(void *p, size_t bytes) {
  if (p) munmap(p, page_round(bytes));
}

void mx_discard(void *p, size_t bytes) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t first = ((uintptr_t)p + page - 1) / page * page, end = ((uintptr_t)p + bytes) / page * page;
  if (end > first) (void)madvise((void *)first, end - first, MADV_DONTNEED);
}
