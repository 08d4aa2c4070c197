/* Writes the seeds of the fuzzers: a sound program per operation, programs that lie, and containers.
 *
 * usage: make_corpus FOLDER      (FOLDER/program and FOLDER/container must exist) */
#include "../model/sample.h"
#include "exec.h"

static const char *folder;

static void write_file(const char *kind, const char *name, const void *first, size_t first_bytes,
                       const void *second, size_t second_bytes) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s/%s", folder, kind, name);
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  CHECK(fwrite(first, 1, first_bytes, file) == first_bytes);
  CHECK(second_bytes == 0 || fwrite(second, 1, second_bytes, file) == second_bytes);
  CHECK(fclose(file) == 0);
}

/* u32 size of the program, the program, its constants. */
static void write_program(builder *b, const char *name) {
  const uint32_t size = (uint32_t)b->program_bytes;
  uint8_t *text = malloc(sizeof size + b->program_bytes);
  CHECK(text != NULL);
  memcpy(text, &size, sizeof size);
  memcpy(text + sizeof size, b->program, b->program_bytes);
  write_file("program", name, text, sizeof size + b->program_bytes, b->data, b->data_bytes);
  free(text);
  builder_free(b);
}

static uint32_t image(builder *b, int dtype, int h, int w, int c) {
  return builder_tensor(b, dtype, 4, (int[]){1, h, w, c}, 1.0f, 0);
}

static void finish(builder *b, uint32_t x, uint32_t y, const char *name) {
  builder_input(b, x);
  builder_output(b, y);
  builder_finish(b);
  if (mx_program_verify(b->program, b->program_bytes, b->data, b->data_bytes) != MACCEL_OK) {
    fprintf(stderr, "%s is refused: %s\n", name, maccel_last_error());
    exit(1);
  }
  write_program(b, name);
}

static mxp_insn *unary(builder *b, int op, uint32_t x, uint32_t y) {
  mxp_insn *in = builder_insn(b, op);
  in->in[0] = x, in->out[0] = y;
  return in;
}

static void rows(int op, const char *name) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_F32, 1, 3, 19), y = image(&b, MACCEL_F32, 1, 3, 19);
  mxp_insn *in = unary(&b, op, x, y);
  in->i[11] = op == MX_OP_MAP ? MX_ACT_GELU_ERF : 0;
  if (op == MX_OP_SOFTMAX) in->in[1] = image(&b, MACCEL_F32, 1, 3, 19), builder_input(&b, in->in[1]);
  if (op == MX_OP_LAYERNORM) in->cst[0] = in->cst[1] = sample_floats(&b, 19, 1.0f, 0.25f);
  finish(&b, x, y, name);
}

static void reduce(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_U8, 3, 4, 5), y = image(&b, MACCEL_F32, 1, 1, 5);
  mxp_insn *in = unary(&b, MX_OP_REDUCE, x, y);
  in->i[10] = 1, in->i[14] = 6, in->f[2] = 1.0f / 12;
  finish(&b, x, y, "reduce");
}

static void matmul(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_F32, 2, 3, 20), w = image(&b, MACCEL_F32, 2, 20, 6),
                 y = image(&b, MACCEL_S16, 2, 3, 6);
  mxp_insn *in = unary(&b, MX_OP_MATMUL, x, y);
  in->in[1] = w, in->i[12] = -32768, in->i[13] = 32767;
  builder_input(&b, w);
  finish(&b, x, y, "matmul");
}

static void resize(int kind, const char *name) {
  builder b;
  const int32_t source[8] = {0, 1, 0, 1, 1, 2, 2, 2};
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_U8, 3, 3, 4), y = image(&b, MACCEL_U8, 4, 4, 4);
  const uint32_t list = builder_const(&b, MACCEL_S32, 2, (int[]){4, 2}, source),
                 weight = sample_floats(&b, 4, 0.0f, 0.25f);
  mxp_insn *in = unary(&b, MX_OP_RESIZE, x, y);
  in->i[10] = kind;
  in->cst[0] = in->cst[2] = list;
  if (kind) in->cst[1] = in->cst[3] = weight;
  finish(&b, x, y, name);
}

static void gather(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, MACCEL_S32, 1, (int[]){5}, 1.0f, 0);
  const uint32_t y = builder_tensor(&b, MACCEL_F32, 2, (int[]){5, 6}, 1.0f, 0);
  mxp_insn *in = unary(&b, MX_OP_GATHER, x, y);
  in->cst[0] = sample_bytes(&b, MACCEL_S8, 2, (int[]){3, 6}, 9);
  in->cst[2] = sample_floats(&b, 3, 0.5f, 0.5f);
  finish(&b, x, y, "gather");
}

