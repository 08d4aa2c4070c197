/* Uploads and downloads of every pair of formats, any strides, against loops over single elements. */
#include "scalar_case.h"

typedef struct host {
  uint8_t *memory, *data;
  int64_t stride[MXP_MAX_RANK];
} host;

/* A host array with its dimensions in any order, gaps, and an odd address. */
static host host_make(int dtype, int rank, const int32_t *dims) {
  builder b;
  builder_init(&b);
  const uint32_t k = random_view(&b, dtype, rank, dims, 0);
  host h = {.memory = bind_alloc(b.head.arena_bytes + 16)};
  h.data = h.memory + rng_int(&rng, 0, 1) * 3;
  memcpy(h.stride, b.tensors[k].stride, sizeof h.stride);
  builder_free(&b);
  return h;
}

static uint8_t *host_at(const host *h, int rank, const int *index) {
  uint8_t *p = h->data;
  for (int d = 0; d < rank; ++d) p += index[d] * h->stride[d];
  return p;
}

static double host_value(const uint8_t *p, int dtype) {
  int32_t i;
  int64_t l;
  float f;
  switch (dtype) {
    case MACCEL_U8: return *p;
    case MACCEL_S8: return *(const int8_t *)p;
    case MACCEL_S32: memcpy(&i, p, 4); return i;
    case MACCEL_S64: memcpy(&l, p, 8); return (double)l;
    default: memcpy(&f, p, 4); return (double)f;
  }
}

static void host_fill(const host *h, int dtype, int rank, const int32_t *dims) {
  int index[MXP_MAX_RANK] = {0};
  do {
    uint8_t *p = host_at(h, rank, index);
    const int32_t small = rng_int(&rng, -300, 300);
    const int64_t wide = small;
    const float real = rng_float(&rng, -30.0f, 30.0f);
    if (dtype == MACCEL_F32) memcpy(p, &real, 4);
    if (dtype == MACCEL_S32) memcpy(p, &small, 4);
    if (dtype == MACCEL_S64) memcpy(p, &wide, 8);
    if (dtype == MACCEL_U8 || dtype == MACCEL_S8) *p = (uint8_t)rng_next(&rng);
  } while (next_index(rank, dims, index));
}

static double uploaded(const mx_transfer *t, const uint8_t *p, int channel) {
  const mx_view *d = &t->device;
  const double v = host_value(p, t->host.dtype);
  if (t->table && t->host.dtype == MACCEL_U8) return t->table[256 * channel + *p];
  if (t->host.dtype == MACCEL_S8) return d->dtype == MACCEL_U8 ? v + 128 : v;
  float f = (float)v;
  if (!mx_dtype_is_float(d->dtype)) f = f * (1.0f / d->scale);
  return put_of(d, f, range_lo(d->dtype), range_hi(d->dtype));
}

static void upload_case(const mx_transfer_kernels *kernels) {
  builder b;
  int dims[MXP_MAX_RANK];
  builder_init(&b);
  const int rank = rng_int(&rng, 1, 5);
  for (int d = 0; d < rank; ++d) dims[d] = PICK(1, 2, 3, 5, 19);
  if (rng_int(&rng, 0, 1)) dims[rank - 1] = 3;
  const int device = rng_int(&rng, MACCEL_U8, MACCEL_S64), table = device == MACCEL_U8 && rng_int(&rng, 0, 1),
            order = rng_int(&rng, 0, 2) == 0;
  const int dtype = PICK(MACCEL_U8, MACCEL_U8, MACCEL_S8, MACCEL_S32, MACCEL_S64, MACCEL_F32);
  const uint32_t k = random_view(&b, device, rank, dims, 0);
  const int dense = rng_int(&rng, 0, 1);
  if (dense) {
    const uint32_t plain = builder_tensor(&b, device, rank, dims, 1.0f, 0);
    memcpy(b.tensors[k].stride, b.tensors[plain].stride, sizeof b.tensors[k].stride);
  }
  if (!mx_dtype_is_float(device) && builder_elem(device) <= 2)
    b.tensors[k].scale = 0.125f + (float)rng_int(&rng, 0, 3);
  if (!mx_transfer_possible(device, dtype, 0, table)) {
    builder_free(&b);
    return;
  }
  uint8_t *arena = bind_alloc(b.head.arena_bytes), tables[19 * 256];
  int32_t orders[19];
  const int channels = dims[rank - 1];
  for (int c = 0; c < channels * 256; ++c) tables[c] = (uint8_t)rng_next(&rng);
  for (int c = 0; c < channels; ++c) orders[c] = rng_int(&rng, 0, channels - 1);
  host h = host_make(dtype, rank, dims);
  host_fill(&h, dtype, rank, dims);
  mx_transfer t = {
      .device = bind_view(&b, arena, k), .table = table ? tables : NULL, .order = order ? orders : NULL};
  t.host = (maccel_io){.data = h.data, .dtype = dtype};
  memcpy(t.host.stride, h.stride, sizeof h.stride);
  kernels->upload(&t);
  int index[MXP_MAX_RANK] = {0};
  do {
    int from[MXP_MAX_RANK];
    memcpy(from, index, sizeof from);
    if (order) from[rank - 1] = orders[index[rank - 1]];
    CHECK(stored(&t.device, index) == uploaded(&t, host_at(&h, rank, from), index[rank - 1]));
  } while (next_index(rank, t.device.dims, index));
  free(h.memory);
  free(arena);
  builder_free(&b);
}

