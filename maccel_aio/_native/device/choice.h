/* choice.h - does a team pay for this model, on this machine, now? For models that run in teams. */
#ifndef MX_CHOICE_H
#define MX_CHOICE_H

#include <stdint.h>

/* So many inferences in a row try a way: the first one of a team wakes its partners and counts for nothing. */
#define MX_CHOICE_TRIES 4
/* Fewer when they are long, but two at least. */
#define MX_CHOICE_TRY_NS 10000000u
/* The median of so many decides, so that two that were held up change nothing. */
#define MX_CHOICE_WINDOW 5
/* The slower way is tried again after so long a time of inferences, then after twice as long, and so on up to the most.
 * A team is missed sorely when other programs have given its CPUs back, one core hardly ever. */
#define MX_CHOICE_PAUSE_SOLO_NS 10000000u
#define MX_CHOICE_PAUSE_TEAM_NS 100000000u
#define MX_CHOICE_MOST_SOLO_NS 400000000u
#define MX_CHOICE_MOST_TEAM_NS 3200000000u

typedef struct mx_times {
  uint64_t last[MX_CHOICE_WINDOW];
  uint32_t count; /* 0 = nothing is known */
  int cold;       /* the only one is the first of a try */
} mx_times;

typedef struct mx_choice {
  mx_times way[2];           /* one core, a team */
  uint64_t used_ns, pause_ns; /* since the last try, and most before the next */
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
