/* Device memory: aligned, pooled, counted, and really shared when asked. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"

static maccel_device *open_device(void) {
  maccel_device *dev = NULL;
  CHECK_INT(maccel_device_open("null", &dev), MACCEL_OK);
  return dev;
}

static uint64_t bytes_of(maccel_device *dev) {
  maccel_device_stats stats;
  CHECK_INT(maccel_device_get_stats(dev, &stats), MACCEL_OK);
  return stats.buffer_bytes;
}

static void buffers_of_all_sizes_are_aligned_and_counted(void) {
  maccel_device *dev = open_device();
  uint64_t size = 1;
  for (int i = 0; i < 100; i++, size = size * 5 / 4 + 1) {
    maccel_buffer b;
    CHECK_INT(maccel_buffer_alloc(dev, size, 0, &b), MACCEL_OK);
    CHECK((uintptr_t)b.data % 4096 == 0);
    CHECK(b.size == size && b.capacity >= size);
    CHECK(b.capacity < size + size / 4 + 4096);
    CHECK(b.capacity % 4096 == 0);
    CHECK_INT(b.fd, -1);
    memset(b.data, 0xa5, b.capacity);
    CHECK(bytes_of(dev) == b.capacity);
    CHECK_INT(maccel_buffer_free(dev, &b), MACCEL_OK);
    CHECK(bytes_of(dev) == 0);
    if (size > (uint64_t)20 << 20) break;
  }
  maccel_device_free(dev);
}

static void a_freed_buffer_is_used_again(void) {
  maccel_device *dev = open_device();
  maccel_buffer a, b;
  CHECK_INT(maccel_buffer_alloc(dev, 100000, 0, &a), MACCEL_OK);
  void *first = a.data;
  CHECK_INT(maccel_buffer_free(dev, &a), MACCEL_OK);
  CHECK_INT(maccel_buffer_alloc(dev, 99000, 0, &b), MACCEL_OK);
  CHECK(b.data == first);
  CHECK_INT(maccel_buffer_free(dev, &b), MACCEL_OK);
  CHECK_INT(maccel_buffer_free(dev, &b), MACCEL_E_INVALID); /* twice */
  maccel_device_free(dev);
}

static void live_buffers_never_overlap(void) {
  enum { COUNT = 64 };
  maccel_device *dev = open_device();
  maccel_buffer live[COUNT] = {0};
  test_rng rng = {12345};
  for (int step = 0; step < 4000; step++) {
    int i = rng_int(&rng, 0, COUNT - 1);
    if (live[i].data) {
      const uint8_t *p = live[i].data;
      CHECK(p[0] == i && p[live[i].size - 1] == i);
      CHECK_INT(maccel_buffer_free(dev, &live[i]), MACCEL_OK);
    } else {
      CHECK_INT(maccel_buffer_alloc(dev, (uint64_t)rng_int(&rng, 1, 60000), 0, &live[i]), MACCEL_OK);
      memset(live[i].data, i, live[i].size);
    }
  }
  for (int i = 0; i < COUNT; i++)
    if (live[i].data) CHECK_INT(maccel_buffer_free(dev, &live[i]), MACCEL_OK);
  CHECK(bytes_of(dev) == 0);
  maccel_device_free(dev);
}

static void a_shared_buffer_can_be_mapped_again(void) {
  maccel_device *dev = open_device();
  maccel_buffer b;
  CHECK_INT(maccel_buffer_alloc(dev, 5000, MACCEL_BUFFER_SHARED, &b), MACCEL_OK);
  CHECK(b.fd >= 0);
  CHECK(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
  uint8_t *other = mmap(NULL, b.capacity, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
  CHECK(other != MAP_FAILED);
  ((uint8_t *)b.data)[4999] = 77;
  CHECK_INT(other[4999], 77);
  int fd = b.fd;
  CHECK_INT(maccel_buffer_free(dev, &b), MACCEL_OK);
  CHECK_INT(fcntl(fd, F_GETFD), -1); /* closed */
  CHECK_INT(other[4999], 77);        /* theirs lives on */
  maccel_buffer next;
  CHECK_INT(maccel_buffer_alloc(dev, 5000, MACCEL_BUFFER_SHARED, &next), MACCEL_OK);
  CHECK_INT(((uint8_t *)next.data)[4999], 0); /* and is not ours any more */
  CHECK_INT(maccel_buffer_free(dev, &next), MACCEL_OK);
  munmap(other, b.capacity);
  maccel_device_free(dev);
}

static void a_buffer_outlives_its_device(void) {
  maccel_device *dev = open_device();
  maccel_buffer b;
  CHECK_INT(maccel_buffer_alloc(dev, 10000, 0, &b), MACCEL_OK);
  maccel_device_free(dev); /* held by the buffer */
  memset(b.data, 1, b.size);
  CHECK_INT(maccel_buffer_free(dev, &b), MACCEL_OK);
}

static void nonsense_is_refused(void) {
  maccel_device *dev = open_device();
  maccel_buffer b = {0};
  CHECK_INT(maccel_buffer_alloc(dev, 0, 0, &b), MACCEL_E_INVALID);
  CHECK_INT(maccel_buffer_alloc(dev, UINT64_MAX, 0, &b), MACCEL_E_INVALID);
  CHECK_INT(maccel_buffer_alloc(dev, 10, 8, &b), MACCEL_E_INVALID);
  CHECK_INT(maccel_buffer_alloc(NULL, 10, 0, &b), MACCEL_E_INVALID);
  CHECK_INT(maccel_buffer_free(dev, &b), MACCEL_E_INVALID);
  CHECK_INT(maccel_device_close(dev, 0), MACCEL_OK);
  CHECK_INT(maccel_buffer_alloc(dev, 10, 0, &b), MACCEL_E_CLOSED);
  maccel_device_free(dev);
}

int main(void) {
  buffers_of_all_sizes_are_aligned_and_counted();
  a_freed_buffer_is_used_again();
  live_buffers_never_overlap();
  a_shared_buffer_can_be_mapped_again();
  a_buffer_outlives_its_device();
  nonsense_is_refused();
  return 0;
}
