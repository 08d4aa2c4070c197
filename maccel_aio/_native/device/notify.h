/* notify.h - the descriptor that an event loop watches: an eventfd, or a pipe where there is none. */
#ifndef MX_NOTIFY_H
#define MX_NOTIFY_H

typedef struct mx_notify {
  int read_fd;
  int write_fd; /* the same for an eventfd */
} mx_notify;

int mx_notify_open(mx_notify *notify, int force_pipe);
void mx_notify_ring(const mx_notify *notify);  /* readable from now on; merges with earlier rings */
void mx_notify_clear(const mx_notify *notify);
void mx_notify_close(mx_notify *notify);

#endif
