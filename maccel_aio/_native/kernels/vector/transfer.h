/* transfer.h - uploads that are worth their own loops; everything else goes to the generic ones.
 *
 * Planes (CHW) of floats or bytes become pixels (HWC) of u8: each plane is quantised contiguously into a short row,
 * then the rows are interleaved. A level includes this in one source file, after generic/generic.h. */
#ifndef MX_VECTOR_TRANSFER_H
#define MX_VECTOR_TRANSFER_H

#include "../generic/transfer.h"
#include "interleave.h"
#include "table.h"

enum { PLANES_MAX = 4, PLANE_STRIP = 256 };

static int is_planar(const mx_transfer *t) {
  const mx_view *d = &t->device;
  const int64_t *h = t->host.stride;
  const int bytes = t->host.dtype == MACCEL_F32 ? 4 : 1;
  const int typed = t->host.dtype == MACCEL_F32 || (t->host.dtype == MACCEL_U8 && t->table);
  return typed && d->rank == 4 && d->dtype == MACCEL_U8 && d->stride[3] == 1 && d->dims[3] >= 2 &&
         d->dims[3] <= PLANES_MAX && d->dims[2] >= 8 && h[2] == bytes && h[3] != bytes;
}

/* n values of one plane -> their bytes */
static void planar_row(const mx_transfer *t, int c, const uint8_t *from, uint8_t *to, int n) {
  if (t->host.dtype == MACCEL_U8)
    table_bytes(t->table + 256 * c, from, to, n);
  else
    strip_quantise(to, (const float *)(const void *)from, n, 0, 1.0f / t->device.scale, t->device.zero, 0,
                   255);
}

static void planar_interleave(uint8_t *to, int64_t px, uint8_t rows[PLANES_MAX][PLANE_STRIP], int channels,
                              int n) {
  const uint8_t *const at[PLANES_MAX] = {rows[0], rows[1], rows[2], rows[3]};
  if (px == channels) {
    interleave(at, channels, to, n);
    return;
  }
  for (int x = 0; x < n; x++, to += px)
    for (int c = 0; c < channels; c++) to[c] = rows[c][x];
}

static void planar_upload(const mx_transfer *t) {
  const mx_view *d = &t->device;
  const uint8_t *host = (const uint8_t *)t->host.data;
  const int channels = d->dims[3];
  for (int b = 0; b < d->dims[0]; b++)
    for (int y = 0; y < d->dims[1]; y++)
      for (int x = 0; x < d->dims[2]; x += PLANE_STRIP) {
        const int n = d->dims[2] - x < PLANE_STRIP ? d->dims[2] - x : PLANE_STRIP;
        uint8_t rows[PLANES_MAX][PLANE_STRIP];
        for (int c = 0; c < channels; c++) {
          const int from = t->order ? t->order[c] : c;
          planar_row(t, c,
                     host + b * t->host.stride[0] + y * t->host.stride[1] + x * t->host.stride[2] +
                         from * t->host.stride[3],
                     rows[c], n);
        }
        planar_interleave(d->data + b * d->stride[0] + y * d->stride[1] + x * d->stride[2], d->stride[2],
                          rows, channels, n);
      }
}

/* Camera frames: pixels of three adjacent bytes on both sides, each channel with a table. */
static int frame_upload(const mx_transfer *t) {
#ifdef __AVX512F__
  const mx_view *d = &t->device;
  static const int32_t straight[3] = {0, 1, 2};
  if (t->table == NULL || t->host.dtype != MACCEL_U8 || !mx_upload_is_rgb(t) || !table_is_wide()) return 0;
  for (int64_t b = 0; b < d->dims[0]; b++)
    for (int64_t y = 0; y < d->dims[1]; y++)
      table_wide_rgb(t->table, t->order ? t->order : straight,
                     (const uint8_t *)t->host.data + b * t->host.stride[0] + y * t->host.stride[1],
                     d->data + b * d->stride[0] + y * d->stride[1], d->dims[2]);
  return 1;
#else
  (void)t;
  return 0;
#endif
}

static void vector_upload(const mx_transfer *t) {
  if (is_planar(t))
    planar_upload(t);
  else if (!frame_upload(t))
    mx_generic_transfer.upload(t);
}

static void vector_download(const mx_transfer *t) { mx_generic_transfer.download(t); }

#endif
