/* test_choice.c - the choice between one core and a team follows what was measured. */
#include "choice.h"

#include "../common/check.h"

/* Runs `turns` inferences that take these times; returns how many were a team's. */
static int run(mx_choice *choice, int turns, uint64_t solo, uint64_t team) {
  int teams = 0;
  for (int i = 0; i < turns; i++) {
    const int together = mx_choice_team(choice);
    mx_choice_learn(choice, together, together ? team : solo);
    teams += together;
  }
  return teams;
}

static void starts_with_a_team(void) {
  mx_choice choice = {0};
  CHECK(mx_choice_team(&choice) == 1);
}

static void keeps_what_is_faster_and_probes_the_other(void) {
  mx_choice choice = {0};
  const int turns = 10 * MX_CHOICE_PROBE;
  CHECK(run(&choice, turns, 2000, 1000) == turns - 10);
  mx_choice slow = {0};
  const int teams = run(&slow, turns, 1000, 2000);
  CHECK(teams ==
        MX_CHOICE_PROBE - 1 + 9); /* until the first probe shows what one core takes, then only probes */
}

static void follows_a_change_of_load(void) {
  mx_choice choice = {0};
  run(&choice, 4 * MX_CHOICE_PROBE, 2000, 1000);
  const int busy = run(&choice, 8 * MX_CHOICE_PROBE, 2500, 9000); /* a partner finds no CPU any more */
  CHECK(busy < MX_CHOICE_PROBE);
  const int idle = run(&choice, 16 * MX_CHOICE_PROBE, 2000, 1000);
  CHECK(idle > 8 * MX_CHOICE_PROBE);
}

static void zero_time_counts_as_known(void) {
  mx_choice choice = {0};
  mx_choice_learn(&choice, 1, 0);
  CHECK(choice.team_ns > 0);
  mx_choice_learn(&choice, 0, 0);
  CHECK(choice.solo_ns > 0);
}

int main(void) {
  starts_with_a_team();
  keeps_what_is_faster_and_probes_the_other();
  follows_a_change_of_load();
  zero_time_counts_as_known();
  return 0;
}
