/* choice.h - does a team pay for this model, on this machine, now? For models that run in teams. */
#ifndef MX_CHOICE_H
#define MX_CHOICE_H

#include <stdint.h>

/* So many inferences in a row try a way: the first ones of a team wake its partners. */
#define MX_CHOICE_TRIES 12
/* Fewer when they are long, but two at least: what waking costs does not show in such a time. */
#define MX_CHOICE_TRY_NS 10000000u
/* The slower way is tried again after so many inferences, then after twice as many, and so on up to the most: the load
 * of the machine may have changed, but what is tried in vain costs. */
#define MX_CHOICE_PAUSE 64
#define MX_CHOICE_MOST 1024

typedef struct mx_choice {
  uint64_t solo_ns, team_ns; /* of late; 0 = not known */
  uint32_t turn, pause;      /* inferences since the last try, and most before the next */
  uint32_t tries;            /* that are left of `trying` */
  uint64_t spent_ns;         /* on it */
  int trying;                /* 1: a team */
  int team;                  /* what pays */
} mx_choice;

/* 1: let a team run the next inference. Partners that get no CPU make a team slower than one core alone. */
int mx_choice_team(mx_choice *choice);
/* Will a team be the answer, as far as is known? Changes nothing. */
int mx_choice_expects_team(const mx_choice *choice);
void mx_choice_learn(mx_choice *choice, int team, uint64_t ns);

#endif
