/* bench_memory.c - time of the float, elementwise and memory-bound kernels on one core.
 *
 *   bench_memory [numbers of levels, such as 013] [name filter] [cpu]
 * One line a case and level: median microseconds [fastest..slowest] of interleaved rounds, GB/s over the bytes of
 * all operands, and GFLOPS (2 per multiply-add) for products. */
#include <sched.h>
#include <time.h>

#include "test_vector.h"

enum { ROUNDS = 9, LEVELS = MX_ISA_COUNT, CASES = 64 };

typedef struct bench {
  const char *name;
  vt_case c;
  double flops;
  const mx_kernel *kernel[LEVELS];
  void *packed[LEVELS];
  int repeat[LEVELS];
  double us[LEVELS][ROUNDS];
} bench;

static bench all[CASES];
static int count;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static vt_case *begin(const char *name, int op) {
  bench *b = &all[count++];
  b->name = name;
  vt_begin(&b->c, op);
  b->c.task.insn = &b->c.insn;
  b->c.insn.f[3] = b->c.insn.f[4] = b->c.insn.f[5] = 1.0f;
  return &b->c;
}

static void image(vt_case *c, mx_view *v, vt_buffer *b, int dtype, int n, int h, int w, int channels) {
  vt_image(c, v, b, dtype, (int[]){n, h, w, channels}, 0);
  v->zero = dtype == MACCEL_U8 ? 128 : 0;
}

static void input(vt_case *c, int k, int dtype, int n, int h, int w, int channels) {
  image(c, &c->task.in[k], &c->in[k], dtype, n, h, w, channels);
  c->insn.in[k] = (uint32_t)k;
}

static void output(vt_case *c, int k, int dtype, int n, int h, int w, int channels) {
  image(c, &c->task.out[k], &c->out[k], dtype, n, h, w, channels);
  c->insn.out[k] = (uint32_t)k;
  if (k > 0) return;
  c->insn.i[12] = dtype == MACCEL_U8 ? 0 : -127, c->insn.i[13] = dtype == MACCEL_U8 ? 255 : 127;
}

static void spread(mx_view *v, int h, int w, int channels) {
  const int dims[4] = {v->dims[0], h, w, channels};
  for (int d = 1; d < 4; d++)
    if (v->dims[d] != dims[d]) v->dims[d] = dims[d], v->stride[d] = 0;
}

static void eltwise(const char *name, int kind, int tx, int ty, int to, const int x[3], const int y[3],
                    int act) {
  vt_case *c = begin(name, MX_OP_ELTWISE);
  input(c, 0, tx, 1, x[0], x[1], x[2]), input(c, 1, ty, 1, y[0], y[1], y[2]);
  output(c, 0, to, 1, x[0], x[1], x[2]);
  spread(&c->task.in[1], x[0], x[1], x[2]);
  c->insn.i[10] = kind, c->insn.i[11] = act, c->insn.f[0] = 0.0f, c->insn.f[1] = 6.0f;
  if (tx != MACCEL_F32) c->insn.f[4] = 0.7f;
  if (ty != MACCEL_F32) c->insn.f[5] = 0.9f;
}

static void scaled(const char *name, int kind, int type, const int x[3], const int y[3]) {
  vt_case *c = begin(name, MX_OP_ELTWISE);
  input(c, 0, type, 1, x[0], x[1], x[2]), output(c, 0, type, 1, x[0], x[1], x[2]);
  vt_constant(c, 5, MACCEL_F32, (int[]){1, y[0], y[1], y[2]}, 4);
  c->insn.i[10] = kind;
}

static void map(const char *name, int tx, int to, int h, int w, int channels, int act) {
  vt_case *c = begin(name, MX_OP_MAP);
  input(c, 0, tx, 1, h, w, channels), output(c, 0, to, 1, h, w, channels);
  c->insn.i[11] = act, c->insn.f[0] = 1.0f / 6.0f, c->insn.f[1] = 0.5f;
  if (tx != to) c->insn.f[4] = 0.3f;
}

static void table(const char *name, int h, int w, int channels) {
  vt_case *c = begin(name, MX_OP_MAP);
  input(c, 0, MACCEL_U8, 1, h, w, channels), output(c, 0, MACCEL_U8, 1, h, w, channels);
  vt_constant(c, 3, MACCEL_U8, (int[]){256}, 1);
}

