/* tile_store.h - the end of a register tile: sums -> values -> bytes or words, all in registers.
 *
 * A pack is four vectors of sums: one row of 3 or 4 blocks, two rows of 2, four rows of 1. Its 64 bytes are put in order
 * by one permutation. Packs are kept apart: a whole tile of s32 is never live, nothing is spilled. */
#ifndef MX_AVX512VNNI_TILE_STORE_H
#define MX_AVX512VNNI_TILE_STORE_H

#include "tile.h"

MX_INLINE int tile_rows_per_pack(int blocks) { return blocks >= 3 ? 1 : blocks == 2 ? 2 : 4; }

/* Row and block of vector q of the pack that starts at row m. */
MX_INLINE int tile_pack_row(int blocks, int m, int q) { return blocks >= 3 ? m : m + q / blocks; }
MX_INLINE int tile_pack_block(int blocks, int q) { return blocks == 3 && q == 3 ? 2 : q % blocks; }

MX_INLINE uint8_t *tile_out_row(int list, const tile *t, tile_place at, int m) {
  return list ? t->outs[at.first + m] + t->out_at : at.out + m * t->out_step;
}
MX_INLINE uint8_t *tile_out1_row(int list, const tile *t, tile_place at, int m) {
  return list ? t->outs1[at.first + m] + t->out1_at : at.out1 + m * t->out1_step;
}
MX_INLINE const uint8_t *tile_res_row(int list, const tile *t, tile_place at, int m) {
  return list ? t->ress[at.first + m] + t->res_at : at.res + m * t->res_step;
}
MX_INLINE float tile_row_scale(int list, const tile *t, tile_place at, int m) {
  float v;
  memcpy(&v, list ? (const uint8_t *)(t->row_scales + at.first + m) : at.row_scale + m * t->row_scale_step,
         sizeof v);
  return v;
}

/* Dwords 4 * L + q <-> 4 * q + L: vector q, lane L of a packed result <-> columns in order. Its own inverse. */
MX_INLINE __m512i tile_transpose(__m512i x) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), x);
}

/* The 128-bit lanes of a row's part of a pack start here. */
MX_INLINE __m256i tile_part256(__m512i x, int part) {
  return part ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x);
}
MX_INLINE __m128i tile_part128(__m512i x, int part) {
  return part == 0   ? _mm512_castsi512_si128(x)
         : part == 1 ? _mm512_extracti32x4_epi32(x, 1)
         : part == 2 ? _mm512_extracti32x4_epi32(x, 2)
                     : _mm512_extracti32x4_epi32(x, 3);
}

/* ---- residuals */

/* Byte residuals of the pack that starts at row m, in the lanes of the pack. Behind the last column another part may
 * write, so nothing is read there. */
MX_INLINE __m512i tile_load_bytes(int blocks, int half, int list, const tile *t, tile_place at, int m) {
  const uint8_t *row = tile_res_row(list, t, at, m);
  __m512i x;
  if (blocks >= 3) {
    x = _mm512_maskz_loadu_epi8(t->res_mask, row);
  } else if (blocks == 2) {
    const __mmask32 k = (__mmask32)t->res_mask;
    x = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi8(k, row)),
                           _mm256_maskz_loadu_epi8(k, tile_res_row(list, t, at, m + 1)), 1);
  } else {
    const __mmask16 k = (__mmask16)t->res_mask;
    x = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(k, row));
    x = _mm512_inserti32x4(x, _mm_maskz_loadu_epi8(k, tile_res_row(list, t, at, m + 1)), 1);
    x = _mm512_inserti32x4(x, _mm_maskz_loadu_epi8(k, tile_res_row(list, t, at, m + 2)), 2);
    x = _mm512_inserti32x4(x, _mm_maskz_loadu_epi8(k, tile_res_row(list, t, at, m + 3)), 3);
  }
  x = _mm512_xor_si512(x, t->res_flip.v);
  return tile_permuted(TILE_RESIDUAL, blocks, half) ? x : tile_transpose(x);
}

/* (float)(q - zero) * m for vector j of a pack of bytes */
MX_INLINE __m512 tile_byte_residual(__m512i pack, int j, const tile *t) {
  const __m128i pick = _mm_setr_epi8((char)(4 * j), -1, -1, -1, (char)(4 * j + 1), -1, -1, -1,
                                     (char)(4 * j + 2), -1, -1, -1, (char)(4 * j + 3), -1, -1, -1);
  const __m512i q = _mm512_shuffle_epi8(pack, _mm512_broadcast_i32x4(pick));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(q, t->res_zero.v)), tile_floats(&t->res_scale));
}

