/* Status table and the last error of a thread. */
#include "status.h"

#include <pthread.h>

#include "../common/check.h"

static void every_status_has_its_name_and_a_sentence(void) {
  for (int s = 0; s >= MACCEL_E_SYSTEM; s--) {
    CHECK(strcmp(maccel_status_name(s), "UNKNOWN") != 0);
    CHECK(strlen(maccel_status_text(s)) > 3);
    for (int t = 0; t > s; t--) CHECK(strcmp(maccel_status_name(s), maccel_status_name(t)) != 0);
  }
  CHECK_TEXT(maccel_status_name(MACCEL_OK), "OK");
  CHECK_TEXT(maccel_status_name(MACCEL_E_FORKED), "E_FORKED");
  CHECK_TEXT(maccel_status_name(1), "UNKNOWN");
  CHECK_TEXT(maccel_status_text(-1000), "unknown status");
}

static void a_failure_stores_its_sentence_and_returns_its_status(void) {
  CHECK_INT(mx_fail(MACCEL_E_BUSY, "%d users", 3), MACCEL_E_BUSY);
  CHECK_TEXT(maccel_last_error(), "3 users");
}

static void a_long_sentence_is_cut(void) {
  char text[2000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  mx_fail(MACCEL_E_INVALID, "%s", text);
  CHECK(strlen(maccel_last_error()) < sizeof text - 1);
  CHECK(strlen(maccel_last_error()) > 100);
}

static void *other_thread(void *arg) {
  (void)arg;
  CHECK_TEXT(maccel_last_error(), "");
  mx_fail(MACCEL_E_INVALID, "theirs");
  return NULL;
}

static void each_thread_has_its_own_sentence(void) {
  mx_fail(MACCEL_E_INVALID, "mine");
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
  pthread_join(thread, NULL);
  CHECK_TEXT(maccel_last_error(), "mine");
}

static int forwards(int status) {
  MX_FORWARD(status);
  return 7;
}

static int refuses(int bad) {
  MX_RETURN_IF(bad, MACCEL_E_FORMAT, "bad %d", bad);
  return MACCEL_OK;
}

static void helpers_return_only_errors(void) {
  CHECK_INT(forwards(MACCEL_E_EXEC), MACCEL_E_EXEC);
  CHECK_INT(forwards(MACCEL_OK), 7);
  CHECK_INT(refuses(0), MACCEL_OK);
  CHECK_INT(refuses(5), MACCEL_E_FORMAT);
  CHECK_TEXT(maccel_last_error(), "bad 5");
}

static void the_clock_does_not_go_back(void) {
  uint64_t before = maccel_now_ns();
  for (int i = 0; i < 1000; i++) {
    uint64_t now = maccel_now_ns();
    CHECK(now >= before);
    before = now;
  }
}

int main(void) {
  every_status_has_its_name_and_a_sentence();
  a_failure_stores_its_sentence_and_returns_its_status();
  a_long_sentence_is_cut();
  each_thread_has_its_own_sentence();
  helpers_return_only_errors();
  the_clock_does_not_go_back();
  CHECK_INT(maccel_abi_version(), MACCEL_ABI_VERSION);
  return 0;
}
