/* rank.h - what a thread may claim of its CPU beside others. */
#ifndef MX_RANK_H
#define MX_RANK_H

#include <stdint.h>

typedef struct mx_rank {
  int nice;          /* -20 to 19; -21 when the system does not tell */
  uint64_t slice_ns; /* longest time at a stretch that it asks for; 0: the system's */
} mx_rank;

/* The rank of the calling thread. */
mx_rank mx_rank_here(void);
/* Lowers the calling thread by so many steps of nice, 19 at most, and lets it run in long slices. Whoever wakes up on its
 * CPU then goes first: on Linux since 6.12 the scheduler lets shorter slices overtake longer ones. Threads of a realtime or
 * idle policy, which was somebody's choice, stay as they are, and so does everything where the system refuses. */
void mx_rank_lower(int steps);

#endif
