/* conv_weights.h - the weights of a panel as the tiles of this level read them.
 *
 * panel = counts s32 [taps][2 blocks] | main [taps][pairs][blocks][2][8][4] | rests, per tap and block
 * A pair is two steps of the depth. What split.h takes out of the main pairs is a list of rests: where its two
 * vectors read the image, counted from the tap's first byte, and the vectors. */
#ifndef MX_AVX2_CONV_WEIGHTS_H
#define MX_AVX2_CONV_WEIGHTS_H

#include "../vector/panel_pack.h"
#include "split.h"

typedef struct conv_rest {
  int32_t at[2];
  uint8_t unused[24]; /* keeps the vectors inside cache lines */
  int8_t weights[2][SPLIT_BYTES];
} conv_rest;

/* Collects the rests of one tap and block; without `to` it only counts them. */
typedef struct conv_rests {
  conv_rest *to;
  int count, pending; /* 1: `wait` is the first half of the next one */
  int32_t wait_at;
  int8_t wait[SPLIT_BYTES];
} conv_rests;

static size_t conv_counts_bytes(int taps) { return panel_round64((size_t)taps * 2 * sizeof(int32_t)); }
static size_t conv_main_bytes(int taps, int k4, int blocks) {
  return (size_t)taps * (size_t)((k4 + 1) / 2) * (size_t)blocks * 2 * SPLIT_BYTES;
}

/* Two waiting vectors become a rest; what does not fit waits again. Every round leaves less weight. */
static void conv_rests_pair(conv_rests *r, int32_t at, const int8_t v[SPLIT_BYTES]) {
  int8_t pair[2][SPLIT_BYTES], rest[2][SPLIT_BYTES];
  const int32_t where[2] = {r->wait_at, at};
  memcpy(pair[0], r->wait, SPLIT_BYTES);
  memcpy(pair[1], v, SPLIT_BYTES);
  split_pair(pair, rest);
  if (r->to) {
    memset(&r->to[r->count], 0, sizeof(conv_rest));
    memcpy(r->to[r->count].at, where, sizeof where);
    memcpy(r->to[r->count].weights, pair, sizeof pair);
  }
  r->count++, r->pending = 0;
  for (int k = 0; k < 2; k++) {
    if (split_is_zero(rest[k])) continue;
    if (r->pending) {
      conv_rests_pair(r, where[k], rest[k]);
    } else {
      r->pending = 1, r->wait_at = where[k];
      memcpy(r->wait, rest[k], SPLIT_BYTES);
    }
  }
}

static void conv_rests_add(conv_rests *r, int32_t at, const int8_t v[SPLIT_BYTES]) {
  if (split_is_zero(v)) return;
  if (r->pending) {
    conv_rests_pair(r, at, v);
    return;
  }
  r->pending = 1, r->wait_at = at;
  memcpy(r->wait, v, SPLIT_BYTES);
}

static int conv_rests_close(conv_rests *r) {
  static const int8_t none[SPLIT_BYTES];
  while (r->pending) conv_rests_pair(r, r->wait_at, none);
  return r->count;
}

static size_t panel_weights(const panel_source *p, uint8_t *to) {
  const int pairs = (p->k4 + 1) / 2, taps = p->s->taps;
  uint8_t *main = to ? to + conv_counts_bytes(taps) : NULL;
  const size_t head = conv_counts_bytes(taps) + conv_main_bytes(taps, p->k4, p->blocks);
  size_t total = 0;
  if (to) memset(to, 0, conv_counts_bytes(taps));
  for (int tap = 0; tap < taps; tap++)
    for (int block = 0; block < p->blocks; block++) {
      conv_rests r = {.to = to ? (conv_rest *)(void *)(to + head) + total : NULL};
      for (int k = 0; k < pairs; k++) {
        int8_t pair[2][SPLIT_BYTES], rest[2][SPLIT_BYTES];
        for (int v = 0; v < 2; v++) panel_vector(p, tap, 2 * k + v, block, pair[v]);
        split_pair(pair, rest);
        if (main)
          memcpy(main + (((size_t)tap * pairs + k) * p->blocks + block) * sizeof pair, pair, sizeof pair);
        for (int v = 0; v < 2; v++) conv_rests_add(&r, 8 * k + 4 * v, rest[v]);
      }
      const int n = conv_rests_close(&r);
      if (to) ((int32_t *)(void *)to)[2 * tap + block] = n;
      total += (size_t)n;
    }
  return head + total * sizeof(conv_rest);
}

static int32_t panel_bias(const panel_source *p, int column) {
  (void)p, (void)column;
  return 0;
}

#endif
