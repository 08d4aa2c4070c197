/* ATTENTION against loops over single elements in the order of mxq.h, on every level and in parts, in random shapes and
 * layouts: heads that share keys, masks, rows with and without gaps. */
#include "../common/levels.h"
#include "scalar_case.h"

enum { MOST = 80 };

typedef struct codes {
  float scale;
  int q[MOST];
} codes;

static int index_of[MXP_MAX_RANK]; /* of the element under test */

static float operand(const mx_view *v, int row, int column) {
  int index[MXP_MAX_RANK];
  memcpy(index, index_of, sizeof index);
  index[v->rank - 2] = row, index[v->rank - 1] = column;
  return (float)stored(v, index);
}

static codes coded(const mx_view *v, int row, int column, int n) {
  codes c = {0};
  float most = 0.0f;
  for (int k = 0; k < n; ++k)
    most = fmaxf(most, fabsf(operand(v, row < 0 ? k : row, column < 0 ? k : column)));
  c.scale = most / 127.0f;
  if (most == 0.0f) return c;
  const float inverse = 127.0f / most;
  for (int k = 0; k < n; ++k) {
    const float x = operand(v, row < 0 ? k : row, column < 0 ? k : column) * inverse;
    c.q[k] = (int)fmin(fmax(nearbyint((double)x), -127.0), 127.0);
  }
  return c;
}

static void shares_of(const mx_task *t, int row, int *share) {
  const int last = t->out[0].rank - 1, depth = t->in[0].dims[last], keys = t->in[1].dims[last - 1];
  const codes q = coded(&t->in[0], row, -1, depth);
  float x[MOST], most = -INFINITY;
  for (int j = 0; j < keys; ++j) {
    const codes k = coded(&t->in[1], j, -1, depth);
    int sum = 0;
    for (int i = 0; i < depth; ++i) sum += q.q[i] * k.q[i];
    const float scale = q.scale * t->insn->f[5], product = (float)sum * scale;
    x[j] = product * k.scale;
    if (t->in[3].rank) x[j] = x[j] + operand(&t->in[3], row, j);
    most = fmaxf(most, x[j]);
  }
  for (int j = 0; j < keys; ++j) share[j] = (int)nearbyintf(mx_exp(x[j] - most) * 255.0f);
}

static void check(const bound *r) {
  const mx_task *t = &r->task;
  const mx_view *o = &t->out[0];
  const int last = o->rank - 1, keys = t->in[1].dims[last - 1];
  memset(index_of, 0, sizeof index_of);
  do {
    int share[MOST], total = 0, sum = 0;
    shares_of(t, index_of[last - 1], share);
    const codes v = coded(&t->in[2], -1, index_of[last], keys);
    for (int j = 0; j < keys; ++j) total += share[j], sum += share[j] * v.q[j];
    const float inverse = 1.0f / (float)total, scale = v.scale * inverse;
    expect(o, index_of, (float)sum * scale, 0, 0);
  } while (next_index(o->rank, o->dims, index_of));
}

static uint32_t heads(builder *b, int rank, const int *lead, int rows, int columns) {
  int dims[MXP_MAX_RANK];
  memcpy(dims, lead, sizeof dims);
  dims[rank - 2] = rows, dims[rank - 1] = columns;
  const uint32_t t = random_view(b, MACCEL_F32, rank, dims, rng_int(&rng, 0, 3) ? 1 : 0);
  return t;
}

/* An input that repeats along a leading dimension. */
static void share(builder *b, uint32_t t, int rank) {
  if (rank > 2 && rng_int(&rng, 0, 2) == 0) b->tensors[t].stride[rng_int(&rng, 0, rank - 3)] = 0;
}

static void once(void) {
  builder b;
  builder_init(&b);
  int lead[MXP_MAX_RANK] = {0};
  const int rank = rng_int(&rng, 2, 5), rows = rng_int(&rng, 1, 14), keys = rng_int(&rng, 1, MOST);
  const int depth = rng_int(&rng, 1, MOST), width = rng_int(&rng, 1, 40);
  for (int d = 0; d < rank - 2; ++d) lead[d] = rng_int(&rng, 1, 2);
  const uint32_t q = heads(&b, rank, lead, rows, depth), k = heads(&b, rank, lead, keys, depth);
  const uint32_t v = heads(&b, rank, lead, keys, width), mask = heads(&b, rank, lead, rows, keys);
  share(&b, k, rank), share(&b, v, rank), share(&b, mask, rank);
  if (rng_int(&rng, 0, 1)) b.tensors[mask].stride[rank - 2] = 0;
  const uint32_t y = heads(&b, rank, lead, rows, width);
  mxp_insn *in = builder_insn(&b, MX_OP_ATTENTION);
  in->in[0] = q, in->in[1] = k, in->in[2] = v, in->out[0] = y;
  if (rng_int(&rng, 0, 1)) in->in[3] = mask;
  in->f[5] = rng_float(&rng, 0.1f, 1.0f);
  run_all(&b, check);
  builder_free(&b);
}

int main(void) {
  for (int run = 0; run < 60; ++run) once();
  return 0;
}
