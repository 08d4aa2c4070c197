#include "wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "maccel.h"

#define NS_PER_S 1000000000ull

void mx_futex_wait(mx_atomic32 *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void mx_futex_wake(mx_atomic32 *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void mx_cond_init(pthread_cond_t *cond) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
}

uint64_t mx_deadline(int64_t timeout_ns) {
  if (timeout_ns < 0) return UINT64_MAX;
  return maccel_now_ns() + (uint64_t)timeout_ns;
}

int mx_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns) {
  if (deadline_ns == UINT64_MAX) {
    pthread_cond_wait(cond, lock);
    return 0;
  }
  struct timespec ts = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                        .tv_nsec = (long)(deadline_ns % NS_PER_S)};
  return pthread_cond_timedwait(cond, lock, &ts) == ETIMEDOUT;
}