/* (float)q * m of the 16 columns of block n; the zero of s16 residuals is 0 here. */
MX_INLINE __m512 tile_word_residual(int whole, int n, const tile *t, const uint8_t *row) {
  const __m256i q = whole ? _mm256_loadu_si256((const __m256i *)(const void *)(row + 32 * n))
                          : _mm256_maskz_loadu_epi16((__mmask16)(t->res_mask >> (16 * n)), row + 32 * n);
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(q)), tile_floats(&t->res_scale));
}

/* ---- outputs */

/* One row's part of 64 bytes in column order. */
MX_INLINE void tile_store_masked(int blocks, __mmask64 mask, uint8_t *row, __m512i x, int part) {
  if (blocks >= 3)
    _mm512_mask_storeu_epi8(row, mask, x);
  else if (blocks == 2)
    _mm256_mask_storeu_epi8(row, (__mmask32)mask, tile_part256(x, part));
  else
    _mm_mask_storeu_epi8(row, (__mmask16)mask, tile_part128(x, part));
}

MX_INLINE void tile_store_whole(int blocks, int half, uint8_t *row, __m512i x, int part) {
  if (blocks >= 3)
    _mm512_mask_storeu_epi64(row, (__mmask8)((1 << (2 * blocks - half)) - 1), x);
  else if (blocks == 2)
    _mm256_mask_storeu_epi64(row, half ? 7 : 15, tile_part256(x, part));
  else
    _mm_mask_storeu_epi64(row, half ? 1 : 3, tile_part128(x, part));
}

/* Four vectors of rounded values -> 64 bytes in the lanes of the pack. */
MX_INLINE __m512i tile_pack_bytes(const __m512i z[4], int saturate, const tile_bytes *o) {
  __m512i x = _mm512_packs_epi32(z[0], z[1]), y = _mm512_packs_epi32(z[2], z[3]);
  if (saturate) return _mm512_packus_epi16(x, y);
  x = _mm512_packus_epi16(_mm512_adds_epi16(x, o->zero.v), _mm512_adds_epi16(y, o->zero.v));
  x = _mm512_min_epu8(_mm512_max_epu8(x, o->low.v), o->high.v);
  return _mm512_xor_si512(x, o->flip.v);
}

/* Four vectors of rounded values -> words of the pack's rows. */
MX_INLINE void tile_store_words(int blocks, int whole, int list, const tile *t, tile_place at, int m,
                                const __m512i z[4]) {
  const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  __m512i w[2];
  MX_UNROLL for (int h = 0; h < 2; h++) {
    w[h] = _mm512_packs_epi32(z[2 * h], z[2 * h + 1]);
    if (t->wide_floor) w[h] = _mm512_max_epi16(w[h], t->wide_low.v);
    if (t->wide_ceiling) w[h] = _mm512_min_epi16(w[h], t->wide_high.v);
    w[h] = _mm512_permutexvar_epi64(order, w[h]);
  }
  if (whole) {
    uint8_t *row = tile_out_row(list, t, at, m);
    _mm512_storeu_si512(row, w[0]);
    _mm512_storeu_si512(row + 64, w[1]);
  } else if (blocks >= 3) {
    uint8_t *row = tile_out_row(list, t, at, m);
    _mm512_mask_storeu_epi16(row, (__mmask32)t->wide_mask, w[0]);
    if (blocks == 4)
      _mm512_mask_storeu_epi16(row + 64, (__mmask32)(t->wide_mask >> 32), w[1]);
    else
      _mm256_mask_storeu_epi16(row + 64, (__mmask16)(t->wide_mask >> 32), _mm512_castsi512_si256(w[1]));
  } else if (blocks == 2) {
    MX_UNROLL for (int g = 0; g < 2; g++)
        _mm512_mask_storeu_epi16(tile_out_row(list, t, at, m + g), (__mmask32)t->wide_mask, w[g]);
  } else {
    MX_UNROLL for (int g = 0; g < 4; g++) _mm256_mask_storeu_epi16(
        tile_out_row(list, t, at, m + g), (__mmask16)t->wide_mask, tile_part256(w[g / 2], g % 2));
  }
}

/* ---- a pack from end to end */

