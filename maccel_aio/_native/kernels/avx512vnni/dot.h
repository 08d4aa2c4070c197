/* dot.h - the two instructions that every u8 x s8 kernel of this level is built of. */
#ifndef MX_AVX512VNNI_DOT_H
#define MX_AVX512VNNI_DOT_H

#include <immintrin.h>
#include <string.h>

#include "../vector/geometry.h"

/* As an intrinsic, gcc 12 copies and spills the accumulators; one instruction of asm cannot be split. */
MX_INLINE void dot_add(__m512i *sums, __m512i unsigned_bytes, __m512i signed_bytes) {
  __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(unsigned_bytes), "v"(signed_bytes));
}

MX_INLINE __m512i dot_broadcast(const uint8_t *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return _mm512_set1_epi32(v);
}

#endif
