/* bench_kernels.c - time of single layers on one core against the vpdpbusd peak measured in the same run.
 *
 *   bench_kernels [number of a level] [name filter]     prints median microseconds, GOPS (2 per MAC) and % of the peak
 * Rough by design: short runs, and the machine is usually shared. Medians of rounds over all layers. */
#include <sched.h>
#include <time.h>

#include "test_vector.h"

/* How a layer ends: plain u8, with a u8 image added, or in the 16-bit stream: s16 with a u8 copy, u8 with an s16 image
 * added, or s16 with both. */
enum { PLAIN, ADD_U8, WIDE, ADD_S16, WIDE_ADD };

typedef struct layer {
  const char *net;
  int op, size; /* pixels of a side; negative: a single row */
  int c, o, k, s, before, after, ends, count;
  int words; /* of weights, not bytes */
} layer;

enum { C = MX_OP_CONV, D = MX_OP_DWCONV, P = MX_OP_POOL /* maxima */, ROUNDS = 9 };

static const layer layers[] = {
    {"lite0", C, 224, 3, 32, 3, 2, 0, 1, 0, 1, 0},
    {"lite0", D, 112, 32, 32, 3, 1, 1, 1, 0, 1, 0},
    {"lite0", C, 112, 32, 16, 1, 1, 0, 0, 0, 1, 0},
    {"lite0", C, 112, 16, 96, 1, 1, 0, 0, 0, 1, 0},
    {"lite0", D, 112, 96, 96, 3, 2, 0, 1, 0, 1, 0},
    {"lite0", C, 56, 96, 24, 1, 1, 0, 0, WIDE, 1, 0},
    {"lite0", C, 56, 24, 144, 1, 1, 0, 0, 0, 2, 0},
    {"lite0", D, 56, 144, 144, 3, 1, 1, 1, 0, 1, 0},
    {"lite0", C, 56, 144, 24, 1, 1, 0, 0, ADD_S16, 1, 0},
    {"lite0", D, 56, 144, 144, 5, 2, 1, 2, 0, 1, 0},
    {"lite0", C, 28, 144, 40, 1, 1, 0, 0, WIDE, 1, 0},
    {"lite0", C, 28, 40, 240, 1, 1, 0, 0, 0, 2, 0},
    {"lite0", D, 28, 240, 240, 5, 1, 2, 2, 0, 1, 0},
    {"lite0", C, 28, 240, 40, 1, 1, 0, 0, ADD_S16, 1, 0},
    {"lite0", D, 28, 240, 240, 3, 2, 0, 1, 0, 1, 0},
    {"lite0", C, 14, 240, 80, 1, 1, 0, 0, WIDE, 1, 0},
    {"lite0", C, 14, 80, 480, 1, 1, 0, 0, 0, 3, 0},
    {"lite0", D, 14, 480, 480, 3, 1, 1, 1, 0, 2, 0},
    {"lite0", C, 14, 480, 80, 1, 1, 0, 0, WIDE_ADD, 2, 0},
    {"lite0", D, 14, 480, 480, 5, 1, 2, 2, 0, 1, 0},
    {"lite0", C, 14, 480, 112, 1, 1, 0, 0, WIDE, 1, 0},
    {"lite0", C, 14, 112, 672, 1, 1, 0, 0, 0, 3, 0},
    {"lite0", D, 14, 672, 672, 5, 1, 2, 2, 0, 2, 0},
    {"lite0", C, 14, 672, 112, 1, 1, 0, 0, WIDE_ADD, 2, 0},
    {"lite0", D, 14, 672, 672, 5, 2, 1, 2, 0, 1, 0},
    {"lite0", C, 7, 672, 192, 1, 1, 0, 0, WIDE, 1, 0},
    {"lite0", C, 7, 192, 1152, 1, 1, 0, 0, 0, 4, 0},
    {"lite0", D, 7, 1152, 1152, 5, 1, 2, 2, 0, 3, 0},
    {"lite0", C, 7, 1152, 192, 1, 1, 0, 0, WIDE_ADD, 3, 0},
    {"lite0", D, 7, 1152, 1152, 3, 1, 1, 1, 0, 1, 0},
    {"lite0", C, 7, 1152, 320, 1, 1, 0, 0, 0, 1, 0},
    {"lite0", C, 7, 320, 1280, 1, 1, 0, 0, 0, 1, 0},
    {"lite0", C, 1, 1280, 1000, 1, 1, 0, 0, 0, 1, 0},
    {"resnet", C, 56, 64, 64, 3, 1, 1, 1, 0, 3, 0},
    {"resnet", C, 56, 64, 256, 1, 1, 0, 0, ADD_U8, 3, 0},
    {"resnet", C, 56, 64, 256, 1, 1, 0, 0, WIDE_ADD, 3, 0},
    {"resnet", C, 14, 256, 1024, 1, 1, 0, 0, WIDE_ADD, 6, 0},
    {"resnet", C, 56, 128, 128, 3, 2, 1, 1, 0, 1, 0},
    {"resnet", C, 56, 256, 64, 1, 1, 0, 0, 0, 2, 0},
    {"resnet", C, 28, 128, 128, 3, 1, 1, 1, 0, 3, 0},
    {"resnet", C, 14, 256, 256, 3, 1, 1, 1, 0, 5, 0},
    {"resnet", C, 7, 512, 512, 3, 1, 1, 1, 0, 2, 0},
    {"resnet", C, 56, 256, 128, 1, 2, 0, 0, 0, 1, 0},
    {"resnet", C, 224, 3, 64, 7, 2, 3, 3, 0, 1, 0},
    {"face", C, 120, 24, 24, 3, 1, 1, 1, 0, 1, 0},
    {"face", D, 240, 32, 32, 3, 1, 1, 1, 0, 1, 0},
    {"dw", D, 28, 192, 192, 3, 1, 1, 1, 0, 1, 0},
    {"dw", D, 14, 384, 384, 3, 1, 1, 1, 0, 1, 0},
    {"dw", D, 14, 576, 576, 3, 2, 0, 1, 0, 1, 0},
    {"dw", D, 56, 16, 16, 3, 1, 1, 1, 0, 1, 0},
    {"words", D, 112, 32, 32, 3, 1, 1, 1, 0, 1, 1},
    {"words", D, 112, 96, 96, 3, 2, 0, 1, 0, 1, 1},
    {"words", D, 56, 144, 144, 3, 1, 1, 1, 0, 1, 1},
    {"words", D, 56, 144, 144, 5, 2, 1, 2, 0, 1, 1},
    {"words", D, 28, 240, 240, 5, 1, 2, 2, 0, 1, 1},
    {"words", D, 28, 192, 192, 3, 1, 1, 1, 0, 1, 1},
    {"words", D, 14, 576, 576, 3, 2, 0, 1, 0, 1, 1},
    {"words", D, 14, 672, 672, 5, 1, 2, 2, 0, 1, 1},
    {"words", D, 14, 672, 672, 5, 2, 1, 2, 0, 1, 1},
    {"words", D, 7, 1152, 1152, 3, 1, 1, 1, 0, 1, 1},
    {"words", D, 7, 1152, 1152, 5, 1, 2, 2, 0, 1, 1},
    {"pool", P, 112, 64, 64, 3, 2, 1, 1, 0, 1, 0},
    {"pool", P, 56, 192, 192, 3, 2, 0, 1, 0, 1, 0},
    {"gemm", C, -384, 768, 3072, 1, 1, 0, 0, 0, 1, 0},
    {"gemm", C, -384, 4096, 256, 1, 1, 0, 0, 0, 1, 0},
    {"small", C, 14, 16, 64, 1, 1, 0, 0, 0, 1, 0},
    {"small", C, 14, 32, 192, 1, 1, 0, 0, 0, 1, 0},
    {"small", C, 14, 96, 64, 1, 1, 0, 0, 0, 1, 0},
    {"small", C, 14, 32, 16, 1, 1, 0, 0, 0, 1, 0},
    {"32g", C, 56, 128, 128, 3, 1, 1, 1, 0, 1, 0},
    {"32g", C, 28, 256, 256, 3, 1, 1, 1, 0, 1, 0},
    {"4g", C, 28, 272, 136, 1, 1, 0, 0, 0, 3, 0},
    {"4g", C, 14, 272, 544, 1, 1, 0, 0, 0, 7, 0},
    {"stem", C, 224, 3, 32, 3, 2, 0, 1, 0, 1, 0},
    {"stem", C, 224, 3, 64, 3, 1, 1, 1, 0, 1, 0},
    {"stem", C, 224, 3, 64, 7, 2, 3, 3, 0, 1, 0},
    {"stem", C, 224, 3, 24, 3, 2, 1, 1, 0, 1, 0},
};

