#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Initial-exec would be faster, but the extension is loaded with dlopen. */
static _Thread_local char last_error[512];

int mx_fail(int status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(last_error, sizeof last_error, format, args);
  va_end(args);
  return status;
}

const char *maccel_last_error(void) { return last_error; }

const char *maccel_status_name(int status) {
  switch (status) {
#define NAME(name, text) \
  case MACCEL_##name: return #name;
    MX_STATUS_TABLE(NAME)
#undef NAME
    default: return "UNKNOWN";
  }
}

const char *maccel_status_text(int status) {
  switch (status) {
#define TEXT(name, text) \
  case MACCEL_##name: return text;
    MX_STATUS_TABLE(TEXT)
#undef TEXT
    default: return "unknown status";
  }
}

int maccel_abi_version(void) { return MACCEL_ABI_VERSION; }

uint64_t maccel_now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}
