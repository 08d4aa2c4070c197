/* table.c - the scalar kernels: the plain sources for the baseline instruction set. They handle every task that the
 * verifier lets through, so the selector always finds one. */
#define MX_GENERIC_ISA "scalar"
#define MX_PLAIN 1
#include "../generic/generic.h"

const mx_kernel *const *mx_kernels_scalar(int op) { return mx_generic_kernels(op); }

static void upload(const mx_transfer *t) { mx_generic_transfer.upload(t); }
static void download(const mx_transfer *t) { mx_generic_transfer.download(t); }
const mx_transfer_kernels mx_transfer_scalar = {upload, download};
