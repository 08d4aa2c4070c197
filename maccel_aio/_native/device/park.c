#include "park.h"

#include "maccel.h"
#include "wait.h"

enum { AWAKE, IDLE, PARKED, SIGNALED };

void mx_park_prepare(mx_park *park) {
  park->idle_since_ns = maccel_now_ns();
  mx_store_release(&park->word, IDLE);
}

static int is_signaled(void *self) {
  mx_park *park = self;
  return mx_load_acquire(&park->word) == SIGNALED;
}

void mx_park_sleep(mx_park *park, mx_atomic32 *spinner) {
  int done = 0;
  if (spinner && park->patience.credit > 0 && mx_exchange_seq(spinner, 1) == 0) {
    done = mx_patience_spin(&park->patience, MX_SPIN_NS, is_signaled, park);
    mx_store_release(spinner, 0);
  }
  uint32_t idle = IDLE;
  if (!done && mx_cas(&park->word, &idle, PARKED))
    while (mx_load_acquire(&park->word) == PARKED) mx_futex_wait(&park->word, PARKED);
  mx_store_relaxed(&park->word, AWAKE);
}

int mx_park_is_awake(mx_park *park) { return mx_load_relaxed(&park->word) == IDLE; }

int mx_park_signal(mx_park *park) { return mx_exchange_seq(&park->word, SIGNALED) == PARKED; }

void mx_park_wake(mx_park *park) { mx_futex_wake(&park->word, 1); }

void mx_park_learn(mx_park *park, uint64_t work_ns) {
  if (park->idle_since_ns == 0) return;
  const uint64_t waited_ns = work_ns > park->idle_since_ns ? work_ns - park->idle_since_ns : 0;
  mx_patience_learn(&park->patience, MX_SPIN_NS, waited_ns);
  park->idle_since_ns = 0;
}
