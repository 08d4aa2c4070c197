#include "patience.h"

#include "maccel.h"
#include "wait.h"

#define MAX_CREDIT 4
#define PENALTY (-16) /* waits without spinning after a spin during which the CPU was taken away */
#define PAUSES 32     /* between two looks at the clock */

int mx_patience_spin(mx_patience *patience, uint64_t most_ns, int (*ready)(void *self), void *self) {
  if (patience->credit <= 0) return 0;
  uint64_t start = maccel_now_ns(), now = start;
  while (now - start < most_ns) {
    for (int i = 0; i < PAUSES; i++) {
      if (ready(self)) return 1;
      mx_pause();
    }
    now = maccel_now_ns();
  }
  if (now - start > 4 * most_ns) patience->credit = PENALTY; /* somebody else needs this CPU */
  return 0;
}

void mx_patience_learn(mx_patience *patience, uint64_t most_ns, uint64_t waited_ns) {
  const int paid = waited_ns < most_ns;
  if (paid && patience->credit < MAX_CREDIT) patience->credit++;
  if (!paid && patience->credit > 0) patience->credit--;
}
