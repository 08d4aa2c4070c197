/* test_vector_transfer.c - uploads and downloads of the vector levels against the scalar ones. */
#include "test_vector.h"

typedef struct transfer_case {
  mx_transfer t;
  vt_case c; /* owns nothing but gives vt_image its place */
  vt_buffer device, host;
  uint8_t table[8 * 256];
  int32_t order[8];
} transfer_case;

static void host_strides(transfer_case *x, const int dims[4], int bytes, int planar) {
  int64_t *s = x->t.host.stride;
  if (planar)
    s[2] = bytes, s[1] = s[2] * dims[2] + bytes * vt_range(0, 3), s[3] = s[1] * dims[1],
    s[0] = s[3] * dims[3];
  else
    s[3] = bytes, s[2] = s[3] * dims[3], s[1] = s[2] * dims[2] + bytes * vt_range(0, 3),
    s[0] = s[1] * dims[1];
  x->host.bytes = (size_t)(s[0] * dims[0]);
  x->host.memory = (uint8_t *)vt_alloc(x->host.bytes + 2 * VT_SLACK);
  x->t.host.data = x->host.memory + VT_SLACK;
}

static void random_transfer(transfer_case *x, int upload) {
  const int dims[4] = {vt_range(1, 2), vt_range(1, 12), vt_range(1, 300), vt_range(1, 5)};
  const int dtypes[] = {MACCEL_F32, MACCEL_F32, MACCEL_U8, MACCEL_S8};
  memset(x, 0, sizeof *x);
  vt_image(&x->c, &x->t.device, &x->device, upload || vt_chance(70) ? MACCEL_U8 : MACCEL_F32, dims, 1);
  x->t.device.scale = vt_float(0.004f, 0.05f),
  x->t.device.zero = x->t.device.dtype == MACCEL_U8 ? vt_range(0, 255) : 0;
  if (x->t.device.dtype == MACCEL_F32) x->t.device.scale = 1.0f;
  x->t.host.dtype = upload ? dtypes[vt_range(0, 3)] : MACCEL_F32;
  host_strides(x, dims, vt_bytes(x->t.host.dtype), vt_chance(50));
  vt_fill(x->host.memory, x->host.bytes + 2 * VT_SLACK, x->t.host.dtype);
  for (size_t k = 0; k < sizeof x->table; k++) x->table[k] = (uint8_t)vt_random();
  for (int c = 0; c < dims[3]; c++) x->order[c] = dims[3] - 1 - c;
  if (upload && x->t.host.dtype == MACCEL_U8 && vt_chance(70)) x->t.table = x->table;
  if (upload && vt_chance(30)) x->t.order = x->order;
}

/* Runs both and compares the whole destination, slack included. */
static int check(transfer_case *x, int upload, const mx_transfer_kernels *k) {
  vt_buffer *to = upload ? &x->device : &x->host;
  const size_t n = to->bytes + 2 * VT_SLACK;
  uint8_t *before = (uint8_t *)vt_alloc(n), *want = (uint8_t *)vt_alloc(n);
  memcpy(before, to->memory, n);
  (upload ? mx_transfer_scalar.upload : mx_transfer_scalar.download)(&x->t);
  memcpy(want, to->memory, n);
  memcpy(to->memory, before, n);
  (upload ? k->upload : k->download)(&x->t);
  const int bad = memcmp(want, to->memory, n) != 0;
  if (bad)
    printf("%s differs: host type %d, device %d, channels %d\n", upload ? "upload" : "download",
           x->t.host.dtype, x->t.device.dtype, x->t.device.dims[3]);
  free(before), free(want);
  return bad;
}

int main(void) {
  const int isa = (int)mx_isa_detected();
  if (isa == MX_ISA_SCALAR) return 77;
  for (int k = 0; k < 600; k++) {
    transfer_case x;
    random_transfer(&x, k % 2);
    for (int level = 1; level < MX_ISA_COUNT; level++)
      if (mx_isa_supported((mx_isa)level) && check(&x, k % 2, mx_transfer_select((mx_isa)level))) return 1;
    free(x.device.memory), free(x.host.memory);
  }
  return 0;
}
