/* conv_weights.h - the weights of a panel as the tiles of this level read them.
 *
 * panel = head | main [taps][pairs][blocks][2 or 3][32] | rests, per tap and block
 * A pair is two steps of the depth; in a centred panel (split.h) a third vector holds what is added to its words.
 * What split.h takes out of the main pairs is a list of rests: where its two vectors read the image, counted from the
 * tap's first byte, and the vectors. A panel is centred when that makes it cheaper. */
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

typedef struct conv_head {
  int32_t centred;
  int32_t unused[15];
  int32_t bias[PANEL_COLUMNS]; /* by position: what centred words have lost */
  int32_t counts[]; /* of rests: [taps][2 blocks] */
} conv_head;

/* Measured time of a pair of steps by 16 columns, and of a rest of 8, in hundredths of what it takes at the peak. */
enum { CONV_COST_PLAIN = 82, CONV_COST_CENTRED = 95, CONV_COST_REST = 44 };

static size_t conv_head_bytes(int taps) {
  return panel_round64(sizeof(conv_head) + (size_t)taps * 2 * sizeof(int32_t));
}
MX_INLINE int conv_pair_bytes(int centred) { return (2 + centred) * SPLIT_BYTES; }
static size_t conv_main_bytes(int taps, int k4, int blocks, int centred) {
  return (size_t)taps * (size_t)((k4 + 1) / 2) * (size_t)(blocks * conv_pair_bytes(centred));
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

/* One pair of steps into `to` (or nowhere), its rests into r. */
static void conv_pack_pair(const panel_source *p, int centred, int tap, int k, int block, conv_rests *r,
                           uint8_t *to, int32_t *bias) {
  int8_t pair[2][SPLIT_BYTES], rest[2][SPLIT_BYTES];
  int sums[SPLIT_WORDS];
  int16_t centre[SPLIT_WORDS];
  for (int v = 0; v < 2; v++) panel_vector(p, tap, 2 * k + v, block, pair[v]);
  if (centred)
    split_centred(pair, rest, sums);
  else
    split_pair(pair, rest);
  for (int v = 0; v < 2; v++) conv_rests_add(r, 8 * k + 4 * v, rest[v]);
  if (!to) return;
  memcpy(to, pair, sizeof pair);
  if (!centred) return;
  for (int w = 0; w < SPLIT_WORDS; w++) {
    centre[w] = (int16_t)(-128 * sums[w]);
    bias[PANEL_BLOCK * block + w / 2] += 128 * sums[w];
  }
  memcpy(to + sizeof pair, centre, sizeof centre);
}

/* A panel in one of both forms into `to`, which may be NULL. Returns the number of rests. */
static size_t conv_pack_form(const panel_source *p, int centred, uint8_t *to) {
  const int pairs = (p->k4 + 1) / 2, taps = p->s->taps, step = conv_pair_bytes(centred);
  const size_t main = conv_head_bytes(taps), rests = main + conv_main_bytes(taps, p->k4, p->blocks, centred);
  conv_head *head = (conv_head *)(void *)to;
  size_t total = 0;
  if (to) memset(to, 0, main), head->centred = centred;
  for (int tap = 0; tap < taps; tap++)
    for (int block = 0; block < p->blocks; block++) {
      conv_rests r = {.to = to ? (conv_rest *)(void *)(to + rests) + total : NULL};
      for (int k = 0; k < pairs; k++) {
        const size_t at = main + (((size_t)tap * pairs + k) * p->blocks + block) * step;
        conv_pack_pair(p, centred, tap, k, block, &r, to ? to + at : NULL, to ? head->bias : NULL);
      }
      const int n = conv_rests_close(&r);
      if (to) head->counts[2 * tap + block] = n;
      total += (size_t)n;
    }
  return total;
}

static size_t panel_weights(const panel_source *p, uint8_t *to) {
  const int taps = p->s->taps;
  const size_t blocks = (size_t)taps * ((p->k4 + 1) / 2) * p->blocks;
  const size_t plain = conv_pack_form(p, 0, NULL), less = conv_pack_form(p, 1, NULL);
  const int centred = blocks * CONV_COST_CENTRED + 2 * less * CONV_COST_REST <
                      blocks * CONV_COST_PLAIN + 2 * plain * CONV_COST_REST;
  if (to) conv_pack_form(p, centred, to);
  return conv_head_bytes(taps) + conv_main_bytes(taps, p->k4, p->blocks, centred) +
         (centred ? less : plain) * sizeof(conv_rest);
}

static int32_t panel_bias(const panel_source *p, int column) {
  (void)p, (void)column;
  return 0;
}

#endif
