/* maccel.h - the one public C interface of the shim.
 *
 * build_ffi.py cuts the text between the CDEF markers and gives it to cffi, so that part must stay
 * plain declarations: no conditionals, no includes, integer constants only.
 *
 * Conventions
 *  - Every function that can fail returns a maccel_status: 0 is success, negative is an error.
 *    maccel_last_error() then holds one sentence for this thread.
 *  - Times are CLOCK_MONOTONIC nanoseconds. Sizes are bytes. A timeout of -1 waits for ever.
 *  - Thread rules are stated at each function: [any] may be called from any thread, [ring] only by
 *    one thread at a time per ring.
 *  - No function calls back into the caller. Completions are learned from the completion queue.
 */
#ifndef MACCEL_H
#define MACCEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CDEF-BEGIN */
#define MACCEL_ABI_VERSION 4

#define MACCEL_MAX_RANK 6
#define MACCEL_MAX_IO 32

typedef enum maccel_status {
  MACCEL_OK = 0,
  MACCEL_E_INVALID = -1,      /* an argument breaks the contract of the call */
  MACCEL_E_NOMEM = -2,        /* memory could not be had */
  MACCEL_E_FORMAT = -3,       /* a model file is malformed */
  MACCEL_E_UNSUPPORTED = -4,  /* well formed, but this build cannot run it */
  MACCEL_E_AGAIN = -5,        /* no credit is free: the queue is full */
  MACCEL_E_CANCELED = -6,     /* removed from the queue before it ran */
  MACCEL_E_DEADLINE = -7,     /* its deadline passed before it ran */
  MACCEL_E_DEVICE_LOST = -8,  /* the device is gone or was reset */
  MACCEL_E_CLOSED = -9,       /* the object is closed */
  MACCEL_E_FORKED = -10,      /* opened in another process */
  MACCEL_E_TIMEOUT = -11,     /* a bounded wait ran out */
  MACCEL_E_BUSY = -12,        /* in use, or completions are pending */
  MACCEL_E_NOT_FOUND = -13,   /* no such request, device or file */
  MACCEL_E_ALREADY = -14,     /* the request is on the device and cannot be removed */
  MACCEL_E_EXEC = -15,        /* the device failed this request */
  MACCEL_E_SYSTEM = -16       /* an operating system call failed */
} maccel_status;

typedef enum maccel_dtype {
  MACCEL_U8 = 1,
  MACCEL_S8 = 2,
  MACCEL_S16 = 3,
  MACCEL_S32 = 4,
  MACCEL_F32 = 5,
  MACCEL_BF16 = 6,
  MACCEL_S64 = 7
} maccel_dtype;

typedef enum maccel_core_mode {
  MACCEL_MODE_SINGLE = 0,
  MACCEL_MODE_MULTI = 1,
  MACCEL_MODE_GLOBAL4 = 3,
  MACCEL_MODE_GLOBAL8 = 4,
  MACCEL_MODE_AUTO = 14
} maccel_core_mode;

typedef enum maccel_schedule {
  MACCEL_SCHEDULE_BY_PRIORITY = 0, /* higher first; equal ones in order of submission */
  MACCEL_SCHEDULE_FIFO = 1,        /* in order of submission, as if all had priority 0 */
  MACCEL_SCHEDULE_LIFO = 2         /* the latest of the model first, as if all had priority 0 */
} maccel_schedule;

typedef struct maccel_device maccel_device; /* one accelerator */
typedef struct maccel_model maccel_model;   /* one verified program, resident on a device */
typedef struct maccel_ring maccel_ring;     /* one submission + completion queue pair */

/* ---- library [any] */
int maccel_abi_version(void);
const char *maccel_status_name(int status);
const char *maccel_status_text(int status);
const char *maccel_last_error(void); /* of the calling thread; valid until its next failing call */
uint64_t maccel_now_ns(void);

/* ---- processor [any]: instruction set levels, best first in maccel_isa_supported */
const char *maccel_isa_active(void);    /* "scalar", "avx2", .. "neoni8mm": after MACCEL_ISA */
const char *maccel_isa_detected(void);  /* the best level that CPU and OS allow */
int maccel_cpu_count(void);             /* CPUs this process may run on (affinity) */

