/* check.h - assertions of the native tests: a failed one prints itself and ends the program with 1. */
#ifndef MX_TEST_CHECK_H
#define MX_TEST_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)                                                      \
  do {                                                                   \
    if (!(cond)) {                                                       \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
      exit(1);                                                           \
    }                                                                    \
  } while (0)

#define CHECK_INT(got, want)                                                                        \
  do {                                                                                              \
    const long long got_ = (long long)(got), want_ = (long long)(want);                             \
    if (got_ != want_) {                                                                            \
      fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #got, got_, want_); \
      exit(1);                                                                                      \
    }                                                                                               \
  } while (0)

#define CHECK_TEXT(got, want)                                                                \
  do {                                                                                       \
    const char *got_ = (got);                                                                \
    if (strcmp(got_, (want)) != 0) {                                                         \
      fprintf(stderr, "%s:%d: got      '%s'\n%*s expected '%s'\n", __FILE__, __LINE__, got_, \
              (int)strlen(__FILE__) + 4, "", (want));                                        \
      exit(1);                                                                               \
    }                                                                                        \
  } while (0)

/* xorshift: the same numbers on every machine. */
typedef struct test_rng {
  uint64_t state;
} test_rng;

static inline uint32_t rng_next(test_rng *r) {
  r->state ^= r->state << 13;
  r->state ^= r->state >> 7;
  r->state ^= r->state << 17;
  return (uint32_t)(r->state >> 16);
}

static inline int rng_int(test_rng *r, int lo, int hi) {
  return lo + (int)(rng_next(r) % (uint32_t)(hi - lo + 1));
}
static inline float rng_float(test_rng *r, float lo, float hi) {
  return lo + (hi - lo) * ((float)(rng_next(r) & 0xffffff) / 16777216.0f);
}

#endif
