/* What the device floor costs beside computing: the meeting point of a team, a round trip, and doing nothing.
 *
 * usage: bench_dispatch [idle seconds, 10]
 * Times are medians in microseconds, with the 99th percentile; the round trips are those of one request in flight. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "barrier.h"
#include "cpu.h"
#include "rig.h"

enum { MEETINGS = 200000, TRIPS = 4000, CALM_TRIPS = 300 };

static void *meet(void *barrier) {
  for (int i = 0; i < MEETINGS; i++) mx_barrier_wait(barrier);
  return NULL;
}

static void bench_barrier(int parts) {
  mx_barrier barrier = {0};
  pthread_t threads[16];
  mx_barrier_init(&barrier, parts, mx_cpu_count() >= 2);
  for (int round = 0; round < 3; round++) {
    const uint64_t start = maccel_now_ns();
    for (int p = 1; p < parts; p++) CHECK(pthread_create(&threads[p], NULL, meet, &barrier) == 0);
    meet(&barrier);
    for (int p = 1; p < parts; p++) pthread_join(threads[p], NULL);
    const double ns = (double)(maccel_now_ns() - start) / MEETINGS;
    printf("meeting of %d threads on %d CPUs        %8.3f us\n", parts, mx_cpu_count(), ns / 1e3);
  }
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void print_spread(const char *what, double *us, int n) {
  qsort(us, (size_t)n, sizeof *us, by_value);
  printf("%-38s %8.2f us   p99 %8.2f\n", what, us[n / 2], us[n - 1 - n / 100]);
}

/* `pause_ns` before each request lets every thread go to sleep. */
static void bench_trips(const char *device, int trips, long pause_ns) {
  static double trip[TRIPS], wake[TRIPS];
  rig r;
  rig_open(&r, device, 4, &(maccel_model_options){.core_mode = MACCEL_MODE_SINGLE});
  int8_t in[RIG_BYTES] = {0}, out[RIG_BYTES];
  maccel_io io[2];
  rig_io(io, in, out);
  for (int i = -50; i < trips; i++) {
    if (pause_ns > 0) nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
    maccel_sqe sqe = {.user_data = 1, .model = r.model, .batch = 1, .num_io = 2, .io = io};
    const uint64_t start = maccel_now_ns();
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    const maccel_cqe cqe = rig_next(&r);
    if (i < 0) continue;
    trip[i] = (double)(maccel_now_ns() - start) / 1e3;
    wake[i] = (double)(cqe.t_start_ns - cqe.t_submit_ns) / 1e3;
  }
  char what[64];
  snprintf(what, sizeof what, "%s%s: round trip", device, pause_ns > 0 ? ", 2 ms apart" : "");
  print_spread(what, trip, trips);
  snprintf(what, sizeof what, "%s%s: until a core begins", device, pause_ns > 0 ? ", 2 ms apart" : "");
  print_spread(what, wake, trips);
  rig_close(&r);
}

static double cpu_seconds(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void bench_idle(int seconds) {
  rig r;
  rig_open(&r, "soft:0", 4, NULL);
  for (uint64_t i = 0; i < 1000; i++) {
    maccel_sqe sqe = rig_sqe(&r, i);
    CHECK_INT(rig_submit(&r, &sqe), MACCEL_OK);
    rig_next(&r);
  }
  const double before = cpu_seconds();
  nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
  printf("idle for %d s after 1000 requests     %9.4f %% of a CPU\n", seconds,
         100.0 * (cpu_seconds() - before) / seconds);
  rig_close(&r);
}

int main(int argc, char **argv) {
  const int idle = argc > 1 ? atoi(argv[1]) : 10;
  bench_barrier(2);
  bench_trips("null:0", TRIPS, 0);
  bench_trips("soft:0", TRIPS, 0);
  bench_trips("soft:0", CALM_TRIPS, 2000000);
  if (idle > 0) bench_idle(idle);
  return 0;
}
