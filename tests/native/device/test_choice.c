/* test_choice.c - the choice between one core and a team follows what was measured. */
#include "choice.h"

#include "../common/check.h"

/* Runs `turns` inferences that take these times; returns how many were a team's. */
static int run(mx_choice *choice, int turns, uint64_t solo, uint64_t team) {
  int teams = 0;
  for (int i = 0; i < turns; i++) {
    const int expected = mx_choice_expects_team(choice), together = mx_choice_team(choice);
    if (choice->tries > 0 && choice->tries < MX_CHOICE_TRIES - 1) CHECK_INT(together, expected);
    mx_choice_learn(choice, together, together ? team : solo);
    teams += together;
  }
  return teams;
}

static void starts_with_a_team_then_one_core(void) {
  mx_choice choice = {0};
  CHECK(mx_choice_expects_team(&choice));
  CHECK_INT(run(&choice, MX_CHOICE_TRIES, 1000, 1000), MX_CHOICE_TRIES);
  CHECK_INT(run(&choice, MX_CHOICE_TRIES, 1000, 1000), 0);
}

/* A try that no partner came for teaches nothing of a team, and is repeated. */
static void what_was_not_seen_is_tried_again(void) {
  mx_choice choice = {0};
  for (int i = 0; i < 3 * MX_CHOICE_TRIES; i++) {
    CHECK_INT(mx_choice_team(&choice), 1);
    mx_choice_learn(&choice, 0, 1000);
  }
}

static void keeps_what_is_faster_and_doubts_it_ever_more_rarely(void) {
  const int start = 2 * MX_CHOICE_TRIES, turns = 20 * MX_CHOICE_MOST;
  const int most = turns / MX_CHOICE_MOST * MX_CHOICE_TRIES + 5 * MX_CHOICE_TRIES; /* and while it grows */
  mx_choice choice = {0};
  run(&choice, start, 2000, 1000);
  const int alone = turns - run(&choice, turns, 2000, 1000);
  CHECK(alone >= 10 * MX_CHOICE_TRIES && alone <= most);
  mx_choice slow = {0};
  run(&slow, start, 1000, 2000);
  const int teams = run(&slow, turns, 1000, 2000);
  CHECK(teams >= 10 * MX_CHOICE_TRIES && teams <= most);
}

static void follows_a_change_of_load(void) {
  mx_choice choice = {0};
  run(&choice, 4 * MX_CHOICE_MOST, 2000, 1000);
  const int busy = run(&choice, 8 * MX_CHOICE_PAUSE, 2500, 9000); /* a partner finds no CPU any more */
  CHECK(busy < 2 * MX_CHOICE_PAUSE);
  const int idle = run(&choice, 4 * MX_CHOICE_MOST, 2000, 1000);
  CHECK(idle > 2 * MX_CHOICE_MOST);
}

static void one_slow_inference_changes_nothing(void) {
  mx_choice choice = {0};
  run(&choice, 4 * MX_CHOICE_TRIES, 2000, 1000);
  CHECK_INT(mx_choice_team(&choice), 1);
  mx_choice_learn(&choice, 1, 5000);
  CHECK_INT(mx_choice_team(&choice), 1);
}

static void long_inferences_are_tried_twice(void) {
  const uint64_t solo = 2 * (uint64_t)MX_CHOICE_TRY_NS, team = MX_CHOICE_TRY_NS;
  mx_choice choice = {0};
  CHECK_INT(run(&choice, 2, solo, team), 2);
  CHECK_INT(run(&choice, 2, solo, team), 0);
  CHECK_INT(run(&choice, MX_CHOICE_PAUSE, solo, team), MX_CHOICE_PAUSE);
  CHECK_INT(run(&choice, 2, solo, team), 0);
  CHECK_INT(run(&choice, MX_CHOICE_PAUSE, solo, team), MX_CHOICE_PAUSE);
}

static void zero_time_counts_as_known(void) {
  mx_choice choice = {0};
  mx_choice_learn(&choice, 1, 0);
  CHECK(choice.team_ns > 0);
  mx_choice_learn(&choice, 0, 0);
  CHECK(choice.solo_ns > 0);
}

int main(void) {
  starts_with_a_team_then_one_core();
  what_was_not_seen_is_tried_again();
  keeps_what_is_faster_and_doubts_it_ever_more_rarely();
  follows_a_change_of_load();
  one_slow_inference_changes_nothing();
  long_inferences_are_tried_twice();
  zero_time_counts_as_known();
  return 0;
}