/* Two heads that share their keys, and a mask that is the same for both and for all queries. */
static void attention(void) {
  const int rows[5] = {7, 21, 21, 7, 7}, columns[5] = {18, 18, 19, 21, 19};
  builder b;
  builder_init(&b);
  for (int k = 0; k < 5; ++k) builder_tensor(&b, MACCEL_F32, 3, (int[]){2, rows[k], columns[k]}, 1.0f, 0);
  mxp_insn *in = unary(&b, MX_OP_ATTENTION, 0, 4);
  in->in[1] = 1, in->in[2] = 2, in->in[3] = 3, in->f[5] = 0.25f;
  b.tensors[1].stride[0] = b.tensors[3].stride[0] = b.tensors[3].stride[1] = 0;
  const uint32_t keys =
      builder_view(&b, MACCEL_F32, 2, (int[]){21, 18}, (int64_t[]){72, 4}, b.tensors[1].offset, 1.0f, 0);
  const uint32_t mask =
      builder_view(&b, MACCEL_F32, 1, (int[]){21}, (int64_t[]){4}, b.tensors[3].offset, 1.0f, 0);
  builder_input(&b, keys), builder_input(&b, 2), builder_input(&b, mask);
  finish(&b, 0, 4, "attention");
}

static void recurrent(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = builder_tensor(&b, MACCEL_F32, 4, (int[]){2, 3, 2, 20}, 1.0f, 0);
  const uint32_t y = builder_tensor(&b, MACCEL_F32, 4, (int[]){2, 3, 2, 5}, 1.0f, 0);
  mxp_insn *in = unary(&b, MX_OP_RECURRENT, x, y);
  in->i[0] = 2, in->i[10] = MX_RECURRENT_LSTM;
  in->cst[0] = sample_bytes(&b, MACCEL_S8, 3, (int[]){2, 20, 5}, 13);
  float scale[40];
  for (int k = 0; k < 40; ++k) scale[k] = 0.001f * (float)(k + 1);
  in->cst[2] = builder_const(&b, MACCEL_F32, 2, (int[]){2, 20}, scale);
  finish(&b, x, y, "recurrent");
}

static void conv_constants(builder *b, mxp_insn *in, int outputs, int taps_h, int taps_w, int inputs,
                           int dtype) {
  in->cst[0] = sample_bytes(b, dtype, 4, (int[]){outputs, taps_h, taps_w, inputs}, 11);
  in->cst[1] = sample_ints(b, outputs, 1000);
  in->cst[2] = sample_floats(b, outputs, 0.001f, 0.0002f);
  in->i[10] = 1;
}

/* Dynamic quantisation of f32 rows and the product with s8 weights. */
static void dynamic(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_F32, 1, 5, 24), q = image(&b, MACCEL_U8, 1, 5, 24),
                 s = image(&b, MACCEL_F32, 1, 5, 1);
  const uint32_t y = image(&b, MACCEL_F32, 1, 5, 10);
  b.tensors[q].zero = 128;
  unary(&b, MX_OP_DYNQUANT, x, q)->out[1] = s;
  mxp_insn *in = unary(&b, MX_OP_CONVDYN, q, y);
  in->in[2] = s;
  builder_window(in, 1, 1, 1, 0, 1);
  conv_constants(&b, in, 10, 1, 1, 24, MACCEL_S8);
  in->cst[5] = in->cst[2];
  finish(&b, x, y, "dynamic");
}

/* s16 in, two outputs, residual after a PRELU, a strided and dilated window. */
static void rich_conv(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_S16, 9, 9, 3), y = image(&b, MACCEL_U8, 4, 4, 20),
                 z = image(&b, MACCEL_S16, 4, 4, 20);
  mxp_insn *in = unary(&b, MX_OP_CONV, x, y);
  in->in[1] = z, in->out[1] = z, in->flags = MX_INSN_RES_AFTER_ACT;
  builder_window(in, 3, 3, 2, 1, 2);
  conv_constants(&b, in, 20, 3, 3, 3, MACCEL_S8);
  in->i[11] = MX_ACT_PRELU, in->cst[4] = in->cst[2];
  in->i[14] = -32768, in->i[15] = 32767;
  finish(&b, x, y, "rich_conv");
}

/* A stream of 16 bits beside u8: it is added in front of the activation, and goes on as the second output. */
static void stream_conv(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_U8, 5, 6, 12), y = image(&b, MACCEL_U8, 5, 6, 28),
                 stream = image(&b, MACCEL_S16, 5, 6, 28), next = image(&b, MACCEL_S16, 5, 6, 28);
  mxp_insn *in = unary(&b, MX_OP_CONV, x, y);
  in->in[1] = stream, in->out[1] = next;
  builder_input(&b, stream);
  builder_window(in, 1, 1, 1, 0, 1);
  conv_constants(&b, in, 28, 1, 1, 12, MACCEL_S8);
  in->i[11] = MX_ACT_HARDSWISH, in->f[0] = 1.0f / 6, in->f[1] = 0.5f, in->f[2] = 0.01f;
  in->i[14] = -32768, in->i[15] = 32767;
  finish(&b, x, y, "stream_conv");
}