/* "32g" has 32 groups. */
static int groups_of(const layer *l) { return atoi(l->net) > 0 ? atoi(l->net) : 1; }

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

#if defined(__x86_64__)
/* In asm: the intrinsic loop spills its accumulators and shows a third of the peak. */
static void peak_loop(void) {
  __asm__ volatile(
      "mov $1000, %%eax\n.p2align 5\n1:\n"
      "vpdpbusd %%zmm30,%%zmm31,%%zmm0\nvpdpbusd %%zmm30,%%zmm31,%%zmm1\nvpdpbusd "
      "%%zmm30,%%zmm31,%%zmm2\nvpdpbusd %%zmm30,%%zmm31,%%zmm3\n"
      "vpdpbusd %%zmm30,%%zmm31,%%zmm4\nvpdpbusd %%zmm30,%%zmm31,%%zmm5\nvpdpbusd "
      "%%zmm30,%%zmm31,%%zmm6\nvpdpbusd %%zmm30,%%zmm31,%%zmm7\n"
      "vpdpbusd %%zmm30,%%zmm31,%%zmm8\nvpdpbusd %%zmm30,%%zmm31,%%zmm9\nvpdpbusd "
      "%%zmm30,%%zmm31,%%zmm10\nvpdpbusd %%zmm30,%%zmm31,%%zmm11\n"
      "dec %%eax\njnz 1b\n" ::
          : "eax", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
            "xmm10", "xmm11");
}
#else
static void peak_loop(void) {}
#endif

