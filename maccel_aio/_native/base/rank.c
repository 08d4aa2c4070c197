#include "rank.h"

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_NICE 19
#define UNKNOWN_NICE (-21)
#define SLICE_NS 20000000u

/* struct sched_attr of the kernel, as of its first version: libc has none before glibc 2.41. */
typedef struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
} attributes;

static int get(attributes *a) {
  memset(a, 0, sizeof *a);
  return syscall(SYS_sched_getattr, 0, a, sizeof *a, 0) == 0;
}

mx_rank mx_rank_here(void) {
  attributes a;
  if (!get(&a)) return (mx_rank){.nice = UNKNOWN_NICE};
  return (mx_rank){.nice = a.nice, .slice_ns = a.runtime};
}

void mx_rank_lower(int steps) {
  attributes a;
  if (steps <= 0 || !get(&a) || (a.policy != SCHED_OTHER && a.policy != SCHED_BATCH)) return;
  a.nice = a.nice + steps < MOST_NICE ? a.nice + steps : MOST_NICE;
  a.size = sizeof a;
  a.runtime = SLICE_NS;
  (void)syscall(SYS_sched_setattr, 0, &a, 0);
}