/* ---- limits of this machine [any]: measured when asked, by the calling thread, on the core it runs on */
typedef enum maccel_peak {
  MACCEL_PEAK_INT8 = 0,      /* operations: bytes multiplied, sums of 32 bits; each counts */
  MACCEL_PEAK_F32 = 1,       /* operations: float32 multiplied and added; each counts */
  MACCEL_PEAK_READ_L2 = 2,   /* bytes read from the second level cache */
  MACCEL_PEAK_READ_L3 = 3,   /* ... the third level */
  MACCEL_PEAK_READ_DRAM = 4  /* ... memory */
} maccel_peak;
/* The most of `peak` that one core does in a second, at the active level: the best of many short runs (10 to 20 ms;
 * DRAM: three times the third level is allocated and freed, which may take 300 ms). INVALID: no such peak. NOMEM. */
int maccel_measure_peak(int32_t peak, double *per_second);
/* Of the data cache that a core has or shares; 0: no such level is known. */
uint64_t maccel_cache_bytes(int32_t level);

/* ---- model file [any]: structure only; digests are checked by the caller (sha256 of each section) */
typedef struct maccel_section {
  uint32_t type;
  uint32_t flags;
  uint64_t offset;
  uint64_t size;
  uint8_t sha256[32];
} maccel_section;
/* Parses the header and section table of `size` bytes at `base`. At most `cap` sections are stored
 * and the number in the file is stored in *count. E_FORMAT with the reason in maccel_last_error(). */
int maccel_file_parse(const void *base, uint64_t size, maccel_section *sections, uint32_t cap,
                      uint32_t *count);
/* Verifies a program section against its constants without loading it. */
int maccel_program_verify(const void *program, uint64_t program_bytes, const void *consts,
                          uint64_t const_bytes);

/* ---- device [any] */
typedef struct maccel_device_info {
  char name[64];        /* canonical: "soft:0", "null:0", "fault:..." */
  char kind[16];        /* "soft", "null", "fault" */
  int32_t index;
  int32_t clusters;
  int32_t local_cores;  /* per cluster */
  int32_t global_cores; /* per cluster */
  int32_t workers;      /* most cores that may run at one time on this host */
  int32_t pid;          /* process that opened it */
} maccel_device_info;
typedef struct maccel_device_stats {
  uint64_t submitted, completed, canceled, expired, failed, abandoned;
  uint64_t queued, running; /* now */
  uint64_t busy_ns;         /* summed over cores, compute and transfers */
  uint64_t open_ns;         /* since open */
  uint64_t overflow;        /* completions that found no room: must stay 0 */
  uint64_t stale;           /* completions dropped for an old generation */
  uint64_t buffer_bytes;    /* device memory held now */
  uint64_t lost;            /* 1: the device is gone */
} maccel_device_stats;
/* name: "auto" | "soft[:N][?cores=4]" | "null[:N]" | "fault:INNER?key=value&..." */
int maccel_device_open(const char *name, maccel_device **out);
/* Stops admission, cancels what is queued, waits at most timeout_ns for what runs, then joins the
 * workers. MACCEL_E_TIMEOUT: something still runs; the device stays valid but closed, call again. */
int maccel_device_close(maccel_device *dev, int64_t timeout_ns);
void maccel_device_free(maccel_device *dev); /* after close returned OK and its models and rings are gone */
int maccel_device_get_info(const maccel_device *dev, maccel_device_info *out);
int maccel_device_get_stats(const maccel_device *dev, maccel_device_stats *out);

/* ---- buffers [any]: page aligned, pooled by size class */
#define MACCEL_BUFFER_SHARED 1 /* backed by a memfd that another process can map */
typedef struct maccel_buffer {
  void *data;
  uint64_t size;     /* as asked */
  uint64_t capacity; /* as given */
  int32_t fd;        /* -1 unless MACCEL_BUFFER_SHARED */
  uint32_t flags;
} maccel_buffer;
int maccel_buffer_alloc(maccel_device *dev, uint64_t size, uint32_t flags, maccel_buffer *out);
int maccel_buffer_free(maccel_device *dev, maccel_buffer *buf);