static double peak_gops(void) {
  double best = 0;
  for (int k = 0; k < 40; k++) {
    const double t = now_us();
    peak_loop();
    const double gops = 12000.0 * 128.0 / ((now_us() - t) * 1e3);
    if (gops > best) best = gops;
  }
  return best;
}

static void setup_view(vt_case *c, mx_view *v, vt_buffer *b, int size, int channels, int dtype, int padded) {
  const int stored = padded ? (channels + 15) / 16 * 16 : channels;
  vt_image(c, v, b, dtype, (int[]){1, size < 0 ? 1 : size, size < 0 ? -size : size, stored}, 0);
  v->dims[3] = channels, v->flags = padded ? MX_TENSOR_PAD_CHANNELS : 0;
}

static int output_size(const layer *l) {
  return l->size < 0 ? l->size : (l->size + l->before + l->after - l->k) / l->s + 1;
}

static void setup_ends(vt_case *c, const layer *l) {
  const int out = output_size(l), wide = l->ends == WIDE || l->ends == WIDE_ADD;
  setup_view(c, &c->task.out[0], &c->out[0], out, l->o, wide ? MACCEL_S16 : MACCEL_U8, !wide);
  c->insn.i[12] = wide ? -32768 : 0, c->insn.i[13] = wide ? 32767 : 255;
  if (wide) {
    setup_view(c, &c->task.out[1], &c->out[1], out, l->o, MACCEL_U8, 1);
    c->insn.out[1] = 1, c->insn.f[4] = 0.01f, c->insn.i[15] = 255, c->task.out[1].zero = 128;
  }
  if (l->ends == ADD_U8 || l->ends == ADD_S16 || l->ends == WIDE_ADD) {
    const int bytes = l->ends == ADD_U8;
    setup_view(c, &c->task.in[1], &c->in[1], out, l->o, bytes ? MACCEL_U8 : MACCEL_S16, bytes);
    c->insn.in[1] = 1, c->insn.f[2] = 0.5f;
    if (!wide) c->task.out[0].zero = 128;
  }
}

/* Bell-shaped like the weights of networks: on some levels their values decide the speed. */
static void bell(int8_t *w, int64_t n) {
  uint32_t state = 1;
  for (int64_t k = 0; k < n; k++) {
    int sum = 0;
    for (int j = 0; j < 3; j++) state = state * 1664525u + 1013904223u, sum += (int)(state >> 24) - 128;
    w[k] = (int8_t)(sum / 3);
  }
}

