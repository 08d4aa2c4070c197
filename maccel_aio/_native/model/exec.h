/* exec.h - verified programs and their execution. Used by the device floor. */
#ifndef MX_EXEC_H
#define MX_EXEC_H

#include "cpu.h"
#include "maccel.h"

typedef struct mx_program mx_program; /* immutable after load: shared by all cores */
typedef struct mx_context mx_context; /* one arena: one inference at a time */

/* Everything that a file could say wrong is found here; after OK, execution needs no checks. [any] */
int mx_program_verify(const void *program, uint64_t program_bytes, const void *consts, uint64_t const_bytes);
/* Verifies, copies, selects kernels for `isa` and packs the weights. [any] */
int mx_program_load(const void *program, uint64_t program_bytes, const void *consts, uint64_t const_bytes,
                    mx_isa isa, mx_program **out);
void mx_program_free(mx_program *program);
int mx_program_get_info(const mx_program *program, maccel_model_info *out);
int mx_program_get_tensor(const mx_program *program, int is_output, uint32_t index, maccel_tensor_info *out);
/* Are these arrays (inputs then outputs, num_io of them) transferable? INVALID with the reason. No addresses are read. */
int mx_program_check_io(const mx_program *program, const maccel_io *io, uint32_t num_io);

int mx_context_create(const mx_program *program, int max_parts, mx_context **out);
void mx_context_free(mx_context *context);

/* A meeting point of the `parts` threads that run one inference together. wait() returns when all have come. */
typedef struct mx_team {
  int parts;
  void (*wait)(void *self); /* NULL when parts == 1 */
  void *self;
} mx_team;

/* One batch item: io arrays with data already advanced to the item. Called by one thread. */
void mx_context_upload(mx_context *context, const maccel_io *io);
void mx_context_download(mx_context *context, const maccel_io *io);
/* The same by several threads: into how many shares it pays to cut, and one of them. Shares are independent. */
uint32_t mx_context_upload_shares(const mx_context *context);
uint32_t mx_context_download_shares(const mx_context *context);
void mx_context_upload_share(mx_context *context, const maccel_io *io, uint32_t share, uint32_t shares);
void mx_context_download_share(mx_context *context, const maccel_io *io, uint32_t share, uint32_t shares);
/* Runs all instructions; called by every part, each with its own number; `team` is shared. */
void mx_context_run(mx_context *context, const mx_team *team, int part);

/* Per-layer times; off by default and free when off. Sums over all contexts of the program. */
void mx_program_set_profile(mx_program *program, int on);
int mx_program_get_profile(const mx_program *program, maccel_layer_time *out, uint32_t cap, uint32_t *count);

#endif
