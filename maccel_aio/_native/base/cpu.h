/* cpu.h - what the processor and the operating system allow. */
#ifndef MX_CPU_H
#define MX_CPU_H

/* Of two levels that a processor has, the later one is the better one. It need not have those in between:
 * mx_isa_below() tells which levels a level includes. */
typedef enum mx_isa {
  MX_ISA_SCALAR = 0,
  MX_ISA_AVX2 = 1,
  MX_ISA_AVXVNNI = 2,
  MX_ISA_AVX512VNNI = 3,
  MX_ISA_NEON = 4,
  MX_ISA_NEONDOT = 5,
  MX_ISA_NEONI8MM = 6,
  MX_ISA_COUNT = 7
} mx_isa;

mx_isa mx_isa_detected(void); /* the best level of this processor, found out once */
int mx_isa_supported(mx_isa isa);
mx_isa mx_isa_below(
    mx_isa isa); /* the next lower level that every processor with this one has; scalar of scalar */
/* The best supported level that is not above MACCEL_ISA (all, when unset), read at each call of load. */
mx_isa mx_isa_active(void);
/* The active level for loading a model; E_INVALID when MACCEL_ISA names no level. */
int mx_isa_check(mx_isa *out);
const char *mx_isa_name(mx_isa isa);
int mx_cpu_count(void); /* CPUs in the affinity mask */
int mx_cpu_here(void); /* the CPU that runs this thread now, or -1 */
/* Moves this thread to another CPU of its affinity mask, if it has one; later the system may move it anywhere again. */
void mx_cpu_leave(int cpu);
int mx_threads_check(void); /* INVALID when MACCEL_THREADS is set to something else than a positive number */
int mx_worker_limit(void); /* CPUs, lowered by MACCEL_THREADS: most cores that may run at one time */

#endif