/* Scaled sums of a pack; half blocks are worth half the work. */
MX_INLINE void tile_values(int blocks, int half, __m512i acc[8][4], const __m512 scale[4], int m,
                           __m512 v[4]) {
  MX_UNROLL for (int q = 0; q < 4; q++) {
    const int n = tile_pack_block(blocks, q);
    const __m512i sum = acc[tile_pack_row(blocks, m, q)][n];
    if (blocks == 3 && q == 3)
      v[3] = v[2];
    else if (half && n == blocks - 1)
      v[q] = _mm512_castps256_ps512(
          _mm256_mul_ps(_mm256_cvtepi32_ps(_mm512_castsi512_si256(sum)), _mm512_castps512_ps256(scale[n])));
    else
      v[q] = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale[n]);
  }
}

MX_INLINE __m512 tile_clamped(__m512 v, const tile *t) {
  return _mm512_min_ps(_mm512_max_ps(v, tile_floats(&t->clamp_a)), tile_floats(&t->clamp_b));
}

/* The clamp is the output's range: what is outside need not fit in 32 bits. */
MX_INLINE __m512 tile_hard(__m512 v, const tile *t) {
  const __m512 line = _mm512_add_ps(_mm512_mul_ps(v, tile_floats(&t->hard_a)), tile_floats(&t->hard_b));
  const __m512 factor = _mm512_min_ps(_mm512_max_ps(line, _mm512_setzero_ps()), _mm512_set1_ps(1.0f));
  return tile_clamped(_mm512_mul_ps(_mm512_mul_ps(v, factor), tile_floats(&t->times)), t);
}

MX_INLINE void tile_add_words(int blocks, int whole, int list, const tile *t, tile_place at, int m,
                              __m512 v[4]) {
  const int vectors = blocks == 3 ? 3 : 4;
  MX_UNROLL for (int q = 0; q < vectors; q++) v[q] =
      _mm512_add_ps(v[q], tile_word_residual(whole, tile_pack_block(blocks, q), t,
                                             tile_res_row(list, t, at, tile_pack_row(blocks, m, q))));
}

/* A float clamp on either side of the sum, if there is one. */
MX_INLINE void tile_add_clamped(int blocks, int whole, int list, const tile *t, tile_place at, int m,
                                __m512 v[4]) {
  if (t->clamp_before) MX_UNROLL for (int q = 0; q < 4; q++) v[q] = tile_clamped(v[q], t);
  tile_add_words(blocks, whole, list, t, at, m, v);
  if (t->clamp_after) MX_UNROLL for (int q = 0; q < 4; q++) v[q] = tile_clamped(v[q], t);
}

MX_INLINE void tile_add_residual(int blocks, int half, int mode, int list, const tile *t, tile_place at,
                                 int m, __m512 v[4]) {
  if (mode == TILE_RESIDUAL) {
    const __m512i bytes = tile_load_bytes(blocks, half, list, t, at, m);
    MX_UNROLL for (int q = 0; q < 4; q++) v[q] = _mm512_add_ps(v[q], tile_byte_residual(bytes, q, t));
  }
  if (mode == TILE_NARROW && t->hard) {
    MX_UNROLL for (int q = 0; q < 4; q++) v[q] = tile_hard(v[q], t);
  } else if (mode == TILE_NARROW) {
    tile_add_clamped(blocks, 0, list, t, at, m, v);
  }
}

MX_INLINE void tile_round(const __m512 v[4], __m512i z[4]) {
  MX_UNROLL for (int q = 0; q < 4; q++) z[q] = _mm512_cvtps_epi32(v[q]);
}

/* Bytes of a pack to the only output, or to the second one. */
MX_INLINE void tile_store_bytes(int blocks, int half, int mode, int whole, int list, const tile *t,
                                tile_place at, int m, const __m512i z[4]) {
  __m512i x =
      tile_pack_bytes(z, mode == TILE_SATURATE || (mode >= TILE_RESIDUAL && t->bytes.saturate), &t->bytes);
  if (!tile_permuted(mode, blocks, half)) x = tile_transpose(x);
  if (blocks <= 2 && mode < TILE_WIDE && !list && t->dense) {
    _mm512_storeu_si512(tile_out_row(list, t, at, m), x);
    return;
  }
  MX_UNROLL for (int g = 0; g < tile_rows_per_pack(blocks); g++) {
    uint8_t *row = mode == TILE_WIDE ? tile_out1_row(list, t, at, m + g) : tile_out_row(list, t, at, m + g);
    if (whole)
      _mm512_storeu_si512(row, x);
    else if (mode == TILE_SATURATE)
      tile_store_whole(blocks, half, row, x, g);
    else
      tile_store_masked(blocks, t->bytes.mask, row, x, g);
  }
}

