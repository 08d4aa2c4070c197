/* num.h - the number rules of mxq.h as functions: rounding, conversion, requantisation.
 *
 * Everything is built from IEEE single +, -, *, comparisons and bit operations, so that the same source compiled
 * for any instruction set, vectorised or not, gives the same bits. */
#ifndef MX_NUM_H
#define MX_NUM_H

#include <stdint.h>
#include <string.h>

/* The elementary functions must end up inside the loops of their callers, or those do not vectorise (10 times slower). */
#define MX_FLAT static inline __attribute__((always_inline))

static inline float mx_from_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

static inline uint32_t mx_to_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

static inline float mx_fabs(float v) { return mx_from_bits(mx_to_bits(v) & 0x7fffffffu); }

static inline float mx_copysign(float magnitude, float sign) {
  return mx_from_bits((mx_to_bits(magnitude) & 0x7fffffffu) | (mx_to_bits(sign) & 0x80000000u));
}

/* To the nearest integer, ties to even, as a float: adding 2^23 leaves no room for a fraction. */
static inline float mx_rint(float v) {
  const float magic = mx_copysign(8388608.0f, v);
  const float r = mx_copysign((v + magic) - magic, v);
  return mx_fabs(v) < 8388608.0f ? r : v;
}

/* rne() with the clamp to [-2^30, 2^30]; NaN gives 0. */
static inline int32_t mx_rne(float v) {
  const float limit = 1073741824.0f;
  v = v == v ? v : 0.0f;
  v = v < -limit ? -limit : v;
  v = v > limit ? limit : v;
  return (int32_t)mx_rint(v);
}

static inline int32_t mx_clamp_i(int32_t q, int32_t lo, int32_t hi) {
  q = q < lo ? lo : q;
  return q > hi ? hi : q;
}

/* put() of an integer tensor. */
static inline int32_t mx_put(float v, int32_t zero, int32_t qmin, int32_t qmax) {
  return mx_clamp_i(mx_rne(v) + zero, qmin, qmax);
}

static inline float mx_bf16_load(uint16_t h) { return mx_from_bits((uint32_t)h << 16); }

/* Round to nearest even; NaN stays a quiet NaN. */
static inline uint16_t mx_bf16_store(float v) {
  const uint32_t u = mx_to_bits(v);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return (uint16_t)(v == v ? rounded : (u >> 16) | 0x40u);
}

/* Bytes of one element, 0 for an unknown type. */
static inline int mx_dtype_bytes(int dtype) {
  static const uint8_t bytes[8] = {0, 1, 1, 2, 4, 4, 2, 8};
  return dtype >= 1 && dtype <= 7 ? bytes[dtype] : 0;
}

static inline int mx_dtype_is_float(int dtype) { return dtype == 5 || dtype == 6; }

#endif
