/* wait.h - sleeping and spinning: futexes, processor pauses, deadlines. */
#ifndef MX_WAIT_H
#define MX_WAIT_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "atomic.h"

/* Sleeps while *word is `expected`. May return early; the caller looks again. */
void mx_futex_wait(mx_atomic32 *word, uint32_t expected);
void mx_futex_wake(mx_atomic32 *word, int count);

/* A condition variable on CLOCK_MONOTONIC. */
void mx_cond_init(pthread_cond_t *cond);
/* When a wait of timeout_ns ends: UINT64_MAX for a negative one (never). */
uint64_t mx_deadline(int64_t timeout_ns);
/* Waits until signalled or the deadline. 1 when the deadline has passed. */
int mx_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns);

static inline void mx_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

#endif