/* The input is read with its dimensions in another order: output dimension d walks input dimension order[d]. */
static void transpose(const char *name, int type, const int dims[4], const int order[4]) {
  vt_case *c = begin(name, MX_OP_MAP);
  input(c, 0, type, dims[0], dims[1], dims[2], dims[3]);
  const mx_view x = c->task.in[0];
  for (int d = 0; d < 4; d++)
    c->task.in[0].dims[d] = x.dims[order[d]], c->task.in[0].stride[d] = x.stride[order[d]];
  const int32_t *o = c->task.in[0].dims;
  output(c, 0, type, o[0], o[1], o[2], o[3]);
  c->task.out[0].zero = x.zero;
}

static void rows(const char *name, int op, int tx, int to, int h, int n) {
  vt_case *c = begin(name, op);
  input(c, 0, tx, 1, 1, h, n), output(c, 0, to, 1, 1, h, n);
  c->insn.f[5] = 1e-5f;
  if (to != MACCEL_F32) c->insn.f[3] = 255.0f;
  if (op == MX_OP_LAYERNORM) vt_constant(c, 0, MACCEL_F32, &n, 1), vt_constant(c, 1, MACCEL_F32, &n, 1);
  if (op == MX_OP_DYNQUANT) output(c, 1, MACCEL_F32, 1, 1, h, 1);
}

static void reduce(const char *name, int type, int h, int w, int channels, int mask) {
  vt_case *c = begin(name, MX_OP_REDUCE);
  input(c, 0, type, 1, h, w, channels);
  output(c, 0, type, 1, mask & 2 ? 1 : h, mask & 4 ? 1 : w, mask & 8 ? 1 : channels);
  c->insn.i[10] = 1, c->insn.i[14] = mask, c->insn.f[2] = 0.01f;
}

static void pool(const char *name, int type, int kind, int size, int channels, int k, int s) {
  vt_case *c = begin(name, MX_OP_POOL);
  const int out = (size - k) / s + 1;
  input(c, 0, type, 1, size, size, channels), output(c, 0, type, 1, out, out, channels);
  memcpy(c->insn.i, (int32_t[]){k, k, s, s, 0, 0, 0, 0, 1, 1, kind}, 11 * sizeof(int32_t));
  c->insn.f[2] = 1.0f;
}

static void axis(vt_case *c, int slot, int from, int to) {
  int32_t *index = (int32_t *)vt_constant(c, slot, MACCEL_S32, (int[]){to, 2}, 2);
  float *weight = (float *)vt_constant(c, slot + 1, MACCEL_F32, &to, 1);
  for (int k = 0; k < to; k++) {
    const float at = ((float)k + 0.5f) * (float)from / (float)to - 0.5f;
    const int low = at < 0.0f ? 0 : (int)at;
    index[2 * k] = low, index[2 * k + 1] = low + 1 < from ? low + 1 : low,
              weight[k] = at < 0.0f ? 0.0f : at - (float)low;
  }
}

static void resize(const char *name, int type, int linear, int size, int channels) {
  vt_case *c = begin(name, MX_OP_RESIZE);
  input(c, 0, type, 1, size, size, channels), output(c, 0, type, 1, 2 * size, 2 * size, channels);
  axis(c, 0, size, 2 * size), axis(c, 2, size, 2 * size);
  c->insn.i[10] = linear;
}

static void gather(const char *name, int type, int n, int width) {
  vt_case *c = begin(name, MX_OP_GATHER);
  input(c, 0, MACCEL_S32, 1, 1, 1, n), output(c, 0, MACCEL_F32, 1, 1, n, width);
  c->task.in[0].rank = 1, c->task.in[0].dims[0] = n, c->task.in[0].stride[0] = 4;
  c->task.out[0].rank = 2, c->task.out[0].dims[0] = n, c->task.out[0].dims[1] = width;
  c->task.out[0].stride[0] = 4 * width, c->task.out[0].stride[1] = 4;
  for (int k = 0; k < n; k++) ((int32_t *)(void *)c->task.in[0].data)[k] = vt_range(0, 999);
  vt_constant(c, 0, type, (int[]){1000, width}, 2);
  if (type == MACCEL_S8) vt_constant(c, 2, MACCEL_F32, (int[]){1000}, 1);
}

