/* Looking out before sleeping: only with credit, and credit follows what it brings. */
#include "patience.h"

#include "../common/check.h"
#include "maccel.h"

static int after(void *self) {
  int *looks = self;
  return --*looks <= 0;
}

static int never(void *self) {
  ++*(int *)self;
  return 0;
}

static void without_credit_nobody_looks(void) {
  for (int credit = -3; credit <= 0; credit++) {
    int looks = 0;
    CHECK_INT(mx_patience_spin(&(mx_patience){.credit = credit}, MX_SPIN_NS, never, &looks), 0);
    CHECK_INT(looks, 0);
  }
}

static void spinning_ends_when_it_is_ready_or_in_vain(void) {
  mx_patience p = {.credit = 1};
  int left = 1;
  CHECK_INT(mx_patience_spin(&p, MX_SPIN_NS, after, &left), 1); /* at the first look */
  int looks = 0;
  const uint64_t start = maccel_now_ns();
  CHECK_INT(mx_patience_spin(&p, MX_SPIN_NS, never, &looks), 0);
  CHECK(maccel_now_ns() - start >= MX_SPIN_NS);
  CHECK(looks > 0);
  CHECK(p.credit <= 1); /* less when the CPU was taken away meanwhile */
}

static void credit_grows_with_short_waits_and_shrinks_with_long_ones(void) {
  mx_patience p = {0};
  for (int i = 0; i < 20; i++) mx_patience_learn(&p, MX_SPIN_NS, MX_SPIN_NS / 2);
  const int most = p.credit;
  CHECK(most > 0);
  mx_patience_learn(&p, MX_SPIN_NS, 0);
  CHECK_INT(p.credit, most);
  for (int i = 0; i < 20; i++) mx_patience_learn(&p, MX_SPIN_NS, 10 * MX_SPIN_NS);
  CHECK_INT(p.credit, 0);
  p.credit = -2; /* a penalty is worked off by waits that would have paid */
  mx_patience_learn(&p, MX_SPIN_NS, 10 * MX_SPIN_NS);
  CHECK_INT(p.credit, -2);
  mx_patience_learn(&p, MX_SPIN_NS, 1);
  CHECK_INT(p.credit, -1);
}

static int misses_until_credit(mx_patience *p, uint64_t waited_ns) {
  for (int misses = 1; misses <= 1000; misses++) {
    mx_patience_learn(p, MX_SPIN_NS, waited_ns);
    if (p->credit > 0) return misses;
  }
  return 0;
}

/* Two that sleep for one another must not do so for ever. */
static void near_misses_are_tried_again_now_and_then(void) {
  mx_patience p = {0};
  const int first = misses_until_credit(&p, 2 * MX_SPIN_NS);
  CHECK(first > 10);
  mx_patience_learn(&p, MX_SPIN_NS, 2 * MX_SPIN_NS); /* in vain: the credit is gone */
  CHECK_INT(p.credit, 0);
  CHECK_INT(misses_until_credit(&p, 2 * MX_SPIN_NS), first);
  p = (mx_patience){.credit = -16}; /* a penalty ends, too */
  CHECK(misses_until_credit(&p, 2 * MX_SPIN_NS) >= first);
  p = (mx_patience){0};
  CHECK_INT(misses_until_credit(&p, 100 * MX_SPIN_NS), 0); /* far too late is no reason to try */
}

static void near_misses_count_in_a_row_only(void) {
  mx_patience p = {0};
  for (int i = 0; i < 1000; i++) mx_patience_learn(&p, MX_SPIN_NS, (i % 5 ? 2 : 100) * (uint64_t)MX_SPIN_NS);
  CHECK_INT(p.credit, 0);
}

int main(void) {
  near_misses_are_tried_again_now_and_then();
  near_misses_count_in_a_row_only();
  without_credit_nobody_looks();
  spinning_ends_when_it_is_ready_or_in_vain();
  credit_grows_with_short_waits_and_shrinks_with_long_ones();
  return 0;
}
