/* bench_float.c - products with constant weights, and LSTM layers, in f32, bf16 and s8 on one core.
 *
 *   bench_float [number of a level] [cpu]     prints median microseconds of interleaved rounds, [min..max], and rates */
#include <sched.h>
#include <time.h>

#include "test_vector.h"

enum { ROUNDS = 15, TYPES = 3 };
static const int types[TYPES] = {MACCEL_F32, MACCEL_BF16, MACCEL_S8};

/* rows x k times k x n; steps > 0: an LSTM of n units, that many steps, `rows` rows */
typedef struct shape {
  int rows, k, n, steps;
} shape;

static const shape shapes[] = {
    {384, 384, 384, 0}, {128, 384, 1536, 0}, {12, 768, 768, 0},  {1, 512, 512, 0},   {1, 1024, 1024, 0},
    {1, 2048, 2048, 0}, {1, 2048, 8192, 0},  {3, 1024, 1024, 0}, {1, 128, 128, 1},   {1, 128, 128, 50},
    {1, 256, 256, 50},  {1, 512, 512, 1},    {1, 512, 512, 50},  {16, 256, 256, 50},
};

typedef struct prepared {
  vt_case c;
  const mx_kernel *kernel;
  int repeat;
  double us[ROUNDS];
} prepared;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void setup_product(vt_case *c, const shape *s, int type) {
  vt_begin(c, MX_OP_CONVF);
  memcpy(c->insn.i, (int32_t[]){1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1}, 11 * sizeof(int32_t));
  c->insn.f[3] = 1.0f;
  vt_image(c, &c->task.in[0], &c->in[0], MACCEL_F32, (int[]){1, 1, s->rows, s->k}, 0);
  vt_image(c, &c->task.out[0], &c->out[0], MACCEL_F32, (int[]){1, 1, s->rows, s->n}, 0);
  vt_constant(c, 0, type, (int[]){s->n, 1, 1, s->k}, 4);
}

static void setup_lstm(vt_case *c, const shape *s, int type) {
  vt_begin(c, MX_OP_RECURRENT);
  c->insn.i[10] = MX_RECURRENT_LSTM;
  vt_image(c, &c->task.in[0], &c->in[0], MACCEL_F32, (int[]){1, s->steps, s->rows, 4 * s->n}, 0);
  vt_image(c, &c->task.out[0], &c->out[0], MACCEL_F32, (int[]){1, s->steps, s->rows, s->n}, 0);
  vt_constant(c, 0, type, (int[]){1, 4 * s->n, s->n}, 3);
  float *scale = (float *)vt_constant(c, 2, MACCEL_F32, (int[]){1, 4 * s->n}, 2);
  for (int k = 0; k < 4 * s->n; k++) scale[k] = 0.01f;
}

static void prepare(prepared *p, const shape *s, int type, mx_isa isa) {
  if (s->steps > 0)
    setup_lstm(&p->c, s, type);
  else
    setup_product(&p->c, s, type);
  mx_task *t = &p->c.task;
  t->insn = &p->c.insn;
  p->kernel = mx_kernel_select(isa, t);
  if (p->kernel->pack_bytes) {
    t->packed = aligned_alloc(4096, (p->kernel->pack_bytes(t) + 8191) / 4096 * 4096);
    p->kernel->pack(t, t->packed);
  }
  t->scratch = aligned_alloc(4096, (p->kernel->scratch_bytes(t) + 8191) / 4096 * 4096);
  const double start = now_us();
  p->kernel->run(t, 0, 1);
  const double once = now_us() - start;
  p->repeat = once > 3000 ? 1 : (int)(3000 / once) + 1;
}

static void measure(prepared *p, int round) {
  const double start = now_us();
  for (int k = 0; k < p->repeat; k++) p->kernel->run(&p->c.task, 0, 1);
  p->us[round] = (now_us() - start) / p->repeat;
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void print_shape(const shape *s, prepared *p) {
  const int lstm = s->steps > 0;
  const double macs = (double)s->rows * s->k * s->n * (lstm ? 4 * s->steps : 1),
               weights = (double)s->k * s->n * (lstm ? 4 * s->steps : 1);
  printf(lstm ? "lstm %d units %d steps %d rows\n" : "%d x %d x %d\n", lstm ? s->n : s->rows,
         lstm ? s->steps : s->k, lstm ? s->rows : s->n);
  for (int t = 0; t < TYPES; t++) {
    qsort(p[t].us, ROUNDS, sizeof(double), compare_doubles);
    const double us = p[t].us[ROUNDS / 2];
    printf("  %-4s %10.2f us [%.2f..%.2f] %6.1f GFLOPS %6.1f GB/s of weights, f32 / this %.2f\n",
           (const char *[]){"f32", "bf16", "s8"}[t], us, p[t].us[0], p[t].us[ROUNDS - 1], 2e-3 * macs / us,
           1e-3 * weights * vt_bytes(types[t]) / us, p[0].us[ROUNDS / 2] / us);
  }
}

int main(int argc, char **argv) {
  enum { SHAPES = sizeof shapes / sizeof shapes[0] };
  const mx_isa isa = argc > 1 ? (mx_isa)atoi(argv[1]) : mx_isa_detected();
  static prepared all[SHAPES][TYPES];
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(argc > 2 ? atoi(argv[2]) : 0, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  for (int k = 0; k < SHAPES; k++)
    for (int t = 0; t < TYPES; t++) prepare(&all[k][t], &shapes[k], types[t], isa);
  for (int round = 0; round < ROUNDS; round++)
    for (int k = 0; k < SHAPES; k++)
      for (int t = 0; t < TYPES; t++) measure(&all[k][t], round);
  printf("%s\n", all[0][0].kernel->name);
  for (int k = 0; k < SHAPES; k++) print_shape(&shapes[k], all[k]);
  return 0;
}