static void check_downloaded(const mx_view *d, const int *index, int dtype, const uint8_t *p) {
  if (dtype == MACCEL_F32) {
    const float want = mx_dtype_is_float(d->dtype) ? (float)stored(d, index)
                                                   : (float)(stored(d, index) - d->zero) * d->scale;
    CHECK((float)host_value(p, dtype) == want);
  } else if (dtype == MACCEL_S8 && d->dtype == MACCEL_U8) {
    CHECK(host_value(p, dtype) == stored(d, index) - 128);
  } else {
    CHECK(memcmp(p, at(d, index), (size_t)builder_elem(d->dtype)) == 0);
  }
}

static void download_case(const mx_transfer_kernels *kernels) {
  builder b;
  int dims[MXP_MAX_RANK];
  builder_init(&b);
  const int rank = rng_int(&rng, 1, 5), device = rng_int(&rng, MACCEL_U8, MACCEL_S64);
  for (int d = 0; d < rank; ++d) dims[d] = PICK(1, 2, 3, 5, 300 / (1 << (2 * rank - 2)) + 1);
  const int dtype = rng_int(&rng, 0, 1)                          ? MACCEL_F32
                    : device == MACCEL_U8 && rng_int(&rng, 0, 1) ? MACCEL_S8
                                                                 : device;
  CHECK(mx_transfer_possible(device, dtype, 1, 0));
  const uint32_t k = random_view(&b, device, rank, dims, 0);
  if (!mx_dtype_is_float(device)) b.tensors[k].scale = 0.3f;
  uint8_t *arena = bind_alloc(b.head.arena_bytes);
  host h = host_make(dtype, rank, dims);
  mx_transfer t = {.device = bind_view(&b, arena, k), .host = {.data = h.data, .dtype = dtype}};
  memcpy(t.host.stride, h.stride, sizeof h.stride);
  fill_view(&t.device, &rng);
  kernels->download(&t);
  int index[MXP_MAX_RANK] = {0};
  do {
    check_downloaded(&t.device, index, dtype, host_at(&h, rank, index));
  } while (next_index(rank, t.device.dims, index));
  free(h.memory);
  free(arena);
  builder_free(&b);
}

/* Camera frames: three adjacent channels on both sides, table and order. */
static void frames_take_the_short_way(const mx_transfer_kernels *kernels) {
  uint8_t frame[5 * 7 * 3], tables[768], device[5 * 7 * 3];
  const int32_t order[3] = {2, 1, 0};
  for (int k = 0; k < 768; ++k) tables[k] = (uint8_t)rng_next(&rng);
  for (int k = 0; k < 105; ++k) frame[k] = (uint8_t)rng_next(&rng);
  mx_transfer t = {.table = tables, .order = order};
  t.device = (mx_view){.data = device,
                       .dtype = MACCEL_U8,
                       .rank = 4,
                       .dims = {1, 5, 7, 3},
                       .stride = {105, 21, 3, 1},
                       .scale = 1.0f};
  t.host = (maccel_io){.data = frame, .dtype = MACCEL_U8, .stride = {105, 21, 3, 1}};
  kernels->upload(&t);
  for (int k = 0; k < 105; ++k) CHECK_INT(device[k], tables[256 * (k % 3) + frame[k - k % 3 + 2 - k % 3]]);
}

static void ids_beyond_float_survive(const mx_transfer_kernels *kernels) {
  const int64_t ids[3] = {16777217, -5, (int64_t)1 << 40};
  int32_t device[3];
  mx_transfer t = {0};
  t.device = (mx_view){
      .data = (uint8_t *)device, .dtype = MACCEL_S32, .rank = 1, .dims = {3}, .stride = {4}, .scale = 1.0f};
  t.host = (maccel_io){.data = (void *)(uintptr_t)ids, .dtype = MACCEL_S64, .stride = {8}};
  kernels->upload(&t);
  CHECK(device[0] == 16777217 && device[1] == -5 && device[2] == INT_MAX);
}

static void impossible_pairs_are_known(void) {
  CHECK(!mx_transfer_possible(MACCEL_F32, MACCEL_S8, 0, 0));
  CHECK(!mx_transfer_possible(MACCEL_S16, MACCEL_U8, 0, 1));
  CHECK(!mx_transfer_possible(MACCEL_U8, MACCEL_BF16, 0, 0));
  CHECK(!mx_transfer_possible(MACCEL_F32, MACCEL_U8, 1, 0));
  CHECK(!mx_transfer_possible(99, MACCEL_F32, 1, 0));
}

int main(void) {
  for (int level = 0; level <= (int)mx_isa_detected(); ++level) {
    const mx_transfer_kernels *kernels = mx_transfer_select((mx_isa)level);
    for (int run = 0; run < 10 * RUNS; ++run) {
      upload_case(kernels);
      download_case(kernels);
    }
    frames_take_the_short_way(kernels);
    ids_beyond_float_survive(kernels);
  }
  impossible_pairs_are_known();
  return 0;
}
