/* constants.c - the constants of a program from the file's block to what kernels read at run time.
 *
 * The block is copied first and the copy verified, so that nothing that changes under a mapped file later can break a
 * proof. Weights leave the copy page by page as they are packed: the two forms are never both whole in memory. */
#include <string.h>

#include "alloc.h"
#include "program.h"

int mx_constants_stage(mx_program *p, const void *consts, uint64_t bytes) {
  mx_staging *s = &p->staging;
  s->bytes = (size_t)bytes;
  s->data = bytes < SIZE_MAX / 2 ? mx_map((size_t)bytes + 1) : NULL;
  MX_RETURN_IF(s->data == NULL, MACCEL_E_NOMEM, "no memory for %llu bytes of constants",
               (unsigned long long)bytes);
  if (bytes > 0) memcpy(s->data, consts, (size_t)bytes);
  return MACCEL_OK;
}

void mx_constants_unstage(mx_program *p) {
  if (p->staging.data != NULL) mx_unmap(p->staging.data, p->staging.bytes + 1);
  mx_free(p->staging.keep);
  mx_free(p->staging.readers);
  p->staging = (mx_staging){0};
}

/* ---- who reads what */

static void mark(uint8_t *keep, uint32_t k) {
  if (k != MXP_NONE) keep[k] = 1;
}

/* Everything but weights that a kernel packs: run() sees cst[0] = NULL there. */
static void mark_needed(const mx_program *p) {
  const mx_image *im = &p->image;
  uint8_t *keep = p->staging.keep;
  for (uint32_t k = 0; k < im->head.num_tensors; ++k) mark(keep, im->tensors[k].scale_const);
  for (uint32_t k = 0; k < im->head.num_inputs; ++k) {
    mark(keep, im->inputs[k].table);
    mark(keep, im->inputs[k].order);
  }
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const mx_step *s = &p->steps[k];
    for (int slot = s->packed_bytes > 0 ? 1 : 0; slot < 8; ++slot) mark(keep, s->task.insn->cst[slot]);
  }
}

/* Pages can go early only where no two constants share bytes. */
static int are_apart(const mx_image *im) {
  uint64_t end = 0;
  for (uint32_t k = 0; k < im->head.num_consts; ++k) {
    if (im->consts[k].offset < end) return 0;
    end = im->consts[k].offset + im->consts[k].bytes;
  }
  return 1;
}

int mx_constants_survey(mx_program *p) {
  mx_staging *s = &p->staging;
  const size_t n = p->image.head.num_consts;
  s->keep = mx_alloc(n + 1, 8);
  s->readers = mx_alloc((n + 1) * sizeof *s->readers, 64);
  MX_RETURN_IF(s->keep == NULL || s->readers == NULL, MACCEL_E_NOMEM, "no memory for the constants");
  mark_needed(p);
  s->apart = are_apart(&p->image);
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    const uint32_t weights = p->steps[k].task.insn->cst[0];
    if (p->steps[k].packed_bytes > 0 && weights != MXP_NONE) mx_add_relaxed(&s->readers[weights], 1);
  }
  return MACCEL_OK;
}

void mx_constants_packed(mx_program *p, const mx_step *step) {
  mx_staging *s = &p->staging;
  const uint32_t k = step->task.insn->cst[0];
  if (k == MXP_NONE || mx_sub_acq_rel(&s->readers[k], 1) != 1) return;
  if (s->apart && !s->keep[k]) mx_discard(s->data + p->image.consts[k].offset, p->image.consts[k].bytes);
}

/* ---- what stays */

static const void *moved(const mx_program *p, const uint8_t *keep, uint32_t k) {
  return k == MXP_NONE || !keep[k] ? NULL : mx_image_const_data(&p->image, k);
}

static void rebind(mx_program *p, const uint8_t *keep) {
  for (uint32_t k = 0; k < p->num_steps; ++k) {
    mx_task *t = &p->steps[k].task;
    for (int slot = 0; slot < 8; ++slot) t->cst[slot] = moved(p, keep, t->insn->cst[slot]);
    if (t->packed != NULL) t->cst[0] = NULL;
    for (int slot = 0; slot < 6; ++slot) {
      if (t->insn->in[slot] == MXP_NONE) continue;
      t->in[slot].channel_scale = moved(p, keep, p->image.tensors[t->insn->in[slot]].scale_const);
    }
    for (int slot = 0; slot < 2; ++slot) {
      if (t->insn->out[slot] == MXP_NONE) continue;
      t->out[slot].channel_scale = moved(p, keep, p->image.tensors[t->insn->out[slot]].scale_const);
    }
  }
}

static uint64_t round_up(uint64_t bytes) { return (bytes + 63) & ~(uint64_t)63; }

/* The records of the image are adjusted too, so that the inputs' tables are found by them. */
int mx_constants_settle(mx_program *p) {
  const uint32_t n = p->image.head.num_consts;
  const uint8_t *keep = p->staging.keep;
  mxp_const *records = (mxp_const *)(uintptr_t)p->image.consts;
  uint64_t total = 0;
  for (uint32_t k = 0; k < n; ++k) total += keep[k] ? round_up(records[k].bytes) : 0;
  p->consts = mx_alloc(total + 64, 64);
  MX_RETURN_IF(p->consts == NULL, MACCEL_E_NOMEM, "no memory for the constants");
  uint64_t at = 0;
  for (uint32_t k = 0; k < n; ++k) {
    if (!keep[k]) continue;
    memcpy((uint8_t *)p->consts + at, p->staging.data + records[k].offset, records[k].bytes);
    records[k].offset = at;
    at += round_up(records[k].bytes);
  }
  p->image.data = p->consts;
  rebind(p, keep);
  mx_constants_unstage(p);
  return MACCEL_OK;
}
