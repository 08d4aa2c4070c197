/* buffer.c - host-visible device memory: page aligned, by size class, kept for reuse up to a limit. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "object.h"
#include "status.h"

#define PAGE 4096u
#define HUGE_PAGE ((uint64_t)2 << 20)
#define MAX_BYTES ((uint64_t)1 << 40)
#define CLASSES 160                          /* four a doubling */
#define MAX_CACHED_BYTES ((uint64_t)64 << 20)

/* A free block holds the link to the next one of its class in its own first bytes. */
typedef struct free_block {
  struct free_block *next;
} free_block;

struct mx_pool {
  pthread_mutex_t lock;
  free_block *classes[CLASSES]; /* under lock */
  uint64_t cached_bytes;        /* under lock */
  mx_atomic64 used_bytes;       /* handed out */
};

mx_pool *mx_pool_create(void) {
  mx_pool *pool = mx_alloc(sizeof *pool, 64);
  if (pool) pthread_mutex_init(&pool->lock, NULL);
  return pool;
}

/* Classes are 4, 5, 6, 7 times a power of two of pages (1, 2, 3 pages come first): at most a quarter is wasted. */
static int class_of(uint64_t bytes, uint64_t *capacity) {
  uint64_t pages = (bytes + PAGE - 1) / PAGE;
  if (pages < 4) {
    *capacity = pages * PAGE;
    return (int)pages - 1;
  }
  int shift = 63 - __builtin_clzll(pages) - 2; /* pages >> shift is 4..7 */
  uint64_t step = (pages + ((uint64_t)1 << shift) - 1) >> shift;
  if (step == 8) {
    step = 4;
    shift++;
  }
  *capacity = (step << shift) * PAGE;
  return 3 + shift * 4 + (int)(step - 4);
}

void mx_pool_destroy(mx_pool *pool) {
  if (!pool) return;
  for (int c = 0; c < CLASSES; c++) {
    uint64_t pages = c < 3 ? (uint64_t)c + 1 : (uint64_t)(4 + (c - 3) % 4) << ((c - 3) / 4);
    for (free_block *b = pool->classes[c], *next; b; b = next) {
      next = b->next;
      munmap(b, pages * PAGE);
    }
  }
  pthread_mutex_destroy(&pool->lock);
  mx_free(pool);
}

uint64_t mx_pool_bytes(const mx_pool *pool) { return mx_load_relaxed(&((mx_pool *)pool)->used_bytes); }

static void *take_cached(mx_pool *pool, int index, uint64_t capacity) {
  pthread_mutex_lock(&pool->lock);
  free_block *block = pool->classes[index];
  if (block) {
    pool->classes[index] = block->next;
    pool->cached_bytes -= capacity;
  }
  pthread_mutex_unlock(&pool->lock);
  return block;
}

/* 1 when the pool keeps it. */
static int give_cached(mx_pool *pool, void *data, int index, uint64_t capacity) {
  pthread_mutex_lock(&pool->lock);
  int keep = pool->cached_bytes + capacity <= MAX_CACHED_BYTES;
  if (keep) {
    free_block *block = data;
    block->next = pool->classes[index];
    pool->classes[index] = block;
    pool->cached_bytes += capacity;
  }
  pthread_mutex_unlock(&pool->lock);
  return keep;
}

static int map_block(uint64_t capacity, int fd, void **out) {
  int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void *data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, flags, fd, 0);
  MX_RETURN_IF(data == MAP_FAILED, MACCEL_E_NOMEM, "cannot map %llu bytes: %s", (unsigned long long)capacity,
               strerror(errno));
  if (capacity >= HUGE_PAGE)
    (void)madvise(data, capacity, MADV_HUGEPAGE); /* advice: refusal changes nothing */
  *out = data;
  return MACCEL_OK;
}

static int map_shared(uint64_t capacity, int *fd, void **out) {
  *fd = memfd_create("maccel-buffer", MFD_CLOEXEC);
  MX_RETURN_IF(*fd < 0, MACCEL_E_SYSTEM, "cannot make shared memory: %s", strerror(errno));
  int status = MACCEL_OK;
  if (ftruncate(*fd, (off_t)capacity) != 0)
    status = mx_fail(MACCEL_E_NOMEM, "cannot size shared memory to %llu bytes: %s",
                     (unsigned long long)capacity, strerror(errno));
  if (status == MACCEL_OK) status = map_block(capacity, *fd, out);
  if (status != MACCEL_OK) close(*fd);
  return status;
}

int maccel_buffer_alloc(maccel_device *dev, uint64_t size, uint32_t flags, maccel_buffer *out) {
  MX_RETURN_IF(!dev || !out, MACCEL_E_INVALID, "a device and a place for the buffer are needed");
  MX_RETURN_IF(size == 0 || size > MAX_BYTES, MACCEL_E_INVALID, "a buffer of %llu bytes cannot be had",
               (unsigned long long)size);
  MX_RETURN_IF(flags & ~(uint32_t)MACCEL_BUFFER_SHARED, MACCEL_E_INVALID, "unknown buffer flags %#x", flags);
  MX_FORWARD(mx_device_check_process(dev));
  MX_RETURN_IF(mx_load_acquire(&dev->closed), MACCEL_E_CLOSED, "the device %s is closed", dev->info.name);
  maccel_buffer buf = {.size = size, .fd = -1, .flags = flags};
  int index = class_of(size, &buf.capacity);
  if (flags & MACCEL_BUFFER_SHARED) {
    MX_FORWARD(map_shared(buf.capacity, &buf.fd, &buf.data));
  } else {
    buf.data = take_cached(dev->pool, index, buf.capacity);
    if (!buf.data) MX_FORWARD(map_block(buf.capacity, -1, &buf.data));
  }
  mx_add_relaxed(&dev->pool->used_bytes, buf.capacity);
  mx_device_hold(dev);
  *out = buf;
  return MACCEL_OK;
}

int maccel_buffer_free(maccel_device *dev, maccel_buffer *buf) {
  MX_RETURN_IF(!dev || !buf || !buf->data, MACCEL_E_INVALID, "there is no buffer, or it was freed");
  MX_FORWARD(mx_device_check_process(dev));
  uint64_t capacity = 0;
  int index = class_of(buf->size, &capacity);
  MX_RETURN_IF(capacity != buf->capacity, MACCEL_E_INVALID, "the buffer's description was changed");
  /* Shared memory is never reused: whoever maps the old one must not see what comes next. */
  if (buf->fd >= 0) close(buf->fd);
  if (buf->fd >= 0 || !give_cached(dev->pool, buf->data, index, capacity)) munmap(buf->data, capacity);
  mx_sub_relaxed(&dev->pool->used_bytes, capacity);
  *buf = (maccel_buffer){.fd = -1};
  mx_device_release(dev);
  return MACCEL_OK;
}
