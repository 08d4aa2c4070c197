#include "choice.h"

int mx_choice_team(mx_choice *choice) {
  const int probe = ++choice->turn % MX_CHOICE_PROBE == 0;
  if (choice->team_ns == 0) return 1;
  if (choice->solo_ns == 0) return !probe;
  const int better = choice->team_ns <= choice->solo_ns;
  return probe ? !better : better;
}

/* Half of the weight to the last one: probes are rare, and one odd figure is put right by the next. */
void mx_choice_learn(mx_choice *choice, int team, uint64_t ns) {
  uint64_t *known = team ? &choice->team_ns : &choice->solo_ns;
  if (ns == 0) ns = 1;
  *known = *known == 0 ? ns : *known / 2 + (ns + 1) / 2;
}
