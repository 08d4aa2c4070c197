/* levels.h - one instruction on every kernel of every level that this processor has, against the plain kernel.
 *
 * The arena lies right before a page that cannot be touched: reading further than the slack that mxq.h promises ends
 * the test. The work is cut into 1 to `most` parts, run forwards and backwards, since threads come in any order. All
 * bytes of the arena are compared: elements of outputs with what the plain kernel makes of them, everything else with
 * what was there before, but for the padding that belongs to an output. */
#ifndef MX_TEST_LEVELS_H
#define MX_TEST_LEVELS_H

#include <sys/mman.h>

#include "bind.h"
#include "tables.h"

enum { LEVELS_PAGE = 4096 };

typedef struct levels_case {
  bound r; /* its region is not used */
  uint8_t *map;
  size_t map_bytes;
  uint8_t *before, *want, *marks; /* of the arena */
} levels_case;

enum { LEVELS_KEPT, LEVELS_ELEMENT, LEVELS_PADDING };

static inline void levels_move_view(mx_view *v, const uint8_t *from, uint8_t *to) {
  if (v->rank > 0) v->data = to + (v->data - from);
}

/* The tasks of bind_insn with their arena at the end of a mapping; its start is aligned for every element. */
static inline levels_case levels_bind(const builder *b, uint32_t insn) {
  levels_case c = {.r = bind_insn(b, insn)};
  const size_t bytes = (c.r.arena_bytes + 7) & ~(size_t)7;
  const size_t pages = (bytes + 2 * BIND_SLACK + LEVELS_PAGE - 1) / LEVELS_PAGE * LEVELS_PAGE;
  c.map_bytes = pages + LEVELS_PAGE;
  c.map = mmap(NULL, c.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(c.map != MAP_FAILED);
  CHECK(mprotect(c.map + pages, LEVELS_PAGE, PROT_NONE) == 0);
  uint8_t *arena = c.map + pages - BIND_SLACK - bytes;
  for (int k = 0; k < 6; ++k) levels_move_view(&c.r.task.in[k], c.r.arena, arena);
  for (int k = 0; k < 2; ++k) levels_move_view(&c.r.task.out[k], c.r.arena, arena);
  c.r.arena = arena;
  c.before = bind_alloc(c.r.arena_bytes);
  c.want = bind_alloc(c.r.arena_bytes);
  c.marks = bind_alloc(c.r.arena_bytes);
  return c;
}

static inline void levels_mark(levels_case *c, const mx_view *o) {
  int index[MXP_MAX_RANK] = {0};
  const int last = o->rank - 1;
  if (o->rank == 0) return;
  do {
    const int64_t off = at(o, index) - c->r.arena;
    memset(c->marks + off, LEVELS_ELEMENT, (size_t)builder_elem(o->dtype));
    if (!(o->flags & MX_TENSOR_PAD_CHANNELS) || index[last] != o->dims[last] - 1) continue;
    const int64_t used = (int64_t)o->dims[last] * builder_elem(o->dtype);
    const int64_t pixel = off + builder_elem(o->dtype) - used;
    memset(c->marks + pixel + used, LEVELS_PADDING, (size_t)(o->stride[last - 1] - used));
  } while (next_index(o->rank, o->dims, index));
}

/* Which NaN it is differs between processors; that it is one does not. */
static inline int levels_same_floats(const uint8_t *a, const uint8_t *b) {
  float x, y;
  memcpy(&x, a, 4);
  memcpy(&y, b, 4);
  return memcmp(a, b, 4) == 0 || (x != x && y != y);
}

static inline int levels_same_bf16(const uint8_t *a, const uint8_t *b) {
  const uint8_t x[4] = {0, 0, a[0], a[1]}, y[4] = {0, 0, b[0], b[1]};
  return levels_same_floats(x, y);
}

static inline int levels_same(int dtype, const uint8_t *got, const uint8_t *want) {
  if (dtype == MACCEL_F32) return levels_same_floats(got, want);
  if (dtype == MACCEL_BF16) return levels_same_bf16(got, want);
  return memcmp(got, want, (size_t)builder_elem(dtype)) == 0;
}

static inline void levels_fail(const mx_kernel *k, int parts, const char *what, long long offset) {
  fprintf(stderr, "%s in %d parts: %s at byte %lld of the arena\n", k->name, parts, what, offset);
  exit(1);
}

static inline void levels_compare_output(const levels_case *c, const mx_view *o, const mx_kernel *k,
                                         int parts) {
  int index[MXP_MAX_RANK] = {0};
  if (o->rank == 0) return;
  do {
    const uint8_t *got = at(o, index), *want = c->want + (got - c->r.arena);
    if (!levels_same(o->dtype, got, want)) levels_fail(k, parts, "an element is wrong", got - c->r.arena);
  } while (next_index(o->rank, o->dims, index));
}

static inline void levels_compare(const levels_case *c, const mx_kernel *k, int parts) {
  for (int o = 0; o < 2; ++o) levels_compare_output(c, &c->r.task.out[o], k, parts);
  for (uint64_t i = 0; i < c->r.arena_bytes; ++i) {
    if (c->marks[i] == LEVELS_KEPT && c->r.arena[i] != c->before[i])
      levels_fail(k, parts, "a byte that is no output's was written", (long long)i);
  }
}

static inline void levels_run(const mx_task *task, const mx_kernel *k, int parts, int backwards) {
  mx_task t = *task;
  uint8_t *packed = NULL, *scratch = NULL;
  if (k->pack != NULL) {
    packed = bind_alloc(k->pack_bytes(&t));
    k->pack(&t, packed);
    t.packed = packed;
    t.cst[0] = NULL;
  }
  const size_t scratch_bytes = k->scratch_bytes ? k->scratch_bytes(&t) : 0;
  if (scratch_bytes > 0) scratch = bind_alloc(scratch_bytes);
  for (int n = 0; n < parts; ++n) {
    if (scratch != NULL) memset(scratch, 0x5a, scratch_bytes);
    t.scratch = scratch;
    k->run(&t, backwards ? parts - 1 - n : n, parts);
  }
  free(scratch);
  free(packed);
}

static inline void levels_try(levels_case *c, const mx_kernel *k, int most) {
  if (k->accepts != NULL && !k->accepts(&c->r.task)) return;
  for (int parts = 1; parts <= most; ++parts) {
    for (int backwards = 0; backwards <= (parts > 1); ++backwards) {
      memcpy(c->r.arena, c->before, c->r.arena_bytes);
      levels_run(&c->r.task, k, parts, backwards);
      levels_compare(c, k, parts);
    }
  }
}

static inline void levels_unbind(levels_case *c) {
  munmap(c->map, c->map_bytes);
  free(c->before);
  free(c->want);
  free(c->marks);
  bind_free(&c->r);
}

/* What the arena holds before: random elements in the inputs, noise everywhere else. */
static inline void levels_fill(levels_case *c, test_rng *rng) {
  for (uint64_t i = 0; i < c->r.arena_bytes; ++i) c->r.arena[i] = (uint8_t)rng_next(rng);
  for (int k = 0; k < 6; ++k) {
    if (c->r.task.in[k].rank > 0) fill_view(&c->r.task.in[k], rng);
  }
}

/* The filled case on all kernels. */
static inline void levels_check(levels_case *c, int most) {
  const int op = c->r.task.insn->op;
  const mx_kernel *const *plain = mx_kernels_scalar(op);
  CHECK(plain != NULL && plain[0] != NULL);
  memset(c->marks, LEVELS_KEPT, c->r.arena_bytes);
  for (int o = 0; o < 2; ++o) levels_mark(c, &c->r.task.out[o]);
  memcpy(c->before, c->r.arena, c->r.arena_bytes);
  levels_run(&c->r.task, plain[0], 1, 0);
  memcpy(c->want, c->r.arena, c->r.arena_bytes);
  for (int level = 0; level < LEVELS_TABLES; ++level) {
    const mx_kernel *const *list = levels_table(level, op);
    for (; list != NULL && *list != NULL; ++list) levels_try(c, *list, most);
  }
}

/* The last instruction of the builder with random operands. */
static inline void levels_agree(const builder *b, test_rng *rng, int most) {
  levels_case c = levels_bind(b, b->head.num_insns - 1);
  levels_fill(&c, rng);
  levels_check(&c, most);
  levels_unbind(&c);
}

#endif
