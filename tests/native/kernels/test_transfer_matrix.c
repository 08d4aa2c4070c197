/* Transfers: every pair of types, layouts from channels first to mirrored ones, device tensors with gaps, batches, tables
 * and orders, on every level, against one element at a time in double precision. */
#include <math.h>

#include "../common/bind.h"
#include "cpu.h"

static test_rng rng = {0x853c49e6748fea9bu};

enum { GUARD = 64, LAYOUTS = 8 };

typedef struct host {
  uint8_t *memory;
  size_t bytes;
  maccel_io io; /* of item 0 */
} host;

/* How the host array lies in memory: the order of its dimensions from the outermost, and which run backwards. */
static const int layouts[LAYOUTS][4] = {{0, 1, 2, 3}, {0, 3, 1, 2}, {3, 2, 1, 0}, {1, 0, 3, 2},
                                        {0, 1, 2, 3}, {0, 3, 1, 2}, {2, 3, 0, 1}, {0, 2, 1, 3}};
static const int mirrored[LAYOUTS] = {0, 0, 0, 0, 15, 2, 4, 9};

/* An array for `batch` items with random gaps; addresses need no alignment. */
static host host_of(const mx_view *v, int dtype, int layout, int batch) {
  host h = {.io = {.dtype = dtype}};
  int64_t step = builder_elem(dtype), first = 0;
  for (int k = v->rank - 1; k >= 0; --k) {
    const int d = v->rank == 4 ? layouts[layout][k] : k;
    h.io.stride[d] = step;
    step = step * v->dims[d] + rng_int(&rng, 0, 2) * (k > 0 ? builder_elem(dtype) : 1);
  }
  h.io.batch_stride = step;
  for (int d = 0; d < v->rank; ++d) {
    if (!(mirrored[layout] >> d & 1)) continue;
    first += h.io.stride[d] * (v->dims[d] - 1);
    h.io.stride[d] = -h.io.stride[d];
  }
  h.bytes = (size_t)(step * batch) + 2 * GUARD + 1;
  h.memory = bind_alloc(h.bytes);
  h.io.data = h.memory + GUARD + 1 + first; /* odd on purpose */
  return h;
}

static uint8_t *host_at(const host *h, const mx_view *v, int item, const int *index) {
  uint8_t *p = (uint8_t *)h->io.data + item * h->io.batch_stride;
  for (int d = 0; d < v->rank; ++d) p += index[d] * h->io.stride[d];
  return p;
}

static double host_get(const uint8_t *p, int dtype) {
  int16_t h;
  int32_t w;
  int64_t q;
  float f;
  switch (dtype) {
    case MACCEL_U8: return *p;
    case MACCEL_S8: return *(const int8_t *)p;
    case MACCEL_S16: memcpy(&h, p, 2); return h;
    case MACCEL_S32: memcpy(&w, p, 4); return w;
    case MACCEL_S64: memcpy(&q, p, 8); return (double)q;
    case MACCEL_BF16:
      f = 0;
      memcpy((uint8_t *)&f + 2, p, 2);
      return (double)f;
    default: memcpy(&f, p, 4); return (double)f;
  }
}

static void host_put_random(uint8_t *p, int dtype) {
  const float f = rng_float(&rng, -300.0f, 300.0f);
  const int64_t q = rng_int(&rng, -400, 400);
  if (dtype == MACCEL_F32)
    memcpy(p, &f, 4);
  else
    memcpy(p, &q, (size_t)builder_elem(dtype));
}

/* What the device holds after the upload of this value, by the sentences of kernels.h. */
static double uploaded(const mx_view *d, int dtype, double value) {
  if (dtype == MACCEL_S8) return d->dtype == MACCEL_U8 ? value + 128 : value;
  if (d->dtype == MACCEL_F32) return value;
  if (d->dtype == MACCEL_BF16) { /* to the nearest of 8 bits of mantissa, ties to even */
    int e;
    if (value == 0) return 0;
    frexp(value, &e);
    return ldexp(nearbyint(ldexp(value, 8 - e)), e - 8);
  }
  const float scaled = (float)value * (1.0f / d->scale);
  const double q = nearbyint((double)scaled) + d->zero;
  return fmin(fmax(q, range_lo(d->dtype)), range_hi(d->dtype));
}

static double downloaded(const mx_view *d, int dtype, double q) {
  if (dtype == MACCEL_S8 && d->dtype == MACCEL_U8) return q - 128;
  if (dtype != MACCEL_F32 || d->dtype == MACCEL_F32 || d->dtype == MACCEL_BF16) return q;
  return (double)((float)(q - d->zero) * d->scale);
}

typedef struct device_view {
  mx_view view;
  uint8_t *memory;
  size_t bytes;
} device_view;