/* `whole`: a row of four blocks, nothing of which is masked. */
MX_INLINE void tile_store_wide(int blocks, int half, int whole, int list, const tile *t, tile_place at, int m,
                               __m512 v[4]) {
  __m512i z[4];
  if (t->residual) tile_add_clamped(blocks, whole, list, t, at, m, v);
  tile_round(v, z);
  tile_store_words(blocks, whole, list, t, at, m, z);
  if (!t->second) return;
  MX_UNROLL for (int q = 0; q < 4; q++) v[q] = _mm512_mul_ps(v[q], tile_floats(&t->second_scale));
  tile_round(v, z);
  tile_store_bytes(blocks, half, TILE_WIDE, whole, list, t, at, m, z);
}

MX_INLINE void tile_store_pack(int blocks, int half, int mode, int list, __m512i acc[8][4],
                               const __m512 scale[4], const tile *t, tile_place at, int m) {
  __m512 v[4];
  __m512i z[4];
  tile_values(blocks, half, acc, scale, m, v);
  if (mode == TILE_WIDE) {
    if (blocks == 4 && !half && t->whole)
      tile_store_wide(blocks, half, 1, list, t, at, m, v);
    else
      tile_store_wide(blocks, half, 0, list, t, at, m, v);
    return;
  }
  tile_add_residual(blocks, half, mode, list, t, at, m, v);
  tile_round(v, z);
  tile_store_bytes(blocks, half, mode, 0, list, t, at, m, z);
}

/* One row of f32. */
MX_INLINE void tile_store_floats(int blocks, int list, const __m512i acc[4], const __m512 scale[4],
                                 const tile *t, tile_place at, int m) {
  uint8_t *row = tile_out_row(list && !t->staged, t, at, m);
  __m512 v[4];
  MX_UNROLL for (int n = 0; n < blocks; n++) v[n] = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[n]), scale[n]);
  if (t->dynamic) {
    const __m512 by = _mm512_set1_ps(tile_row_scale(list, t, at, m));
    MX_UNROLL for (int n = 0; n < blocks; n++) v[n] = _mm512_mul_ps(v[n], by);
  }
  if (t->float_bias)
    MX_UNROLL for (int n = 0; n < blocks; n++) v[n] = _mm512_add_ps(
        v[n], _mm512_maskz_loadu_ps((__mmask16)(t->res_mask >> (16 * n)), t->float_bias + 16 * n));
  if (t->residual) {
    const uint8_t *res = tile_res_row(list, t, at, m);
    MX_UNROLL for (int n = 0; n < blocks; n++) {
      const __m512 r = _mm512_maskz_loadu_ps((__mmask16)(t->res_mask >> (16 * n)), res + 64 * n);
      v[n] = _mm512_add_ps(v[n], _mm512_mul_ps(r, tile_floats(&t->res_scale)));
    }
  }
  MX_UNROLL for (int n = 0; n < blocks; n++)
      _mm512_mask_storeu_ps(row + 64 * n, (__mmask16)(t->wide_mask >> (16 * n)), v[n]);
}

MX_INLINE void tile_store(int rows, int blocks, int half, int mode, int list, __m512i acc[8][4],
                          const tile *t, tile_place at) {
  if (mode == TILE_SUMS) {
    MX_UNROLL for (int m = 0; m < rows; m++) MX_UNROLL for (int n = 0; n < blocks; n++)
        _mm512_storeu_si512(at.out + m * t->out_step + 64 * n, acc[m][n]);
    return;
  }
  const int step = mode == TILE_FLOAT ? 1 : tile_rows_per_pack(blocks);
  __m512 scale[4];
  MX_UNROLL for (int n = 0; n < blocks; n++) scale[n] = _mm512_loadu_ps(t->scale + 16 * n);
  MX_UNROLL for (int m = 0; m < rows; m += step) {
    if (mode == TILE_FLOAT)
      tile_store_floats(blocks, list, acc[m], scale, t, at, m);
    else
      tile_store_pack(blocks, half, mode, list, acc, scale, t, at, m);
    __asm__ volatile("" ::: "memory"); /* keeps the packs apart: see the head of the file */
  }
}

#endif
