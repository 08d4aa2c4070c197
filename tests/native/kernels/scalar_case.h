/* scalar_case.h - random operands, and the expectations of single elements, for the tests of the plain kernels.
 *
 * The loops of these tests visit one output element at a time, with indices and IEEE single operations spelled out;
 * they share no code with the kernels but the activation functions, which test_scalar_math.c covers. */
#ifndef MX_SCALAR_CASE_H
#define MX_SCALAR_CASE_H

#include <math.h>

#include "../common/bind.h"
#include "../common/tables.h"
#include "scalar/act.h"

#define RUNS 300

static test_rng rng = {0x1234567890abcdefu};

static inline int pick_of(const int *values, int n) { return values[rng_int(&rng, 0, n - 1)]; }
#define PICK(...) pick_of((const int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)))

static inline int random_zero(int dtype) {
  switch (dtype) {
    case MACCEL_U8: return rng_int(&rng, 0, 255);
    case MACCEL_S8: return rng_int(&rng, -128, 127);
    case MACCEL_S16: return rng_int(&rng, -500, 500);
    default: return 0;
  }
}

/* Dimensions in any order in memory, with gaps; `keep` of the last dimensions stay in order and without gaps. */
static inline uint32_t random_view(builder *b, int dtype, int rank, const int *dims, int keep) {
  int order[MXP_MAX_RANK];
  for (int d = 0; d < rank; ++d) order[d] = d;
  for (int d = 0; d + 1 < rank - keep && rng_int(&rng, 0, 1); ++d) {
    const int other = rng_int(&rng, d, rank - keep - 1), swap = order[d];
    order[d] = order[other];
    order[other] = swap;
  }
  int64_t stride[MXP_MAX_RANK], step = builder_elem(dtype);
  for (int d = rank - 1; d >= 0; --d) {
    stride[order[d]] = step;
    step *= dims[order[d]];
    if (d < rank - keep + 1 && rng_int(&rng, 0, 3) == 0) step += builder_elem(dtype) * rng_int(&rng, 1, 3);
  }
  const uint64_t offset = (b->head.arena_bytes + 63) & ~(uint64_t)63;
  return builder_view(b, dtype, rank, dims, stride, offset, 1.0f, random_zero(dtype));
}

static inline uint32_t random_floats(builder *b, int n, float lo, float hi) {
  float *v = malloc(((size_t)n + 1) * sizeof *v);
  CHECK(v != NULL);
  for (int k = 0; k < n; ++k) v[k] = rng_float(&rng, lo, hi);
  const uint32_t c = builder_const(b, MACCEL_F32, 1, &n, v);
  free(v);
  return c;
}

static inline void random_act(builder *b, mxp_insn *in, int channels) {
  in->i[11] = rng_int(&rng, 0, 1) ? MX_ACT_NONE : rng_int(&rng, 0, MX_ACT_COUNT - 1);
  in->f[0] = rng_float(&rng, 0.05f, 0.3f);
  in->f[1] = rng_float(&rng, 0.4f, 0.9f);
  if (in->i[11] == MX_ACT_PRELU) in->cst[4] = random_floats(b, channels, -0.5f, 0.5f);
}

static inline void random_clamp(mxp_insn *in, int lo_slot, int dtype) {
  in->i[lo_slot] = range_lo(dtype);
  in->i[lo_slot + 1] = range_hi(dtype);
  if (rng_int(&rng, 0, 2) == 0 && builder_elem(dtype) <= 2) in->i[lo_slot + 1] -= rng_int(&rng, 0, 60);
}

static inline float slope_of(const mx_task *t, int channel) {
  return t->cst[4] ? ((const float *)t->cst[4])[channel] : 0.0f;
}

static inline float act_of(const mx_task *t, float v, int channel) {
  return mx_act(t->insn->i[11], v, t->insn->f[0], t->insn->f[1], slope_of(t, channel));
}

/* deq() of one element */
static inline float deq_of(const mx_view *x, const int *index, float m) {
  const float v = (float)(stored(x, index) - x->zero);
  const float scaled = x->channel_scale ? m * x->channel_scale[index[x->rank - 1]] : m;
  return scaled == 1.0f ? v : v * scaled;
}

static inline double put_of(const mx_view *o, float v, int lo, int hi) {
  if (o->dtype == MACCEL_F32) return (double)v;
  if (o->dtype == MACCEL_BF16) return (double)mx_bf16_load(mx_bf16_store(v));
  if (isnan(v)) v = 0.0f;
  const double held = fmin(fmax((double)v, -1073741824.0), 1073741824.0);
  return fmin(fmax(nearbyint(held) + o->zero, lo), hi);
}

static inline void expect(const mx_view *o, const int *index, float v, int lo, int hi) {
  const double got = stored(o, index), want = put_of(o, v, lo, hi);
  if (got == want || (isnan(got) && isnan(want))) return;
  fprintf(stderr, "element [%d %d %d %d] is %.9g, expected %.9g\n", index[0], index[1], index[2], index[3],
          got, want);
  exit(1);
}

/* The end of elementwise and reducing instructions. */
static inline void expect_finished(const mx_task *t, const int *index, float v) {
  const mx_view *o = &t->out[0];
  v = act_of(t, v, index[o->rank - 1]);
  if (t->insn->f[3] != 1.0f) v = v * t->insn->f[3];
  expect(o, index, v, t->insn->i[12], t->insn->i[13]);
}

static inline float tree16(float *s) {
  const float t[8] = {s[0] + s[8],  s[1] + s[9],  s[2] + s[10], s[3] + s[11],
                      s[4] + s[12], s[5] + s[13], s[6] + s[14], s[7] + s[15]};
  const float u[4] = {t[0] + t[4], t[1] + t[5], t[2] + t[6], t[3] + t[7]};
  return (u[0] + u[2]) + (u[1] + u[3]);
}

/* Runs the instruction with every kernel that the levels of this processor have for it, whole and in parts; `check`
 * compares the outputs each time. */
static inline void run_all(const builder *b, void (*check)(const bound *r)) {
  bound r = bind_insn(b, b->head.num_insns - 1);
  for (int k = 0; k < 6; ++k) {
    if (r.task.in[k].rank > 0) fill_view(&r.task.in[k], &rng);
  }
  uint8_t *before = bind_alloc(r.arena_bytes);
  memcpy(before, r.arena, r.arena_bytes);
  for (int level = 0; level < LEVELS_TABLES; ++level) {
    const mx_kernel *const *list = levels_table(level, r.task.insn->op);
    CHECK(level > 0 || (list != NULL && *list != NULL));
    for (; list != NULL && *list != NULL; ++list) {
      if ((*list)->accepts != NULL && !(*list)->accepts(&r.task)) continue;
      for (int parts = 1; parts <= 3; parts += 2) {
        memcpy(r.arena, before, r.arena_bytes);
        bind_run(&r, *list, parts);
        check(&r);
      }
    }
  }
  free(before);
  bind_free(&r);
}

#endif