/* ---- models [any] */
typedef struct maccel_model_options {
  uint32_t core_mask; /* bit cluster*8+core; local cores are 0..3, the global core is 4; 0 = all */
  int32_t core_mode;  /* maccel_core_mode */
  int32_t num_cores;  /* 0 = as many as the mask has */
  int32_t slots;      /* activation slots: execution contexts, 0 = one per core used */
  int32_t schedule;   /* maccel_schedule: which of its queued requests a core takes next */
  int32_t foresee;    /* 1: in place of early_ns, the shortest time seen of an item */
  uint64_t early_ns;  /* a deadline passes so much earlier: what a core needs, 0 = not known */
} maccel_model_options;
typedef struct maccel_model_info {
  uint32_t num_inputs, num_outputs, num_insns, num_layers;
  uint64_t arena_bytes;  /* activations, per execution context */
  uint64_t packed_bytes; /* weights as packed for the active instruction set */
  uint64_t macs;         /* multiply-accumulates per inference */
} maccel_model_info;
typedef struct maccel_tensor_info {
  int32_t dtype; /* maccel_dtype on the device */
  int32_t rank;
  int32_t dims[MACCEL_MAX_RANK]; /* physical order, channels last for images */
  float scale;
  int32_t zero_point;
} maccel_tensor_info;
typedef struct maccel_layer_time {
  uint32_t layer;
  uint32_t op;
  uint64_t calls;
  uint64_t total_ns;
  uint64_t macs;          /* of one call, like the bytes */
  uint64_t bytes_read;    /* inputs, and weights as they are packed */
  uint64_t bytes_written; /* outputs */
} maccel_layer_time;
/* Verifies, packs and places one program. Copies all it needs: both blocks may go afterwards. */
int maccel_model_load(maccel_device *dev, const void *program, uint64_t program_bytes, const void *consts,
                      uint64_t const_bytes, const maccel_model_options *options, maccel_model **out);
int maccel_model_unload(maccel_model *model); /* E_BUSY while a request uses it */
int maccel_model_get_info(const maccel_model *model, maccel_model_info *out);
int maccel_model_get_tensor(const maccel_model *model, int is_output, uint32_t index,
                            maccel_tensor_info *out);
/* Per-layer times: on (1) / off (0), and the sums since it was switched on. */
int maccel_model_set_profile(maccel_model *model, int on);
int maccel_model_get_profile(const maccel_model *model, maccel_layer_time *out, uint32_t cap,
                             uint32_t *count);

/* ---- requests */
/* One host array of a request. The element of physical index (i0, i1, ...) of batch item b is at
 * data + b*batch_stride + i0*stride[0] + i1*stride[1] + ...   (bytes; channel-first arrays are
 * described by their strides, no copy is needed).  dtype F32: real values, quantised on the device.
 * dtype U8 on an input that has a preprocessing table: raw pixels. U8 / S8 otherwise: U8 real values
 * 0..255, S8 quantised values as q-128 for unsigned device tensors (the classic int8 interface). */
typedef struct maccel_io {
  void *data;
  int32_t dtype;
  uint32_t flags;
  int64_t batch_stride;
  int64_t stride[MACCEL_MAX_RANK];
} maccel_io;

#define MACCEL_SQE_COMPUTE_ONLY 1 /* speed run: no transfer in or out, io is ignored */
/* The submitter has nothing else to do: submit may carry the request out in the calling thread before it returns, which
 * saves two wake-ups. Only a single item that lately took less than 50 ms, and only if a core is idle. */
#define MACCEL_SQE_HERE 2
#define MACCEL_MAX_AFTER 4
typedef struct maccel_sqe {
  uint64_t user_data; /* generation << 16 | slot, given back in the completion */
  uint64_t deadline_ns; /* 0 = none; checked when a core takes the request, as the model's options say */
  maccel_model *model;
  uint32_t flags;
  int32_t priority; /* higher first; equal ones in order of submission */
  uint32_t batch; /* items, at least 1; run one after the other by one core */
  uint32_t num_io; /* inputs then outputs, all of the model's, in its order */
  const maccel_io *io; /* copied by submit */
  /* Requests of the same ring that must complete first: what they write, this one may read. It ends like the first of
   * them that does not end well. One that was harvested counts as done, and well. */
  uint32_t num_after;
  uint32_t reserved; /* 0 */
  uint64_t after[MACCEL_MAX_AFTER]; /* user_data of each */
} maccel_sqe;

