/* matmul.h - MATMUL over the tiles of gemm.h. in1 is packed block by block; results of plain products go straight to out0. */
#ifndef MX_VECTOR_MATMUL_H
#define MX_VECTOR_MATMUL_H

#include "../generic/rows.h"
#include "gemm.h"

enum { MATMUL_DEPTH = 1 << 20 };

typedef struct matmul_run {
  const mx_task *task;
  int last; /* dimension */
  int64_t m, k, n, batch, block, tiles, blocks;
  int plain; /* out0 takes the products times f3 as they are */
  float *panels, *rows;
} matmul_run;

/* Longer rows can only be views of stride 0: scratch memory must not grow with them. */
static int matmul_accepts(const mx_task *t) { return t->in[0].dims[t->in[0].rank - 1] <= MATMUL_DEPTH; }

static size_t matmul_scratch_bytes(const mx_task *t) {
  const int last = t->out[0].rank - 1;
  const int64_t k = t->in[0].dims[last];
  return (size_t)(gemm_block(k, t->out[0].dims[last]) * k + GEMM_ROWS * gemm_row_pitch(k)) * sizeof(float);
}

static matmul_run matmul_run_of(const mx_task *t, int parts) {
  const mx_view *o = &t->out[0];
  const int last = o->rank - 1;
  matmul_run r = {
      .task = t, .last = last, .m = o->dims[last - 1], .k = t->in[0].dims[last], .n = o->dims[last]};
  r.batch = 1;
  for (int d = 0; d < last - 1; d++) r.batch *= o->dims[d];
  r.tiles = (r.m + GEMM_ROWS - 1) / GEMM_ROWS;
  r.block = gemm_block(r.k, r.n);
  while (r.block > GEMM_COLUMNS && r.batch * r.tiles * ((r.n + r.block - 1) / r.block) < 2 * parts)
    r.block = (r.block / 2 + GEMM_COLUMNS - 1) / GEMM_COLUMNS * GEMM_COLUMNS;
  r.blocks = (r.n + r.block - 1) / r.block;
  r.plain = o->dtype == MACCEL_F32 && o->stride[last] == 4 && t->insn->i[11] == MX_ACT_NONE;
  r.panels = (float *)t->scratch;
  r.rows = r.panels + gemm_block(r.k, r.n) * r.k;
  return r;
}

/* Byte offset of matrix number `batch`: the leading dimensions are those of out0, strides are the view's own. */
static int64_t matmul_offset(const matmul_run *r, const mx_view *v, int64_t batch) {
  int64_t off = 0;
  for (int d = r->last - 2; d >= 0; d--) {
    off += batch % r->task->out[0].dims[d] * v->stride[d];
    batch /= r->task->out[0].dims[d];
  }
  return off;
}

/* Columns that are adjacent along k: 16 x 16 at a time. */
static void matmul_pack_columns(const uint8_t *from, int64_t column, int64_t k, int n, float *to) {
  for (int j = 0; j < GEMM_COLUMNS; j += 16) {
    const uint8_t *p = from + j * column;
    const int some = n - j < 16 ? n - j : 16;
    int64_t i = 0;
    for (; some == 16 && i + 16 <= k; i += 16)
      transpose_16x16(p + i * 4, column, (uint8_t *)(to + i * GEMM_COLUMNS + j), GEMM_COLUMNS * 4);
    for (; i < k; i++)
      for (int c = 0; c < 16; c++)
        to[i * GEMM_COLUMNS + j + c] =
            c < some ? *(const float *)(const void *)(p + c * column + i * 4) : 0.0f;
  }
}

/* n <= GEMM_COLUMNS columns of k elements */
static void matmul_pack_panel(const mx_view *b, int last, const uint8_t *from, int64_t k, int n, float *to) {
  const int64_t column = b->stride[last], row = b->stride[last - 1];
  if (column != 4 && row == 4) {
    matmul_pack_columns(from, column, k, n, to);
    return;
  }
  for (int64_t i = 0; i < k; i++, from += row, to += GEMM_COLUMNS) {
    if (column == 4 && n == GEMM_COLUMNS) {
      MX_UNROLL for (int j = 0; j < GEMM_COLUMNS; j += 16)
          f16_store(to + j, f16_load((const float *)(const void *)from + j));
      continue;
    }
    for (int j = 0; j < GEMM_COLUMNS; j++)
      to[j] = j < n ? *(const float *)(const void *)(from + j * column) : 0.0f;
  }
}