/* transposed: columns of in1 lie k apart, as keys do in attention */
static void matmul(const char *name, int heads, int m, int k, int n, int transposed) {
  vt_case *c = begin(name, MX_OP_MATMUL);
  input(c, 0, MACCEL_F32, 1, heads, m, k), output(c, 0, MACCEL_F32, 1, heads, m, n);
  input(c, 1, MACCEL_F32, 1, heads, k, n);
  if (transposed) c->task.in[1].stride[2] = 4, c->task.in[1].stride[3] = 4 * k;
  all[count - 1].flops = 2.0 * heads * m * k * n;
}

static void convf(const char *name, int type, int size, int channels, int outputs, int k) {
  vt_case *c = begin(name, MX_OP_CONVF);
  input(c, 0, MACCEL_F32, 1, size, size, channels), output(c, 0, MACCEL_F32, 1, size, size, outputs);
  if (size > 1 && k == 1) { /* [1, 1, m, k] */
    c->task.in[0].dims[1] = c->task.out[0].dims[1] = 1;
    c->task.in[0].dims[2] = c->task.out[0].dims[2] = size;
  }
  memcpy(c->insn.i, (int32_t[]){k, k, 1, 1, k / 2, k / 2, k / 2, k / 2, 1, 1, 1}, 11 * sizeof(int32_t));
  vt_constant(c, 0, type, (int[]){outputs, k, k, channels}, 4), vt_constant(c, 1, MACCEL_F32, &outputs, 1);
  if (type == MACCEL_S8) vt_constant(c, 2, MACCEL_F32, &outputs, 1);
  c->zero_row = (uint8_t *)calloc(1, (size_t)channels * 4 + 64);
  c->task.zero_row = c->zero_row, c->task.zero_row_bytes = (size_t)channels * 4;
  all[count - 1].flops = 2.0 * (k == 1 ? size : size * size) * channels * outputs * k * k;
}

static void fill(const char *name, int type, int size, int channels) {
  vt_case *c = begin(name, MX_OP_FILL);
  output(c, 0, type, 1, size, size, channels);
}

static void add_elementwise(void) {
  const int U = MACCEL_U8, F = MACCEL_F32, token[3] = {1, 128, 384}, channel[3] = {1, 1, 384};
  const int wide[3] = {28, 28, 240}, gate[3] = {1, 1, 240}, line[3] = {1, 128, 1};
  eltwise("elt f32 add full", MX_ELT_ADD, F, F, F, token, token, 0);
  eltwise("elt f32 div full", MX_ELT_DIV, F, F, F, token, token, 0);
  eltwise("elt f32 mul channel", MX_ELT_MUL, F, F, F, token, channel, 0);
  eltwise("elt f32 sub row", MX_ELT_SUB, F, F, F, token, line, 0);
  eltwise("elt u8 add", MX_ELT_ADD, U, U, U, wide, wide, 0);
  eltwise("elt u8 add clamp", MX_ELT_ADD, U, U, U, wide, wide, MX_ACT_CLAMP);
  eltwise("elt u8 mul gate", MX_ELT_MUL, U, U, U, wide, gate, 0);
  eltwise("elt u8 max", MX_ELT_MAX, U, U, U, wide, wide, 0);
  scaled("elt f32 const channel", MX_ELT_ADD, F, token, channel);
  scaled("elt f32 const scalar", MX_ELT_MUL, F, token, (int[]){1, 1, 1});
  scaled("elt u8 const channel", MX_ELT_MUL, U, wide, gate);
  scaled("elt f32 pow scalar", MX_ELT_POW, F, token, (int[]){1, 1, 1});
}

