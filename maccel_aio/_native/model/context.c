/* context.c - one arena and the tasks bound to it. All memory is had at creation; running only calls kernels.
 *
 * A context belongs to one inference at a time. Its tasks are per part only where a kernel has scratch memory. */
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "program.h"

/* Kernels may read this far past either end of the arena (mxq.h). */
#define MX_ARENA_SLACK 64u
/* A share of a transfer takes about ten microseconds: less is not worth a second thread. */
#define MX_SHARE_ELEMENTS 8192u
#define MX_MAX_SHARES 32u

struct mx_context {
  const mx_program *program;
  int max_parts;
  uint8_t *region; /* slack, arena, slack */
  size_t region_bytes;
  uint8_t *scratch;
  size_t scratch_stride; /* of one part */
  uint32_t num_tasks;
  mx_task *tasks;
  const mx_task **lists; /* [part][step] */
  mx_transfer io[MACCEL_MAX_IO];
  const mx_transfer_kernels *transfer;
};

/* ---- creation */

static mx_task *bind_task(mx_context *c, const mx_step *s, int part) {
  mx_task *t = &c->tasks[c->num_tasks++];
  uint8_t *arena = c->region + MX_ARENA_SLACK;
  *t = s->task;
  for (int k = 0; k < 6; ++k) {
    if (t->in[k].rank > 0) t->in[k].data = arena + s->offset_in[k];
  }
  for (int k = 0; k < 2; ++k) {
    if (t->out[k].rank > 0) t->out[k].data = arena + s->offset_out[k];
  }
  if (s->scratch_bytes > 0) t->scratch = c->scratch + (size_t)part * c->scratch_stride;
  return t;
}

static void bind_tasks(mx_context *c) {
  const mx_program *p = c->program;
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const mx_task *shared = NULL;
    for (int part = 0; part < c->max_parts; ++part) {
      if (shared == NULL || p->steps[k].scratch_bytes > 0) shared = bind_task(c, &p->steps[k], part);
      c->lists[(size_t)part * p->num_steps + k] = shared;
    }
  }
}

static void bind_io(mx_context *c) {
  const mx_program *p = c->program;
  const mxp_header *h = &p->image.head;
  for (uint32_t k = 0; k < h->num_inputs + h->num_outputs; ++k) {
    const int is_input = k < h->num_inputs;
    const uint32_t tensor = is_input ? p->image.inputs[k].tensor : p->image.outputs[k - h->num_inputs];
    mx_transfer *t = &c->io[k];
    t->device = mx_program_view(p, tensor);
    t->device.data = c->region + MX_ARENA_SLACK + p->image.tensors[tensor].offset;
    if (!is_input) continue;
    t->table = mx_image_const_data(&p->image, p->image.inputs[k].table);
    t->order = mx_image_const_data(&p->image, p->image.inputs[k].order);
  }
  c->transfer = mx_transfer_select(p->isa);
}

static size_t count_tasks(const mx_program *p, int parts) {
  size_t n = 0;
  for (uint32_t k = 0; k < p->num_steps; ++k) n += p->steps[k].scratch_bytes > 0 ? (size_t)parts : 1;
  return n;
}

static int allocate(mx_context *c) {
  const mx_program *p = c->program;
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const size_t bytes = (p->steps[k].scratch_bytes + 63) & ~(size_t)63;
    if (bytes > c->scratch_stride) c->scratch_stride = bytes;
  }
  const size_t parts = (size_t)c->max_parts;
  c->region_bytes = (size_t)p->image.head.arena_bytes + 2 * MX_ARENA_SLACK;
  c->region = mx_map(c->region_bytes);
  c->scratch = mx_alloc(c->scratch_stride * parts + 64, 64);
  c->tasks = mx_alloc((count_tasks(p, c->max_parts) + 1) * sizeof *c->tasks, 64);
  c->lists = mx_alloc((p->num_steps * parts + 1) * sizeof *c->lists, 64);
  MX_RETURN_IF(!c->region || !c->scratch || !c->tasks || !c->lists, MACCEL_E_NOMEM,
               "no memory for an arena of %llu bytes", (unsigned long long)p->image.head.arena_bytes);
  return MACCEL_OK;
}

int mx_context_create(const mx_program *program, int max_parts, mx_context **out) {
  MX_RETURN_IF(program == NULL || out == NULL || max_parts < 1 || max_parts > 1024, MACCEL_E_INVALID,
               "a context needs a program and 1 to 1024 parts");
  mx_context *c = mx_alloc(sizeof *c, 64);
  MX_RETURN_IF(c == NULL, MACCEL_E_NOMEM, "no memory for a context");
  c->program = program;
  c->max_parts = max_parts;
  const int status = allocate(c);
  if (status < 0) {
    mx_context_free(c);
    return status;
  }
  bind_tasks(c);
  bind_io(c);
  *out = c;
  return MACCEL_OK;
}

