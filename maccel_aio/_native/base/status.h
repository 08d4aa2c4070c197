/* status.h - the status table and the thread's last error sentence. */
#ifndef MX_STATUS_H
#define MX_STATUS_H

#include "maccel.h"

/* name, sentence: one line a status, numbers are the public ones and never change. */
#define MX_STATUS_TABLE(X)                                    \
  X(OK, "success")                                            \
  X(E_INVALID, "an argument breaks the contract of the call") \
  X(E_NOMEM, "memory could not be had")                       \
  X(E_FORMAT, "the model file is malformed")                  \
  X(E_UNSUPPORTED, "this build cannot run it")                \
  X(E_AGAIN, "the queue is full")                             \
  X(E_CANCELED, "the request was removed before it ran")      \
  X(E_DEADLINE, "the deadline passed before the request ran") \
  X(E_DEVICE_LOST, "the device is lost")                      \
  X(E_CLOSED, "the object is closed")                         \
  X(E_FORKED, "the object was opened in another process")     \
  X(E_TIMEOUT, "the wait ran out of time")                    \
  X(E_BUSY, "the object is in use")                           \
  X(E_NOT_FOUND, "there is no such request, device or file")  \
  X(E_ALREADY, "the request is on the device already")        \
  X(E_EXEC, "the device failed the request")                  \
  X(E_SYSTEM, "an operating system call failed")

/* Stores one sentence for maccel_last_error() and returns `status`. */
int mx_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define MX_RETURN_IF(cond, status, ...)              \
  do {                                               \
    if (cond) return mx_fail((status), __VA_ARGS__); \
  } while (0)

#define MX_FORWARD(call)           \
  do {                             \
    int mx_st_ = (call);           \
    if (mx_st_ < 0) return mx_st_; \
  } while (0)

#endif