static void add_maps(void) {
  const int U = MACCEL_U8, F = MACCEL_F32;
  const int to_planes[4] = {0, 3, 1, 2}, to_pixels[4] = {0, 2, 3, 1}, heads[4] = {0, 2, 1, 3};
  map("map u8 to f32", U, F, 56, 56, 64, 0), map("map f32 to u8", F, U, 56, 56, 64, 0);
  map("map f32 gelu", F, F, 1, 128, 1536, MX_ACT_GELU_ERF),
      map("map f32 tanh", F, F, 1, 128, 1536, MX_ACT_TANH);
  map("map f32 sigmoid", F, F, 1, 128, 1536, MX_ACT_SIGMOID),
      map("map f32 silu", F, F, 1, 128, 1536, MX_ACT_SILU);
  map("map f32 exp", F, F, 1, 128, 1536, MX_ACT_EXP),
      map("map f32 hardswish", F, F, 1, 128, 1536, MX_ACT_HARDSWISH);
  map("map f32 softplus", F, F, 1, 128, 1536, MX_ACT_SOFTPLUS),
      map("map f32 mish", F, F, 1, 128, 1536, MX_ACT_MISH);
  table("map u8 table", 56, 56, 64);
  transpose("map u8 to planes", U, (int[]){1, 56, 56, 64}, to_planes);
  transpose("map u8 to pixels", U, (int[]){1, 64, 56, 56}, to_pixels);
  transpose("map f32 to planes", F, (int[]){1, 56, 56, 64}, to_planes);
  transpose("map f32 heads", F, (int[]){1, 128, 12, 32}, heads);
  transpose("map u8 shuffle", U, (int[]){1, 784, 2, 58}, (int[]){0, 1, 3, 2});
  transpose("map u8 3 planes", U, (int[]){1, 224, 224, 3}, to_planes);
  transpose("map f32 4 planes", F, (int[]){1, 160, 160, 4}, to_planes);
  fill("fill u8", U, 56, 64), fill("fill f32", F, 56, 64);
}

static void add_rows(void) {
  const int U = MACCEL_U8, F = MACCEL_F32;
  rows("softmax f32 128", MX_OP_SOFTMAX, F, F, 1536, 128),
      rows("softmax f32 1000", MX_OP_SOFTMAX, F, F, 1, 1000);
  rows("softmax u8 128", MX_OP_SOFTMAX, U, U, 1536, 128), rows("softmax f32 2", MX_OP_SOFTMAX, F, F, 4096, 2);
  rows("layernorm f32 384", MX_OP_LAYERNORM, F, F, 128, 384);
  rows("layernorm u8 384", MX_OP_LAYERNORM, U, U, 128, 384);
  rows("dynquant u8 384", MX_OP_DYNQUANT, F, U, 128, 384),
      rows("dynquant u8 1536", MX_OP_DYNQUANT, F, U, 128, 1536);
  reduce("reduce u8 h w", U, 7, 7, 1280, 6), reduce("reduce f32 h w", F, 28, 28, 240, 6);
  reduce("reduce f32 last", F, 1, 128, 384, 8), reduce("reduce f32 token", F, 1, 128, 384, 4);
  pool("pool f32 max 3x3", F, 0, 56, 64, 3, 2), pool("pool f32 average 3x3", F, 1, 56, 64, 3, 2);
  pool("pool f32 average 7x7", F, 1, 7, 1280, 7, 1);
  resize("resize u8 linear 24", U, 1, 60, 24), resize("resize u8 nearest 24", U, 0, 60, 24);
  resize("resize f32 linear 24", F, 1, 60, 24), resize("resize u8 linear 128", U, 1, 28, 128);
  resize("resize f32 linear 128", F, 1, 28, 128), resize("resize u8 nearest 128", U, 0, 28, 128);
  gather("gather f32 384", MACCEL_F32, 128, 384), gather("gather s8 384", MACCEL_S8, 128, 384);
}

static void add_products(void) {
  matmul("matmul q k", 12, 128, 32, 128, 1), matmul("matmul p v", 12, 128, 128, 32, 0);
  matmul("matmul 512 k", 1, 512, 64, 512, 1), matmul("matmul 512 v", 1, 512, 512, 64, 0);
  matmul("matmul square", 1, 384, 384, 384, 0);
  convf("convf f32 128 384 1536", MACCEL_F32, 128, 384, 1536, 1);
  convf("convf s8 128 384 1536", MACCEL_S8, 128, 384, 1536, 1);
  convf("convf f32 3x3 64", MACCEL_F32, 28, 64, 64, 3),
      convf("convf f32 1 1280 1000", MACCEL_F32, 1, 1280, 1000, 1);
}

static void prepare(bench *b, int level) {
  mx_task *t = &b->c.task;
  b->kernel[level] = mx_kernel_select((mx_isa)level, t);
  const mx_kernel *k = b->kernel[level];
  if (k->pack_bytes) {
    b->packed[level] = aligned_alloc(4096, (k->pack_bytes(t) + 8191) / 4096 * 4096);
    k->pack(t, b->packed[level]);
  }
  t->packed = b->packed[level];
  const double start = now_us();
  k->run(t, 0, 1);
  const double once = now_us() - start;
  b->repeat[level] = once > 500 ? 1 : (int)(500 / once) + 1;
}

