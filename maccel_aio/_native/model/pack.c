/* pack.c - one region per program: the weights as kernels read them, then rows of zeros.
 *
 * Instructions that use the same weights in the same way share them: a layer that is cut into bands has them once.
 * That is not guessed from the records. The second one packs too, and its bytes are kept unless they are the same. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "alloc.h"
#include "program.h"

/* Fewer bytes are packed before a second thread has started. */
#define MX_PACK_PARALLEL ((size_t)1 << 20)
#define MX_PACK_THREADS 8
/* How many steps back a row of zeros is looked for. */
#define MX_ZERO_WINDOW 32

typedef struct packing {
  mx_program *p;
  uint32_t *likely; /* [step] the earlier step that may have packed the same; itself if none */
  uint32_t *last;   /* [constant] the last step that packed it */
  size_t own_bytes; /* of the steps that share nothing */
  mx_atomic32 next; /* step that no thread has taken */
} packing;

/* ---- what may be shared */

static int looks_alike(const mx_step *a, const mx_step *b) {
  const mx_view *x = &a->task.in[0], *y = &b->task.in[0];
  return a->kernel == b->kernel && a->packed_bytes == b->packed_bytes && x->dtype == y->dtype &&
         x->zero == y->zero && x->dims[3] == y->dims[3] &&
         memcmp(a->task.insn->cst, b->task.insn->cst, sizeof a->task.insn->cst) == 0;
}

static void find_likely(packing *w) {
  const mx_program *p = w->p;
  for (uint32_t k = 0; k < p->image.head.num_consts; ++k) w->last[k] = MXP_NONE;
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const mx_step *s = &p->steps[k];
    const uint32_t weights = s->task.insn->cst[0];
    w->likely[k] = k;
    if (s->packed_bytes == 0 || weights == MXP_NONE) continue;
    const uint32_t before = w->last[weights];
    if (before != MXP_NONE && looks_alike(s, &p->steps[before])) {
      w->likely[k] = before;
    } else {
      w->last[weights] = k;
    }
  }
}

/* ---- packing */

static void pack_step(mx_program *p, mx_step *s) {
  s->kernel->pack(&s->task, s->task.packed);
  mx_constants_packed(p, s);
}

static void *pack_some(void *self) {
  packing *w = self;
  mx_program *p = w->p;
  for (;;) {
    const uint32_t k = mx_add_relaxed(&w->next, 1);
    if (k >= p->num_steps) return NULL;
    if (p->steps[k].packed_bytes > 0 && w->likely[k] == k) pack_step(p, &p->steps[k]);
  }
}

/* Signals are for the program's own threads. A thread that cannot be had is done without. */
static void pack_in_parallel(packing *w) {
  pthread_t threads[MX_PACK_THREADS];
  int started = 0, want = w->own_bytes >= MX_PACK_PARALLEL ? mx_worker_limit() - 1 : 0;
  if (want > MX_PACK_THREADS) want = MX_PACK_THREADS;
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  while (started < want && pthread_create(&threads[started], NULL, pack_some, w) == 0) started++;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pack_some(w);
  while (started > 0) pthread_join(threads[--started], NULL);
}

static uint8_t *pack_own(packing *w, uint8_t *at) {
  mx_program *p = w->p;
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_step *s = &p->steps[k];
    if (s->packed_bytes == 0 || w->likely[k] != k) continue;
    s->task.packed = at;
    at += s->packed_bytes;
  }
  w->own_bytes = (size_t)(at - (uint8_t *)p->packed);
  pack_in_parallel(w);
  return at;
}

/* One after the other, each to the end of the region: it stays there only if it differs. */
static uint8_t *pack_likely(const packing *w, uint8_t *at) {
  mx_program *p = w->p;
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_step *s = &p->steps[k];
    if (s->packed_bytes == 0 || w->likely[k] == k) continue;
    void *first = p->steps[w->likely[k]].task.packed;
    s->task.packed = at;
    pack_step(p, s);
    if (memcmp(first, at, s->packed_bytes) == 0) {
      memset(at, 0, s->packed_bytes); /* kernels pack into zeroes */
      s->task.packed = first;
    } else {
      at += s->packed_bytes;
    }
  }
  return at;
}

/* ---- rows of zeros */

static void fill_zeros(uint8_t *row, size_t bytes, const mx_view *x) {
  if (x->dtype == MACCEL_S16) {
    const int16_t zero = (int16_t)x->zero;
    for (size_t i = 0; i + 2 <= bytes; i += 2) memcpy(row + i, &zero, 2);
  } else {
    memset(row, x->dtype == MACCEL_U8 ? x->zero : 0, bytes);
  }
}

/* A row that an earlier step made already, or NULL. Only the last few steps are looked at. */
static const uint8_t *shared_zeros(const mx_program *p, uint32_t k) {
  const mx_step *s = &p->steps[k];
  const uint32_t first = k > MX_ZERO_WINDOW ? k - MX_ZERO_WINDOW : 0;
  for (uint32_t j = first; j < k; ++j) {
    const mx_task *t = &p->steps[j].task;
    if (t->zero_row_bytes >= s->task.zero_row_bytes && t->in[0].dtype == s->task.in[0].dtype &&
        t->in[0].zero == s->task.in[0].zero) {
      return t->zero_row;
    }
  }
  return NULL;
}

static uint8_t *make_zeros(mx_program *p, uint8_t *at) {
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_task *t = &p->steps[k].task;
    if (t->zero_row_bytes == 0) continue;
    t->zero_row = shared_zeros(p, k);
    if (t->zero_row != NULL) continue;
    fill_zeros(at, t->zero_row_bytes, &t->in[0]);
    t->zero_row = at;
    at += t->zero_row_bytes;
  }
  return at;
}

/* ---- all of it */

/* Room for all, shared or not: pages that nothing is written to are no memory. */
static size_t most_bytes(const mx_program *p) {
  size_t total = 64;
  for (uint32_t k = 0; k < p->num_steps; ++k)
    total += p->steps[k].packed_bytes + p->steps[k].task.zero_row_bytes;
  return total;
}

int mx_program_pack(mx_program *p) {
  const size_t steps = p->num_steps + (size_t)1, consts = p->image.head.num_consts + (size_t)1;
  packing w = {.p = p,
               .likely = mx_alloc(steps * sizeof *w.likely, 64),
               .last = mx_alloc(consts * sizeof *w.last, 64)};
  p->packed_region = most_bytes(p);
  p->packed = mx_map(p->packed_region);
  int status = MACCEL_OK;
  if (w.likely == NULL || w.last == NULL || p->packed == NULL) {
    status = mx_fail(MACCEL_E_NOMEM, "no memory for %zu bytes of packed weights", p->packed_region);
  } else {
    find_likely(&w);
    const uint8_t *end = make_zeros(p, pack_likely(&w, pack_own(&w, p->packed)));
    p->packed_bytes = (uint64_t)(end - (uint8_t *)p->packed);
  }
  mx_free(w.likely);
  mx_free(w.last);
  return status;
}