static device_view device_of(int dtype, int rank, const int *dims, int gap) {
  device_view v = {.view = {.dtype = dtype, .rank = rank, .scale = 1.0f}};
  int64_t step = builder_elem(dtype);
  for (int d = rank - 1; d >= 0; --d) {
    v.view.dims[d] = dims[d];
    v.view.stride[d] = step;
    step = step * dims[d] + (d == rank - 1 ? gap * builder_elem(dtype) : 0);
  }
  v.bytes = (size_t)step + 2 * GUARD;
  v.memory = bind_alloc(v.bytes);
  v.view.data = v.memory + GUARD;
  const int integer = dtype != MACCEL_F32 && dtype != MACCEL_BF16;
  if (integer) v.view.scale = dtype == MACCEL_S32 || dtype == MACCEL_S64 ? 1.0f : rng_float(&rng, 0.3f, 3.0f);
  if (dtype == MACCEL_U8) v.view.zero = rng_int(&rng, 0, 255);
  if (dtype == MACCEL_S8) v.view.zero = rng_int(&rng, -128, 127);
  if (dtype == MACCEL_S16) v.view.zero = rng_int(&rng, -999, 999);
  return v;
}

static void fail(const char *what, const mx_view *d, int dtype, int layout, double got, double want) {
  fprintf(stderr, "%s: device type %d, host type %d, layout %d: got %g, want %g\n", what, d->dtype, dtype,
          layout, got, want);
  exit(1);
}

static void check_upload(const mx_transfer_kernels *k, device_view *v, const host *h, int layout, int batch) {
  mx_transfer t = {.device = v->view, .host = h->io};
  for (int item = 0; item < batch; ++item) {
    int index[MXP_MAX_RANK] = {0};
    t.host.data = (uint8_t *)h->io.data + item * h->io.batch_stride;
    memset(v->memory, 0xa5, v->bytes);
    k->upload(&t);
    do {
      const double value = host_get(host_at(h, &v->view, item, index), h->io.dtype);
      const double got = stored(&v->view, index), want = uploaded(&v->view, h->io.dtype, value);
      if (got != want) fail("upload", &v->view, h->io.dtype, layout, got, want);
    } while (next_index(v->view.rank, v->view.dims, index));
    for (int g = 0; g < GUARD; ++g)
      CHECK(v->memory[g] == 0xa5 && v->memory[v->bytes - 1 - (size_t)g] == 0xa5);
  }
}

static void check_download(const mx_transfer_kernels *k, device_view *v, host *h, int layout, int batch) {
  mx_transfer t = {.device = v->view, .host = h->io};
  uint8_t *touched = bind_alloc(h->bytes);
  memset(h->memory, 0x5a, h->bytes);
  for (int item = 0; item < batch; ++item) {
    int index[MXP_MAX_RANK] = {0};
    t.host.data = (uint8_t *)h->io.data + item * h->io.batch_stride;
    fill_view(&v->view, &rng);
    k->download(&t);
    do {
      const uint8_t *p = host_at(h, &v->view, item, index);
      const double got = host_get(p, h->io.dtype),
                   want = downloaded(&v->view, h->io.dtype, stored(&v->view, index));
      if (got != want) fail("download", &v->view, h->io.dtype, layout, got, want);
      memset(touched + (p - h->memory), 1, (size_t)builder_elem(h->io.dtype));
    } while (next_index(v->view.rank, v->view.dims, index));
  }
  for (size_t i = 0; i < h->bytes; ++i) CHECK(touched[i] || h->memory[i] == 0x5a); /* gaps stay as they are */
  free(touched);
}

static void fill_host(const host *h, const mx_view *v, int batch) {
  for (int item = 0; item < batch; ++item) {
    int index[MXP_MAX_RANK] = {0};
    do host_put_random(host_at(h, v, item, index), h->io.dtype);
    while (next_index(v->rank, v->dims, index));
  }
}

static void pair(int device, int dtype, int rank, const int *dims, int layout, int gap) {
  const int batch = 1 + layout % 3;
  device_view v = device_of(device, rank, dims, gap);
  host h = host_of(&v.view, dtype, layout, batch);
  for (int level = 0; level <= (int)mx_isa_detected(); ++level) {
    if (mx_transfer_possible(device, dtype, 0, 0)) {
      fill_host(&h, &v.view, batch);
      check_upload(mx_transfer_select((mx_isa)level), &v, &h, layout, batch);
    }
    if (mx_transfer_possible(device, dtype, 1, 0))
      check_download(mx_transfer_select((mx_isa)level), &v, &h, layout, batch);
  }
  free(h.memory);
  free(v.memory);
}

