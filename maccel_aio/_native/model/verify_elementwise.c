/* verify_elementwise.c - MAP, FILL and ELTWISE. */
#include <math.h>

#include "check.h"

int mx_check_map(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .out_need = 1, .cst_may = 0x18}));
  const mxp_tensor *x = mx_in(c, 0), *o = mx_out(c, 0);
  MX_FORWARD(mx_check_same_dims(c, "the input", x, "the output", o));
  MX_FORWARD(mx_check_act(c, o->dims[o->rank - 1]));
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  MX_FORWARD(mx_check_multiplier(c, 4, "input multiplier"));
  if (mx_cst(c, 3) != NULL) {
    MX_FORWARD(mx_check_vector(c, 3, "the table", MACCEL_U8, 256));
    MX_REQUIRE(c, x->dtype == MACCEL_U8 && o->dtype == MACCEL_U8, "a table maps u8 to u8, not %s to %s",
               mx_dtype_name(x->dtype), mx_dtype_name(o->dtype));
    MX_REQUIRE(c, c->in->i[11] == MX_ACT_NONE, "a table and an activation together are not supported");
  } else {
    MX_FORWARD(mx_check_clamp(c, o, 12));
  }
  c->work = (uint64_t)mx_elements(o);
  return MACCEL_OK;
}

int mx_check_fill(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.out_need = 1}));
  const mxp_tensor *o = mx_out(c, 0);
  if (!mx_is_float_type(o->dtype)) {
    int64_t lo, hi;
    mx_dtype_range(o->dtype, &lo, &hi);
    MX_FORWARD(mx_check_int(c, 0, "the value", lo, hi));
  }
  c->work = (uint64_t)mx_elements(o);
  return MACCEL_OK;
}

static int check_operand_const(const mx_check *c, const mxp_tensor *o) {
  const mxp_const *k = mx_cst(c, 5);
  MX_REQUIRE(c, k->dtype == MACCEL_F32, "the constant operand is %s, not f32", mx_dtype_name(k->dtype));
  MX_REQUIRE(c, k->rank == o->rank, "the constant operand has rank %d, the output %d", k->rank, o->rank);
  for (int d = 0; d < o->rank; ++d) {
    MX_REQUIRE(c, k->dims[d] == 1 || k->dims[d] == o->dims[d],
               "dimension %d of the constant operand is %d, not 1 or %d", d, k->dims[d], o->dims[d]);
  }
  return MACCEL_OK;
}

int mx_check_eltwise(mx_check *c) {
  MX_FORWARD(mx_check_slots(c, (mx_slots){.in_need = 1, .in_may = 2, .out_need = 1, .cst_may = 0x30}));
  const mxp_tensor *x = mx_in(c, 0), *y = mx_in(c, 1), *o = mx_out(c, 0);
  MX_FORWARD(mx_check_same_dims(c, "input 0", x, "the output", o));
  MX_REQUIRE(c, (y != NULL) != (mx_cst(c, 5) != NULL),
             "exactly one of input 1 and the constant operand is needed");
  MX_FORWARD(y != NULL ? mx_check_same_dims(c, "input 1", y, "the output", o) : check_operand_const(c, o));
  MX_FORWARD(mx_check_int(c, 10, "the kind", 0, MX_ELT_COUNT - 1));
  MX_FORWARD(mx_check_multiplier(c, 3, "output multiplier"));
  MX_FORWARD(mx_check_multiplier(c, 4, "multiplier of input 0"));
  MX_FORWARD(mx_check_multiplier(c, 5, "multiplier of input 1"));
  MX_FORWARD(mx_check_act(c, o->dims[o->rank - 1]));
  MX_FORWARD(mx_check_clamp(c, o, 12));
  c->work = (uint64_t)mx_elements(o);
  return MACCEL_OK;
}
