/* The descriptor of a loop, as an eventfd and as a pipe. */
#include "notify.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "../common/check.h"
#include "maccel.h"

static int readable(const mx_notify *n) {
  struct pollfd p = {.fd = n->read_fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void rings_merge_and_one_clear_takes_them_all(int pipe) {
  mx_notify n;
  CHECK_INT(mx_notify_open(&n, pipe), MACCEL_OK);
  CHECK_INT(n.read_fd != n.write_fd, pipe);
  CHECK(!readable(&n));
  mx_notify_clear(&n); /* nothing there: returns at once */
  for (int i = 0; i < 100000; i++) mx_notify_ring(&n); /* a full pipe does not block either */
  CHECK(readable(&n));
  mx_notify_clear(&n);
  CHECK(!readable(&n));
  mx_notify_ring(&n);
  CHECK(readable(&n));
  mx_notify_close(&n);
  CHECK_INT(n.read_fd, -1);
  mx_notify_close(&n);
}

static void descriptors_do_not_block_and_do_not_survive_exec(int pipe) {
  mx_notify n;
  CHECK_INT(mx_notify_open(&n, pipe), MACCEL_OK);
  const int fds[] = {n.read_fd, n.write_fd};
  for (int i = 0; i < 2; i++) {
    CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
  }
  mx_notify_close(&n);
}

int main(void) {
  for (int pipe = 0; pipe < 2; pipe++) {
    rings_merge_and_one_clear_takes_them_all(pipe);
    descriptors_do_not_block_and_do_not_survive_exec(pipe);
  }
  return 0;
}