static void setup(vt_case *c, const layer *l) {
  const int per = l->op == D ? 1 : l->c / groups_of(l);
  vt_begin(c, l->op);
  memcpy(c->insn.i, (int32_t[]){l->k, l->k, l->s, l->s, l->before, l->before, l->after, l->after, 1, 1, 1},
         11 * sizeof(int32_t));
  if (l->op == C) c->insn.i[10] = groups_of(l);
  c->insn.f[3] = 1.0f;
  setup_view(c, &c->task.in[0], &c->in[0], l->size, l->c, MACCEL_U8, l->c > 4);
  setup_ends(c, l);
  c->insn.in[0] = 0, c->insn.out[0] = 0;
  if (l->op == P) {
    c->insn.i[10] = 0;
    return;
  }
  void *weights = vt_constant(c, 0, l->words ? MACCEL_S16 : MACCEL_S8, (int[]){l->o, l->k, l->k, per}, 4);
  if (!l->words) bell((int8_t *)weights, (int64_t)l->o * l->k * l->k * per);
  int32_t *bias = (int32_t *)vt_constant(c, 1, MACCEL_S32, &l->o, 1);
  float *scale = (float *)vt_constant(c, 2, MACCEL_F32, &l->o, 1);
  for (int k = 0; k < l->o; k++) bias[k] = 100, scale[k] = 0.001f;
  c->zero_row = (uint8_t *)calloc(1, (size_t)l->c + 64);
  c->task.zero_row = c->zero_row, c->task.zero_row_bytes = (size_t)l->c + 64;
}

static double macs(const layer *l) {
  const double side = output_size(l), pixels = side < 0 ? -side : side * side;
  return pixels * l->o * l->k * l->k * (l->op == C ? l->c / groups_of(l) : 1);
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct prepared {
  vt_case c;
  const mx_kernel *kernel;
  int repeat;
  double us[ROUNDS];
} prepared;

static void prepare(prepared *p, const layer *l, mx_isa isa) {
  setup(&p->c, l);
  p->c.task.insn = &p->c.insn;
  p->kernel = mx_kernel_select(isa, &p->c.task);
  mx_task *t = &p->c.task;
  if (p->kernel->pack_bytes) {
    t->packed = aligned_alloc(4096, (p->kernel->pack_bytes(t) + 8191) / 4096 * 4096);
    p->kernel->pack(t, t->packed);
  }
  if (p->kernel->scratch_bytes)
    t->scratch = aligned_alloc(4096, (p->kernel->scratch_bytes(t) + 8191) / 4096 * 4096);
  const double start = now_us();
  p->kernel->run(t, 0, 1);
  const double once = now_us() - start;
  p->repeat = once > 1000 ? 1 : (int)(1000 / once) + 1;
}

static void measure(prepared *p, int round) {
  const double start = now_us();
  for (int k = 0; k < p->repeat; k++) p->kernel->run(&p->c.task, 0, 1);
  p->us[round] = (now_us() - start) / p->repeat;
}

static const char *const end_names[] = {"", "+u8", "w", "+s16", "w+s16"};

int main(int argc, char **argv) {
  const int isa = argc > 1 ? atoi(argv[1]) : (int)mx_isa_detected(),
            n = (int)(sizeof layers / sizeof layers[0]);
  const char *filter = argc > 2 ? argv[2] : "";
  static prepared all[sizeof layers / sizeof layers[0]];
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(argc > 3 ? atoi(argv[3]) : 0, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  for (int k = 0; k < n; k++)
    if (strstr(layers[k].net, filter)) prepare(&all[k], &layers[k], (mx_isa)isa);
  double peak = isa == MX_ISA_AVX512VNNI ? peak_gops() : 0, lite = 0, lite_conv = 0;
  for (int round = 0; round < ROUNDS; round++)
    for (int k = 0; k < n; k++)
      if (all[k].kernel) measure(&all[k], round);
  printf("vpdpbusd peak %.0f GOPS\n", peak);
  for (int k = 0; k < n; k++) {
    const layer *l = &layers[k];
    if (!all[k].kernel) continue;
    qsort(all[k].us, ROUNDS, sizeof(double), compare_doubles);
    const double us = all[k].us[ROUNDS / 2], gops = 2e-3 * macs(l) / us;
    printf("%-6s %-3s %dx%d s%d %4d->%-4d %4d%-5s %9.1f us x%d %7.1f GOPS %5.1f %%  %s\n", l->net,
           l->op == D   ? "dw"
           : l->op == P ? "max"
                        : "",
           l->k, l->k, l->s, l->c, l->o, l->size, end_names[l->ends], us, l->count, gops,
           peak > 0 ? 100 * gops / peak : 0, all[k].kernel->name);
    if (!strcmp(l->net, "lite0")) lite += us * l->count, lite_conv += l->op == C ? us * l->count : 0;
  }
  printf("lite0 sum %.0f us, of it conv %.0f us\n", lite, lite_conv);
  return 0;
}