static void every_pair(void) {
  static const int shapes[][4] = {{1, 5, 7, 3},  {2, 3, 17, 4}, {1, 1, 300, 1},
                                  {1, 2, 9, 33}, {1, 1, 1, 1},  {1, 9, 16, 2}};
  for (int device = MACCEL_U8; device <= MACCEL_S64; ++device) {
    for (int dtype = MACCEL_U8; dtype <= MACCEL_S64; ++dtype) {
      for (int k = 0; k < 6 * LAYOUTS; ++k)
        pair(device, dtype, 4, shapes[k / LAYOUTS], k % LAYOUTS, k % 2 * 5);
      pair(device, dtype, 1, (int[]){37}, 0, 0);
      pair(device, dtype, 2, (int[]){3, 300}, 1, 0);
      pair(device, dtype, 6, (int[]){2, 1, 3, 2, 2, 3}, 2, 1);
    }
  }
}

/* Which pairs exist, spelled out. Rows: host types from u8 to s64; columns: device types. */
static void the_table_of_pairs(void) {
  static const char *const up[] = {"1111111", "1100000", "0000000", "1111111",
                                   "1111111", "0000000", "1111111"};
  static const char *const down[] = {"1000000", "1100000", "0010000", "0001000",
                                     "1111111", "0000010", "0000001"};
  for (int dtype = -1; dtype <= 9; ++dtype) {
    for (int device = -1; device <= 9; ++device) {
      const int known = dtype >= 1 && dtype <= 7 && device >= 1 && device <= 7;
      CHECK_INT(mx_transfer_possible(device, dtype, 0, 0), known && up[dtype - 1][device - 1] == '1');
      CHECK_INT(mx_transfer_possible(device, dtype, 1, 0), known && down[dtype - 1][device - 1] == '1');
    }
    CHECK_INT(mx_transfer_possible(MACCEL_S16, MACCEL_U8, 0, 1), 0);
    CHECK_INT(mx_transfer_possible(MACCEL_U8, MACCEL_U8, 0, 1), 1);
  }
}

/* Raw pixels through a table of each channel, channels taken in any order, in every layout. */
static void tables_and_orders(int channels, int layout, int with_order, int with_table) {
  const int dims[4] = {1, 4, 19, channels};
  uint8_t table[8 * 256];
  int32_t order[8];
  for (int k = 0; k < 8 * 256; ++k) table[k] = (uint8_t)rng_next(&rng);
  for (int c = 0; c < channels; ++c) order[c] = (c * 3 + 1) % channels;
  device_view v = device_of(MACCEL_U8, 4, dims, layout % 2);
  host h = host_of(&v.view, MACCEL_U8, layout, 1);
  fill_host(&h, &v.view, 1);
  const mx_transfer t = {
      .device = v.view, .host = h.io, .table = with_table ? table : NULL, .order = with_order ? order : NULL};
  for (int level = 0; level <= (int)mx_isa_detected(); ++level) {
    int index[MXP_MAX_RANK] = {0};
    memset(v.memory, 0, v.bytes);
    mx_transfer_select((mx_isa)level)->upload(&t);
    do {
      int from[4] = {index[0], index[1], index[2], with_order ? order[index[3]] : index[3]};
      const uint8_t pixel = *host_at(&h, &v.view, 0, from);
      const double want = with_table ? table[256 * index[3] + pixel] : uploaded(&v.view, MACCEL_U8, pixel);
      if (stored(&v.view, index) != want)
        fail("pixels", &v.view, MACCEL_U8, layout, stored(&v.view, index), want);
    } while (next_index(4, dims, index));
  }
  free(h.memory);
  free(v.memory);
}

/* Identifiers survive beyond the 24 bits of a float; what does not fit s32 is held at its ends. */
static void identifiers(void) {
  static const int64_t ids[] = {0,         16777217,         -16777217,          INT32_MAX,
                                INT32_MIN, (int64_t)1 << 40, -((int64_t)1 << 40)};
  for (int level = 0; level <= (int)mx_isa_detected(); ++level) {
    for (int device = MACCEL_S32; device <= MACCEL_S64; device += MACCEL_S64 - MACCEL_S32) {
      int64_t wide[7] = {0};
      mx_view d = {.data = (uint8_t *)wide,
                   .dtype = device,
                   .rank = 1,
                   .dims = {7},
                   .stride = {builder_elem(device)},
                   .scale = 1.0f};
      mx_transfer t = {.device = d,
                       .host = {.data = (void *)(uintptr_t)ids, .dtype = MACCEL_S64, .stride = {8}}};
      mx_transfer_select((mx_isa)level)->upload(&t);
      for (int k = 0; k < 7; ++k) {
        const int64_t held = ids[k] > INT32_MAX ? INT32_MAX : ids[k] < INT32_MIN ? INT32_MIN : ids[k];
        CHECK_INT(device == MACCEL_S64 ? wide[k] : ((int32_t *)(void *)wide)[k],
                  device == MACCEL_S64 ? ids[k] : held);
      }
    }
  }
}

int main(void) {
  the_table_of_pairs();
  every_pair();
  for (int channels = 1; channels <= 8; ++channels) {
    for (int k = 0; k < LAYOUTS * 4; ++k) tables_and_orders(channels, k / 4, k & 1, k & 2);
  }
  identifiers();
  return 0;
}
