#include "choice.h"

/* What is faster now. A new answer is doubted soon, an old one ever more rarely. */
static void settle(mx_choice *c) {
  const int team = c->team_ns <= c->solo_ns;
  if (c->pause == 0 || team != c->team) c->pause = MX_CHOICE_PAUSE;
  c->team = team;
}

static int try_it(mx_choice *c, int team) {
  c->trying = team;
  c->tries = MX_CHOICE_TRIES - 1;
  c->spent_ns = 0;
  c->turn = 0;
  return team;
}

int mx_choice_team(mx_choice *c) {
  if (c->tries > 0) {
    c->tries--;
    return c->trying;
  }
  if (c->team_ns == 0) return try_it(c, 1);
  if (c->solo_ns == 0) return try_it(c, 0);
  settle(c);
  if (++c->turn <= c->pause) return c->team;
  c->pause = c->pause * 2 < MX_CHOICE_MOST ? c->pause * 2 : MX_CHOICE_MOST;
  return try_it(c, !c->team);
}

int mx_choice_expects_team(const mx_choice *c) {
  return c->tries > 0 ? c->trying : c->team_ns == 0 || c->team;
}

/* Down at once, up slowly: one inference that was held up says little, many say that the machine has changed. */
void mx_choice_learn(mx_choice *c, int team, uint64_t ns) {
  uint64_t *known = team ? &c->team_ns : &c->solo_ns;
  if (ns == 0) ns = 1;
  *known = *known == 0 || ns < *known ? ns : *known + (ns - *known + 7) / 8;
  if (c->tries == 0 || team != c->trying) return;
  c->spent_ns += ns;
  if (c->spent_ns >= MX_CHOICE_TRY_NS && c->tries <= MX_CHOICE_TRIES - 2) c->tries = 0;
}