static void matmul_pack(const matmul_run *r, int64_t batch, int64_t c0) {
  const mx_view *b = &r->task->in[1];
  const uint8_t *from = b->data + matmul_offset(r, b, batch);
  const int64_t end = c0 + r->block < r->n ? c0 + r->block : r->n;
  float *to = r->panels;
  for (int64_t c = c0; c < end; c += GEMM_COLUMNS, to += GEMM_COLUMNS * r->k)
    matmul_pack_panel(b, r->last, from + c * b->stride[r->last], r->k,
                      (int)(end - c < GEMM_COLUMNS ? end - c : GEMM_COLUMNS), to);
}

/* Rows of in0 in place, or copied where they are strided or would collide in the cache. */
static const float *matmul_rows(const matmul_run *r, const uint8_t *from, int rows, int64_t *lda) {
  const mx_view *a = &r->task->in[0];
  const int64_t step = a->stride[r->last], row = a->stride[r->last - 1];
  if (step == 4 && (rows == 1 || !gemm_collides(row))) {
    *lda = row / 4;
    return (const float *)(const void *)from;
  }
  *lda = gemm_row_pitch(r->k);
  for (int m = 0; m < rows; m++) mx_load_f32(r->rows + m * *lda, from + m * row, step, (int)r->k, 0);
  return r->rows;
}

static void matmul_plain(const matmul_run *r, const float *a, int64_t lda, int rows, uint8_t *dst,
                         int64_t columns) {
  const int64_t row = r->task->out[0].stride[r->last - 1];
  const float scale = r->task->insn->f[3];
  const float *panel = r->panels;
  float some[GEMM_ROWS * GEMM_COLUMNS];
  for (int64_t c = 0; c < columns; c += GEMM_COLUMNS, panel += GEMM_COLUMNS * r->k, dst += GEMM_COLUMNS * 4) {
    if (columns - c >= GEMM_COLUMNS) {
      gemm_rows(rows, 0, GEMM_F32, a, lda, panel, r->k, scale, (float *)(void *)dst, row / 4);
      continue;
    }
    gemm_rows(rows, 0, GEMM_F32, a, lda, panel, r->k, scale, some, GEMM_COLUMNS);
    for (int m = 0; m < rows; m++)
      memcpy(dst + m * row, some + m * GEMM_COLUMNS, (size_t)(columns - c) * sizeof(float));
  }
}

static void matmul_tile(const matmul_run *r, int64_t batch, int64_t c0, int64_t m0) {
  const mx_task *t = r->task;
  const mx_view *a = &t->in[0], *o = &t->out[0];
  const int rows = (int)(r->m - m0 < GEMM_ROWS ? r->m - m0 : GEMM_ROWS);
  const int64_t columns = r->n - c0 < r->block ? r->n - c0 : r->block, row = o->stride[r->last - 1];
  uint8_t *dst = o->data + matmul_offset(r, o, batch) + m0 * row + c0 * o->stride[r->last];
  int64_t lda;
  const float *x =
      matmul_rows(r, a->data + matmul_offset(r, a, batch) + m0 * a->stride[r->last - 1], rows, &lda);
  if (r->plain) {
    matmul_plain(r, x, lda, rows, dst, columns);
    return;
  }
  float v[GEMM_ROWS * GEMM_BLOCK];
  for (int64_t c = 0; c < columns; c += GEMM_COLUMNS)
    gemm_rows(rows, 0, GEMM_F32, x, lda, r->panels + c * r->k, r->k, 1.0f, v + c, GEMM_BLOCK);
  for (int m = 0; m < rows; m++)
    mx_strip_finish(t, v + m * GEMM_BLOCK, (int)columns, dst + m * row, o->stride[r->last], NULL, 0);
}

static void matmul_kernel_run(const mx_task *t, int part, int parts) {
  const matmul_run r = matmul_run_of(t, parts);
  const int64_t total = r.batch * r.blocks * r.tiles, end = mx_share(total, part + 1, parts);
  int64_t packed = -1;
  for (int64_t u = mx_share(total, part, parts); u < end; u++) {
    const int64_t panel = u / r.tiles, batch = panel / r.blocks, c0 = panel % r.blocks * r.block;
    if (panel != packed) matmul_pack(&r, batch, c0);
    packed = panel;
    matmul_tile(&r, batch, c0, u % r.tiles * GEMM_ROWS);
  }
}

static const mx_kernel mx_vector_matmul = {.name = "f32-matmul-tile-" MX_GENERIC_ISA,
                                           .accepts = matmul_accepts,
                                           .scratch_bytes = matmul_scratch_bytes,
                                           .run = matmul_kernel_run};

#endif