/* Weights of 16 bits in 3x3 windows, on either stride. */
static void depthwise(int stride, const char *name) {
  builder b;
  builder_init(&b);
  const int size = stride == 1 ? 7 : 4, channels = 22;
  const uint32_t x = image(&b, MACCEL_U8, 7, 7, channels), y = image(&b, MACCEL_S16, size, size, channels);
  mxp_insn *in = unary(&b, MX_OP_DWCONV, x, y);
  builder_window(in, 3, 3, stride, 1, 1);
  in->cst[0] = sample_bytes(&b, MACCEL_S16, 3, (int[]){3, 3, channels}, 17);
  in->cst[1] = sample_ints(&b, channels, 1000), in->cst[2] = sample_floats(&b, channels, 1e-4f, 1e-5f);
  in->i[10] = channels, in->i[12] = -32768, in->i[13] = 32767;
  finish(&b, x, y, name);
}

static void float_conv(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_F32, 5, 5, 6), y = image(&b, MACCEL_F32, 5, 5, 4);
  mxp_insn *in = unary(&b, MX_OP_CONVF, x, y);
  builder_window(in, 3, 3, 1, 1, 1);
  conv_constants(&b, in, 4, 3, 3, 3, MACCEL_S8);
  in->cst[1] = MXP_NONE, in->i[10] = 2, in->i[11] = MX_ACT_SILU;
  finish(&b, x, y, "float_conv");
}

static void average(void) {
  builder b;
  builder_init(&b);
  const uint32_t x = image(&b, MACCEL_S8, 7, 7, 20), y = image(&b, MACCEL_F32, 4, 4, 20);
  mxp_insn *in = unary(&b, MX_OP_POOL, x, y);
  builder_window(in, 3, 3, 2, 1, 1);
  in->i[10] = 1;
  finish(&b, x, y, "average");
}

/* Programs that lie about one thing each. */
static void hostile(void) {
  for (int k = 0; k < 10; ++k) {
    builder b;
    char name[32];
    sample_build(&b);
    mxp_tensor *t = b.tensors;
    switch (k) {
      case 0: t[0].offset = UINT64_MAX - 3; break;
      case 1: t[1].stride[1] = INT64_MAX; break;
      case 2: t[2].dims[2] = INT_MAX; break;
      case 3: b.insns[0].i[4] = INT_MAX; break;
      case 4: b.insns[1].i[0] = -1; break;
      case 5: b.consts[0].offset = UINT64_MAX - 63; break;
      case 6: b.consts[0].bytes = UINT64_MAX; break;
      case 7: b.head.num_consts = UINT32_MAX / 48; break;
      case 8: b.head.arena_bytes = 0; break;
      default: b.insns[3].in[0] = 1u << 31; break;
    }
    if (k != 7) builder_finish(&b);
    if (k == 7) ((mxp_header *)(void *)b.program)->num_consts = UINT32_MAX / 48;
    snprintf(name, sizeof name, "hostile_%d", k);
    write_program(&b, name);
  }
}

static void containers(void) {
  uint8_t file[512] = {0};
  mxq_header *h = (mxq_header *)(void *)file;
  mxq_section *s = (mxq_section *)(void *)(file + 64);
  *h = (mxq_header){
      .version = MXQ_VERSION, .section_count = 3, .section_bytes = 64, .file_bytes = 512, .table_offset = 64};
  memcpy(h->magic, MXQ_MAGIC, 8);
  s[0] = (mxq_section){.type = MXQ_SECTION_MANIFEST, .offset = 256, .size = 50};
  s[1] = (mxq_section){.type = MXQ_SECTION_PROGRAM, .offset = 320, .size = 128};
  s[2] = (mxq_section){.type = MXQ_SECTION_CONSTS, .offset = 448, .size = 64};
  write_file("container", "sound", file, 512, NULL, 0);
  write_file("container", "truncated", file, 300, NULL, 0);
  s[2].size = UINT64_MAX;
  write_file("container", "huge_section", file, 512, NULL, 0);
  s[2].size = 64, h->section_count = 4096;
  write_file("container", "long_table", file, 512, NULL, 0);
  h->section_count = 3, s[1].offset = 256;
  write_file("container", "overlap", file, 512, NULL, 0);
  write_file("container", "empty", file, 0, NULL, 0);
}

int main(int argc, char **argv) {
  builder b;
  CHECK(argc == 2);
  folder = argv[1];
  sample_build(&b);
  write_program(&b, "sample");
  rows(MX_OP_MAP, "map");
  rows(MX_OP_SOFTMAX, "softmax");
  rows(MX_OP_LAYERNORM, "layernorm");
  reduce();
  matmul();
  resize(0, "nearest");
  resize(1, "linear");
  gather();
  attention();
  recurrent();
  dynamic();
  rich_conv();
  stream_conv();
  depthwise(1, "depthwise_1");
  depthwise(2, "depthwise_2");
  float_conv();
  average();
  hostile();
  containers();
  return 0;
}