void mx_context_free(mx_context *c) {
  if (c == NULL) return;
  if (c->region != NULL) mx_unmap(c->region, c->region_bytes);
  mx_free(c->scratch);
  mx_free(c->tasks);
  mx_free((void *)c->lists);
  mx_free(c);
}

/* ---- transfers */

/* Rows of the longest dimension but the last: the channels' tables and orders stay whole. 0: the share is empty. */
static int cut_share(mx_transfer *t, uint32_t share, uint32_t shares) {
  mx_view *v = &t->device;
  int d = 0;
  for (int k = 1; k + 1 < v->rank; ++k) d = v->dims[k] > v->dims[d] ? k : d;
  if (v->rank < 2) return share == 0;
  const int64_t first = (int64_t)v->dims[d] * share / shares,
                end = (int64_t)v->dims[d] * (share + 1) / shares;
  v->dims[d] = (int32_t)(end - first);
  v->data += first * v->stride[d];
  t->host.data = (char *)t->host.data + first * t->host.stride[d];
  return end > first;
}

static void transfer_share(const mx_context *c, int is_output, const maccel_io *io, uint32_t share,
                           uint32_t shares) {
  const mxp_header *h = &c->program->image.head;
  const uint32_t first = is_output ? h->num_inputs : 0, count = is_output ? h->num_outputs : h->num_inputs;
  for (uint32_t k = first; k < first + count; ++k) {
    mx_transfer t = c->io[k];
    t.host = io[k];
    if (!cut_share(&t, share, shares)) continue;
    (is_output ? c->transfer->download : c->transfer->upload)(&t);
  }
}

static uint32_t count_shares(const mx_context *c, uint32_t first, uint32_t count) {
  uint64_t elements = 0;
  for (uint32_t k = first; k < first + count; ++k) {
    uint64_t n = 1;
    for (int d = 0; d < c->io[k].device.rank; ++d) n *= (uint64_t)c->io[k].device.dims[d];
    elements += n;
  }
  const uint64_t shares = elements / MX_SHARE_ELEMENTS + 1;
  return shares < MX_MAX_SHARES ? (uint32_t)shares : MX_MAX_SHARES;
}

uint32_t mx_context_upload_shares(const mx_context *c) {
  return count_shares(c, 0, c->program->image.head.num_inputs);
}

uint32_t mx_context_download_shares(const mx_context *c) {
  return count_shares(c, c->program->image.head.num_inputs, c->program->image.head.num_outputs);
}

void mx_context_upload_share(mx_context *c, const maccel_io *io, uint32_t share, uint32_t shares) {
  transfer_share(c, 0, io, share, shares);
}

void mx_context_download_share(mx_context *c, const maccel_io *io, uint32_t share, uint32_t shares) {
  transfer_share(c, 1, io, share, shares);
}

void mx_context_upload(mx_context *c, const maccel_io *io) { transfer_share(c, 0, io, 0, 1); }

void mx_context_download(mx_context *c, const maccel_io *io) { transfer_share(c, 1, io, 0, 1); }

/* ---- running */

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run_alone(const mx_program *p, const mx_task *const *list) {
  for (uint32_t k = 0; k < p->num_steps; ++k) p->steps[k].kernel->run(list[k], 0, 1);
}

static void run_together(const mx_program *p, const mx_task *const *list, const mx_team *team, int part) {
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    p->steps[k].kernel->run(list[k], part, team->parts);
    team->wait(team->self);
  }
}

/* Part 0 keeps the books; a step ends when all parts have come. */
static void run_profiled(const mx_program *p, const mx_task *const *list, const mx_team *team, int part) {
  uint64_t begin = now_ns();
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    p->steps[k].kernel->run(list[k], part, team->parts);
    if (team->parts > 1) team->wait(team->self);
    if (part != 0) continue;
    mx_profile_row *row = &p->rows[p->steps[k].row];
    const uint64_t end = now_ns();
    atomic_fetch_add_explicit(&row->total_ns, end - begin, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->calls, p->steps[k].opens_layer, memory_order_relaxed);
    begin = end;
  }
}

void mx_context_run(mx_context *c, const mx_team *team, int part) {
  const mx_program *p = c->program;
  const mx_task *const *list = c->lists + (size_t)part * p->num_steps;
  if (atomic_load_explicit(&p->profiling, memory_order_relaxed)) {
    run_profiled(p, list, team, part);
  } else if (team->parts == 1) {
    run_alone(p, list);
  } else {
    run_together(p, list, team, part);
  }
}
