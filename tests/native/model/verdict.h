/* verdict.h - a program that is one step from a sound one is refused with exactly one sentence, and the sound one
 * passes: what the tables of test_verify_<kind>.c are made of. */
#ifndef MX_TEST_VERDICT_H
#define MX_TEST_VERDICT_H

#include <math.h>

#include "exec.h"
#include "sample.h"

static builder b;

static inline int verdict(void) {
  builder_finish(&b);
  return maccel_program_verify(b.program, b.program_bytes, b.data, b.data_bytes);
}

static int failures; /* one run shows all of them */

/* NULL: it is sound. */
static inline void expect(const char *reason) {
  const int status = verdict();
  const char *got = status == MACCEL_OK ? "(sound)" : maccel_last_error();
  const char *want = reason == NULL ? "(sound)" : reason;
  if (strcmp(got, want) != 0 || (reason != NULL && status != MACCEL_E_FORMAT)) {
    fprintf(stderr, "status %d\n     got '%s'\nexpected '%s'\n", status, got, want);
    failures++;
  }
  builder_free(&b);
}

/* `make` builds a sound program; `change` takes one step away from it. */
#define SOUND(make, change) \
  do {                      \
    make;                   \
    change;                 \
    expect(NULL);           \
  } while (0)
#define BROKEN(make, change, reason) \
  do {                               \
    make;                            \
    change;                          \
    expect("instruction 0 " reason); \
  } while (0)
#define NOTHING (void)0
#define T(k) (b.tensors[k])
#define I (b.insns[0])
#define INF ((float)INFINITY)

static inline uint32_t bytes_of(int dtype, int rank, const int *dims) {
  return sample_bytes(&b, dtype, rank, dims, 11);
}
static inline float *floats(int slot) { return (float *)(void *)(b.data + b.consts[I.cst[slot]].offset); }
static inline int32_t *ints(int slot) { return (int32_t *)(void *)(b.data + b.consts[I.cst[slot]].offset); }

static inline uint32_t image(int dtype, int h, int w, int c) {
  return builder_tensor(&b, dtype, 4, (int[]){1, h, w, c}, 1.0f, 0);
}

/* Room for another tensor: `bytes` more at the end of the arena. */
static inline uint64_t room(uint64_t bytes) {
  const uint64_t at = (b.head.arena_bytes + 63) & ~(uint64_t)63;
  b.head.arena_bytes = at + bytes;
  return at;
}

static inline mxp_insn *start(int op) {
  mxp_insn *in = builder_insn(&b, op);
  in->in[0] = 0;
  in->out[0] = 1;
  builder_output(&b, 1);
  return in;
}

#endif
