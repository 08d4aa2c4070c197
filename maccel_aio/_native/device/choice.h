/* choice.h - does a team pay for this model, on this machine, now? For models in auto mode. */
#ifndef MX_CHOICE_H
#define MX_CHOICE_H

#include <stdint.h>

/* Every so many inferences the slower way is tried again: the load of the machine may have changed. */
#define MX_CHOICE_PROBE 32

typedef struct mx_choice {
  uint64_t solo_ns, team_ns; /* of late; 0 = not known */
  uint32_t turn;
} mx_choice;

/* 1: let a team run the next inference. Partners that get no CPU make a team slower than one core alone. */
int mx_choice_team(mx_choice *choice);
void mx_choice_learn(mx_choice *choice, int team, uint64_t ns);

#endif
