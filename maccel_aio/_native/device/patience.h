/* patience.h - a short look-out before sleeping, as long as it pays.
 *
 * A thread that sleeps on a halted virtual CPU takes about 50 us to come back; one that spins takes none. Spinning is
 * only worth it when what is waited for usually comes that soon, and harmful when another thread needs the CPU.
 *
 * Two threads that sleep for one another are slow only because both sleep: each finds that the other needs longer than
 * a spin. So somebody who just misses time after time tries a spin again, which wakes the pair up for good if it pays. */
#ifndef MX_PATIENCE_H
#define MX_PATIENCE_H

#include <stdint.h>

/* The longest spin. A parked virtual CPU takes about this long to come back, so more cannot pay. */
#define MX_SPIN_NS 50000

typedef struct mx_patience {
  int credit; /* > 0 when spinning paid of late */
  int near;   /* waits in a row that ended little too late for a spin */
} mx_patience;

/* Spins until ready(self) or most_ns have passed; not at all without credit. 1: it is ready. */
int mx_patience_spin(mx_patience *patience, uint64_t most_ns, int (*ready)(void *self), void *self);
/* What was waited for came so long after the wait began; most_ns as above. */
void mx_patience_learn(mx_patience *patience, uint64_t most_ns, uint64_t waited_ns);

#endif
