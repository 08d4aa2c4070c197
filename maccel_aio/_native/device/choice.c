#include "choice.h"

static void add(mx_times *t, uint64_t ns) {
  const int replaces = t->cold && t->count == 1;
  t->cold = t->cold && t->count == 0;
  if (replaces)
    t->last[0] = ns;
  else
    t->last[t->count++ % MX_CHOICE_WINDOW] = ns;
}

/* The lower one of an even number. */
static uint64_t median(const mx_times *t) {
  uint64_t sorted[MX_CHOICE_WINDOW];
  const uint32_t n = t->count < MX_CHOICE_WINDOW ? t->count : MX_CHOICE_WINDOW;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = i;
    for (; k > 0 && sorted[k - 1] > t->last[i]; k--) sorted[k] = sorted[k - 1];
    sorted[k] = t->last[i];
  }
  return sorted[(n - 1) / 2];
}

/* What is faster now. A new answer is doubted soon, an old one ever more rarely. */
static void settle(mx_choice *c) {
  const int team = median(&c->way[1]) <= median(&c->way[0]);
  if (c->pause_ns == 0 || team != c->team)
    c->pause_ns = team ? MX_CHOICE_PAUSE_TEAM_NS : MX_CHOICE_PAUSE_SOLO_NS;
  c->team = team;
}

/* Old times of that way are forgotten: the question is how fast it is now. */
static int try_it(mx_choice *c, int team) {
  c->trying = team;
  c->tries = MX_CHOICE_TRIES - 1;
  c->spent_ns = c->used_ns = 0;
  c->way[team] = (mx_times){.cold = 1};
  return team;
}

int mx_choice_team(mx_choice *c) {
  if (c->tries > 0) {
    c->tries--;
    return c->trying;
  }
  if (c->way[1].count == 0) return try_it(c, 1);
  if (c->way[0].count == 0) return try_it(c, 0);
  settle(c);
  if (c->used_ns < c->pause_ns) return c->team;
  const uint64_t most = c->team ? MX_CHOICE_MOST_TEAM_NS : MX_CHOICE_MOST_SOLO_NS;
  c->pause_ns = c->pause_ns * 2 < most ? c->pause_ns * 2 : most;
  return try_it(c, !c->team);
}

int mx_choice_expects_team(const mx_choice *c) {
  return c->tries > 0 ? c->trying : c->way[1].count == 0 || c->team;
}

void mx_choice_learn(mx_choice *c, int team, uint64_t ns) {
  if (ns == 0) ns = 1;
  add(&c->way[team != 0], ns);
  if (c->tries == 0 || team != c->trying) {
    c->used_ns += ns;
    return;
  }
  c->spent_ns += ns;
  if (c->spent_ns >= MX_CHOICE_TRY_NS && c->tries <= MX_CHOICE_TRIES - 2) c->tries = 0;
}
