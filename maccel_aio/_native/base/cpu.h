/* cpu.h - what the processor and the operating system allow. */
#ifndef MX_CPU_H
#define MX_CPU_H

/* Ordered: a higher level includes what the lower ones need. */
typedef enum mx_isa { MX_ISA_SCALAR = 0, MX_ISA_AVX2 = 1, MX_ISA_AVX512VNNI = 2, MX_ISA_COUNT = 3 } mx_isa;

mx_isa mx_isa_detected(void); /* CPUID and XGETBV, computed once */
mx_isa mx_isa_active(void); /* detected, lowered by MACCEL_ISA (never raised), read at each call of load */
/* The active level for loading a model; E_INVALID when MACCEL_ISA names no level. */
int mx_isa_check(mx_isa *out);
const char *mx_isa_name(mx_isa isa);
int mx_cpu_count(void); /* CPUs in the affinity mask */
int mx_cpu_here(void); /* the CPU that runs this thread now, or -1 */
/* Moves this thread to another CPU of its affinity mask, if it has one; later the system may move it anywhere again. */
void mx_cpu_leave(int cpu);
int mx_worker_limit(void); /* CPUs, lowered by MACCEL_THREADS: most cores that may run at one time */

#endif
