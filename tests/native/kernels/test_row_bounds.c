/* SOFTMAX, LAYERNORM and RMS norm of every level against double precision: the bounds of docs/kernels.md hold. */
#include "scalar_case.h"

enum { ROWS = 12, ROW_MAX = 1024 };

static double worst_error;

static double ulp_at(double v) {
  int e;
  frexp(v, &e);
  return ldexp(1.0, e - 24);
}

static void note_error(double got, double want, double size) {
  CHECK(isfinite(got));
  worst_error = fmax(worst_error, fabs(got - want) / ulp_at(size));
}

static double sum_wide(const double *v, int n) {
  double s = 0.0;
  for (int k = 0; k < n; ++k) s += v[k];
  return s;
}

static void read_row(const mx_view *v, int row, double *to) {
  for (int k = 0; k < v->dims[1]; ++k) to[k] = stored(v, (int[]){row, k, 0, 0, 0, 0});
}

static void softmax_row(double *v, int n) {
  double most = v[0];
  for (int k = 0; k < n; ++k) most = fmax(most, v[k]);
  for (int k = 0; k < n; ++k) v[k] = exp(v[k] - most);
  const double sum = sum_wide(v, n);
  for (int k = 0; k < n; ++k) v[k] /= sum;
}

static void norm_row(double *v, int n, int about_zero, double epsilon) {
  double squares[ROW_MAX];
  const double mean = about_zero ? 0.0 : sum_wide(v, n) / n;
  for (int k = 0; k < n; ++k) v[k] -= mean, squares[k] = v[k] * v[k];
  const double spread = sqrt(sum_wide(squares, n) / n + epsilon);
  for (int k = 0; k < n; ++k) v[k] /= spread;
}

static void check_rows(const bound *r) {
  const mx_task *t = &r->task;
  const int n = t->in[0].dims[1], norm = t->insn->op == MX_OP_LAYERNORM, about_zero = t->insn->i[10];
  for (int row = 0; row < t->in[0].dims[0]; ++row) {
    double want[ROW_MAX], got[ROW_MAX];
    read_row(&t->in[0], row, want);
    read_row(&t->out[0], row, got);
    if (norm)
      norm_row(want, n, about_zero, (double)t->insn->f[5]);
    else
      softmax_row(want, n);
    /* where the mean is taken off, an element near it keeps the error of the mean */
    for (int k = 0; k < n; ++k)
      note_error(got[k], want[k], norm && !about_zero ? fmax(1.0, fabs(want[k])) : want[k]);
  }
}

/* Inputs are floats in -4 .. 4. */
static double worst_of(int op, int variant) {
  static const int widths[] = {2, 5, 16, 17, 40, 64, 100, 384, 1000, ROW_MAX};
  worst_error = 0.0;
  for (int run = 0; run < 60; ++run) {
    builder b;
    builder_init(&b);
    const int dims[2] = {ROWS, widths[run % 10]};
    const uint32_t x = random_view(&b, MACCEL_F32, 2, dims, 2), y = random_view(&b, MACCEL_F32, 2, dims, 2);
    mxp_insn *in = builder_insn(&b, op);
    in->in[0] = x, in->out[0] = y, in->i[10] = variant;
    in->f[3] = 1.0f, in->f[4] = 1.0f, in->f[5] = 1e-5f;
    run_all(&b, check_rows);
    builder_free(&b);
  }
  return worst_error;
}

static void bound_holds(const char *name, double got, double most) {
  printf("%-10s %.2f ulp\n", name, got);
  CHECK(got > 0.0 && got <= most);
}

int main(void) {
  bound_holds("softmax", worst_of(MX_OP_SOFTMAX, 0), 4.0);
  bound_holds("layer norm", worst_of(MX_OP_LAYERNORM, 0), 3.0);
  bound_holds("rms norm", worst_of(MX_OP_LAYERNORM, 1), 3.0);
  return 0;
}