static void measure(bench *b, int level, int round) {
  b->c.task.packed = b->packed[level];
  const double start = now_us();
  for (int k = 0; k < b->repeat[level]; k++) b->kernel[level]->run(&b->c.task, 0, 1);
  b->us[level][round] = (now_us() - start) / b->repeat[level];
}

/* One picture from the host (float planes, byte pixels with tables) and one back (float planes). */
static void transfers(const char *levels, const char *filter, int height, int width) {
  static const char *const names[3] = {"upload f32 planes", "upload u8 pixels table", "download f32 pixels"};
  vt_case c;
  vt_begin(&c, MX_OP_MAP);
  image(&c, &c.task.in[0], &c.in[0], MACCEL_U8, 1, height, width, 3);
  image(&c, &c.task.in[1], &c.in[1], MACCEL_F32, 1, 3, height, width);
  c.task.in[0].scale = 0.02f;
  uint8_t *tables = (uint8_t *)vt_constant(&c, 0, MACCEL_U8, (int[]){3, 256}, 2);
  for (int what = 0; what < 3; what++) {
    mx_transfer t = {.device = c.task.in[0]};
    t.host.data = what == 1 ? c.in[0].memory + VT_SLACK : c.task.in[1].data;
    t.host.dtype = what == 1 ? MACCEL_U8 : MACCEL_F32, t.table = what == 1 ? tables : NULL;
    const int64_t e = what == 1 ? 1 : 4, plane = what == 0 ? 4 * (int64_t)height * width : e;
    t.host.stride[3] = plane, t.host.stride[2] = what == 0 ? 4 : 3 * e;
    t.host.stride[1] = t.host.stride[2] * width, t.host.stride[0] = 0;
    for (const char *l = levels; *l && strstr(names[what], filter); l++) {
      const mx_transfer_kernels *kernels = mx_transfer_select((mx_isa)(*l - '0'));
      double best = 1e30;
      for (int k = 0; k < 60; k++) {
        const double start = now_us();
        (what == 2 ? kernels->download : kernels->upload)(&t);
        const double us = now_us() - start;
        best = us < best ? us : best;
      }
      printf("%-24s %dx%d level %c %10.1f us (fastest)\n", names[what], height, width, *l, best);
    }
  }
  vt_end(&c);
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double bytes_of(const vt_case *c) {
  double bytes = 0;
  for (int k = 0; k < 6; k++) bytes += c->insn.in[k] != MXP_NONE ? (double)c->in[k].bytes : 0;
  return bytes + (double)c->out[0].bytes;
}

static void print(bench *b, int level) {
  double *us = b->us[level];
  qsort(us, ROUNDS, sizeof(double), compare_doubles);
  printf("%-24s %10.1f us [%.1f..%.1f]  %6.1f GB/s", b->name, us[ROUNDS / 2], us[0], us[ROUNDS - 1],
         bytes_of(&b->c) / us[ROUNDS / 2] * 1e-3);
  if (b->flops > 0) printf("  %6.1f GFLOPS", b->flops / us[ROUNDS / 2] * 1e-3);
  printf("  %s\n", b->kernel[level]->name);
}

int main(int argc, char **argv) {
  const char best[2] = {(char)('0' + (int)mx_isa_detected()), 0};
  const char *levels = argc > 1 ? argv[1] : best, *filter = argc > 2 ? argv[2] : "";
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(argc > 3 ? atoi(argv[3]) : 0, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  add_elementwise(), add_maps(), add_rows(), add_products();
  transfers(levels, filter, 224, 224), transfers(levels, filter, 480, 640);
  void *scratch = aligned_alloc(64, 1 << 24);
  for (int round = -1; round < ROUNDS; round++)
    for (int k = 0; k < count; k++)
      for (const char *l = levels; *l; l++) {
        all[k].c.task.insn = &all[k].c.insn, all[k].c.task.scratch = scratch;
        if (!strstr(all[k].name, filter) || !mx_isa_supported((mx_isa)(*l - '0'))) continue;
        if (round < 0)
          prepare(&all[k], *l - '0');
        else
          measure(&all[k], *l - '0', round);
      }
  for (int k = 0; k < count; k++)
    for (const char *l = levels; *l; l++)
      if (all[k].kernel[*l - '0']) print(&all[k], *l - '0');
  return 0;
}
