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
  mx_choice choice = {0};
  run(&choice, 2 * MX_CHOICE_TRIES, 2000000, 1000000);
  const int alone = 20000 - run(&choice, 20000, 2000000, 1000000); /* 20 seconds */
  CHECK(alone >= 6 * MX_CHOICE_TRIES && alone <= 16 * MX_CHOICE_TRIES);
  mx_choice slow = {0};
  run(&slow, 2 * MX_CHOICE_TRIES, 1000000, 2000000);
  const int teams = run(&slow, 20000, 1000000, 2000000);
  CHECK(teams >= 40 * MX_CHOICE_TRIES && teams <= 60 * MX_CHOICE_TRIES);
}

/* A partner finds no CPU any more, and then finds it again. */
static void follows_a_load_that_comes_and_goes(void) {
  mx_choice choice = {0};
  run(&choice, 1000, 2000000, 1000000);
  for (int round = 0; round < 20; round++) {
    const int busy = run(&choice, 1000, 2500000, 9000000); /* 2.5 seconds */
    CHECK(busy <= MX_CHOICE_WINDOW + 12 * MX_CHOICE_TRIES);
    const int idle = run(&choice, 1000, 2000000, 1000000);
    CHECK(idle >= 1000 - (int)(MX_CHOICE_MOST_SOLO_NS / 2000000) - 8 * MX_CHOICE_TRIES);
  }
}

/* What lasted for a few inferences only costs hardly more than these. */
static void a_short_disturbance_is_over_at_once(void) {
  mx_choice choice = {0};
  run(&choice, 1000, 2000000, 1000000);
  run(&choice, 5, 2500000, 9000000);
  const int teams = run(&choice, 100, 2000000, 1000000);
  CHECK(teams >= 100 - (int)(MX_CHOICE_PAUSE_SOLO_NS / 2000000) - 2 * MX_CHOICE_TRIES);
}

static void single_slow_inferences_change_nothing(void) {
  mx_choice choice = {0};
  run(&choice, 4 * MX_CHOICE_TRIES, 2000, 1000);
  for (int i = 0; i < 1000; i++) {
    CHECK_INT(mx_choice_team(&choice), 1);
    mx_choice_learn(&choice, 1, i % MX_CHOICE_WINDOW < 2 ? 50000 : 1000);
    if (choice.used_ns > MX_CHOICE_PAUSE_TEAM_NS / 2) choice.used_ns = 0; /* no tries here */
  }
}

/* The first one woke the partners. */
static void the_first_of_a_try_does_not_count(void) {
  mx_choice choice = {0};
  for (int i = 0; i < MX_CHOICE_TRIES; i++) {
    CHECK_INT(mx_choice_team(&choice), 1);
    mx_choice_learn(&choice, 1, i == 0 ? 100000 : 1000);
  }
  CHECK_INT(run(&choice, MX_CHOICE_TRIES, 2000, 1000), 0);
  CHECK_INT(run(&choice, 10, 2000, 1000), 10);
}

static void long_inferences_are_tried_twice(void) {
  const uint64_t solo = 2 * (uint64_t)MX_CHOICE_TRY_NS, team = MX_CHOICE_TRY_NS;
  mx_choice choice = {0};
  CHECK_INT(run(&choice, 2, solo, team), 2);
  CHECK_INT(run(&choice, 2, solo, team), 0);
  CHECK_INT(run(&choice, 10, solo, team), 10); /* as long as the first pause */
  CHECK_INT(run(&choice, 2, solo, team), 0);
  CHECK_INT(run(&choice, 20, solo, team), 20); /* as long as the second one */
  CHECK_INT(run(&choice, 2, solo, team), 0);
}

static void zero_time_counts_as_known(void) {
  mx_choice choice = {0};
  mx_choice_learn(&choice, 1, 0);
  CHECK(choice.way[1].last[0] > 0);
  mx_choice_learn(&choice, 0, 0);
  CHECK(choice.way[0].last[0] > 0);
}

int main(void) {
  starts_with_a_team_then_one_core();
  what_was_not_seen_is_tried_again();
  keeps_what_is_faster_and_doubts_it_ever_more_rarely();
  follows_a_load_that_comes_and_goes();
  a_short_disturbance_is_over_at_once();
  single_slow_inferences_change_nothing();
  the_first_of_a_try_does_not_count();
  long_inferences_are_tried_twice();
  zero_time_counts_as_known();
  return 0;
}
