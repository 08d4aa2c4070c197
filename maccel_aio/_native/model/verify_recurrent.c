/* verify_recurrent.c - RECURRENT: shapes of all steps, states and weights. */
#include "check.h"

static int check_kind(const mx_check *c, int *gates) {
  static const int counts[MX_RECURRENT_COUNT] = {1, 4, 3, 3};
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, MX_RECURRENT_COUNT - 1));
  const int kind = c->in->i[10], act = c->in->i[11];
  *gates = counts[kind];
  if (kind != MX_RECURRENT_RNN) return mx_check_int(c, 11, "the activation", 0, 0);
  MX_REQUIRE(c, act == MX_ACT_CLAMP || act == MX_ACT_SIGMOID || act == MX_ACT_TANH,
             "activation %d is not CLAMP, SIGMOID or TANH", act);
  return mx_check_act(c, 1);
}

/* f32 of these dimensions whose last one has adjacent elements */
static int check_view(const mx_check *c, const char *what, const mxp_tensor *t, int rank,
                      const int32_t *dims) {
  MX_FORWARD(mx_check_dtype(c, what, t->dtype, MX_BIT(MACCEL_F32)));
  MX_REQUIRE(c, t->rank == rank, "%s has rank %d instead of %d", what, t->rank, rank);
  for (int d = 0; d < rank; ++d) {
    MX_REQUIRE(c, t->dims[d] == dims[d], "dimension %d of %s is %d instead of %d", d, what, t->dims[d],
               dims[d]);
  }
  MX_REQUIRE(c, dims[rank - 1] == 1 || t->stride[rank - 1] == 4, "the rows of %s are not adjacent floats",
             what);
  return MACCEL_OK;
}

static int check_views(const mx_check *c, int gates) {
  const mxp_tensor *y = mx_out(c, 0);
  MX_REQUIRE(c, y->rank == 4, "output 0 has rank %d instead of 4", y->rank);
  const int32_t *d = y->dims;
  MX_REQUIRE(c, d[0] <= 2, "there are %d directions, two are possible", d[0]);
  MX_REQUIRE(c, d[3] <= INT32_MAX / 8, "there are too many units");
  const int32_t steps[4] = {d[0], d[1], d[2], d[3] * gates}, state[3] = {d[0], d[2], d[3]};
  MX_FORWARD(check_view(c, "output 0", y, 4, d));
  MX_FORWARD(check_view(c, "the input", mx_in(c, 0), 4, steps));
  if (mx_in(c, 1) != NULL) MX_FORWARD(check_view(c, "the first hidden state", mx_in(c, 1), 3, state));
  if (mx_in(c, 2) != NULL) MX_FORWARD(check_view(c, "the first cell state", mx_in(c, 2), 3, state));
  if (mx_out(c, 1) != NULL) MX_FORWARD(check_view(c, "the last cell state", mx_out(c, 1), 3, state));
  return MACCEL_OK;
}

static int check_constants(const mx_check *c, int gates) {
  const int32_t *d = mx_out(c, 0)->dims;
  const int dtype = mx_cst(c, 0)->dtype;
  const int32_t weights[3] = {d[0], d[3] * gates, d[3]}, bias[2] = {d[0], d[3]};
  MX_FORWARD(mx_check_dtype(c, "the weight array", dtype,
                            MX_BIT(MACCEL_S8) | MX_BIT(MACCEL_BF16) | MX_BIT(MACCEL_F32)));
  MX_FORWARD(mx_check_const(c, 0, "the weight array", dtype, 3, weights));
  if (dtype != MACCEL_S8) MX_FORWARD(mx_check_finite(c, 0, "the weight array", -3.4e38f));
  MX_REQUIRE(c, dtype != MACCEL_S8 || mx_cst(c, 2) != NULL, "s8 weights need a scale vector");
  if (mx_cst(c, 1) != NULL) {
    MX_FORWARD(mx_check_const(c, 1, "the bias", MACCEL_F32, 2, bias));
    MX_FORWARD(mx_check_finite(c, 1, "the bias", -3.4e38f));
  }
  if (mx_cst(c, 2) == NULL) return MACCEL_OK;
  MX_FORWARD(mx_check_const(c, 2, "the scale vector", MACCEL_F32, 2, weights));
  return mx_check_finite(c, 2, "the scale vector", 0.0f);
}

int mx_check_recurrent(mx_check *c) {
  const int lstm = c->in->i[10] == MX_RECURRENT_LSTM, linear = c->in->i[10] == MX_RECURRENT_GRU_LINEAR;
  int gates = 0;
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1,
                                          .in_may = lstm ? 6 : 2,
                                          .out_need = 1,
                                          .out_may = lstm ? 2 : 0,
                                          .cst_need = linear ? 3 : 1,
                                          .cst_may = 4}));
  MX_FORWARD(check_kind(c, &gates));
  MX_FORWARD(mx_check_int(c, 0, "the mask of backward directions", 0, 3));
  MX_FORWARD(check_views(c, gates));
  MX_FORWARD(check_constants(c, gates));
  const mxp_const *w = mx_cst(c, 0);
  const int32_t *d = mx_out(c, 0)->dims;
  const __uint128_t rows = (__uint128_t)(uint64_t)d[1] * (uint64_t)d[2];
  /* 16 for the functions of each gate */
  const __uint128_t work = rows * (uint64_t)w->dims[0] * (uint64_t)w->dims[1] * (uint64_t)(w->dims[2] + 16);
  c->work = work > UINT64_MAX ? UINT64_MAX : (uint64_t)work;
  return MACCEL_OK;
}
