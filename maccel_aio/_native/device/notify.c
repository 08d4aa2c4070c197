#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "status.h"

int mx_notify_open(mx_notify *notify, int force_pipe) {
  int fd = force_pipe ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd >= 0) {
    notify->read_fd = notify->write_fd = fd;
    return MACCEL_OK;
  }
  int ends[2];
  MX_RETURN_IF(pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0, MACCEL_E_SYSTEM,
               "cannot open an eventfd or a pipe: %s", strerror(errno));
  notify->read_fd = ends[0];
  notify->write_fd = ends[1];
  return MACCEL_OK;
}

void mx_notify_ring(const mx_notify *notify) {
  uint64_t one = 1;
  ssize_t done;
  do {
    done = write(notify->write_fd, &one, sizeof one);
  } while (done < 0 && errno == EINTR); /* EAGAIN: full, so it is readable already */
}

void mx_notify_clear(const mx_notify *notify) {
  char sink[256];
  ssize_t done;
  do {
    done = read(notify->read_fd, sink, sizeof sink);
  } while (done == (ssize_t)sizeof sink || (done < 0 && errno == EINTR)); /* EAGAIN: nothing to clear */
}

void mx_notify_close(mx_notify *notify) {
  if (notify->read_fd >= 0) close(notify->read_fd);
  if (notify->write_fd >= 0 && notify->write_fd != notify->read_fd) close(notify->write_fd);
  notify->read_fd = notify->write_fd = -1;
}