typedef struct maccel_cqe {
  uint64_t user_data;
  int32_t res; /* maccel_status */
  uint32_t flags; /* reserved, 0 */
  uint64_t t_submit_ns, t_start_ns, t_done_ns;
} maccel_cqe;

/* ---- rings: one per (process, event loop or thread, device).
 * Invariants: requests accepted and not yet harvested never exceed `credits`, so the completion
 * queue cannot overflow; each accepted request gets exactly one completion, whatever happens. */
int maccel_ring_open(maccel_device *dev, uint32_t credits, maccel_ring **out); /* [any] */
/* [ring] Accepts up to n requests in order; *accepted says how many. AGAIN: no credit for the next.
 * INVALID: the next one is malformed. CLOSED, FORKED, DEVICE_LOST. One doorbell per call. */
int maccel_ring_submit(maccel_ring *ring, const maccel_sqe *sqes, uint32_t n, uint32_t *accepted);
/* [ring] Submits one request and looks out for completions for as long as that paid of late, at most some ten
 * microseconds; then takes those that are there, at most n, and arms as maccel_ring_reap does. With user_data, and with
 * the addresses of its first input and of its first output, in place of those in *sqe, which stays as it is.
 * Returns the number taken; or MACCEL_CARRIED plus the nanoseconds since it was done, if its own completion is the
 * only one and OK; or the status of a request that was not accepted. With room for all credits it is safe to sleep
 * afterwards; else the ring is left readable. */
#define MACCEL_CARRIED 0x40000000
int maccel_ring_carry(maccel_ring *ring, const maccel_sqe *sqe, uint64_t user_data, void *input, void *output,
                      maccel_cqe *out, uint32_t n);
/* [any] OK removed (its completion has res CANCELED), and with it those that come after it; ALREADY on the device; NOT_FOUND unknown or done. */
int maccel_ring_cancel(maccel_ring *ring, uint64_t user_data);
int maccel_ring_harvest(maccel_ring *ring, maccel_cqe *out, uint32_t n); /* [ring] number taken, >= 0 */
int maccel_ring_arm(maccel_ring *ring); /* [ring] OK armed; BUSY completions pending */
int maccel_ring_clear(maccel_ring *ring); /* [ring] resets the notification */
int maccel_ring_notify(maccel_ring *ring); /* [any] makes it readable now (fairness, tests) */
/* [ring] clear, harvest and, if the queue is empty then, arm: one call for an event-loop wake-up.
 * *armed is 1 when it is safe to sleep. Returns the number taken. */
int maccel_ring_reap(maccel_ring *ring, maccel_cqe *out, uint32_t n, int32_t *armed);
/* [ring] Blocks until at least min completions are there. OK, TIMEOUT, CLOSED. */
int maccel_ring_wait(maccel_ring *ring, uint32_t min, int64_t timeout_ns);
/* [any] Blocks until every request accepted before the call has completed. OK, TIMEOUT. */
int maccel_ring_drain(maccel_ring *ring, int64_t timeout_ns);
int maccel_ring_fd(const maccel_ring *ring); /* [any] poll it for reading; owned by the ring */
uint32_t maccel_ring_in_flight(const maccel_ring *ring); /* [any] accepted and not harvested */
/* [any] Stops admission and cancels what is queued. Waits at most timeout_ns for what runs.
 * TIMEOUT: some requests still run; memory they use must stay. Call again, or free later. */
int maccel_ring_close(maccel_ring *ring, int64_t timeout_ns);
/* [any] Frees it now if nothing runs, else when the last request is done. Its fd is closed here:
 * remove it from every poller first. */
void maccel_ring_free(maccel_ring *ring);
/* CDEF-END */

#ifdef __cplusplus
}
#endif
#endif
