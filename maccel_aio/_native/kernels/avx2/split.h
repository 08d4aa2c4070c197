/* split.h - s8 weights as sums of vectors whose products with any u8 image fit in 16 bits.
 *
 * A word of vpmaddubsw is x0 * w0 + x1 * w1, saturated. Two such vectors, of two steps of the depth, are added as words
 * before they are widened. Nothing is lost for any bytes x when
 *   plain:   the positive of the four weights of a word sum up to at most 128, the negative ones to at least -128
 *            (255 * 128 = 32640), or
 *   centred: that holds for each vector by itself, and the magnitudes of all four sum up to at most 255. Then the word
 *            minus 128 times the weights fits ((x - 128) * w lies within 128 * |w|), and words wrap on the way.
 * What exceeds that is taken out of the weights and put into further pairs of plain vectors, so the total is exact.
 * Bell-shaped weights exceed rarely in a single word, but a vector has 16. */
#ifndef MX_AVX2_SPLIT_H
#define MX_AVX2_SPLIT_H

#include <stdint.h>
#include <string.h>

enum { SPLIT_BYTES = 32, SPLIT_WORDS = 16, SPLIT_LIMIT = 128, SPLIT_MAGNITUDE = 255 };

/* What the bytes of word k of a vector have of one sign. */
static int split_half(const int8_t v[SPLIT_BYTES], int k, int negative) {
  int sum = 0;
  for (int b = 2 * k; b < 2 * k + 2; b++) {
    const int w = negative ? -v[b] : v[b];
    sum += w > 0 ? w : 0;
  }
  return sum;
}

/* The same of both vectors. */
static int split_sum(int8_t pair[2][SPLIT_BYTES], int k, int negative) {
  return split_half(pair[0], k, negative) + split_half(pair[1], k, negative);
}

/* Moves up to `excess` of the weights of one sign from a word of a vector to the rest. Returns what is left to move. */
static int split_take(int8_t from[SPLIT_BYTES], int8_t rest[SPLIT_BYTES], int k, int negative, int excess) {
  for (int b = 2 * k; b < 2 * k + 2; b++) {
    const int w = negative ? -from[b] : from[b], n = w <= 0 ? 0 : w < excess ? w : excess;
    from[b] = (int8_t)(negative ? from[b] + n : from[b] - n);
    rest[b] = (int8_t)(negative ? rest[b] - n : rest[b] + n);
    excess -= n;
  }
  return excess;
}

/* Can all that is too much come out of vector v alone? */
static int split_covers(int8_t pair[2][SPLIT_BYTES], int v) {
  for (int k = 0; k < SPLIT_WORDS; k++)
    for (int negative = 0; negative < 2; negative++) {
      int8_t copy[SPLIT_BYTES], rest[SPLIT_BYTES] = {0};
      const int excess = split_sum(pair, k, negative) - SPLIT_LIMIT;
      memcpy(copy, pair[v], SPLIT_BYTES);
      if (excess > 0 && split_take(copy, rest, k, negative, excess) > 0) return 0;
    }
  return 1;
}

static int split_is_zero(const int8_t v[SPLIT_BYTES]) {
  for (int b = 0; b < SPLIT_BYTES; b++)
    if (v[b]) return 0;
  return 1;
}

/* Makes the pair safe; what was too much is in `rest`, from as few of the two vectors as possible. */
static void split_pair(int8_t pair[2][SPLIT_BYTES], int8_t rest[2][SPLIT_BYTES]) {
  memset(rest, 0, 2 * SPLIT_BYTES);
  const int first = split_covers(pair, 0) ? 0 : 1; /* if neither does, both give */
  for (int k = 0; k < SPLIT_WORDS; k++)
    for (int negative = 0; negative < 2; negative++) {
      int excess = split_sum(pair, k, negative) - SPLIT_LIMIT;
      if (excess <= 0) continue;
      excess = split_take(pair[first], rest[first], k, negative, excess);
      if (excess > 0) split_take(pair[1 - first], rest[1 - first], k, negative, excess);
    }
}

/* Takes up to `excess` of the magnitudes of word k out of one vector. Returns what is left to take. */
static int split_shrink(int8_t from[SPLIT_BYTES], int8_t rest[SPLIT_BYTES], int k, int excess) {
  for (int negative = 0; negative < 2 && excess > 0; negative++)
    excess = split_take(from, rest, k, negative, excess);
  return excess;
}

/* Makes the pair safe in the centred form; `sums` are those of the words' weights that stay. */
static void split_centred(int8_t pair[2][SPLIT_BYTES], int8_t rest[2][SPLIT_BYTES], int sums[SPLIT_WORDS]) {
  memset(rest, 0, 2 * SPLIT_BYTES);
  for (int v = 0; v < 2; v++)
    for (int k = 0; k < SPLIT_WORDS; k++)
      for (int negative = 0; negative < 2; negative++) {
        const int excess = split_half(pair[v], k, negative) - SPLIT_LIMIT;
        if (excess > 0) split_take(pair[v], rest[v], k, negative, excess);
      }
  const int first = split_is_zero(rest[0]) && !split_is_zero(rest[1]) ? 1 : 0;
  for (int k = 0; k < SPLIT_WORDS; k++) {
    int excess = split_sum(pair, k, 0) + split_sum(pair, k, 1) - SPLIT_MAGNITUDE;
    if (excess > 0) excess = split_shrink(pair[first], rest[first], k, excess);
    if (excess > 0) split_shrink(pair[1 - first], rest[1 - first], k, excess);
    sums[k] = split_sum(pair, k, 0) - split_sum(pair, k, 1);
  }
}

#endif
