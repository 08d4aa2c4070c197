#include "park.h"

#include "maccel.h"
#include "wait.h"

enum { AWAKE, IDLE, PARKED, SIGNALED };

#define MAX_CREDIT 4
#define PENALTY (-16) /* waits without spinning after a spin during which the CPU was taken away */
#define PAUSES 32     /* between two looks at the clock */

void mx_park_prepare(mx_park *park) {
  park->idle_since_ns = maccel_now_ns();
  mx_store_release(&park->word, IDLE);
}

/* 1 when the signal came while spinning. */
static int spin(mx_park *park) {
  uint64_t start = maccel_now_ns(), now = start;
  while (now - start < MX_SPIN_NS) {
    for (int i = 0; i < PAUSES; i++) {
      if (mx_load_acquire(&park->word) == SIGNALED) return 1;
      mx_pause();
    }
    now = maccel_now_ns();
  }
  if (now - start > 4 * MX_SPIN_NS) park->credit = PENALTY; /* somebody else needs this CPU */
  return 0;
}

void mx_park_sleep(mx_park *park, mx_atomic32 *spinner) {
  int done = 0;
  if (spinner && park->credit > 0 && mx_exchange_seq(spinner, 1) == 0) {
    done = spin(park);
    mx_store_release(spinner, 0);
  }
  uint32_t idle = IDLE;
  if (!done && mx_cas(&park->word, &idle, PARKED))
    while (mx_load_acquire(&park->word) == PARKED) mx_futex_wait(&park->word, PARKED);
  mx_store_relaxed(&park->word, AWAKE);
}

int mx_park_signal(mx_park *park) { return mx_exchange_seq(&park->word, SIGNALED) == PARKED; }

void mx_park_wake(mx_park *park) { mx_futex_wake(&park->word, 1); }

void mx_park_learn(mx_park *park, uint64_t work_ns) {
  if (park->idle_since_ns == 0) return;
  int paid = work_ns < park->idle_since_ns + MX_SPIN_NS;
  if (paid && park->credit < MAX_CREDIT) park->credit++;
  if (!paid && park->credit > 0) park->credit--;
  park->idle_since_ns = 0;
}
