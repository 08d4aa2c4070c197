/* Futexes and condition variables with deadlines. */
#include "wait.h"

#include "../common/check.h"
#include "maccel.h"

static mx_atomic32 word;

static void *waiter(void *arg) {
  (void)arg;
  while (mx_load_acquire(&word) == 0) mx_futex_wait(&word, 0);
  return NULL;
}

static void a_sleeper_wakes_when_the_word_changes(void) {
  for (int i = 0; i < 200; i++) {
    mx_store_seq(&word, 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waiter, NULL) == 0);
    mx_store_seq(&word, 1);
    mx_futex_wake(&word, 1);
    pthread_join(thread, NULL);
  }
  mx_futex_wait(&word, 0); /* the word is 1: returns at once */
}

static void a_deadline_in_the_past_ends_the_wait(void) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond;
  mx_cond_init(&cond);
  pthread_mutex_lock(&lock);
  CHECK_INT(mx_cond_wait_until(&cond, &lock, maccel_now_ns()), 1);
  CHECK_INT(mx_cond_wait_until(&cond, &lock, mx_deadline(1000000)), 1);
  pthread_mutex_unlock(&lock);
  pthread_cond_destroy(&cond);
}

static void a_negative_timeout_is_for_ever(void) {
  CHECK(mx_deadline(-1) == UINT64_MAX);
  uint64_t now = maccel_now_ns();
  CHECK(mx_deadline(0) >= now);
  CHECK(mx_deadline(1000) >= now + 1000);
}

int main(void) {
  a_sleeper_wakes_when_the_word_changes();
  a_deadline_in_the_past_ends_the_wait();
  a_negative_timeout_is_for_ever();
  mx_pause();
  return 0;
}
