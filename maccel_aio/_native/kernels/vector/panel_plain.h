/* panel_plain.h - weights of a panel as they are, [taps][k4][blocks][8][4], for levels with an exact dot product. */
#ifndef MX_VECTOR_PANEL_PLAIN_H
#define MX_VECTOR_PANEL_PLAIN_H

#include "panel_pack.h"

static size_t panel_weights(const panel_source *p, uint8_t *to) {
  size_t at = 0;
  for (int tap = 0; tap < p->s->taps; tap++)
    for (int k = 0; k < p->k4; k++)
      for (int block = 0; block < p->blocks; block++, at += PANEL_VECTOR)
        if (to) panel_vector(p, tap, k, block, (int8_t *)to + at);
  return at;
}

#endif
